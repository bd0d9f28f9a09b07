"""The state of the features, which every view shows, and monitors ask for."""

import logging
from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request, Response
from fastapi.encoders import jsonable_encoder
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from experiment_features.config import Settings
from experiment_features.errors import ConfigurationError
from experiment_features.report.freshness import Freshness, find_freshness
from features_page.access import next_run_at
from features_page.connection import Reader
from features_page.rendering import HEADERS

log = logging.getLogger(__name__)

NextRun = Annotated[datetime | None, Depends(next_run_at)]


def find_state(request: Request, reader: Reader, next_run: NextRun) -> Freshness:
    """The state of the features, which `render` shows above the view.

    Raises:
        HTTPException: 500, if the settings are wrong; the log says which.
    """
    try:
        settings = Settings.from_environment()
    except ConfigurationError as error:
        log.warning("%s", error)
        raise HTTPException(500) from error
    request.state.run_time_unit = settings.run_time_unit
    request.state.freshness = find_freshness(reader, settings.deadline_hours, next_run)
    return request.state.freshness  # type: ignore[no-any-return]


State = Annotated[Freshness, Depends(find_state, scope="function")]


def health(state: State) -> Response:
    """The state as JSON: 200, or 503 if the features are stale or the newest run failed."""
    status = 503 if state.is_stale or state.is_failed else 200
    return JSONResponse(jsonable_encoder(state.as_json()), status, HEADERS)
