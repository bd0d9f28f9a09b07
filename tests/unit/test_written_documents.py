"""The generated parts of the documents match the code."""

from pathlib import Path

import pytest
import write_docs

from experiment_features.rules.rules import RULES

DOCUMENTS = write_docs.documents()
ROOT = write_docs.ROOT


@pytest.mark.parametrize("path", DOCUMENTS, ids=[str(path.relative_to(ROOT)) for path in DOCUMENTS])
def test_document_is_up_to_date(path: Path) -> None:
    """The generated parts are up to date; if not, run scripts/write_docs.py."""
    assert path.read_text(encoding="utf-8") == DOCUMENTS[path]


def test_every_section_is_shown_once() -> None:
    """Every generated section is on exactly one page."""
    text = "\n".join(DOCUMENTS.values())
    shown = [found[2] for found in write_docs.SECTION.finditer(text)]
    assert sorted(shown) == sorted(write_docs.SECTIONS)


def test_contract_lists_every_rule() -> None:
    """The data contract lists every rule."""
    page = DOCUMENTS[ROOT / "docs" / "data-contract.md"]
    assert all(f"`{rule.name}`" in page for rule in RULES)
