"""The page's routes, all behind Airflow's login."""

import asyncio
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi import Path as InPath
from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter

from experiment_features.contract import Mode
from experiment_features.definitions import COMPOUND_FEATURES, RELATIONS, USER_FEATURES, Relation
from experiment_features.errors import ConfigurationError
from experiment_features.load.feature_changes import LISTED
from experiment_features.load.guard import way_to_accept
from experiment_features.load.loads import find_load
from experiment_features.report import change_queries, feature_queries, page_queries
from experiment_features.report.change_queries import ChangePlace, Kind
from experiment_features.report.drops import Arrival, find_drops
from experiment_features.report.feature_queries import Sort
from experiment_features.report.page_queries import IssuePlace
from experiment_features.report.paging import CHART_ROWS, PAGE_ROWS, Cursor, Row
from experiment_features.rules.rules import RULES
from features_page.access import DAG_ID, GUARDS, is_steward, may_trigger
from features_page.arrivals import find_arrivals, find_parameters
from features_page.connection import (
    CONNECTION_ID,
    STEWARD_CONNECTION_ID,
    VIEWS,
    Reader,
    has_steward,
    open_reader,
)
from features_page.download import Download
from features_page.lines import find_compounds, find_lines
from features_page.problems import HANDLERS, show_sentence
from features_page.rendering import render, static_file
from features_page.state import find_state, health


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("a text cannot contain NUL")
    return text


Text = Annotated[str, StringConstraints(max_length=1000), AfterValidator(_without_nul)]

_PLACE = TypeAdapter(tuple[Text, Text, Annotated[int, Field(ge=1, lt=2**63)], Text])


def _issue_place(cursor: str | None) -> IssuePlace | None:
    return IssuePlace(*_PLACE.validate_json(cursor)) if cursor else None


Id = Annotated[int, InPath(ge=1, lt=2**63)]
IdCursor = Annotated[int | None, Query(ge=1, lt=2**63)]
LineCursor = Annotated[int | None, Query(ge=0, lt=2**63)]
_CHANGE = TypeAdapter(
    tuple[
        Annotated[int, Field(ge=0, lt=2**63)],
        float | None,
        Annotated[int, Field(ge=1, lt=2**63)],
        Text,
    ]
)


def _change_place(cursor: str | None) -> ChangePlace | None:
    return ChangePlace(*_CHANGE.validate_json(cursor)) if cursor else None


ChangeCursor = Annotated[str | None, AfterValidator(_change_place)]
Table = Literal["users", "compounds"]

ERRORS = {rule.name for rule in RULES if rule.severity == "error"}
"""The rules that reject a row."""

RULES_SHOWN = 5
"""Of how many rules the view over time has charts, unless one is chosen."""


def _known_error(rule: str | None) -> str | None:
    if rule and rule not in ERRORS:
        raise ValueError("there is no such rule")
    return rule


ErrorRule = Annotated[Text | None, AfterValidator(_known_error)]
IssueCursor = Annotated[str | None, AfterValidator(_issue_place)]
MayTrigger = Annotated[bool, Depends(may_trigger)]
IsSteward = Annotated[bool, Depends(is_steward)]


def make_app() -> FastAPI:
    """The app that Airflow mounts."""
    # FastAPI's documentation pages would be served without a login.
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.turns = asyncio.Semaphore(VIEWS)
    methods = ["GET", "HEAD"]
    for path, view in (_VIEWS | _FILES).items():
        shown = [Depends(find_state, scope="function")] if path in _VIEWS else []
        app.add_api_route(
            path, view, methods=methods, response_class=Response, dependencies=[*GUARDS, *shown]
        )
    # Without a login, the page that says so could not be shown as it should look.
    app.add_api_route(STATIC, static, methods=methods, response_class=Response)
    for error, handler in HANDLERS.items():
        app.add_exception_handler(error, handler)
    return app


def overview(
    request: Request, reader: Reader, may_trigger: MayTrigger, dag: Text = DAG_ID
) -> Response:
    """The figures of the last load, and the latest runs."""
    if dag != DAG_ID:
        return _other_dag(request)
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


def _list_view(relation: Relation) -> Callable[..., Response]:
    """The view of a page of users or compounds."""

    def view(
        request: Request,
        reader: Reader,
        may_trigger: MayTrigger,
        q: Text = "",
        sort: Sort | None = None,
        descending: bool = False,
        after: IdCursor = None,
        before: IdCursor = None,
    ) -> Response:
        # In any order but the index's, a search would have to read everything it finds.
        sort = "name" if q else sort or "id"
        page = feature_queries.find_rows(
            reader,
            relation,
            search=q,
            sort=sort,
            descending=descending,
            cursor=_cursor(after, before),
        )
        return render(
            request,
            f"{relation.table}.html",
            active=relation.table,
            relation=relation,
            may_trigger=may_trigger,
            list=page,
            q=q,
            sort=sort,
            descending=descending,
            is_first=after is None and before is None,
        )

    return view


def _row_view(relation: Relation) -> Callable[..., Response]:
    """The view of one user or compound: features and history, of a user also ties."""

    def view(request: Request, reader: Reader, id_: Id) -> Response:
        found = feature_queries.find_row(reader, relation, id_)
        history = feature_queries.find_history(reader, relation, id_)
        if not found and not history:
            return _unknown(request, relation, id_)
        is_user = relation is USER_FEATURES
        gone_since = None if found else history[0]["valid_to"]
        return render(
            request,
            f"{relation.grain}.html",
            active=relation.table,
            relation=relation,
            id=id_,
            name=(found or history[0])[relation.columns[1]],
            features=found,
            compounds=feature_queries.find_user_compounds(reader, id_) if is_user else [],
            history=history,
            gone_since=gone_since,
            gone_by=gone_since and feature_queries.find_departure(reader, gone_since),
        )

    return view


def lines(
    request: Request,
    reader: Reader,
    user_id: Id,
    run: Text = "",
    compound: IdCursor = None,
    after: LineCursor = None,
    before: LineCursor = None,
) -> Response:
    """The lines behind a user's number, in the last load or the one that is named.

    With ``compound``, only those that contain it.
    """
    if run and not page_queries.find_run(reader, run):
        return render(request, "no_run.html", status=404, active="users", run_id=run)
    if not any(
        find(reader, USER_FEATURES, user_id)
        for find in (feature_queries.find_row, feature_queries.find_history)
    ):
        return _unknown(request, USER_FEATURES, user_id)
    try:
        load = find_load(reader, run or None)
    except ConfigurationError:
        return show_sentence(request, 404, f"Run {run} did not load its drop, so it has no lines.")
    first = max(before - PAGE_ROWS, 0) if before is not None else after or 0
    return render(
        request,
        "lines.html",
        active="users",
        trace=find_lines(reader, load, user_id, compound_id=compound, first=first, most=PAGE_ROWS),
        run=run,
        compound_id=compound,
        compound_name=compound
        and feature_queries.find_compound_names(reader, [compound]).get(compound),
        first=first,
    )


def user_compounds(
    request: Request,
    reader: Reader,
    user_id: Id,
    after: LineCursor = None,
    before: LineCursor = None,
) -> Response:
    """All compounds of a user, and in how many experiments each is."""
    user = feature_queries.find_row(reader, USER_FEATURES, user_id)
    if not user:
        return show_sentence(request, 404, f"The last load has no user {user_id}.")
    counts = find_compounds(reader, find_load(reader), user_id)
    first = max(before - PAGE_ROWS, 0) if before is not None else after or 0
    shown = counts[first:][:PAGE_ROWS]
    return render(
        request,
        "user_compounds.html",
        active="users",
        user=user,
        counts=shown,
        names=feature_queries.find_compound_names(reader, [id_ for id_, _ in shown]),
        first=first,
        total=len(counts),
    )


def compare(
    request: Request,
    reader: Reader,
    may_trigger: MayTrigger,
    of: Table = "users",
    one: Text = "",
    other: Text = "",
) -> Response:
    """Two users or compounds side by side; each is given by its id, or by words of its name."""
    relation = _RELATIONS[of]
    if not page_queries.find_last_load(reader):
        return _nothing_yet(request, f"Compare {of}", of, may_trigger)
    sides = [feature_queries.find_named(reader, relation, text.strip()) for text in (one, other)]
    return render(
        request,
        "compare.html",
        status=404 if any(side.is_unknown for side in sides) else 200,
        active=relation.table,
        relation=relation,
        sides=dict(zip(("one", "other"), sides, strict=True)),
    )


def _download(relation: Relation) -> Callable[..., Response]:
    """All users or compounds as a CSV file."""

    def download(request: Request) -> Response:
        read = partial(feature_queries.read_features, relation=relation)
        return Download(relation.name, read, is_head=request.method == "HEAD")

    return download


def runs(
    request: Request,
    reader: Reader,
    may_trigger: MayTrigger,
    after: Text | None = None,
    before: Text | None = None,
) -> Response:
    """A page of the ledger."""
    page = page_queries.find_runs(reader, cursor=_cursor(after, before))
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
    page = page_queries.find_loads(reader, cursor=_cursor(after, before))
    if not page.rows and not page.has_previous and not page.has_next:
        return _nothing_yet(request, "Over time", "runs", may_trigger)
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
    request: Request, reader: Reader, is_steward: IsSteward, run_id: Text, dag: Text = DAG_ID
) -> Response:
    """One run: what it read, found and did; to stewards also why it failed."""
    if dag != DAG_ID:
        return _other_dag(request)
    found = page_queries.find_run(reader, run_id)
    if not found:
        return render(request, "no_run.html", status=404, active="runs", run_id=run_id)
    message = None
    if found["error"] and is_steward and has_steward():
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
        return _nothing_yet(request, "What changed", "runs", may_trigger)
    relation = _RELATIONS[of]
    page = change_queries.find_changes(
        reader, relation, found, kind=kind, feature=feature, cursor=_cursor(after, before)
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
        way_to_accept=way_to_accept(found["source"], found["parameters"].get("mode", "auto")),
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
    relation = _RELATIONS[of]
    read = partial(
        change_queries.read_changes, relation=relation, run=found, kind=kind, feature=feature
    )
    return Download(f"{relation.grain}_changes", read, is_head=request.method == "HEAD")


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
    first = max(before - PAGE_ROWS, 0) if before is not None else after or 0
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


def quality(
    request: Request,
    reader: Reader,
    may_trigger: MayTrigger,
    is_steward: IsSteward,
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
        return _nothing_yet(request, "Data quality", "quality", may_trigger)
    run_id = found["run_id"]
    cursor = _cursor(after, before)
    filters = {"table_name": table, "rule": rule, "file_name": file}
    return render(
        request,
        "quality.html",
        active="quality",
        run=found,
        rules=page_queries.count_issues(reader, run_id),
        issues=page_queries.find_issues(reader, run_id, cursor=cursor, **filters),
        filters=filters,
        has_rows=is_steward and has_steward(),
    )


def quality_csv(
    request: Request,
    reader: Reader,
    is_steward: IsSteward,
    run: Text = "",
    table: Text | None = None,
    rule: Text | None = None,
    file: Text | None = None,
) -> Response:
    """The same issues as a CSV file, for stewards with the rows."""
    found = _run_or_last(reader, run)
    if not found:
        return render(request, "no_run.html", status=404, active="quality", run_id=run)
    has_rows = is_steward and has_steward()
    read = partial(
        page_queries.read_issues,
        run_id=found["run_id"],
        has_rows=has_rows,
        table_name=table,
        rule=rule,
        file_name=file,
    )
    return Download(
        "data_issues",
        read,
        is_head=request.method == "HEAD",
        connection_id=STEWARD_CONNECTION_ID if has_rows else CONNECTION_ID,
    )


def static(request: Request, name: str) -> Response:
    """The stylesheet, the scripts and the icons."""
    return static_file(name) or show_sentence(request, 404)


_VIEWS: dict[str, Callable[..., Response]] = {
    "/": overview,
    "/users": _list_view(USER_FEATURES),
    "/users/{id_}": _row_view(USER_FEATURES),
    "/users/{user_id}/lines": lines,
    "/users/{user_id}/compounds": user_compounds,
    "/compounds": _list_view(COMPOUND_FEATURES),
    "/compounds/{id_}": _row_view(COMPOUND_FEATURES),
    "/changes": changes,
    "/compare": compare,
    "/over-time": over_time,
    "/quality": quality,
    "/drops": drops,
    "/runs": runs,
    "/runs/{run_id:path}": run,
}
_FILES: dict[str, Callable[..., Response]] = {
    "/users.csv": _download(USER_FEATURES),
    "/compounds.csv": _download(COMPOUND_FEATURES),
    "/changes.csv": changes_csv,
    "/quality.csv": quality_csv,
    "/health": health,
}
"""What is not shown as a page."""

STATIC = "/static/{name}"
"""The only address that needs no login."""


_RELATIONS = {relation.table: relation for relation in RELATIONS}


def _cursor(after: Any, before: Any) -> Cursor | None:
    """The cursor of a page, from whichever parameter is given."""
    if before is not None:
        return Cursor(before, backwards=True)
    return None if after is None else Cursor(after)


def _run_or_last(reader: Reader, run_id: str) -> Row | None:
    """A run, or the last load if none is named; None if there is none."""
    if run_id:
        return page_queries.find_run(reader, run_id)
    return page_queries.find_last_load(reader)


def _unknown(request: Request, relation: Relation, id_: int) -> Response:
    return show_sentence(request, 404, f"There has never been a {relation.grain} {id_}.")


def _nothing_yet(request: Request, title: str, active: str, may_trigger: bool) -> Response:
    return render(request, "nothing_yet.html", active=active, title=title, may_trigger=may_trigger)


def _other_dag(request: Request) -> Response:
    sentence = f"These features come from the DAG {DAG_ID}; this DAG has none."
    return show_sentence(request, 200, sentence)
