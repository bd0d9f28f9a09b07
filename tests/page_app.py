"""The features page without Airflow around it, for a visitor whose rights the caller decides."""

import threading
from asyncio import Semaphore
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Any

import uvicorn
from fastapi import FastAPI

from experiment_features.report.drops import Arrival
from features_page.access import GUARDS, is_steward, may_trigger, next_run_at
from features_page.app import make_app
from features_page.arrivals import find_arrivals, find_parameters
from features_page.connection import VIEWS
from waiting import wait_until


def make_page(
    *,
    may_trigger_runs: bool = True,
    as_steward: bool = False,
    next_run: datetime | None = None,
    arrivals: Sequence[Arrival] = (),
    parameters: Mapping[str, Any] | None = None,
) -> FastAPI:
    """The page, which asks Airflow for nothing; only who may start runs gets the parameters."""
    page = _app_for(may_trigger_runs, as_steward)
    page.state.turns = Semaphore(VIEWS)  # one belongs to the event loop that first waited for it
    page.dependency_overrides = {
        **{guard.dependency: lambda: None for guard in GUARDS},
        may_trigger: lambda: may_trigger_runs,
        is_steward: lambda: as_steward,
        next_run_at: lambda: next_run,
        find_arrivals: lambda: arrivals,
        find_parameters: lambda: (parameters or {}) if may_trigger_runs else {},
    }
    return page


@cache
def _app_for(*_rights: bool) -> FastAPI:
    """An app for each kind of visitor, as making one takes longer than most requests."""
    return make_app()


@contextmanager
def serving(page: FastAPI, prefix: str) -> Iterator[str]:
    """Serves the page on a server of its own; gives its address there."""
    app = FastAPI()
    app.mount(prefix, page)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until("the page is served", lambda: server.started, 30, every=0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}{prefix}"
    finally:
        server.should_exit = True
        thread.join()
