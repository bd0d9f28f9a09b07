"""The words of names, by which the page finds users and compounds.

A name is found by the beginning of any of its words, in any case, accents aside. PostgreSQL can
look that up without an extension if each word has a row. These are apart from the features, which
change daily, while names seldom do.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql

from experiment_features.definitions import Relation
from experiment_features.engines import arrow
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


def find_words(keys: Sequence[int], names: Sequence[str | None]) -> Iterator[pa.RecordBatch]:
    """The words of names, as words_of finds them: of plain ones all at once, of others one by one.

    Grain: word of a name; columns: name_from, name_before, and the key of the name.
    """
    named = [(key, name) for key, name in zip(keys, names, strict=True) if name]
    ids = np.array([key for key, _ in named], np.int64)
    texts = arrow.texts(name for _, name in named)
    letters = pc.replace_substring_regex(pc.ascii_lower(texts), "[^0-9a-z]+", " ")
    joined = pc.ascii_trim(letters, " ")  # the words, with a blank between two of them
    following = arrow.integers(pc.count_substring(joined, " "))
    is_plain = arrow.integers(pc.string_is_ascii(texts)).astype(bool)
    is_plain &= (following < _MOST_WORDS) & (arrow.integers(pc.binary_length(joined)) > 0)
    is_plain &= arrow.integers(pc.binary_length(texts)) <= _MOST_LETTERS_FROM
    for before in range(int(following[is_plain].max(initial=-1)) + 1):
        has_word = is_plain & (following >= before)
        words = pc.split_pattern(joined.filter(arrow.array(has_word)), " ", max_splits=before)
        name_from = pc.list_element(words, arrow.array(np.array([before]))[0])
        name_before = pc.binary_join(pc.list_slice(words, 0, before), arrow.text(" "))
        yield _batch(name_from, name_before, ids[has_word])
    others = [
        (*word, named[at][0]) for at in np.flatnonzero(~is_plain) for word in words_of(named[at][1])
    ]
    if others:
        name_from, name_before, of_names = zip(*others, strict=True)
        yield _batch(arrow.texts(name_from), arrow.texts(name_before), np.array(of_names, np.int64))


def _batch(name_from: pa.Array, name_before: pa.Array, keys: Any) -> pa.RecordBatch:
    columns = [*Word._fields, "key"]
    return pa.RecordBatch.from_arrays([name_from, name_before, arrow.array(keys)], columns)


def change_words(connection: Connection, relation: Relation) -> None:
    """Makes the words of a relation those of the names that a load is about to write.

    Args:
        connection: in the load's transaction, after `compare` and before `merge`.
        relation: the relation.

    Raises:
        DatabaseRefused: not all words of the new names are there afterwards.
    """
    parts, written = _parts(relation), 0
    for words in ("past_words", "new_words"):
        connection.execute(read_sql("stage_words").format(**parts, target=parts[words]))
    with connection.cursor("renamed") as cursor:
        cursor.execute(read_sql("select_renamed").format(**parts))
        while renamed := cursor.fetchmany(_BATCH_ROWS):
            keys, past, new = zip(*renamed, strict=True)
            _copy(connection, relation, parts["past_words"], find_words(keys, past))
            written += _copy(connection, relation, parts["new_words"], find_words(keys, new))
    connection.execute(read_sql("delete_words").format(**parts))
    inserted = connection.execute(read_sql("insert_words").format(**parts)).rowcount
    check_written(f"features.{relation.words}", "insert", written, inserted)


def fill_words(connection: Connection, relation: Relation) -> None:
    """Writes the words of all names anew, which is faster if all names are new.

    Args:
        connection: in a transaction, which has written the names.
        relation: theirs.

    Raises:
        DatabaseRefused: not all words arrived.
    """
    parts = _parts(relation)
    connection.execute(read_sql("delete_all_words").format(**parts))
    with connection.cursor("names") as cursor:
        cursor.execute(read_sql("select_names").format(**parts))
        while names := cursor.fetchmany(_BATCH_ROWS):
            _copy(connection, relation, parts["words"], find_words(*zip(*names, strict=True)))


def _copy(
    connection: Connection,
    relation: Relation,
    table: sql.Composable,
    words: Iterator[pa.RecordBatch],
) -> int:
    return copy_batches(connection, table, [*Word._fields, relation.key], words)


def _parts(relation: Relation) -> dict[str, sql.Composable]:
    return {
        "relation": sql.Identifier("features", relation.name),
        "staged": sql.Identifier(f"staged_{relation.name}"),
        "changed": sql.Identifier(f"changed_{relation.name}"),
        "words": sql.Identifier("features", relation.words),
        "past_words": sql.Identifier(f"past_{relation.words}"),
        "new_words": sql.Identifier(f"new_{relation.words}"),
        "key": sql.Identifier(relation.key),
        "name": sql.Identifier(relation.columns[1]),
    }
