"""The views of runs and drops: the last load, the ledger, one run, figures over time, arrivals."""

from collections import Counter
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response

from experiment_features.contract import Mode
from experiment_features.report import page_queries
from experiment_features.report.drops import Arrival, find_drops
from experiment_features.report.paging import CHART_ROWS, PAGE_ROWS
from features_page.access import DAG_ID
from features_page.arrivals import find_arrivals, find_parameters
from features_page.connection import STEWARD_CONNECTION_ID, Reader, open_reader
from features_page.parameters import (
    ERRORS,
    ErrorRule,
    LineCursor,
    MayTrigger,
    SeesRows,
    Text,
    cursor_of,
    first_row,
)
from features_page.problems import show_sentence
from features_page.rendering import render, show_nothing_yet

RULES_SHOWN = 5
"""Of how many rules the view over time has charts, unless one is chosen."""


def overview(
    request: Request, reader: Reader, may_trigger: MayTrigger, dag: Text = DAG_ID
) -> Response:
    """The figures of the last load, and the latest runs."""
    if dag != DAG_ID:
        return _show_other_dag(request)
    return render(
        request,
        "overview.html",
        active="overview",
        may_trigger=may_trigger,
        load=page_queries.find_last_load(reader),
        bars=page_queries.count_users_by_experiments(reader),
        compounds=page_queries.find_top_compounds(reader),
        runs=page_queries.find_runs(reader, rows=CHART_ROWS).rows,
    )


def runs(
    request: Request,
    reader: Reader,
    may_trigger: MayTrigger,
    after: Text | None = None,
    before: Text | None = None,
) -> Response:
    """A page of the ledger."""
    page = page_queries.find_runs(reader, cursor=cursor_of(after, before))
    return render(request, "runs.html", active="runs", may_trigger=may_trigger, runs=page)


def over_time(
    request: Request,
    reader: Reader,
    may_trigger: MayTrigger,
    rule: ErrorRule = None,
    after: Text | None = None,
    before: Text | None = None,
) -> Response:
    """Charts of the figures of many loads, and of the shares of rows that each rule rejected."""
    page = page_queries.find_loads(reader, cursor=cursor_of(after, before))
    if not page.rows and not page.has_previous and not page.has_next:
        return show_nothing_yet(request, "Over time", "runs", may_trigger)
    rejected = Counter[str]()
    for each in page.rows:
        rejected.update(each["issues_by_rule"] or {})
    rules = [name for name, _ in rejected.most_common() if name in ERRORS]
    return render(
        request,
        "over_time.html",
        active="runs",
        runs=page,
        rules=rules,
        rule=rule,
        shown=[rule] if rule else rules[:RULES_SHOWN],
    )


def run(
    request: Request, reader: Reader, sees_rows: SeesRows, run_id: Text, dag: Text = DAG_ID
) -> Response:
    """One run: what it read, found and did; to stewards also why it failed."""
    if dag != DAG_ID:
        return _show_other_dag(request)
    found = page_queries.find_run(reader, run_id)
    if not found:
        return render(request, "no_run.html", status=404, active="runs", run_id=run_id)
    message = None
    if found["error"] and sees_rows:
        with open_reader(STEWARD_CONNECTION_ID) as steward:
            message = page_queries.find_message(steward, found["run_id"])
    return render(
        request,
        "run.html",
        active="runs",
        run=found,
        message=message,
        is_in_tab="dag" in request.query_params,
        files=page_queries.find_run_files(reader, found["run_id"]),
    )


def drops(
    request: Request,
    reader: Reader,
    may_trigger: MayTrigger,
    arrivals: Annotated[list[Arrival], Depends(find_arrivals)],
    parameters: Annotated[dict[str, dict[str, Any]], Depends(find_parameters)],
    source: Text = "",
    mode: Mode | None = None,
    max_removed_percent: Annotated[float | None, Query(ge=0, le=100)] = None,
    after: LineCursor = None,
    before: LineCursor = None,
) -> Response:
    """What became of each drop; for those who may, a form that starts a run through Airflow's API.

    Its parameters can be given. The address alone starts nothing.
    """
    first = first_row(after, before)
    found = find_drops(reader, arrivals)
    return render(
        request,
        "drops.html",
        active="drops",
        may_trigger=may_trigger,
        parameters=parameters,
        given={"source": source, "mode": mode, "max_removed_percent": max_removed_percent},
        drops=found[first:][:PAGE_ROWS],
        first=first,
        has_next=first + PAGE_ROWS < len(found),
    )


def _show_other_dag(request: Request) -> Response:
    sentence = f"These features come from the DAG {DAG_ID}; this DAG has none."
    return show_sentence(request, 200, sentence)
