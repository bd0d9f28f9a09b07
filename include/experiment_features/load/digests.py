"""The digests after a load that changes some rows: the last load's, and the difference.

PostgreSQL writes each row as digest.py says, so that only the hashes leave it.
"""

from collections.abc import Mapping

from psycopg import sql

from experiment_features.definitions import RELATIONS
from experiment_features.digest import ISSUE_COLUMNS, MODULUS
from experiment_features.load.database import Connection, read_sql
from experiment_features.load.issues import CHANGED_ISSUES
from experiment_features.load.merge import statement_parts

_WRITTEN = {
    "bigint": "{0}::text",
    "bigint[]": "'[' || array_to_string({0}, ',') || ']'",
    "double precision": "encode(float8send({0}), 'hex')",
    "text": "octet_length(convert_to({0}, 'UTF8')) || ':' || {0}",
}
"""By type, how a value that is not NULL is written."""


def features_after(connection: Connection, before: str) -> str:
    """The digest of the features once the rows that were computed again are merged.

    Args:
        connection: in the load's transaction, after merge.compare_features and before merge.merge.
        before: the digest of what the database has.
    """
    change = 0
    for relation in RELATIONS:
        types = {feature.name: feature.sql_type for feature in relation.features}
        parts = statement_parts(relation, is_whole=False)
        change += _change(connection, relation.name, types, parts)
    return _added(before, change)


def issues_after(connection: Connection, before: str) -> str:
    """The same for the issues, after ``issues.compare_issues``."""
    return _added(before, _change(connection, "data_issues", ISSUE_COLUMNS, CHANGED_ISSUES))


def _added(digest: str, change: int) -> str:
    return f"{(int(digest, 16) + change) % MODULUS:064x}"


def _change(
    connection: Connection, name: str, types: Mapping[str, str], parts: Mapping[str, sql.Composable]
) -> int:
    rows = {f"{table}_row": _row(name, table, types) for table in ("staged", "known")}
    query = read_sql("select_changed_digests").format(**{**parts, **rows})
    with connection.cursor(binary=True) as cursor:
        return sum(
            int.from_bytes(sha256) if is_new else -int.from_bytes(sha256)
            for is_new, sha256 in cursor.execute(query)
        )


def _row(name: str, table: str, types: Mapping[str, str]) -> sql.Composed:
    """What is hashed of a row."""
    written = [
        sql.SQL("concat({}, {})").format(
            sql.Literal(f"\n{column}="),
            sql.SQL(_WRITTEN[types[column]]).format(sql.Identifier(table, column)),
        )
        for column in sorted(types)
    ]
    return sql.SQL(" || ").join([sql.Literal(name), *written])
