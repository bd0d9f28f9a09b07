"""Real servers on loopback that receive what runs send: mails, metrics, lineage."""

import gzip
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller


def free_port() -> int:
    """Return a port that is not in use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mailbox:
    """Keeps the mails that a mail server has accepted."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.mails: list[EmailMessage] = []

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        """Accepts a mail."""
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"

    @property
    def connection(self) -> str:
        """The Airflow connection that sends mails here."""
        extra = {"disable_ssl": True, "disable_tls": True, "from_email": "airflow@example.org"}
        parts = {"conn_type": "smtp", "host": "127.0.0.1", "port": self.port, "extra": extra}
        return json.dumps(parts)


def body(mail: EmailMessage) -> str:
    """Return the text of a mail."""
    return str(next(part for part in mail.walk() if not part.is_multipart()).get_content())


@contextmanager
def receive_mails() -> Iterator[Mailbox]:
    """Run a mail server that keeps what it is sent."""
    mailbox = Mailbox(free_port())
    server = Controller(mailbox, hostname="127.0.0.1", port=mailbox.port)
    server.start()
    try:
        yield mailbox
    finally:
        server.stop()


class Metrics:
    """Keeps the StatsD lines that it is sent."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = int(self.socket.getsockname()[1])

    def listen(self) -> None:
        """Receives lines until an empty datagram arrives."""
        while datagram := self.socket.recv(65_535):
            self.lines += datagram.decode().splitlines()


@contextmanager
def receive_metrics() -> Iterator[Metrics]:
    """Run a StatsD server; an empty datagram stops it."""
    metrics = Metrics()
    thread = threading.Thread(target=metrics.listen, daemon=True)
    thread.start()
    try:
        yield metrics
    finally:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", ("127.0.0.1", metrics.port))
        thread.join(10)
        metrics.socket.close()


class Lineage(ThreadingHTTPServer):
    """Keeps the OpenLineage events that it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _LineageHandler)
        self.events: list[dict[str, Any]] = []


class _LineageHandler(BaseHTTPRequestHandler):
    server: Lineage

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        is_packed = self.headers.get("Content-Encoding") == "gzip"
        self.server.events.append(json.loads(gzip.decompress(sent) if is_packed else sent))
        self.send_response(201)
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        """Logs nothing."""


@contextmanager
def receive_lineage() -> Iterator[Lineage]:
    """Run an OpenLineage server."""
    lineage = Lineage()
    thread = threading.Thread(target=lineage.serve_forever, daemon=True)
    thread.start()
    try:
        yield lineage
    finally:
        lineage.shutdown()
        lineage.server_close()
        thread.join(10)
