"""Starts and stops the local stack's PostgreSQL server.

usage: scripts/local_postgres.py start|stop FOLDER

`start` leaves a server running with the stack's login roles and databases, whatever state the last
one was left in, and prints nothing when all is well.

    FOLDER/data     the databases and the server's log; a link to a folder under /var/lib when root
                    keeps FOLDER where the server's user cannot reach it
    FOLDER/socket   a link to the socket's folder, which has a short random name under /tmp: the
                    path of a socket can have no more than some 100 characters
"""

import usage

# isort: split
import shutil
import sys
import time
from pathlib import Path

import psutil
import psycopg
from embedded_postgres import (
    Cluster,
    PostgresFailed,
    give_to_server,
    private_folder,
    reachable,
    root_folder,
)
from psycopg import sql

INITIALISED = "initialised"  # our mark: initdb came to its end
ORPHAN_SECONDS = 5  # the children of a killed server notice and end by themselves

# Databases sort and speak the same on every machine.
LOCALE = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8")

ROLES = ("airflow", "features_writer", "features_reader", "features_steward")
DATABASES = {"airflow": "airflow", "experiment_features": "postgres"}  # with their owners


def start(folder: Path) -> None:
    """Leave a server running, with its roles and databases."""
    folder.mkdir(parents=True, exist_ok=True)
    give_to_server(folder)
    data = data_folder(folder)
    if not is_running(data):
        clear_leftovers(data)
        if not (data / INITIALISED).exists():
            initialise(data)
        Cluster(data).start(socket_folder(folder))
    create_roles_and_databases(folder)


def stop(folder: Path) -> None:
    """End the server and what a crashed one left behind."""
    if (folder / "data").exists():
        data = data_folder(folder)
        if is_running(data):
            Cluster(data).stop()
        clear_leftovers(data)
    forget_socket(folder)


def database_url(folder: Path, role: str, database: str) -> str:
    """The URL of a database on the running server."""
    return f"postgresql://{role}@/{database}?host={(folder / 'socket').readlink()}"


def data_folder(folder: Path) -> Path:
    """The folder of the databases, made where the server can reach it."""
    data = folder / "data"
    if data.exists():
        return data.resolve()
    data.unlink(missing_ok=True)  # a link whose target is gone
    if reachable(folder):
        data.mkdir()
        give_to_server(data)
    else:
        data.symlink_to(private_folder("data-", root_folder()))
    return data.resolve()


def socket_folder(folder: Path) -> Path:
    """A new folder for the socket, with its link."""
    forget_socket(folder)
    socket = private_folder("experiment_features-")
    (folder / "socket").symlink_to(socket)
    return socket


def forget_socket(folder: Path) -> None:
    """Remove the socket's folder and its link."""
    link = folder / "socket"
    if link.is_symlink():
        shutil.rmtree(link.readlink(), ignore_errors=True)
        link.unlink()


def initialise(data: Path) -> None:
    """Make an empty cluster, over what an interrupted attempt left."""
    for leftover in data.iterdir():
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    Cluster(data).initialise(*LOCALE)
    (data / INITIALISED).touch()


def servers(data: Path) -> list[psutil.Process]:
    """The server's processes: all of them, and they alone, work in the data folder."""
    found = []
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] == "postgres" and Path(process.cwd()) == data:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def is_running(data: Path) -> bool:
    """Whether the process on record is this server, and not another one that got its number."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (FileNotFoundError, ValueError):
        return False
    return any(process.pid == pid for process in servers(data))


def clear_leftovers(data: Path) -> None:
    """Remove what a killed server left: its children and its lock file.

    PostgreSQL would not start if another process had the number in the lock file by now.
    """
    deadline = time.monotonic() + ORPHAN_SECONDS
    while orphans := servers(data):
        if time.monotonic() > deadline:
            for process in orphans:
                process.kill()
        time.sleep(0.1)
    (data / "postmaster.pid").unlink(missing_ok=True)


def create_roles_and_databases(folder: Path) -> None:
    """Create the roles and databases that are missing."""
    url = database_url(folder, "postgres", "postgres")
    with psycopg.connect(url, autocommit=True) as connection:
        for role in ROLES:
            if not connection.execute("select from pg_roles where rolname = %s", [role]).rowcount:
                connection.execute(sql.SQL("create role {}").format(sql.Identifier(role)))
            # The migration of an earlier version may have created it without.
            connection.execute(sql.SQL("alter role {} login").format(sql.Identifier(role)))
        for database, owner in DATABASES.items():
            known = connection.execute("select from pg_database where datname = %s", [database])
            if not known.rowcount:
                create = sql.SQL("create database {} owner {}")
                names = map(sql.Identifier, (database, owner))
                connection.execute(create.format(*names))


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("start", "stop"):
        usage.wrong_usage()
    try:
        {"start": start, "stop": stop}[sys.argv[1]](Path(sys.argv[2]))
    except PostgresFailed as error:
        sys.exit(str(error))
