"""The features as a CSV file that is safe to open in a spreadsheet."""

import csv
import io
from collections.abc import Iterator

from experiment_features.report.page_queries import read_users
from experiment_features.spreadsheet import escape_formulas
from features_page.connection import open_reader


def csv_of_users() -> Iterator[str]:
    """All users as CSV, in parts; the byte order mark tells a spreadsheet that it is UTF-8."""
    yield "\ufeff"
    with open_reader() as connection:
        for rows in read_users(connection):
            part = io.StringIO()
            csv.writer(part).writerows([escape_formulas(value) for value in row] for row in rows)
            yield part.getvalue()
