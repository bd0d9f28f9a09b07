"""COPY transfers every value unchanged, on every version."""

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import sql

from drops import INVISIBLE_TEXTS, NASTY_TEXTS
from experiment_features.load.copy import copy_batches
from integration.servers import VERSIONS, Server

HOSTILE_TEXTS = (
    *NASTY_TEXTS,
    *INVISIBLE_TEXTS,
    "",
    "\\.",
    "\\.\n",
    "before\n\\.\nafter",
    "\n\\.\n",
    "before\r\n\\.\r\nafter",
    "\\N",
    "\\",
    "\\\\",
    "\\t",
    "\\x41",
    "\\101",
    "ends in a backslash\\",
    "\t",
    "\r",
    '"\n"',
    "\x01\x02\x7f",
    "\\u0000",
    "\U0010ffff\ufffe\uffff",
    "'); drop table features.user_features; --",
)


def copy_rows(server: Server, schema: pa.Schema, rows: list[tuple[Any, ...]]) -> list[Any]:
    """Copies rows to a temporary table in batches of three; returns what arrived."""
    definition = [
        sql.SQL("{} {}").format(sql.Identifier(field.name), SQL_TYPES[field.type])
        for field in schema
    ]
    table = sql.SQL("create temporary table copied ({})").format(sql.SQL(", ").join(definition))
    columns = [pa.array([row[i] for row in rows], field.type) for i, field in enumerate(schema)]
    batches = pa.Table.from_arrays(columns, schema=schema).to_batches(max_chunksize=3)
    with server.connect("postgres") as connection:
        connection.execute(table)
        copied = copy_batches(connection, sql.Identifier("copied"), schema.names, batches)
        assert copied == len(rows)
        return connection.execute("table copied").fetchall()


SQL_TYPES = {
    pa.int64(): sql.SQL("bigint"),
    pa.float64(): sql.SQL("double precision"),
    pa.string(): sql.SQL("text"),
    pa.large_string(): sql.SQL("text"),
    pa.list_(pa.int64()): sql.SQL("bigint[]"),
}
SCHEMA = pa.schema({"number": pa.int64(), "mean": pa.float64(), "name": pa.string()})

every_version = pytest.mark.parametrize("server", VERSIONS, indirect=True)


@every_version
def test_hostile_texts_arrive_unchanged(server: Server) -> None:
    """No text ends the data early, becomes NULL, or is escaped twice."""
    schema = pa.schema({"number": pa.int64(), "name": pa.large_string(), "other": pa.string()})
    rows = [(i, text, text) for i, text in enumerate(HOSTILE_TEXTS)]
    assert copy_rows(server, schema, rows) == rows


@every_version
def test_nulls_are_not_empty_texts(server: Server) -> None:
    """NULL and empty text stay distinct, even in rows without other values."""
    rows = [(None, None, None), (1, None, ""), (None, 0.5, None), (None, None, "")]
    assert copy_rows(server, SCHEMA, rows) == rows


def test_lists_arrive_in_order(server: Server) -> None:
    """Lists of any length arrive in order; NULL is not an empty list."""
    schema = pa.schema({"ids": pa.list_(pa.int64()), "number": pa.int64()})
    rows = [([3, 1, 2**63 - 1], 1), ([], 2), (None, 3), ([-5], None)]
    assert copy_rows(server, schema, rows) == rows


def test_large_texts_arrive_whole(server: Server) -> None:
    """Even texts of a megabyte arrive whole."""
    rows = [(1, 0.1, "é" * 2**20), (2, 0.2, '"\\\n\t' * 2**18)]
    assert copy_rows(server, SCHEMA, rows) == rows


def test_an_empty_batch(server: Server) -> None:
    """An empty batch copies nothing."""
    assert copy_rows(server, SCHEMA, []) == []


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
            st.none() | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6),
        ),
        max_size=8,
    )
)
@settings(max_examples=60, deadline=None)
def test_any_row_arrives_unchanged(server_of: Any, rows: list[tuple[Any, ...]]) -> None:
    """Integers, texts and floats arrive unchanged, to the last bit."""
    assert copy_rows(server_of("18"), SCHEMA, rows) == rows
