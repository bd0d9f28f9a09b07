"""CSV files that are safe to open in a spreadsheet.

A download holds a transaction while the client reads, so downloads are limited in number and time,
and always end their transaction.
"""

import csv
import io
import itertools
import logging
from asyncio import get_running_loop
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from threading import BoundedSemaphore
from typing import Any

from anyio import fail_after
from starlette.responses import StreamingResponse
from starlette.types import Message, Send

from experiment_features.load.database import Connection
from experiment_features.spreadsheet import escape_formulas
from features_page.connection import CONNECTION_ID, Busy, open_reader
from features_page.rendering import HEADERS

log = logging.getLogger(__name__)

DOWNLOADS = 4
"""How many downloads may be in progress, in each process of the API server."""

DOWNLOAD_SECONDS = 900.0
STALL_SECONDS = 30.0
"""How long a download may take, and how long the client may take for a part of it."""

_downloads = BoundedSemaphore(DOWNLOADS)

# ASGI has no such message, so whoever gets it fails, and the server closes the connection. After an
# exception alone, Starlette's BaseHTTPMiddleware, which Airflow uses, would end the response as if
# the file were complete (starlette/middleware/base.py, 1.10).
_BREAK_OFF: Message = {"type": "features_page.break_off", "body": "broken off", "more_body": True}


Read = Callable[[Connection], Generator[list[tuple[Any, ...]], None, None]]
"""Reads rows in batches; the first batch is the column names."""


class Download(StreamingResponse):
    """Rows as CSV. A client can tell that an incomplete file was aborted."""

    def __init__(
        self, name: str, read: Read, *, is_head: bool, connection_id: str = CONNECTION_ID
    ) -> None:
        attachment = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
        super().__init__((), media_type="text/csv", headers=HEADERS | attachment)
        self._name = name
        self._parts = partial(_csv_of, read, connection_id)
        self._is_head = is_head
        self._has_begun = False

    async def stream_response(self, send: Send) -> None:
        """Sends the file, or only its headers.

        Raises:
            Busy: too many downloads are in progress.
            ConfigurationError, DatabaseUnavailable, DatabaseRefused: as open_reader says, before
                anything was sent.
            ConnectionAbortedError: the file is not complete.
        """
        if not _downloads.acquire(blocking=False):
            raise Busy
        thread = ThreadPoolExecutor(1)
        parts = self._parts()
        try:
            return await self._send_parts(parts, thread, send)
        except Exception as error:
            if not self._has_begun:
                raise
            reason = "it takes too long" if isinstance(error, TimeoutError) else error
            log.warning("A download of %s was aborted: %s", self._name, reason)
        finally:
            # In the reading thread, after its current work; if awaited, it could be cancelled.
            thread.submit(parts.close).add_done_callback(lambda _: _downloads.release())
            thread.shutdown(wait=False)
        # This waits while the client does not read, but no longer holds a connection.
        await send(_BREAK_OFF)
        raise ConnectionAbortedError(f"a download of {self._name} was aborted")

    async def _send_parts(
        self, parts: Iterator[str], thread: ThreadPoolExecutor, send: Send
    ) -> None:
        async def send_in_time(message: Message) -> None:
            self._has_begun = True
            with fail_after(STALL_SECONDS):
                await send(message)

        # Read before the response begins, so that a database error can still be shown as one.
        run = partial(get_running_loop().run_in_executor, thread)
        first_parts = await run(list, itertools.islice(parts, 3))

        async def body() -> AsyncIterator[str]:
            for part in first_parts:
                yield part
            while part := await run(next, parts, ""):
                yield part

        if not self._is_head:
            self.body_iterator = body()
        with fail_after(DOWNLOAD_SECONDS):
            await super().stream_response(send_in_time)


def _csv_of(read: Read, connection_id: str) -> Generator[str, None, None]:
    """All rows as CSV, in parts; the byte order mark tells a spreadsheet that it is UTF-8."""
    yield "\ufeff"
    with open_reader(connection_id) as connection, closing(read(connection)) as batches:
        for rows in batches:
            part = io.StringIO()
            csv.writer(part).writerows([escape_formulas(value) for value in row] for row in rows)
            yield part.getvalue()
