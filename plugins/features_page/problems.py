"""What the page says when it cannot show what was asked for: one sentence, and no data."""

import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import RedirectResponse
from starlette.exceptions import HTTPException

from experiment_features.errors import (
    ConfigurationError,
    DatabaseRefused,
    PipelineError,
    StorageUnavailable,
    WorkspaceUnavailable,
)
from features_page.connection import CONNECTION_ID, STEWARD_CONNECTION_ID
from features_page.rendering import HEADERS, address_of_airflow, address_of_page, render

log = logging.getLogger(__name__)

SENTENCES = {
    401: "Log in to Airflow to see this page.",
    403: "You do not have permission to see this page: you need access to plugins and to the DAG.",
    404: "There is no such page.",
    405: "This page is read-only.",
    410: (
        "The lines are no longer in the store of parts, or are damaged there: only what the last "
        "load or recent runs need is kept."
    ),
    422: "This address is not valid. Start again from one of the tabs.",
    500: "Something went wrong. See the log of Airflow's API server.",
    503: "Too many people are reading at the moment. Try again in a minute.",
}


def show_sentence(
    request: Request,
    status: int,
    sentence: str | None = None,
    headers: Mapping[str, str] | None = None,
    log_in: str | None = None,
) -> Response:
    """A page of one sentence, by default the one for the status; ``log_in`` is a link below it."""
    sentence = sentence or SENTENCES.get(status, SENTENCES[500])
    response = render(request, "sentence.html", status=status, sentence=sentence, log_in=log_in)
    response.headers.update(headers or {})
    return response


def _show_status(request: Request, error: Any) -> Response:
    if error.status_code == 401:
        return _ask_for_login(request)
    return show_sentence(request, error.status_code, headers=error.headers)


def _ask_for_login(request: Request) -> Response:
    """Sends a person who opens an address to Airflow's login, and from there back to it.

    A program gets the status, and a frame of Airflow's a link: the form needs the whole window.
    """
    page = address_of_page(request)
    here = (
        f"{page}{quote(request.scope['path'].removeprefix(page))}?{request.url.query}".removesuffix(
            "?"
        )
    )
    log_in = f"{address_of_airflow(request)}/api/v2/auth/login?{urlencode({'next': here})}"
    is_opened = request.headers.get("Sec-Fetch-Dest", "document") == "document"
    if request.method == "GET" and is_opened and "text/html" in request.headers.get("Accept", ""):
        return RedirectResponse(log_in, 303, headers=HEADERS)
    return show_sentence(request, 401, log_in=log_in)


def _show_invalid_address(request: Request, _: Exception) -> Response:
    return show_sentence(request, 422)


def _show_server_error(request: Request, _: Exception) -> Response:
    return show_sentence(request, 500)


def _show_pipeline_error(request: Request, error: Exception) -> Response:
    """Answers 503 with what to do; names of hosts and users appear only in the log."""
    log.error("%s", error)
    if isinstance(error, ConfigurationError):
        sentence = (
            f"The Airflow connection {CONNECTION_ID}, or for stewards {STEWARD_CONNECTION_ID}, is "
            "missing or cannot be used: look under Admin, Connections."
        )
    elif isinstance(error, DatabaseRefused):
        sentence = (
            f"The connection {CONNECTION_ID}, or for stewards {STEWARD_CONNECTION_ID}, cannot read "
            "the features database: the schema is missing or outdated, or its user lacks the role "
            "features_reader or features_steward. See the log of Airflow's API server."
        )
    elif isinstance(error, StorageUnavailable | WorkspaceUnavailable):
        sentence = (
            "The store of parts, which has the lines, cannot be read at the moment. See the log of "
            "Airflow's API server."
        )
    else:
        sentence = "The features database is not responding. Try again in a moment."
    return show_sentence(request, 503, sentence)


HANDLERS = {
    HTTPException: _show_status,
    RequestValidationError: _show_invalid_address,
    PipelineError: _show_pipeline_error,
    Exception: _show_server_error,
}
"""How the app answers each kind of error."""
