"""The page on a real server, behind Airflow's middlewares, with clients that read slowly or leave."""

import csv
import http.client
import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from airflow.api_fastapi.app import create_auth_manager, init_access_logging
from airflow.api_fastapi.core_api.app import init_middlewares
from fastapi import FastAPI

from cases import first_or_all
from features_page.connection import VIEWS
from features_page.download import DOWNLOADS
from features_plugin import PREFIX
from integration.running import load_experiments, make_drop, run_drop
from integration.servers import Database
from page_app import make_page
from waiting import wait_until

USERS = 2_000
FILL = """
insert into features.user_features (user_id, user_name, total_experiments, run_id, updated_at)
select n, string_agg(md5(n + m / 100.0 || ''), ''), 0, 'run', now()
from generate_series(1, %s) as n, generate_series(1, 60) as m
group by n
"""
"""A download of these has 4 MB, more than the buffers between database and client hold."""

BUFFER = 16 * 1024
END = b"\r\n0\r\n\r\n"
"""How a complete response ends; a broken one ends otherwise."""


class Server(uvicorn.Server):
    """Airflow's server, with the page and without Airflow's own API, in a thread."""

    def __init__(self) -> None:
        app = FastAPI()
        app.mount(PREFIX, make_page())
        create_auth_manager()
        init_middlewares(app)
        init_access_logging(app)
        super().__init__(
            uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1)
        )
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
        self.thread = threading.Thread(target=self.run, args=([self.socket],))
        self.thread.start()
        wait_until("the server has started", lambda: self.started, 30, every=0.01)

    def stop(self) -> None:
        """Stops the server as SIGTERM does."""
        self.should_exit = True
        self.thread.join(30)
        assert not self.thread.is_alive()

    def send(self, address: str, *, times: int = 1, headers: str = "") -> socket.socket:
        """Sends requests on a connection that takes up little of the responses."""
        client = socket.socket()
        client.settimeout(30)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        client.connect(self.socket.getsockname())
        request = f"GET {PREFIX}{address} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n"
        client.sendall(request.encode() * times)
        return client

    def ask(self, address: str, method: str = "GET") -> http.client.HTTPResponse:
        """Returns the response to a request, with its body as it comes."""
        client = http.client.HTTPConnection(*self.socket.getsockname(), timeout=60)
        client.request(method, PREFIX + address)
        return client.getresponse()


@pytest.fixture
def server(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of the page, on a database with many users."""
    database.query(FILL, USERS)
    url = database.url("analyst").replace("postgresql", "postgres", 1)
    monkeypatch.setenv("AIRFLOW_CONN_FEATURES_DB_READER", url)
    monkeypatch.setattr("experiment_features.report.paging.BATCH_ROWS", 100)
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def sessions(database: Database) -> Callable[[], int]:
    """How many connections to the database the page holds."""
    query = "select count(*) from pg_stat_activity where usename = 'analyst'"
    return lambda: int(database.value(query))


def status_of(client: socket.socket) -> int:
    """The status of the response that begins; all but its first line stays unread."""
    return int(client.recv(12).split()[1])


def rest_of(client: socket.socket) -> bytes:
    """What else comes on a connection until the server closes it or the response is complete."""
    rest = b""
    while not rest.endswith(END) and (part := client.recv(1 << 20)):
        rest += part
    return rest


def test_half_read_downloads(
    server: Server, database: Database, sessions: Callable[[], int], tmp_path: Path
) -> None:
    """Few downloads run at a time; loads and page go on; a client that leaves frees everything."""
    clients = [server.send("/users.csv") for _ in range(130)]
    statuses = [status_of(client) for client in clients]
    assert statuses.count(200) == DOWNLOADS
    assert statuses.count(503) == 130 - DOWNLOADS
    refused = clients[statuses.index(503)].recv(10_000).decode()
    assert "retry-after: 30\r\n" in refused
    assert "Too many people are reading" in refused
    assert sessions() == DOWNLOADS
    assert server.ask("/users").status == 200
    load_experiments(database, tmp_path, {1: 1})
    for client in clients:
        client.close()
    wait_until("no transaction is left", lambda: sessions() == 0, 10, every=0.05)
    assert len(list(csv.reader(io.TextIOWrapper(server.ask("/users.csv"), "utf-8")))) == 2


@pytest.mark.parametrize("headers", ["", "Accept-Encoding: gzip\r\n"], ids=["plain", "gzip"])
@pytest.mark.parametrize("limit", first_or_all("STALL_SECONDS", "DOWNLOAD_SECONDS"))
def test_slow_download(
    limit: str,
    headers: str,
    server: Server,
    sessions: Callable[[], int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A download that takes too long ends its transaction, and never looks complete."""
    monkeypatch.setattr(f"features_page.download.{limit}", 0.5)
    with closing(server.send("/users.csv", headers=headers)) as client:
        assert status_of(client) == 200
        wait_until("the transaction has ended", lambda: sessions() == 0, 10, every=0.05)
        assert not rest_of(client).endswith(END)


def test_database_fails_during_a_download(server: Server, database: Database) -> None:
    """A file that lacks users because the database failed does not look complete."""
    answer = server.ask("/users.csv")
    answer.read(1000)
    database.query(
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'analyst'"
    )
    with pytest.raises(http.client.IncompleteRead):
        answer.read()


def test_stopped_server(server: Server, sessions: Callable[[], int]) -> None:
    """When the server stops, downloads end with their transactions."""
    with closing(server.send("/users.csv")) as client:
        assert status_of(client) == 200
        assert sessions() == 1
        server.stop()
        wait_until("no transaction is left", lambda: sessions() == 0, 10, every=0.05)


def test_unread_views_hold_no_connection(server: Server, sessions: Callable[[], int]) -> None:
    """A view has left the database before the client takes it."""
    with closing(server.send("/users", times=30)) as client:
        assert status_of(client) == 200
        time.sleep(1)  # the server works on until the client's buffers are full
        assert sessions() == 0


def test_few_views_read_at_a_time(
    server: Server, database: Database, sessions: Callable[[], int]
) -> None:
    """Views wait for their turn, and those that wait too long are asked to come back."""
    most = 0

    def watch(answers: list[Any]) -> bool:
        nonlocal most
        most = max(most, sessions())
        return all(answer.done() for answer in answers)

    with ThreadPoolExecutor(30) as pool:
        with database.connect("keeper") as owner:
            owner.execute("lock table features.user_features in access exclusive mode")
            answers = [pool.submit(server.ask, "/users") for _ in range(30)]
            wait_until("views wait", lambda: watch(answers) or most == VIEWS, 10, every=0.05)
            time.sleep(0.5)
            watch(answers)
        wait_until("all have answered", lambda: watch(answers), 30, every=0.05)
    assert most == VIEWS
    assert {answer.result().status for answer in answers} == {200}


def test_views_that_cannot_wait(
    server: Server, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A view whose turn does not come is refused with 503, and says when to come back."""
    monkeypatch.setattr("features_page.connection.TURN_SECONDS", 0.2)
    with ThreadPoolExecutor(30) as pool, database.connect("keeper") as owner:
        owner.execute("lock table features.user_features in access exclusive mode")
        answers = [pool.submit(server.ask, "/users") for _ in range(30)]
        count = lambda: [a.result().status for a in answers if a.done()].count(503)  # noqa: E731
        wait_until("the others were refused", lambda: count() == 30 - VIEWS, 10, every=0.05)
        owner.rollback()
    refused = next(a.result() for a in answers if a.result().status == 503)
    assert refused.headers["Retry-After"] == "30"


def test_head(
    server: Server, database: Database, sessions: Callable[[], int], tmp_path: Path
) -> None:
    """HEAD gets the status and the headers of GET, without a body or a connection to the database."""
    run_drop(database, make_drop({1: "Ann"}, [(1, "1", "1")]).write(tmp_path / "drop"))
    for address, status in {
        **dict.fromkeys(("/", "/users", "/users.csv", "/users/1", "/users/1/lines"), 200),
        **dict.fromkeys(("/drops", "/runs", "/static/page.js"), 200),
        "/users/0": 422,
        "/runs/x": 404,
    }.items():
        answers = [server.ask(address, method) for method in ("GET", "HEAD")]
        of_get, of_head = (
            (answer.status, set(answer.headers.keys()) - {"transfer-encoding", "vary"})
            for answer in answers
        )
        assert of_get == of_head
        assert of_get[0] == status, address
        assert answers[1].read() == b""
        assert answers[0].read()
        wait_until("no connection is left", lambda: sessions() == 0, 10, every=0.05)
