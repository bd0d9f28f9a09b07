"""The views of users and compounds: lists, one of them, two of them, the lines behind a number."""

from collections.abc import Callable
from functools import partial

from fastapi import Request, Response

from experiment_features.definitions import USER_FEATURES, Relation
from experiment_features.errors import ConfigurationError
from experiment_features.load.loads import find_load
from experiment_features.report import feature_queries, page_queries
from experiment_features.report.feature_queries import Sort
from experiment_features.report.paging import PAGE_ROWS
from features_page.connection import Reader
from features_page.download import Download
from features_page.lines import find_compounds, find_lines
from features_page.parameters import (
    RELATION_OF,
    Id,
    IdCursor,
    LineCursor,
    MayTrigger,
    Table,
    Text,
    cursor_of,
    first_row,
)
from features_page.problems import show_sentence
from features_page.rendering import render, show_nothing_yet


def list_view(relation: Relation) -> Callable[..., Response]:
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
            cursor=cursor_of(after, before),
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


def row_view(relation: Relation) -> Callable[..., Response]:
    """The view of one user or compound: features and history, of a user also ties."""

    def view(request: Request, reader: Reader, id_: Id) -> Response:
        found = feature_queries.find_row(reader, relation, id_)
        history = feature_queries.find_history(reader, relation, id_)
        if not found and not history:
            return _show_unknown(request, relation, id_)
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
        return _show_unknown(request, USER_FEATURES, user_id)
    try:
        load = find_load(reader, run or None)
    except ConfigurationError:
        return show_sentence(request, 404, f"Run {run} did not load its drop, so it has no lines.")
    first = first_row(after, before)
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
    first = first_row(after, before)
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
    relation = RELATION_OF[of]
    if not page_queries.find_last_load(reader):
        return show_nothing_yet(request, f"Compare {of}", of, may_trigger)
    sides = [feature_queries.find_named(reader, relation, text.strip()) for text in (one, other)]
    return render(
        request,
        "compare.html",
        status=404 if any(side.is_unknown for side in sides) else 200,
        active=relation.table,
        relation=relation,
        sides=dict(zip(("one", "other"), sides, strict=True)),
    )


def download(relation: Relation) -> Callable[..., Response]:
    """All users or compounds as a CSV file."""

    def download(request: Request) -> Response:
        read = partial(feature_queries.read_features, relation=relation)
        return Download(relation.name, read, is_head=request.method == "HEAD")

    return download


def _show_unknown(request: Request, relation: Relation, id_: int) -> Response:
    return show_sentence(request, 404, f"There has never been a {relation.grain} {id_}.")
