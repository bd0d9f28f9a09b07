"""The reader: any dialect, physical lines, and refusals that name the place."""

import gzip
import hashlib
import io

import pyarrow as pa
import pytest

from comparison import rows_of_file
from experiment_features.contract import COMPOUNDS, line_of
from experiment_features.errors import DropRefused
from experiment_features.reading import text_stream
from experiment_features.reading.file_reader import FileReader

HEADER = b"compound_id,compound_name,compound_structure\n"


def read(content: bytes, name: str = "compounds.csv") -> list[tuple[int, list[str], str | None]]:
    """Line, cells and fault of every row, in file order."""
    file = FileReader(io.BytesIO(content), name, 1, COMPOUNDS)
    rows = rows_of_file(file)
    return sorted(
        (
            line_of(row["position"]),
            row["line"].split(file.delimiter) if row["fields"] is None else row["fields"],
            row["fault"],
        )
        for row in rows
    )


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(b"1,a,b\n2,c,d\n", [(2, ["1", "a", "b"]), (3, ["2", "c", "d"])], id="lf"),
        pytest.param(b"1,a,b\r2,c,d", [(2, ["1", "a", "b"]), (3, ["2", "c", "d"])], id="cr"),
        pytest.param(b"\n \t\n1,a,b\n\n", [(4, ["1", "a", "b"])], id="empty_lines"),
        pytest.param(b'1,"a\n\nb",c\n2,d,e', [(2, ["1", "a\n\nb", "c"]), (5, ["2", "d", "e"])],
                     id="quoted_line_breaks"),
        pytest.param(b'1 ,\t" a ""x"" "\t, b', [(2, ["1", 'a "x"', "b"])], id="padding"),
        pytest.param(b'1,5" x,b"\n', [(2, ["1", '5" x', 'b"'])], id="literal_quotes"),
        pytest.param(b'""\n1,a,b\n', [(2, [""]), (3, ["1", "a", "b"])], id="lone_empty_quotes"),
        pytest.param(b'1,a,b\r"2"x,c,d\r\n\n3,e,f\n',
                     [(2, ["1", "a", "b"]), (3, ["2", "c", "d"]), (5, ["3", "e", "f"])],
                     id="cr_before_an_odd_row_before_lf"),
    ],
)  # fmt: skip
def test_rows_have_their_physical_lines(rows: bytes, expected: list[tuple[int, list[str]]]) -> None:
    """A row's line is where it starts, whatever stands before it."""
    assert [(line, cells) for line, cells, _ in read(HEADER + rows)] == expected


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64])
def test_blocks_may_end_anywhere(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """How a file falls into blocks changes nothing."""
    content = (
        "\ufeffcompound_id,compound_name,compound_structure\r\n"
        'ü1,"é\r\n, ""ß""",x\r\n\r\n2,b,"c"\r3,"d"z,e\r\n4,\0,"f"'
    ).encode()
    whole = read(content)
    monkeypatch.setattr(text_stream, "BLOCK_BYTES", size)
    assert read(content) == whole
    assert [line for line, *_ in whole] == [2, 5, 6, 7]


@pytest.mark.parametrize("size", [1, 10, 30])
def test_a_header_may_span_lines_and_blocks(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header that is not yet whole is not judged."""
    monkeypatch.setattr(text_stream, "BLOCK_BYTES", size)
    content = b'"notes,\n etc.",compound_id,compound_name,compound_structure\nx,1,a,b\n'
    assert read(content) == [(3, ["x", "1", "a", "b"], None)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "compounds.csv is empty", id="empty"),
        pytest.param(b"\n \n", "compounds.csv is empty", id="blank"),
        pytest.param(b"a,b\n1,2\n", "line 1: the header lacks the column compound_id", id="columns"),
        pytest.param(b"\n" + HEADER.replace(b"\n", b",compound_id\n"),
                     "line 2: the header has the column compound_id more than once", id="double"),
        pytest.param(HEADER.decode().encode("utf-16"), "offset 0, in line 1, as UTF-16 begins",
                     id="utf_16"),
        pytest.param(HEADER.decode().encode("utf-16-le"), "the header holds NUL bytes",
                     id="utf_16_without_mark"),
        pytest.param(HEADER + b"1,a,b\n2,\xe9t\xe9,c\n",
                     "byte 0xe9 at offset 53, in line 3, 'é' in Latin-1", id="latin_1"),
        pytest.param(bytes(range(256)), "the header holds NUL bytes", id="binary"),
        pytest.param(HEADER + b'1,a,b\n2,"c,d\n3,e,f\n',
                     "line 3: a quoted field begins in this row and is not closed", id="unclosed"),
        pytest.param(HEADER + b'1,"a\n2,"b,c\n',
                     "line 2: a quoted field that begins in this row ends in line 3", id="doubtful"),
        pytest.param(b'"compound_id"x,compound_name,compound_structure\n',
                     "the header has text after a closing quote", id="malformed_header"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused(content: bytes, message: str) -> None:
    """A refusal names file, place and fault."""
    with pytest.raises(DropRefused) as refusal:
        read(content)
    assert message in str(refusal.value)
    assert "compounds.csv" in str(refusal.value)


@pytest.mark.parametrize(
    ("ending", "fault"),
    [(ending, fault) for ending in (".gz", ".zst") for fault in ("cut", "no_archive", "trailing")]
    + [(".gz", "flipped")],  # pyarrow writes Zstandard without the checksum that would tell
)
def test_broken_archives_are_refused(ending: str, fault: str) -> None:
    """A broken archive never gives part of its rows."""
    whole = HEADER + b"".join(b"%d,name %d,C%d\n" % (i, i * 7, i) for i in range(2000))
    archive = (
        gzip.compress(whole) if ending == ".gz" else pa.Codec("zstd").compress(whole, asbytes=True)
    )
    assert len(read(archive, "compounds.csv" + ending)) == 2000
    middle = len(archive) // 2
    broken = {
        "cut": archive[:middle],
        "flipped": archive[:middle] + bytes([archive[middle] ^ 0xFF]) + archive[middle + 1 :],
        "no_archive": whole,
        "trailing": archive + b"more",
    }[fault]
    with pytest.raises(DropRefused, match=r"broken (gzip|zstd) archive"):
        read(broken, "compounds.csv" + ending)


def test_a_row_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory does not grow with a file that has no lines, or whose quote stays open."""
    monkeypatch.setattr(text_stream, "RECORD_BYTES", 1000)
    monkeypatch.setattr(text_stream, "BLOCK_BYTES", 100)
    with pytest.raises(DropRefused, match="line 2 has no end within 1000 bytes"):
        read(HEADER + b"x" * 5000)
    with pytest.raises(DropRefused, match="line 2: a quoted field begins"):
        read(HEADER + b'1,"a\n' + b"2,b,c\n" * 1000)


def test_a_file_is_hashed_as_it_is_stored() -> None:
    """Size and hash are those of the stored bytes."""
    archive = gzip.compress(HEADER + b"1,a,b\n")
    file = FileReader(io.BytesIO(archive), "compounds.csv.gz", 1, COMPOUNDS)
    assert len(rows_of_file(file)) == 1
    stored = file.text.stored
    assert stored.size == len(archive)
    assert stored.sha256.hexdigest() == hashlib.sha256(archive).hexdigest()
