"""The data rules: what makes a row of the drop faulty, and whether the row is then kept.

A rule is a condition on the typed rows of a table (type_cells.type_cells), written once for every
engine: an expression on the row itself, or what it is among other rows (Repeated, Unknown,
Absent). A condition that is NULL does not hold. Messages are shown to people who may not see the
data, so they never repeat a value.
"""

from dataclasses import dataclass
from typing import Literal

import narwhals as nw

from experiment_features.contract import (
    COMPOUNDS,
    DELETIONS,
    TABLES,
    USER_EXPERIMENTS,
    USERS,
    Kind,
    Table,
)
from experiment_features.visible_text import INVISIBLE

Severity = Literal["error", "warning"]
"""An error rejects the row; a warning keeps it."""

RUN_TIME_LIMIT = 10**12
"""Sums of run times stay exact below it: 31,000 years in seconds."""

EMAIL_PATTERN = r"^[^@ \t\r\n]+@[^@ \t\r\n]+[.][^@ \t\r\n]+\z"
"""One @, and a dot after it: enough to tell an address from a slip, and all that can be known
without sending mail (RFC 5321 leaves the rest to the receiving host). It ends in \\z, because in
Java, and so in Spark, a line end may follow $."""

INVISIBLE_PATTERN = f"^[ {INVISIBLE}]+\\z"
"""A name that nobody can see."""


@dataclass(frozen=True)
class Repeated:
    """An earlier row in file order has the same id, valid or not."""


@dataclass(frozen=True)
class Unknown:
    """No valid row of another table has the id, or one of the ids."""

    table: Table


@dataclass(frozen=True)
class Absent:
    """No row of another table that was in force before this drop has the id."""

    table: Table


REFERENCES = (Unknown, Absent)
"""Conditions that look at rows of other tables."""


@dataclass(frozen=True)
class Rule:
    """A named reason to reject or to doubt a row of one table."""

    name: str
    table: Table
    column: str | None
    severity: Severity
    message: str
    condition: nw.Expr | Repeated | Unknown | Absent
    depends_on_today: bool = False
    """Whether the day of the run decides; its condition holds until some day, and not after it."""


def _is_missing(table: Table, name: str) -> nw.Expr:
    column = table.column(name)
    is_empty = nw.col(name).is_null() & nw.col(column.text_name).is_null()
    is_missing = is_empty & nw.col("line").is_null()
    if column.is_name:
        is_missing |= nw.col(name).str.contains(INVISIBLE_PATTERN)
    return is_missing


def _is_untyped(table: Table, name: str) -> nw.Expr:
    return nw.col(name).is_null() & ~nw.col(table.column(name).text_name).is_null()


def _row_rules(table: Table) -> list[Rule]:
    """Rules of the row as a whole. One that could not be split breaks no other rule."""

    def fault(name: str, message: str) -> Rule:
        return Rule(name, table, None, "error", message, nw.col("fault") == name)

    quotes = (
        "text follows the closing quote of a field; a quote in the text must be "
        "doubled: a backslash does not escape it"
    )
    nul = "the row holds a NUL byte, which no text has"
    return [
        fault("too_few_fields", "the row has fewer fields than the header"),
        fault("too_many_fields", "the row has more fields than the header"),
        fault("malformed_quotes", quotes),
        Rule("nul_byte", table, None, "error", nul, nw.col("has_nul")),
    ]


def _key_rules(table: Table) -> list[Rule]:
    """Rules of the column that identifies a row."""
    key = table.key
    whole = "is not a whole number from 1 to 9223372036854775807"
    is_invalid = _is_untyped(table, key) | (nw.col(key) <= 0)
    return [
        _missing(table, key, "error"),
        Rule(f"{key}_invalid", table, key, "error", f"{key} {whole}", is_invalid),
        Rule(f"{key}_repeated", table, key, "error", f"an earlier row has this {key}", Repeated()),
    ]


def _missing(table: Table, column: str, severity: Severity) -> Rule:
    message = f"{column} is missing"
    return Rule(f"{column}_missing", table, column, severity, message, _is_missing(table, column))


def _invalid(table: Table, column: str) -> Rule:
    kind = table.column(column).kind
    is_invalid = _is_untyped(table, column)
    if kind is Kind.NUMBER:
        is_invalid &= nw.col("fault").is_null()  # else it is ambiguous
    message = f"{column} is not {kind.value}"
    return Rule(f"{column}_invalid", table, column, "error", message, is_invalid)


def _ambiguous(table: Table, column: str) -> Rule:
    message = (
        f"{column} has a point before its last three digits, which may separate thousands: "
        "other cells of the file's column have decimal commas or several points"
    )
    name = f"{column}_ambiguous"
    return Rule(name, table, column, "error", message, nw.col("fault") == name)


def _unknown(table: Table, column: str, others: Table) -> Rule:
    is_list = table.column(column).kind is Kind.INTEGERS
    message = f"no valid row of {others} has this {others.key}"
    if is_list:
        message = f"at least one of these {others.key}s is in no valid row of {others}"
    return Rule(f"{column}_unknown", table, column, "error", message, Unknown(others))


_USER_RULES = [
    _missing(USERS, "name", "error"),
    Rule(
        "email_invalid",
        USERS,
        "email",
        "warning",
        "email is not an e-mail address",
        _is_missing(USERS, "email") | ~nw.col("email").str.contains(EMAIL_PATTERN),
    ),
    Rule(
        "signup_date_invalid",
        USERS,
        "signup_date",
        "warning",
        f"signup_date is not {Kind.DATE.value}",
        _is_missing(USERS, "signup_date") | _is_untyped(USERS, "signup_date"),
    ),
    Rule(
        "signup_date_in_future",
        USERS,
        "signup_date",
        "warning",
        "signup_date lies in the future",
        nw.col("signup_date") > nw.col("today"),  # added by validate: the day of the run, UTC
        depends_on_today=True,
    ),
]

_COMPOUND_RULES = [
    _missing(COMPOUNDS, "compound_name", "error"),
    _missing(COMPOUNDS, "compound_structure", "warning"),
]

_EXPERIMENT_RULES = [
    _missing(USER_EXPERIMENTS, "user_id", "error"),
    _invalid(USER_EXPERIMENTS, "user_id"),
    _unknown(USER_EXPERIMENTS, "user_id", USERS),
    Rule(
        "experiment_compound_ids_missing",
        USER_EXPERIMENTS,
        "experiment_compound_ids",
        "error",
        "experiment_compound_ids names no compound",
        _is_missing(USER_EXPERIMENTS, "experiment_compound_ids")
        | (nw.col("experiment_compound_ids").list.len() == 0),
    ),
    _invalid(USER_EXPERIMENTS, "experiment_compound_ids"),
    _unknown(USER_EXPERIMENTS, "experiment_compound_ids", COMPOUNDS),
    _invalid(USER_EXPERIMENTS, "experiment_run_time"),
    _ambiguous(USER_EXPERIMENTS, "experiment_run_time"),
    Rule(
        "experiment_run_time_out_of_range",
        USER_EXPERIMENTS,
        "experiment_run_time",
        "error",
        "experiment_run_time is negative, or so large that it must be a timestamp and not a "
        f"duration: expected at least 0 and less than {RUN_TIME_LIMIT}",
        (nw.col("experiment_run_time") < 0) | (nw.col("experiment_run_time") >= RUN_TIME_LIMIT),
    ),
]


def _deletion_rules(table: Table) -> list[Rule]:
    message = f"no row of {table} had this {table.key}, so there was nothing to delete"
    deletions = DELETIONS[table.name]
    return [Rule(f"{table.key}_unknown", deletions, table.key, "warning", message, Absent(table))]


_OTHER_RULES = {
    USERS: _USER_RULES,
    COMPOUNDS: _COMPOUND_RULES,
    USER_EXPERIMENTS: _EXPERIMENT_RULES,
    **{DELETIONS[table.name]: _deletion_rules(table) for table in TABLES},
}

RULES: tuple[Rule, ...] = tuple(
    rule
    for table, rules in _OTHER_RULES.items()
    for rule in (*_row_rules(table), *_key_rules(table), *rules)
)
"""Every rule, in the order of the contract."""


def rules_of(table: Table) -> tuple[Rule, ...]:
    """The rules of one table."""
    return tuple(rule for rule in RULES if rule.table is table)
