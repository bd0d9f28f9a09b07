"""The words of names, by which the page finds users and compounds.

A name is found by the beginning of any of its words, in any case, accents aside. PostgreSQL can
look that up without an extension if each word has a row. These are apart from the features, which
change daily, while names seldom do.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

import pyarrow as pa
from psycopg import sql

from experiment_features.definitions import Relation
from experiment_features.load.copy import copy_batches
from experiment_features.load.database import Connection, check_written, read_sql

_MOST_WORDS = 12
_MOST_LETTERS_FROM, _MOST_LETTERS_BEFORE = 120, 400
"""An index entry has a maximum size, a name has none."""

_BATCH_ROWS = 20_000

_ASCII_SEPARATORS = re.compile("[^0-9a-z]+")
_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "œ": "oe", "þ": "th", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "ı": "i"}
)
"""Letters that Unicode does not take apart into a letter and an accent."""


class Word(NamedTuple):
    """A word of a name, folded, with what surrounds it."""

    name_from: str
    """The name from this word on."""
    name_before: str
    """The words before it; empty for the first."""


def fold(text: str) -> list[str]:
    """The words of a text without case, accents and punctuation; of nothing else, as they are."""
    lower = text.lower()
    if lower.isascii():
        return _ASCII_SEPARATORS.sub(" ", lower).split() or lower.split()
    letters = unicodedata.normalize("NFD", lower.translate(_LETTERS))
    return unicodedata.normalize("NFC", "".join(map(_kept, letters))).split() or lower.split()


def _kept(letter: str) -> str:
    """A letter, digit or symbol itself, a blank for punctuation, and nothing for an accent."""
    category = unicodedata.category(letter)
    if category in ("Mn", "Me", "Cf"):
        return ""
    return letter if category[0] in "LNM" or category == "So" else " "


def words_of(name: str) -> list[Word]:
    """The first words of a name, each once; at least one."""
    words = fold(name[:1000])[:_MOST_WORDS] or [name]
    found: dict[str, str] = {}
    for number in range(len(words)):
        name_from = " ".join(words[number:])[:_MOST_LETTERS_FROM]
        found.setdefault(name_from, " ".join(words[:number])[:_MOST_LETTERS_BEFORE])
    return [Word(*word) for word in found.items()]


def terms_of(search: str) -> list[str]:
    """The beginnings of words that a search asks for, no longer than what is known of a word."""
    return [term[:_MOST_LETTERS_FROM] for term in fold(search[:1000])[:_MOST_WORDS]]


def change_words(connection: Connection, relation: Relation) -> None:
    """Makes the words of a relation those of the names that a load is about to write.

    Args:
        connection: in the load's transaction, after `compare` and before `merge`.
        relation: the relation.

    Raises:
        DatabaseRefused: not all words of the new names are there afterwards.
    """
    parts, written = _parts(relation), 0
    connection.execute(read_sql("stage_words").format(**parts))
    with connection.cursor("renamed") as cursor:
        cursor.execute(read_sql("select_renamed").format(**parts))
        while renamed := cursor.fetchmany(_BATCH_ROWS):
            past = ((*word, key, 0) for key, name, _ in renamed if name for word in words_of(name))
            new = ((*word, key, 1) for key, _, name in renamed if name for word in words_of(name))
            columns = [*Word._fields, relation.key, "is_new"]
            copy_batches(connection, parts["staged_words"], columns, _batches(columns, past))
            written += copy_batches(
                connection, parts["staged_words"], columns, _batches(columns, new)
            )
    connection.execute(read_sql("delete_words").format(**parts))
    inserted = connection.execute(read_sql("insert_words").format(**parts)).rowcount
    check_written(f"features.{relation.words}", "insert", written, inserted)


def fill_words(connection: Connection, relation: Relation) -> None:
    """Writes the words of all names, of which there are none yet."""
    parts = _parts(relation)
    columns = [*Word._fields, relation.key]
    with connection.cursor("names") as cursor:
        cursor.execute(read_sql("select_names").format(**parts))
        while names := cursor.fetchmany(_BATCH_ROWS):
            rows = ((*word, key) for key, name in names for word in words_of(name))
            copy_batches(connection, parts["words"], columns, _batches(columns, rows))


def _batches(columns: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> Iterator[pa.RecordBatch]:
    rows = iter(rows)
    while batch := list(islice(rows, _BATCH_ROWS)):
        yield pa.RecordBatch.from_pydict(dict(zip(columns, zip(*batch, strict=True), strict=True)))


def _parts(relation: Relation) -> dict[str, sql.Composable]:
    return {
        "relation": sql.Identifier("features", relation.name),
        "staged": sql.Identifier(f"staged_{relation.name}"),
        "changed": sql.Identifier(f"changed_{relation.name}"),
        "words": sql.Identifier("features", relation.words),
        "staged_words": sql.Identifier(f"staged_{relation.words}"),
        "key": sql.Identifier(relation.key),
        "name": sql.Identifier(relation.columns[1]),
    }
