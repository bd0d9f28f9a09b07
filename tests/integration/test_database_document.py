"""docs/database.md and docs/features.md describe the actual schema."""

import re
from pathlib import Path

from experiment_features.definitions import RELATIONS
from integration.servers import Database

DOCS = Path(__file__).parents[2] / "docs"
TOGETHER = {
    **{relation.past: relation.history for relation in RELATIONS},
    "latest_data_issues": "data_issues",
}
"""Relations that are described along with another one."""


def section_of(relation: str) -> str:
    """Returns the section below the relation's heading."""
    page = (DOCS / "database.md").read_text()
    found = re.findall(rf"^### `{relation}`.*?(?=^##)", page, flags=re.DOTALL | re.MULTILINE)
    assert len(found) == 1, relation
    return str(found[0])


def test_every_relation_and_column_is_described(database: Database) -> None:
    """Each column is described below its relation's heading, or is one of the features."""
    columns = database.query(
        "select table_name, column_name from information_schema.columns "
        "where table_schema = 'features' and table_name <> 'schema_version'"
    )
    features = (DOCS / "features.md").read_text()
    missing = []
    for column in columns:
        relation, name = column["table_name"], column["column_name"]
        text = section_of(TOGETHER.get(relation, relation))
        if f"`{name}`" not in text + features * relation.startswith(
            ("user_feature", "compound_feature")
        ):
            missing.append(f"{relation}.{name}")
    assert columns
    assert not missing
