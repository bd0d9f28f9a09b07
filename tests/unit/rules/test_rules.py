"""The rules: complete, and named once."""

from drops import BAD_CELLS, BAD_SHAPES
from experiment_features.contract import ALL_TABLES, TABLES
from experiment_features.rules.rules import RULES, rules_of


def test_every_rule_has_a_bad_row() -> None:
    """A rule that no faulty row proves might as well not be there; of deletions: test_deltas.py."""
    proved = {(table, rule) for table, rules in BAD_CELLS.items() for rule in rules}
    proved |= {(table.name, rule) for table in TABLES for rule in BAD_SHAPES}
    assert {(rule.table.name, rule.name) for rule in RULES if rule.table in TABLES} == proved


def test_rules_are_named_once_and_after_their_column() -> None:
    """The name of a rule says what is wrong with which column."""
    for table in ALL_TABLES:
        names = [rule.name for rule in rules_of(table)]
        assert len(names) == len(set(names))
        for rule in rules_of(table):
            if rule.column is not None and rule.name != "nul_byte":
                assert rule.column in table.column_names
                assert rule.name.startswith(f"{rule.column}_")
