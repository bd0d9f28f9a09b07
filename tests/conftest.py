"""Fixtures that tests of all kinds share."""

import json
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

import oracle
from drops import COLUMNS, Drop, Part, Row
from e2e.local_stack import ROOT, SAMPLE, Stack, make_stack
from evidence import pytest_runtest_makereport as pytest_runtest_makereport
from receivers import Mailbox, Metrics, receive_mails, receive_metrics
from s3_server import S3Server, serve_s3

# Must precede any import of Airflow, which creates its home and reads its settings on import.
_home = tempfile.TemporaryDirectory(prefix="experiment_features_airflow_")
os.environ |= {
    "AIRFLOW_HOME": _home.name,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "EXPERIMENT_FEATURES_STORE": f"{_home.name}/store",
    # PostgreSQL's programs are forked as another user; gRPC's threads, which Spark Connect leaves,
    # would begin again in the fork and may abort it.
    "GRPC_ENABLE_FORK_SUPPORT": "false",
}

# A job in the background ignores it, and so would all scripts that the tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


def _group_of(item: pytest.Item | None) -> pytest.Mark | None:
    return item.get_closest_marker("xdist_group") if item else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Ends what the tests of a group share after the last of them: a stack that idles is not idle."""
    group = _group_of(item)
    if group and _group_of(nextitem) != group:
        item.session._setupstate.teardown_exact(None)


@pytest.fixture(scope="session")
def sample_drop() -> Drop:
    """The rows of the sample drop, to be written in any dialect."""
    return Drop(
        tuple(
            Part(
                table,
                "",
                tuple(
                    Row(tuple(row.cells[column] for column in columns))
                    for row in oracle.read_table(SAMPLE, table)
                ),
            )
            for table, columns in COLUMNS.items()
        )
    )


@pytest.fixture(scope="session")
def mailbox() -> Iterator[Mailbox]:
    """Where the stack's alerts arrive."""
    with receive_mails() as mailbox:
        yield mailbox


@pytest.fixture(scope="session")
def metrics() -> Iterator[Metrics]:
    """Where the stack's metrics arrive."""
    with receive_metrics() as metrics:
        yield metrics


@pytest.fixture(scope="session")
def s3() -> Iterator[S3Server]:
    """An S3 server with an empty bucket; Airflow and fsspec must not keep what they opened there.

    It ends with a group of tests (pytest_runtest_teardown), and others get another one.
    """
    with serve_s3() as server:
        yield server
    if store := sys.modules.get("airflow.sdk.io.store"):
        store._STORE_CACHE.clear()
    if s3fs := sys.modules.get("s3fs"):
        s3fs.S3FileSystem.clear_instance_cache()


def bundles() -> str:
    """The bundles of the project's DAG and of the example DAG that follows it."""
    kind = {"classpath": "airflow.dag_processing.bundles.local.LocalDagBundle"}
    folders = {"dags-folder": {}, "examples": {"path": str(ROOT / "docs" / "examples")}}
    return json.dumps([{"name": name, "kwargs": folders[name]} | kind for name in folders])


@pytest.fixture(scope="session")
def new_stack() -> Iterator[Stack]:
    """A stack, stopped at the end. If it does not start, it stays until evidence.py has seen it."""
    stack = make_stack()
    yield stack
    stack.remove()


@pytest.fixture(scope="session")
def stack(new_stack: Stack, mailbox: Mailbox, metrics: Metrics) -> Stack:
    """The running stack that the end-to-end tests of a process share, because it is slow to start.

    They are in two groups, which two processes run at the same time and which take about as long:
    `runs` triggers runs on a stack that stays up; `operation` also stops, kills and restarts its
    stack, kills its tasks, and visits its page.
    """
    stack = new_stack
    stack.configure_airflow(
        {
            "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST": bundles(),
            "AIRFLOW_CONN_SMTP_DEFAULT": mailbox.connection,
            "EXPERIMENT_FEATURES_SPARK_MASTER": "sail",
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(metrics.port),
        }
    )
    stack.start()
    return stack


@pytest.fixture(scope="session")
def loaded(stack: Stack) -> dict[str, Any]:
    """The result of the first run, on the sample drop."""
    return stack.trigger()
