"""The digest: computed here from literals, and different for every difference of the rows."""

import struct
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiment_features.definitions import (
    COMPARABLE_SINCE,
    DEFINITION_VERSION,
    RELATIONS,
    USER_FEATURES,
    Feature,
    Relation,
    relations_at,
)
from experiment_features.digest import digest_of
from experiment_features.engines import arrow

TYPES = {
    "bigint": pa.int64(),
    "text": pa.string(),
    "double precision": pa.float64(),
    "bigint[]": pa.list_(pa.int64()),
}
VALUES: dict[str, list[Any]] = {
    "bigint": [1, 2, -1, 11, None, 2**63 - 1],
    "text": ["Ann", "ann", "", None, "Zoë", "1", "Ann\nuser_id=1", "Ann "],
    "double precision": [1.5, 1.5000000000000002, 0.0, -0.0, 1.0, None, 5e-324],
    "bigint[]": [[1, 2], [2, 1], [12], [1], [], None],
}
"""All different; a row has the first of its type."""


def digest(relation: Relation, rows: list[dict[str, Any]], folder: Path) -> str:
    """The digest of rows of a relation; what they lack is the first of VALUES."""
    base = {feature.name: VALUES[feature.sql_type][0] for feature in relation.features}
    schema = pa.schema([(f.name, TYPES[f.sql_type]) for f in relation.features])
    target = folder / "rows.parquet"
    pq.write_table(pa.Table.from_pylist([base | row for row in rows], schema=schema), target)
    return digest_of([(relation.name, relation.columns, target)])


def summed(*rows: bytes) -> str:
    """The digest, given what is hashed of each row."""
    total = sum(int.from_bytes(sha256(row).digest(), "big") for row in rows)
    return f"{total % 2**256:064x}"


def test_of_no_rows(tmp_path: Path) -> None:
    """It is zero, whether there is a file or not."""
    assert digest(USER_FEATURES, [], tmp_path) == summed()
    assert digest_of([("any", ("any",), tmp_path / "nowhere.parquet")]) == summed()


def test_anybody_can_compute_it(tmp_path: Path) -> None:
    """From rows of all types, as the module's docstring has it; NULL is apart from empty."""
    rows = {
        "name": ["Zoë", "", None, "a\nb=1:"],
        "id": [1, -7, None, 2**63 - 1],
        "mean": [1.5, -0.0, None, 1e308],
        "ids": [[1, 2], [], None, [2**63 - 1]],
        "left_out": [1, 2, 3, 4],
    }
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    relation = ("people", ("name", "id", "mean", "ids"), tmp_path / "rows.parquet")
    expected = (
        b"people\nid=1\nids=[1,2]\nmean=3ff8000000000000\nname=4:Zo\xc3\xab",
        b"people\nid=-7\nids=[]\nmean=8000000000000000\nname=0:",
        b"people\nid=\nids=\nmean=\nname=",
        b"people\nid=%d\nids=[%d]\nmean=7fe1ccf385ebc8a0\nname=6:a\nb=1:" % (2**63 - 1, 2**63 - 1),
    )
    assert digest_of([relation]) == summed(*expected)
    others = ("others", ("left_out",), tmp_path / "rows.parquet")
    of_others = (b"others\nleft_out=%d" % number for number in rows["left_out"])
    assert digest_of([relation, others]) == summed(*expected, *of_others)
    assert digest_of([("none", (), tmp_path / "none.parquet")]) == "0" * 64


def test_many_rows_are_summed_in_batches(tmp_path: Path) -> None:
    """Of more rows than a batch has, with a NULL here and there."""
    numbers = [None if n % 7 == 0 else n / 3 for n in range(2 * arrow.BATCH_ROWS + 5)]
    texts = [None if number is None else str(number) for number in numbers]
    pq.write_table(pa.table({"x": numbers, "y": texts}), tmp_path / "rows.parquet")
    rows = (
        b"r\nx=\ny="
        if x is None
        else b"r\nx=%s\ny=%d:%s"
        % (struct.pack(">d", x).hex().encode(), len(str(x)), str(x).encode())
        for x in numbers
    )
    assert digest_of([("r", ("x", "y"), tmp_path / "rows.parquet")]) == summed(*rows)


@pytest.mark.parametrize(
    ("relation", "feature"),
    [(relation, feature) for relation in RELATIONS for feature in relation.features],
    ids=lambda each: each.name,
)
def test_any_change_of_a_cell_changes_it(
    relation: Relation, feature: Feature, tmp_path: Path
) -> None:
    """Whatever the column; another row does not make up for it."""
    values = VALUES[feature.sql_type]
    digests = {
        digest(relation, [{feature.name: value}, {}, {}], tmp_path) for value in values[1:]
    } | {digest(relation, [{}] * number, tmp_path) for number in range(4)}
    assert len(digests) == len(values) + 3


def test_order_does_not_change_it(tmp_path: Path) -> None:
    """Neither of rows nor of columns; which cell is in which row does."""
    rows: list[dict[str, Any]] = [
        {"user_id": number, "user_name": str(number)} for number in (1, 2)
    ]
    first = digest(USER_FEATURES, rows, tmp_path)
    assert digest(USER_FEATURES, rows[::-1], tmp_path) == first
    file = tmp_path / "rows.parquet"
    assert digest_of([(USER_FEATURES.name, USER_FEATURES.columns[::-1], file)]) == first
    swapped = [row | {"user_id": 3 - row["user_id"]} for row in rows]
    assert digest(USER_FEATURES, swapped, tmp_path) != first


@pytest.mark.parametrize(
    "types",
    [
        (pa.int32(), pa.large_string(), pa.large_list(pa.int32())),
        (pa.uint8(), pa.string(), pa.list_(pa.field("element", pa.int64(), nullable=False))),
    ],
    ids=["large", "small"],
)
def test_types_of_another_width_do_not_change_it(types: list[pa.DataType], tmp_path: Path) -> None:
    """Each engine writes its own."""
    rows = {"a": [1, None], "b": ["x", None], "c": [[1, 2], None]}
    target = tmp_path / "rows.parquet"
    digests = []
    for kinds in (types, (pa.int64(), pa.string(), pa.list_(pa.int64()))):
        schema = pa.schema(list(zip(rows, kinds, strict=True)))
        pq.write_table(pa.table(rows, schema=schema), target)
        digests.append(digest_of([("r", list(rows), target)]))
    assert len(set(digests)) == 1


def test_a_column_without_a_value_is_null(tmp_path: Path) -> None:
    """Also where its type is not known, for want of a value."""
    digests = set()
    for kind in (*TYPES.values(), pa.null()):
        pq.write_table(pa.table({"a": pa.nulls(2, kind)}), tmp_path / "rows.parquet")
        digests.add(digest_of([("r", ["a"], tmp_path / "rows.parquet")]))
    assert digests == {summed(b"r\na=", b"r\na=")}


@pytest.mark.parametrize("value", [True, b"x", [1.5]])
def test_another_type_has_no_digest(value: Any, tmp_path: Path) -> None:
    """Rather than one that says nothing of the value."""
    pq.write_table(pa.table({"a": [value]}), tmp_path / "rows.parquet")
    with pytest.raises(TypeError, match="there is no digest of"):
        digest_of([("r", ["a"], tmp_path / "rows.parquet")])


FIRST_COLUMNS = {
    "user_features": (
        "user_id",
        "user_name",
        "total_experiments",
        "average_experiment_run_time",
        "average_compounds_per_experiment",
        "most_common_compound_id",
        "most_common_compound_name",
        "most_common_compound_experiments",
        "most_common_compound_ids",
    ),
    "compound_features": ("compound_id", "compound_name", "total_experiments", "total_users"),
}
COLUMNS_AT = {1: FIRST_COLUMNS, 2: FIRST_COLUMNS}
"""By DEFINITION_VERSION; what stands here stays, because digests in ledgers were made of it."""


def test_the_columns_of_each_version_are_known() -> None:
    """A new feature says since when; one that goes or is renamed ends comparisons."""
    versions = range(COMPARABLE_SINCE, DEFINITION_VERSION + 1)
    found = {v: {r.name: r.columns for r in relations_at(v)} for v in versions}
    assert found == {version: COLUMNS_AT[version] for version in versions}


def test_a_relation_that_came_later_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a whole: without columns, its rows would still be counted."""
    later = tuple(replace(feature, since=3) for feature in USER_FEATURES.features)
    monkeypatch.setitem(vars(USER_FEATURES), "features", later)
    assert [relation.name for relation in relations_at(2)] == ["compound_features"]
    assert len(relations_at(3)) == 2
