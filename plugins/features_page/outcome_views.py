"""The views of what a run found and did: its issues and its changes, also as CSV files."""

from functools import partial

from fastapi import Request, Response

from experiment_features.definitions import RELATIONS
from experiment_features.load.feature_changes import LISTED
from experiment_features.load.guard import way_to_accept
from experiment_features.report import change_queries, page_queries
from experiment_features.report.change_queries import Kind
from experiment_features.report.paging import Row
from features_page.connection import CONNECTION_ID, STEWARD_CONNECTION_ID, Reader
from features_page.download import Download
from features_page.parameters import (
    RELATION_OF,
    ChangeCursor,
    IssueCursor,
    MayTrigger,
    SeesRows,
    Table,
    Text,
    cursor_of,
)
from features_page.rendering import render, show_nothing_yet


def changes(
    request: Request,
    reader: Reader,
    may_trigger: MayTrigger,
    run: Text = "",
    of: Table = "users",
    kind: Kind | None = None,
    feature: Text | None = None,
    after: ChangeCursor = None,
    before: ChangeCursor = None,
) -> Response:
    """What a run changed, or the last load if no run is named."""
    found = _run_or_last(reader, run)
    if run and not found:
        return render(request, "no_run.html", status=404, active="runs", run_id=run)
    if not found:
        return show_nothing_yet(request, "What changed", "runs", may_trigger)
    relation = RELATION_OF[of]
    page = change_queries.find_changes(
        reader, relation, found, kind=kind, feature=feature, cursor=cursor_of(after, before)
    )
    return render(
        request,
        "changes.html",
        active="runs",
        run=found,
        relation=relation,
        counts={each: change_queries.count_changes(reader, each, found) for each in RELATIONS},
        changes=page,
        run_before=change_queries.find_load_before(reader, found),
        filters={"kind": kind, "feature": feature},
        features={each.name: each for each in relation.features[1:]},
        listed=LISTED,
        may_trigger=may_trigger,
        way_to_accept=way_to_accept(found["source"], found["parameters"]),
    )


def changes_csv(
    request: Request,
    reader: Reader,
    run: Text = "",
    of: Table = "users",
    kind: Kind | None = None,
    feature: Text | None = None,
) -> Response:
    """The same as a CSV file."""
    found = _run_or_last(reader, run)
    if not found:
        return render(request, "no_run.html", status=404, active="runs", run_id=run)
    relation = RELATION_OF[of]
    read = partial(
        change_queries.read_changes, relation=relation, run=found, kind=kind, feature=feature
    )
    return Download(f"{relation.grain}_changes", read, is_head=request.method == "HEAD")


def quality(
    request: Request,
    reader: Reader,
    may_trigger: MayTrigger,
    sees_rows: SeesRows,
    run: Text = "",
    table: Text | None = None,
    rule: Text | None = None,
    file: Text | None = None,
    after: IssueCursor = None,
    before: IssueCursor = None,
) -> Response:
    """The issues of a run's drop, or of the last load's if no run is named."""
    found = _run_or_last(reader, run)
    if run and not found:
        return render(request, "no_run.html", status=404, active="quality", run_id=run)
    if not found:
        return show_nothing_yet(request, "Data quality", "quality", may_trigger)
    run_id = found["run_id"]
    cursor = cursor_of(after, before)
    filters = {"table_name": table, "rule": rule, "file_name": file}
    return render(
        request,
        "quality.html",
        active="quality",
        run=found,
        rules=page_queries.count_issues(reader, run_id),
        issues=page_queries.find_issues(reader, run_id, cursor=cursor, **filters),
        filters=filters,
        has_rows=sees_rows,
    )


def quality_csv(
    request: Request,
    reader: Reader,
    sees_rows: SeesRows,
    run: Text = "",
    table: Text | None = None,
    rule: Text | None = None,
    file: Text | None = None,
) -> Response:
    """The same issues as a CSV file, for stewards with the rows."""
    found = _run_or_last(reader, run)
    if not found:
        return render(request, "no_run.html", status=404, active="quality", run_id=run)
    read = partial(
        page_queries.read_issues,
        run_id=found["run_id"],
        has_rows=sees_rows,
        table_name=table,
        rule=rule,
        file_name=file,
    )
    return Download(
        "data_issues",
        read,
        is_head=request.method == "HEAD",
        connection_id=STEWARD_CONNECTION_ID if sees_rows else CONNECTION_ID,
    )


def _run_or_last(reader: Reader, run_id: str) -> Row | None:
    """A run, or the last load if none is named; None if there is none."""
    if run_id:
        return page_queries.find_run(reader, run_id)
    return page_queries.find_last_load(reader)
