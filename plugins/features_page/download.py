"""The features as a CSV file that people open with a spreadsheet."""

import csv
import io
import re
from collections.abc import Iterator
from typing import Any

from experiment_features.report.page_queries import read_users
from features_page.connection import open_reader

# A cell that begins so is a formula (OWASP, "CSV injection"). So is one behind a separator within a
# text, for a spreadsheet whose separator is another one than the file's.
_FORMULA = re.compile(r"(^|[,;|\t\r\n])(?=[\s\"']*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n])")


def csv_of_users() -> Iterator[str]:
    """All users as CSV, in parts; its byte order mark tells a spreadsheet that it is UTF-8."""
    yield "\ufeff"
    with open_reader() as connection:
        for rows in read_users(connection):
            part = io.StringIO()
            csv.writer(part).writerows([_harmless(value) for value in row] for row in rows)
            yield part.getvalue()


def _harmless(value: Any) -> Any:
    """The value; a text in which a formula could begin gets an apostrophe before it."""
    return _FORMULA.sub(r"\1'", value) if isinstance(value, str) else value
