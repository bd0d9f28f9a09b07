"""The page's routes, all behind Airflow's login."""

import asyncio
from collections.abc import Callable

from fastapi import Depends, FastAPI, Request, Response

from experiment_features.definitions import COMPOUND_FEATURES, USER_FEATURES
from features_page.access import GUARDS
from features_page.connection import VIEWS
from features_page.feature_views import (
    compare,
    download,
    lines,
    list_view,
    row_view,
    user_compounds,
)
from features_page.outcome_views import changes, changes_csv, quality, quality_csv
from features_page.problems import HANDLERS, show_sentence
from features_page.rendering import static_file
from features_page.run_views import drops, over_time, overview, run, runs
from features_page.state import find_state, health


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


def static(request: Request, name: str) -> Response:
    """The stylesheet, the scripts and the icons."""
    return static_file(name) or show_sentence(request, 404)


_VIEWS: dict[str, Callable[..., Response]] = {
    "/": overview,
    "/users": list_view(USER_FEATURES),
    "/users/{id_}": row_view(USER_FEATURES),
    "/users/{user_id}/lines": lines,
    "/users/{user_id}/compounds": user_compounds,
    "/compounds": list_view(COMPOUND_FEATURES),
    "/compounds/{id_}": row_view(COMPOUND_FEATURES),
    "/changes": changes,
    "/compare": compare,
    "/over-time": over_time,
    "/quality": quality,
    "/drops": drops,
    "/runs": runs,
    "/runs/{run_id:path}": run,
}
_FILES: dict[str, Callable[..., Response]] = {
    "/users.csv": download(USER_FEATURES),
    "/compounds.csv": download(COMPOUND_FEATURES),
    "/changes.csv": changes_csv,
    "/quality.csv": quality_csv,
    "/health": health,
}
"""What is not shown as a page."""

STATIC = "/static/{name}"
"""The only address that needs no login."""
