"""Recognises files that are not delimited text, whatever their names say."""

import re
from typing import NamedTuple

from experiment_features.drop.file_names import COMPRESSIONS


class ForeignFile(NamedTuple):
    """Another kind of file, and what to do about it."""

    kind: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.kind}: expected a table as text. {self.remedy}"


_UNPACK = "Unpack it"
_EXPORT = "Export the table as CSV"
_FETCH = "It may be a web server's reply, such as a login page: download the file again"

_ZIP = b"PK\x03\x04"

_SIGNATURES = {
    _ZIP: ForeignFile("a zip archive", _UNPACK),
    b"PK\x05\x06": ForeignFile("an empty zip archive", _UNPACK),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ForeignFile(
        "an Excel workbook (.xls)", "Save it as CSV UTF-8 in Excel"
    ),
    b"\x1f\x8b": ForeignFile("a gzip archive", f"{_UNPACK}, or rename it to end in .csv.gz"),
    b"\x28\xb5\x2f\xfd": ForeignFile(
        "a zstd archive", f"{_UNPACK}, or rename it to end in .csv.zst"
    ),
    **{b"BZh%d1AY&SY" % level: ForeignFile("a bzip2 archive", _UNPACK) for level in range(1, 10)},
    b"\xfd7zXZ\0": ForeignFile("an xz archive", _UNPACK),
    b"7z\xbc\xaf\x27\x1c": ForeignFile("a 7z archive", _UNPACK),
    b"Rar!\x1a\x07": ForeignFile("a RAR archive", _UNPACK),
    b"PAR1\x15": ForeignFile("a Parquet file", _EXPORT),
    b"ARROW1\0\0": ForeignFile("an Arrow file", _EXPORT),
    b"Obj\x01": ForeignFile("an Avro file", _EXPORT),
    b"SQLite format 3\0": ForeignFile("an SQLite database", _EXPORT),
    bytes(12) + b"\xc2\xea\x81\x60": ForeignFile("a SAS data set", _EXPORT),
    b"$FL2@(#)": ForeignFile("an SPSS data set", _EXPORT),
    b"<stata_dta>": ForeignFile("a Stata data set", _EXPORT),
    b"\x89HDF\r\n\x1a\n": ForeignFile("an HDF5 file", _EXPORT),
}
"""By the first bytes. Each signature is whole, because a header may begin with its letters."""

ARCHIVES = [f"a {codec} archive" for codec in COMPRESSIONS.values()]
"""Kinds that are read, if the file's name tells."""

_TAR, _TAR_AT = b"ustar", 257
"""The signature of a tar archive, which begins with the name of its first file."""

SIGNATURE_BYTES = max(map(len, _SIGNATURES))

_INSIDE_ZIP = {
    b"xl/": ForeignFile("an Excel workbook (.xlsx)", "Save it as CSV UTF-8 in Excel"),
    b"opendocument.spreadsheet": ForeignFile("a spreadsheet (.ods)", "Save it as CSV in UTF-8"),
}

_TEXTS = {
    rb"<(?:!doctype\s+html|html)\b": ForeignFile("an HTML page", _FETCH),
    rb"<(?:[?!]|/?[a-z][\w:.-]*(?:\s+[\w:.-]+\s*=[^<>]*)?\s*(?:/?>|\Z))": ForeignFile(
        "XML or HTML", _FETCH
    ),
    rb"\[\s*(?:[\[{\"\d\]-]|\Z)|{\s*(?:[\"}]|\Z)": ForeignFile("JSON", _EXPORT),
    rb"version https://git-lfs": ForeignFile(
        "a Git LFS pointer", "Fetch the file itself: git lfs pull"
    ),
    rb"%pdf-\d": ForeignFile("a PDF document", _EXPORT),
    rb"{\\rtf": ForeignFile("an RTF document", "Save it as plain text in UTF-8"),
}
"""By the beginning of a text that has no header, a regular expression; the first match counts."""

_BRACKETED_NAME = re.compile(rb"(?:\[[^][{}:,;|\t]*\]|{[^][{}:,;|\t]*}|<[^<>,;|\t]*>) *[,;|\t]")
"""The first of several names in brackets, which no JSON or XML begins with."""


def recognise_bytes(content: bytes) -> ForeignFile | None:
    """The type of a file that begins with these bytes, if it is not text."""
    if content.startswith(_TAR, _TAR_AT):
        return ForeignFile("a tar archive", _UNPACK)
    found = next((f for start, f in _SIGNATURES.items() if content.startswith(start)), None)
    if content.startswith(_ZIP):
        return next((f for name, f in _INSIDE_ZIP.items() if name in content), found)
    return found


def recognise_text(text: bytes) -> ForeignFile | None:
    """The type of a text that begins like this and lacks the header of a table."""
    begin = text.lstrip()[:1000]
    if _BRACKETED_NAME.match(begin):
        return None
    return next((f for start, f in _TEXTS.items() if re.match(start, begin, re.IGNORECASE)), None)
