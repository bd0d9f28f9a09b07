"""Finds and stops the Airflow processes of a local stack.

usage: scripts/local_processes.py list|stop FOLDER

`list` prints the names of the components that are alive; `stop` ends them and all their children.

A process belongs to the stack in FOLDER if its environment says so: start.sh sets
EXPERIMENT_FEATURES_STACK to FOLDER, and every child inherits it. This holds after a crash, for
orphans, and when a process number is in use again, where a file of process numbers would be wrong.
"""

import usage

# isort: split
import contextlib
import os
import sys
import time

import psutil

STACK = "EXPERIMENT_FEATURES_STACK"
COMPONENT = "EXPERIMENT_FEATURES_COMPONENT"
GRACE_SECONDS = 10  # the API server would wait two minutes for open connections


def is_alive(process: psutil.Process) -> bool:
    """Whether the process runs: in containers, a dead one may be listed for ever."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def stack_processes(folder: str) -> list[psutil.Process]:
    """The living processes that belong to the stack of a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(STACK) == folder and is_alive(process):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def components(folder: str) -> dict[str, psutil.Process]:
    """The living components by name: start.sh makes each the leader of a session."""
    found = {}
    for process in stack_processes(folder):
        try:
            if os.getsid(process.pid) == process.pid:
                found[process.environ()[COMPONENT]] = process
        except (psutil.NoSuchProcess, ProcessLookupError, KeyError):
            continue
    return found


def stop(folder: str) -> None:
    """End every process of the stack: components first, so that they tidy up their own children."""
    alive = components(folder)
    for process in alive.values():
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    # Airflow 3.3's triggerer waits ten seconds for its child, even when that has ended at once.
    alive.pop("triggerer", None)
    wait_until_gone(list(alive.values()))
    while remaining := stack_processes(folder):
        for process in remaining:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        wait_until_gone(remaining)


def wait_until_gone(processes: list[psutil.Process]) -> None:
    """Wait until none of the processes is alive, but not for long."""
    deadline = time.monotonic() + GRACE_SECONDS
    while any(is_alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.1)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in ("list", "stop"):
        usage.wrong_usage()
    if sys.argv[1] == "stop":
        stop(sys.argv[2])
    else:
        print(*sorted(components(sys.argv[2])))
