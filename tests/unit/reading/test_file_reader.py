"""The reader: any dialect, physical lines, and refusals that name the place."""

import bz2
import gzip
import hashlib
import io
import lzma
import re

import pyarrow as pa
import pytest

from comparison import rows_of_file
from experiment_features.contract import COMPOUNDS, USER_EXPERIMENTS, Table
from experiment_features.errors import DropRefused
from experiment_features.reading import text_stream
from experiment_features.reading.file_reader import FileReader

HEADER = b"compound_id,compound_name,compound_structure\n"


def read(
    content: bytes, name: str = "compounds.csv", table: Table = COMPOUNDS
) -> list[tuple[int, list[str], str | None]]:
    """Line, cells and fault of every row, in file order."""
    file = FileReader(io.BytesIO(content), name, table)
    rows = rows_of_file(file)
    return sorted(
        (
            row["line_number"],
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
        pytest.param(b"a,b\n1,2\n", "line 1: the header lacks the columns compound_id, compound_name, compound_structure; found 'a', 'b', with ',' as delimiter. Add the columns, rename", id="columns"),
        pytest.param(b"1,Water,H2O\n2,Ethanol,C2H6O\n",
                     "found '1', 'Water', 'H2O', with ',' as delimiter. If this line is a row, add a header line before it", id="no_header"),
        pytest.param(b"Compound ID;compound-name;Compound_Structure (SMILES)\n",
                     "Rename 'Compound ID' to compound_id, 'compound-name' to compound_name, 'Compound_Structure (SMILES)' to compound_structure", id="renamed"),
        pytest.param(b"compound_id\n1\n",
                     "If the file lists rows to delete, name it deleted_compounds.csv; else add the others", id="deletions"),
        pytest.param(b'"compound_id,compound_name,compound_structure"\n"1,a,b"\n',
                     "line 1: the header has several columns within the same quotes", id="quoted"),
        pytest.param(b'"compound_id,""compound_name"",compound_structure";;;\n',
                     "line 1: the header has several columns within the same quotes", id="quoted_and_padded"),
        pytest.param(HEADER.replace(b"\n", b";;;\n"),
                     "the header mixes ',' and ';' as delimiters, as spreadsheets", id="semicolons_at_the_end"),
        pytest.param(HEADER.replace(b",", b";", 1),
                     "the header mixes ',' and ';' as delimiters", id="mixed_delimiters"),
        pytest.param(HEADER.replace(b",", b"\t", 1),
                     "the header mixes '\\t' and ',' as delimiters", id="tab_and_comma"),
        pytest.param(b'"compound_id";"compound_name",\t"compound_structure"\n',
                     "the header mixes ',' and ';' as delimiters", id="mixed_and_quoted"),
        pytest.param(b'"compound_id","compound_name","compound_structure";;\n',
                     "the header mixes ',' and ';' as delimiters", id="quoted_with_semicolons"),
        pytest.param(b'compound_id,full name,"compound_structure, compound_name"\n',
                     "the header lacks the columns compound_name, compound_structure; found", id="name_with_comma"),
        pytest.param(b"compound_id,compound_name,structure;of\n",
                     "the header lacks the column compound_structure; found", id="name_with_semicolon"),
        pytest.param(b"sep=;\n" + HEADER,
                     "line 2: the header is separated by ',', but the line before it sets ';' as", id="told_otherwise"),
        pytest.param(b"sep=;\nits compound_id,compound_name,compound_structure\n",
                     "line 2: the header lacks the columns compound_id", id="told_otherwise_and_lacking"),
        pytest.param(b"\xef\xbb\xbf" * 2 + HEADER,
                     r"lacks the column compound_id; found '\ufeffcompound_id', 'compound_name', 'compound_structure', with ',' as delimiter. Delete the byte order mark (\ufeff)", id="two_marks"),
        pytest.param(b'sep=,\n\xef\xbb\xbf"compound_id",\t"compound_name","compound_structure"\n',
                     r"with ',' as delimiter. Delete the byte order mark (\ufeff) before", id="mark_after_sep"),
        pytest.param(HEADER.replace(b"_name", "_name\u200b".encode()),
                     "as delimiter. Delete the invisible characters, which", id="zero_width"),
        pytest.param(b"Export of compounds;;\r\nMay\r\n\r\n" + HEADER + b"1,a,b\n",
                     "line 1: the header lacks the columns compound_id, compound_name, compound_structure; found 'Export of compounds', '', '', with ';' as delimiter. Line 4 has the columns: delete the lines before it", id="titles"),
        pytest.param(HEADER.replace(b"\n", b"\xc2\x85") + b"1,a,b\xc2\x85",
                     r"End the lines in LF, CRLF or CR, and not in \x85", id="line_ends_of_mainframes"),
        pytest.param(HEADER.decode().replace("c", "’c", 1).replace(",", "‘,", 1).encode(),
                     "Remove the quotes around the names", id="other_quotes"),
        pytest.param(b"\n# of May\n" + HEADER, "line 2: the header begins like a comment",
                     id="comment"),
        pytest.param(b"#" + HEADER, "the header begins like a comment", id="commented"),
        pytest.param(HEADER.replace(b",", b":"),
                     "the header does not separate its columns by a comma", id="colons"),
        pytest.param(HEADER.replace(b",", b" "),
                     "the header does not separate its columns by a comma", id="blanks"),
        pytest.param(b"\n" + HEADER.replace(b"\n", b",compound_id\n"),
                     "line 2: the header has the column compound_id more than once", id="double"),
        pytest.param(HEADER.decode().encode("utf-16"), "offset 0, in line 1, the start of a UTF-16 file",
                     id="utf_16"),
        pytest.param(HEADER.decode().encode("utf-16-le"), "the header holds NUL bytes",
                     id="utf_16_without_mark"),
        pytest.param(HEADER + b"1,a,b\n2,\xe9t\xe9,c\n",
                     "byte 0xe9 at offset 53, in line 3, 'é' in Latin-1", id="latin_1"),
        pytest.param(bytes(range(256)), "the header holds NUL bytes", id="binary"),
        pytest.param(HEADER + b"1,a,b\n2,c" + bytes(512) + b"g,h\n9,i,j\n",
                     "line 3: from offset 54 on, there are at least 512 NUL bytes", id="hole"),
        pytest.param(HEADER + b"1,a,b\n" + bytes(4096),
                     "line 3: from offset 51 on, there are at least 512 NUL bytes", id="hole_at_the_end"),
        pytest.param(bytes(4096), "line 1: from offset 0 on, there are at least", id="only_a_hole"),
        pytest.param(HEADER + b'1,a,b\n2,"c,d\n3,e,f\n',
                     "line 3: a quoted field begins in this row and is not closed", id="unclosed"),
        pytest.param(HEADER + b'1,"a\n2,"b,c\n',
                     "line 2: a quoted field that begins in this row ends in line 3", id="doubtful"),
        pytest.param(HEADER + b'1,a,b\n2,c,"\n3,d,"\n4,e,f\n',
                     "line 3: a quoted field of this row spans lines, but line 4 is a whole row",
                     id="ditto_marks"),
        pytest.param(HEADER + b'1,",b\n 2\t,",d\n',
                     "line 2: a quoted field of this row spans lines, but line 3", id="merged_rows"),
        *(pytest.param(HEADER + f'1,"a,b\n{row_id},c",d\n'.encode(), "but line 3 is a whole row", id=row_id)
          for row_id in ("C2", "2.0", "#2", "CPD-0002", "'2")),
        pytest.param(HEADER + b'1,a,"\n2,b,"c, d"\n3,e,"\n',
                     "line 2: a quoted field", id="quoted_delimiter"),
        pytest.param(HEADER + b'1,a,"slow\n\nthen\n"2",b,so-so"\n',
                     "line 2: a quoted field", id="notes"),
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
    line = re.search(r"line (\d+)", str(refusal.value))  # the ledger has it, too
    assert refusal.value.line == (int(line[1]) if line else None)


def test_text_that_spans_lines_is_no_row_by_itself() -> None:
    """Unless one of its lines has an id and as many fields as the header."""
    texts = ["1,2\n3,4", "x,1,2\ny,3,4", "1, 2, 3, 4\n5", "1\n,,", ",,\n-,,"]
    rows = [f'{number},{number},"{text}"' for number, text in enumerate(texts)]
    found = read(HEADER + "\n".join(rows).encode())
    assert [fields[2] for _, fields, _ in found] == texts
    name = "TNT\n2,4,6-trinitrotoluene\ntrotyl"
    assert read(HEADER + f'1,"{name}",C7H5N3O6\n'.encode()) == [(2, ["1", name, "C7H5N3O6"], None)]


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
        "no_archive": b"\0" + whole,
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
    file = FileReader(io.BytesIO(archive), "compounds.csv.gz", COMPOUNDS)
    assert len(rows_of_file(file)) == 1
    stored = file.text.stored
    assert stored.size == len(archive)
    assert stored.sha256.hexdigest() == hashlib.sha256(archive).hexdigest()


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        pytest.param(b",,,\n \n,\n" + HEADER + b"1,a,b\n", [5], id="before_the_header"),
        pytest.param(HEADER + b"1,a,b\n,,\n ,\t,\n,,,,,\n2,c,d\n", [2, 6], id="between"),
        pytest.param(HEADER + b"1,a,b\n,,\r\n,,\r,,", [2], id="at_the_end"),
        pytest.param(HEADER.replace(b",", b"\t") + b"\t\t\n1\ta\tb\n\t\n \t \n", [3], id="tabs"),
        pytest.param(HEADER.replace(b",", b";") + b";;\n1;,,;b\n,,,\n", [3, 4], id="semicolons"),
        pytest.param(HEADER + b'1,"a\n,,\nb",c\n"",,\n"","",""\n', [2, 5, 6], id="quoted"),
        pytest.param(HEADER + b',\0,\n,,x\n"",,\n', [2, 3, 4], id="not_bare"),
    ],
)
def test_rows_of_delimiters_alone_are_empty_lines(content: bytes, lines: list[int]) -> None:
    """As spreadsheets leave them: no rows, wherever they stand; quotes make a row."""
    assert [line for line, *_ in read(content)] == lines


@pytest.mark.parametrize(
    "first", [b"sep=;\n", b'\xef\xbb\xbf"SEP=;"\r\n', b"sep=; \r;;;\n", b"\nsep=;;;\n"]
)
def test_a_first_line_may_tell_the_delimiter(first: bytes) -> None:
    """As Excel takes it: under the comma, this header would be whole as well."""
    header = HEADER[:-1] + b";x;compound_id;compound_name;compound_structure\n"
    assert read(HEADER + b"1,a,b\n") == [(2, ["1", "a", "b"], None)]
    ((_, cells, _),) = read(first + header + b"1,a,b;x;1;a;b\n")
    assert cells == ["1,a,b", "x", "1", "a", "b"]


@pytest.mark.parametrize(
    ("begin", "kind"),
    [
        pytest.param(b"PK\x03\x04\x14\0[Content_Types].xml xl/workbook.xml", "an Excel workbook (.xlsx)",
                     id="xlsx"),
        pytest.param(b"PK\x03\x04\x14\0mimetypeapplication/vnd.oasis.opendocument.spreadsheet",
                     "a spreadsheet (.ods)", id="ods"),
        pytest.param(b"PK\x03\x04\x14\0users.csv", "a zip archive", id="zip"),
        pytest.param(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0", "an Excel workbook (.xls)", id="xls"),
        pytest.param(gzip.compress(HEADER), "a gzip archive", id="gzip"),
        pytest.param(b"\x28\xb5\x2f\xfd\x04\0", "a zstd archive", id="zstd"),
        pytest.param(bz2.compress(HEADER), "a bzip2 archive", id="bzip2"),
        pytest.param(bz2.compress(HEADER, 1), "a bzip2 archive", id="bzip2_fast"),
        pytest.param(lzma.compress(HEADER), "an xz archive", id="xz"),
        pytest.param(b"PAR1\x15\x04\x15", "a Parquet file", id="parquet"),
        pytest.param(b"compounds.csv".ljust(257, b"\0") + b"ustar\x0000", "a tar archive", id="tar"),
        pytest.param(bytes(12) + b"\xc2\xea\x81\x60\xb3\x14\x11", "a SAS data set", id="sas"),
        pytest.param(b"$FL2@(#) SPSS DATA FILE", "an SPSS data set", id="spss"),
        pytest.param(b"<stata_dta><header>", "a Stata data set", id="stata"),
        pytest.param(b"\x89HDF\r\n\x1a\n\0", "an HDF5 file", id="hdf5"),
        pytest.param(b"{\\rtf1\\ansi compound_id}", "an RTF document", id="rtf"),
        pytest.param(b'[{"compound_id": 1, "compound_name": "a"}]\n', "JSON", id="json"),
        pytest.param(b'{\n  "compounds": []\n}\n', "JSON", id="json_lines"),
        pytest.param(b'{"compound_id": 1},\n{"compound_id": 2}\n', "JSON", id="json_objects"),
        pytest.param(b"[[1, 2], [3, 4]]\n", "JSON", id="json_lists"),
        pytest.param(b'[\n["compound_id", "compound_name"]\n]\n', "JSON", id="json_over_lines"),
        pytest.param(b"[]\n", "JSON", id="json_without_rows"),
        pytest.param(b'<?xml version="1.0"?>\n<a/>\n', "XML or HTML", id="xml"),
        pytest.param(b'<ns:a b="1, 2"\n c="3"><d>1</d>\n', "XML or HTML", id="xml_over_lines"),
        pytest.param(b"<compounds>\n\t<compound/>\n", "XML or HTML", id="xml_element"),
        pytest.param(b"<body>Log in, please</body>\n", "XML or HTML", id="part_of_a_page"),
        pytest.param(b"\n<!DOCTYPE html>\n<html><a href=\"x\">\n", "an HTML page", id="html"),
        pytest.param(b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer",
                     id="git_lfs"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_another_kind_of_file_is_named(begin: bytes, kind: str, ending: str) -> None:
    """With what to do about it; inside of an archive as well, and in place of one."""
    content = gzip.compress(begin, mtime=0) if ending else begin
    for stored in (content, begin) if "gzip" not in kind else (content,):
        with pytest.raises(DropRefused, match=rf"^compounds\.csv{ending} .*{re.escape(kind)}"):
            read(stored, f"compounds.csv{ending}")


@pytest.mark.parametrize("brackets", ["[]", "{}", "<>"])
@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t", " , "])
@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_names_in_brackets_are_no_other_kind_of_file(
    brackets: str, delimiter: str, quote: str, ending: str
) -> None:
    """The header lacks its columns, and the message says what it has instead."""
    opening, closing = brackets
    names = [f"{opening}{quote}{name}{quote}{closing}" for name in COMPOUNDS.column_names]
    content = f"{delimiter.join(names)}\n1{delimiter}2\n".encode()
    with pytest.raises(DropRefused, match="lacks the columns compound_id") as refusal:
        read(gzip.compress(content) if ending else content, f"compounds.csv{ending}")
    assert f"found '{names[0]}'" in str(refusal.value)
    if ending:
        with pytest.raises(DropRefused, match="is not gzip data but text"):
            read(content, f"compounds.csv{ending}")


@pytest.mark.parametrize("outer", ["gzip", "zstd"])
@pytest.mark.parametrize("inner", ["gzip", "zstd"])
def test_what_is_compressed_twice_is_named(inner: str, outer: str) -> None:
    """To rename it would not help."""
    content = HEADER
    for codec in (inner, outer):
        content = pa.Codec(codec).compress(content, asbytes=True)
    name = f"compounds.csv{'.gz' if outer == 'gzip' else '.zst'}"
    with pytest.raises(
        DropRefused, match=f"{name} holds a {inner} archive: it is compressed twice"
    ):
        read(content, name)


@pytest.mark.parametrize("ending", [".gz", ".zst"])
@pytest.mark.parametrize("text", [HEADER, HEADER + b"1,a,\xe9\n" * 5000], ids=["short", "latin_1"])
def test_text_under_the_name_of_an_archive_is_named(text: bytes, ending: str) -> None:
    """It was never compressed, or is unpacked already; data that is broken is still that."""
    with pytest.raises(DropRefused, match=r"data but text: rename it to compounds\.csv, or"):
        read(text, f"compounds.csv{ending}")
    with pytest.raises(DropRefused, match="broken"):
        read(b"\0" + text, f"compounds.csv{ending}")


def test_a_header_that_begins_like_another_file_is_read() -> None:
    """What names every column is a header, whatever the rows hold."""
    letters = (
        b"PK",
        b"BZh",
        b"BZh9",
        b"7z",
        b"Rar!",
        b"PAR1",
        b"ARROW1",
        b"Obj",
        b"SQLite format 3",
    )
    for name in (*letters, b"[x]", b"{", b"<", b"%PDF-", b"sep=,", b"version https://git-lfs"):
        rows = b"x,1,xl/,opendocument.spreadsheet\n"
        assert len(read(name + b"," + HEADER + rows)) == 1


@pytest.mark.parametrize("tail", [b"\0" * 5000, b"\n", b"\r\n\0\n"])
@pytest.mark.parametrize("size", [1, 7, 2**20])
def test_what_gzip_passes_over_is_passed_over(
    tail: bytes, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Zeros and line ends behind an archive, and between two, are no fault."""
    monkeypatch.setattr(text_stream, "BLOCK_BYTES", size)
    archive = gzip.compress(HEADER + b"1,a,b\n") + tail
    assert len(read(archive, "compounds.csv.gz")) == 1
    more = archive + gzip.compress(b"2,c,d\n") + tail
    assert len(read(more, "compounds.csv.gz")) == 2
    match = f"broken gzip archive.* from offset {len(more)} on, there are 1001 bytes"
    with pytest.raises(DropRefused, match=match):
        read(more + b"x" * 1001, "compounds.csv.gz")
    with pytest.raises(DropRefused, match="there is 1 byte of something else"):
        read(more + b"x", "compounds.csv.gz")


@pytest.mark.parametrize(
    ("rows", "explained"),
    [
        pytest.param(b"1,caf\xc3", "a character that is cut off. Deliver", id="end"),
        pytest.param(b"1,\xe2\x82", "a character that is cut off. Deliver", id="end_of_three"),
        pytest.param(b"1,\xe2\x82,C\n", "a character that is cut off. Deliver", id="middle"),
        pytest.param("1,é,".encode() + b"\xe6\xb0,C\n", "that is cut off. Deliver", id="utf_8_before"),
        pytest.param(b"1,\xed\xa0\xbd\xed\xb8\x80,C\n", "half of a character, as in CESU-8", id="surrogate"),
        pytest.param(b"1,caf\xe9,C\n", "'é' in Latin-1. Save", id="latin_1"),
        pytest.param(b"1,\xabcaf\xe9\xbb,C\n", "'«' in Latin-1. Save", id="latin_1_quotes"),
        pytest.param("1,é,".encode() + b"\xe9t\xe9\n", "cut off, or 'é' in Latin-1", id="mixed"),
    ],
)  # fmt: skip
def test_a_byte_that_is_not_utf_8_is_explained(rows: bytes, explained: str) -> None:
    """Latin-1 is named where it may be that, and not where a character is damaged."""
    with pytest.raises(DropRefused) as refusal:
        read(HEADER + rows)
    assert explained in str(refusal.value)


def test_a_zstd_window_is_not_a_broken_archive() -> None:
    """An archive that needs gigabytes of memory is refused for that reason."""
    window_of_2_gib = bytes([(31 - 10) << 3])
    stored = b"\x28\xb5\x2f\xfd\0" + window_of_2_gib + (len(HEADER) << 3 | 1).to_bytes(3, "little")
    with pytest.raises(DropRefused, match=r"a window of more than 128 MiB.*without --long"):
        read(stored + HEADER, "compounds.csv.zst")


def test_an_open_quote_is_told_by_how_far_it_was_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the end of the file, or only so far."""
    monkeypatch.setattr(text_stream, "BLOCK_BYTES", 100)
    rows = HEADER + b'1,"a\n' + b"2,b,c\n" * 500
    with pytest.raises(DropRefused, match="not closed before the file's end"):
        read(rows)
    monkeypatch.setattr(text_stream, "RECORD_BYTES", 1000)
    with pytest.raises(DropRefused, match="not closed within 1000 bytes"):
        read(rows)


@pytest.mark.parametrize("row", [b'1,"5\\"",b\n', b'1,"a\n\\"b",c\n'])
def test_a_backslash_before_a_quote_is_named(row: bytes) -> None:
    """Otherwise, users whose tool escapes quotes this way would find nothing wrong."""
    with pytest.raises(DropRefused, match=r"a backslash before it \(\\\"\) does not escape it"):
        read(HEADER + row)
    with pytest.raises(DropRefused) as refusal:
        read(HEADER + row.replace(b"\\", b""))
    assert "backslash" not in str(refusal.value)


def test_a_header_is_shown_as_it_stands_in_the_file() -> None:
    """As written, and with escapes for invisible characters."""
    with pytest.raises(DropRefused) as refusal:
        read(b"Compound_ID,\xe2\x80\x8bCompound_Name\xc2\xa0,\x1b[31mX\n")
    assert r"found 'Compound_ID', '\u200bCompound_Name\xa0', '\x1b[31mX'" in str(refusal.value)
    with pytest.raises(DropRefused, match="has the column Compound_ID more than once"):
        read(HEADER[:-1] + b",Compound_ID\n")
    with pytest.raises(
        DropRefused, match="Delete this line: it may only specify a comma, semicolon"
    ):
        read(b"sep=:\n" + HEADER)


def test_lists_have_a_limit() -> None:
    """Long before they take too much memory."""
    header = b"experiment_id,user_id,experiment_compound_ids,experiment_run_time\n"
    ids = b"1;" * 2**19
    assert len(read(header + b"1,1," + ids[1:] + b",1\n", table=USER_EXPERIMENTS)) == 1
    with pytest.raises(DropRefused, match="line 2: experiment_compound_ids has 1048577 bytes"):
        read(header + b"1,1," + ids + b"1,1\n", table=USER_EXPERIMENTS)


def test_headers_and_fields_have_a_limit() -> None:
    """Each is named, and found at once."""
    many = b"," * 9_000 + HEADER
    assert len(read(many + b"," * 9_000 + b"1,a,b\n")) == 1
    with pytest.raises(DropRefused, match="the header has 100003 columns: expected at most 10000"):
        read(b"x," * 50_000 + b"," * 50_000 + HEADER)
    with pytest.raises(DropRefused, match="has a name of 1000000 bytes for column 4"):
        read(HEADER[:-1] + b"," + b"x" * 1_000_000 + b"\n")
    for name in (b"x" * 65_537, b'"' + b'x""\n' * 30_000 + b'"'):
        with pytest.raises(
            DropRefused, match=r"line 3: compound_name has .* bytes, expected at most"
        ):
            read(HEADER + b"1,a,b\n2," + name + b",c\n")
    assert len(read(HEADER + b"1," + b"x" * 65_536 + b"," + b"C" * 100_000)) == 1
    with pytest.raises(DropRefused, match="compound_structure has 16777217 bytes"):
        read(HEADER + b"1,a," + b"C" * (2**24 + 1))
