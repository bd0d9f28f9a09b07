"""The local stack's life: started twice, stopped, crashed."""

import os
import re
import signal
import socket
import stat

import pytest

from e2e.local_stack import Stack

pytestmark = [pytest.mark.xdist_group("stack"), pytest.mark.usefixtures("loaded")]


def components(stack: Stack) -> set[int]:
    """The processes that start.sh has made; their children come and go."""
    return {
        p.pid for p in stack.processes() if p.name() != "postgres" and os.getsid(p.pid) == p.pid
    }


def test_start_twice_is_harmless(stack: Stack) -> None:
    """The second start sees that all is well, and touches nothing."""
    before = components(stack)
    assert len(before) == 4
    assert stack.is_up()
    assert components(stack) == before


def test_only_the_owner_may_look(stack: Stack) -> None:
    """Closed to others: secrets, logs, and the socket, where nobody is asked for a password."""
    server = (stack.local / "postgres" / "socket").readlink()
    for folder in (stack.local / "airflow", stack.local / "logs", server):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder


def test_stop_and_start_keep_the_data(stack: Stack) -> None:
    """A stop leaves nothing running, a taken port neither, and the next start finds the data."""
    before = stack.features()
    stack.stop()
    stack.stop()
    with socket.create_server(("127.0.0.1", stack.port)):
        refused = stack.run("start.sh")
    assert refused.returncode == 1
    assert refused.stderr.startswith(f"start.sh: port {stack.port} is taken")
    assert len(refused.stderr.splitlines()) == 1
    assert stack.processes() == []

    stack.start()
    assert stack.features() == before
    assert stack.trigger()["status"] == "unchanged"


def test_start_after_a_crash(stack: Stack) -> None:
    """A start clears up after a kill of everything, though the server's number is in use again."""
    before = stack.features()
    for process in stack.processes():
        process.send_signal(signal.SIGKILL)
    pid_file = stack.local / "postgres" / "data" / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    pid_file.write_text("\n".join([str(os.getpid()), *lines[1:], ""]))

    stack.start()
    assert stack.features() == before


def test_no_task_waits_for_its_api(stack: Stack) -> None:
    """Airflow makes the API of the tasks when it is first asked: by the start, not by a task."""
    log = (stack.local / "logs" / "api-server.log").read_text()
    first, *_ = re.findall(r"path=(/execution/\S+).* status_code=(\d+)", log)
    assert first == ("/execution/health", "200")
