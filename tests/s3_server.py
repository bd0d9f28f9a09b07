"""An S3 server on loopback that requires credentials, and a proxy that can cut connections."""

import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from receivers import free_port
from waiting import wait_until

BUCKET = "laboratory"
POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}],
}


@dataclass
class S3Server:
    """A server with the bucket ``laboratory`` and one user with full access."""

    port: int
    key_id: str = ""
    secret: str = ""

    @property
    def url(self) -> str:
        """The server's endpoint."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which Amazon's libraries and Sail find it and the credentials."""
        return {
            "AWS_ACCESS_KEY_ID": self.key_id,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
        }

    def connection(self, *, login: str = "", password: str = "", **extra: Any) -> str:
        """An Airflow connection to the server; arguments replace its parts."""
        parts = {"login": login or self.key_id, "password": password or self.secret}
        extra = {"endpoint_url": self.url, "region_name": "us-east-1"} | extra
        return json.dumps({"conn_type": "aws", "extra": extra} | parts)

    def client(self, service: str = "s3") -> Any:
        """A client for one of the server's services."""
        return boto3.client(
            service,
            aws_access_key_id=self.key_id or "anyone",
            aws_secret_access_key=self.secret or "anything",
            region_name="us-east-1",
            endpoint_url=self.url,
        )

    def put(self, folder: Path, prefix: str) -> None:
        """Uploads the files of a folder below a prefix."""
        for file in folder.iterdir():
            self.client().upload_file(str(file), BUCKET, f"{prefix}/{file.name}")

    def keys(self, prefix: str) -> set[str]:
        """The keys below a prefix, without the prefix."""
        found = self.client().list_objects_v2(Bucket=BUCKET, Prefix=f"{prefix}/")
        return {entry["Key"].removeprefix(f"{prefix}/") for entry in found.get("Contents", [])}

    def prepare(self) -> None:
        """Creates the user and the bucket, then turns authentication on."""
        iam = self.client("iam")
        iam.create_user(UserName="airflow")
        iam.put_user_policy(UserName="airflow", PolicyName="all", PolicyDocument=json.dumps(POLICY))
        key = iam.create_access_key(UserName="airflow")["AccessKey"]
        self.client().create_bucket(Bucket=BUCKET)
        control = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        control.request("POST", "/moto-api/reset-auth", "0", {"Content-Type": "text/plain"})
        assert control.getresponse().status == 200
        self.key_id, self.secret = key["AccessKeyId"], key["SecretAccessKey"]


@contextmanager
def serve_s3() -> Iterator[S3Server]:
    """Runs a server whose contents are lost when it stops."""
    server = S3Server(free_port())
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(server.port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until("S3 answers", lambda: _answers(server.port), seconds=60)
        server.prepare()
        yield server
    finally:
        process.terminate()
        process.wait(10)


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@dataclass
class Proxy:
    """A TCP proxy that passes everything on, but can cut connections after so many bytes."""

    port: int
    answers: list[int] = field(default_factory=list)
    """How many bytes the server has sent back on each connection."""
    cut_after: int | None = None
    """Cut a connection once the server has sent back more bytes than this."""
    cuts: int = 0
    """How many more connections to cut."""
    delay: float = 0
    """How many seconds the server takes for each answer, or each 64 KiB of it."""

    @property
    def url(self) -> str:
        """The proxy's endpoint."""
        return f"http://127.0.0.1:{self.port}"

    def carry(self, client: socket.socket, target: int) -> None:
        """Serves one connection until either side closes it or it is cut."""
        number = len(self.answers)
        self.answers.append(0)
        with client, socket.create_connection(("127.0.0.1", target)) as server:
            threading.Thread(target=_pour, args=(client, server), daemon=True).start()
            with suppress(OSError):
                while data := server.recv(2**16):
                    self.answers[number] += len(data)
                    is_over = self.cut_after is not None and self.answers[number] > self.cut_after
                    if is_over and self.cuts > 0:
                        self.cuts -= 1
                        break
                    time.sleep(self.delay)
                    client.sendall(data)
            for end in (client, server):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)


def _pour(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(2**16):
            target.sendall(data)


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """Runs a proxy to a port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as entrance:
        proxy = Proxy(entrance.getsockname()[1])

        def admit() -> None:
            with suppress(OSError):
                while True:
                    client, _ = entrance.accept()
                    threading.Thread(target=proxy.carry, args=(client, port), daemon=True).start()

        threading.Thread(target=admit, daemon=True).start()
        yield proxy
        entrance.shutdown(socket.SHUT_RDWR)
