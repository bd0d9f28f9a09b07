"""What an address of the page may contain: the types of its parameters."""

from typing import Annotated, Any, Literal

from fastapi import Depends, Query
from fastapi import Path as InPath
from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter

from experiment_features.definitions import RELATIONS
from experiment_features.report.change_queries import ChangePlace
from experiment_features.report.page_queries import IssuePlace
from experiment_features.report.paging import PAGE_ROWS, Cursor
from experiment_features.rules.rules import RULES
from features_page.access import may_trigger
from features_page.connection import sees_rows

ERRORS = {rule.name for rule in RULES if rule.severity == "error"}
"""The rules that reject a row."""

RELATION_OF = {relation.table: relation for relation in RELATIONS}


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("a text cannot contain NUL")
    return text


def _known_error(rule: str | None) -> str | None:
    if rule and rule not in ERRORS:
        raise ValueError("there is no such rule")
    return rule


Text = Annotated[str, StringConstraints(max_length=1000), AfterValidator(_without_nul)]
Table = Literal["users", "compounds"]
ErrorRule = Annotated[Text | None, AfterValidator(_known_error)]
Id = Annotated[int, InPath(ge=1, lt=2**63)]
IdCursor = Annotated[int | None, Query(ge=1, lt=2**63)]
LineCursor = Annotated[int | None, Query(ge=0, lt=2**63)]
MayTrigger = Annotated[bool, Depends(may_trigger)]
SeesRows = Annotated[bool, Depends(sees_rows)]

_ISSUE = TypeAdapter(tuple[Text, Text, Annotated[int, Field(ge=1, lt=2**63)], Text])
_CHANGE = TypeAdapter(
    tuple[
        Annotated[int, Field(ge=0, lt=2**63)],
        float | None,
        Annotated[int, Field(ge=1, lt=2**63)],
        Text,
    ]
)


def _issue_place(cursor: str | None) -> IssuePlace | None:
    return IssuePlace(*_ISSUE.validate_json(cursor)) if cursor else None


def _change_place(cursor: str | None) -> ChangePlace | None:
    return ChangePlace(*_CHANGE.validate_json(cursor)) if cursor else None


IssueCursor = Annotated[str | None, AfterValidator(_issue_place)]
ChangeCursor = Annotated[str | None, AfterValidator(_change_place)]


def cursor_of(after: Any, before: Any) -> Cursor | None:
    """The cursor of a page, from whichever parameter is given."""
    if before is not None:
        return Cursor(before, backwards=True)
    return None if after is None else Cursor(after)


def first_row(after: int | None, before: int | None) -> int:
    """How many rows come before a page, from whichever parameter is given."""
    return max(before - PAGE_ROWS, 0) if before is not None else after or 0
