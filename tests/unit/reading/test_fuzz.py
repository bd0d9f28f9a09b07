"""Mutated files: the reader reads them as the oracle does, or refuses them; nothing in between.

FUZZ_FILES=100000 .venv/bin/python -m pytest tests/unit/reading/test_fuzz.py
"""

import io
import os
import random
from pathlib import Path

import pytest

import oracle
from cases import cases
from comparison import rows_of_file
from drops import ALL_DIALECTS, CLEAN, INVISIBLE_TEXTS, NASTY_TEXTS, Row, render
from experiment_features.contract import USERS
from experiment_features.errors import DropRefused
from experiment_features.reading import text_stream
from experiment_features.reading.file_reader import FileReader

FILES = int(os.environ.get("FUZZ_FILES", cases(3000)))
ROUNDS = 10

TOKENS = (
    b'"', b'""', b"\n", b"\r", b"\r\n", b",", b"\t", b";", b"|", b" ", b"\0", b"\xef\xbb\xbf",
    b"\xff", b"\xc3", b"user_id", b'"\n', b',"', b'",', b'"x', b"\n\n", b'\t"', b"1", b"-",
    b"\n,,,\n", b"\n;\t;\n", b"sep=;\n", b"\xe2\x80\x8b",
)  # fmt: skip

Found = list[tuple[int, list[str], dict[str, str]]]
"""Line, faults of the row as a whole, and cells of every row."""


def original(rng: random.Random) -> bytes:
    """A file of users in some dialect, with names that are hard to read."""
    rows = [Row(cells) for cells in CLEAN["users"]]
    rows += [
        Row((str(number), rng.choice((*NASTY_TEXTS, *INVISIBLE_TEXTS)), "a@b.c", "2024-02-29"))
        for number in range(4, rng.randint(5, 12))
    ]
    return render("users", rows, rng.choice(ALL_DIALECTS))


def mutated(content: bytes, rng: random.Random) -> bytes:
    """The file after a few accidents."""
    text = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        at, end = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
        kind = rng.randrange(6)
        if kind == 0:
            text[at:at] = rng.choice(TOKENS)
        elif kind == 1:
            text[at : at + rng.randint(1, 3)] = rng.choice(TOKENS)
        elif kind == 2:
            del text[at : at + rng.randint(1, 4)]
        elif kind == 3:
            text[at:at] = text[at : min(end, at + 40)]
        elif kind == 4 and text:
            text[min(at, len(text) - 1)] = rng.randrange(256)
        elif rng.random() < 0.2:
            del text[at:end]
    return bytes(text)


def read(content: bytes) -> Found | None:
    """What the reader finds; None if it refuses."""
    try:
        file = FileReader(io.BytesIO(content), "users.csv", USERS)
        rows = rows_of_file(file)
    except DropRefused as refusal:
        return None if "users.csv" in str(refusal) else []
    found: Found = []
    for row in sorted(rows, key=lambda row: row["line_number"]):
        fields = row["fields"]
        fields = row["line"].split(file.delimiter) if fields is None else fields
        faults = ["nul_byte"] if row["has_nul"] else []
        if row["fault"]:
            faults.append(row["fault"])
        elif len(fields) != len(file.columns):
            is_short = len(fields) < len(file.columns)
            faults.append("too_few_fields" if is_short else "too_many_fields")
        is_whole = not faults or faults == ["nul_byte"]
        cells = dict(zip(file.columns, fields, strict=True)) if is_whole else {}
        found.append((row["line_number"], faults, cells))
    return found


def expect(content: bytes, folder: Path) -> Found | None:
    """What the oracle finds; None if it refuses."""
    path = folder / "users.csv"
    path.write_bytes(content)
    try:
        rows = list(oracle.read_part(path, "users"))
    except (oracle.RefusedError, UnicodeDecodeError):
        return None
    return [(row.line, row.shape_rules, row.cells) for row in rows]


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("round_", range(ROUNDS))
def test_mutated_files_are_read_right_or_refused(
    round_: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never a crash, a hang, a torn row or a lost one, wherever the blocks end."""
    rng = random.Random(round_)  # noqa: S311
    for _ in range(FILES // ROUNDS):
        content = mutated(original(rng), rng)
        monkeypatch.setattr(text_stream, "BLOCK_BYTES", rng.choice([1, 7, 64, 8 * 2**20]))
        found, expected = read(content), expect(content, tmp_path)
        if found is None and expected is not None:
            # The reader refuses any column that is there twice, the oracle only a needed one.
            names = header_names(content)
            assert len(set(names)) < len(names), content
        else:
            assert found == expected, content


def header_names(content: bytes) -> list[str]:
    """The names in a file's header that are not empty, as the oracle reads them."""
    text = content.decode("utf-8-sig")
    _, delimiters, rest = oracle.split_preamble(text)
    _, names = oracle.find_header(rest, oracle.COLUMNS["users"], delimiters)
    return [name for name in names if name]
