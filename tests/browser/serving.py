"""The features page without Airflow, on a server of its own."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from browser.visitor import PAGE
from waiting import wait_until


@contextmanager
def serving(page: FastAPI) -> Iterator[str]:
    """Serves the page where Airflow has it; gives the address of the server."""
    app = FastAPI()
    app.mount(PAGE, page)
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until("the page is served", lambda: server.started, 30, every=0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
