"""Measures the page with a million users, a million lines, 10,000 runs and 100,000 issues.

    PYTHONPATH=include:plugins:scripts:tests .venv/bin/python benchmarks/page.py

Fills a PostgreSQL server and a store of parts, and requests each view as a browser would, but
without Airflow's login. The plans are those of the very statements that a view sends. The exit
status is 1 if a view fails, scans a whole table, sends more than 100 KB, has a query that takes
more than 100 ms in more than one of twenty requests, or is first painted after 500 ms. The times of
whole views are medians and only for information. All depend on what else the machine does.
"""

import itertools
import logging
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_home = tempfile.TemporaryDirectory(prefix="experiment_features_airflow_")
STORE = Path(_home.name, "store")
os.environ |= {
    "AIRFLOW_HOME": _home.name,
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "EXPERIMENT_FEATURES_STORE": str(STORE),
}

from fastapi import FastAPI  # noqa: E402
from fastapi.testclient import TestClient  # noqa: E402
from playwright.sync_api import sync_playwright  # noqa: E402
from psycopg import sql  # noqa: E402
from psycopg.types.json import Jsonb  # noqa: E402

from browser.visitor import PAGE  # noqa: E402
from drops import make_drop  # noqa: E402
from experiment_features.definitions import RELATIONS  # noqa: E402
from experiment_features.load.database import Connection  # noqa: E402
from experiment_features.load.part_store import entered, find_database_id  # noqa: E402
from experiment_features.load.words import fill_words  # noqa: E402
from experiment_features.reading.extract import extract  # noqa: E402
from experiment_features.report import (  # noqa: E402
    change_queries,
    drops,
    feature_queries,
    name_search,
    page_queries,
    paging,
    trace,
)
from experiment_features.report.drops import Arrival  # noqa: E402
from experiment_features.store.parts import NoLedger, PartStore  # noqa: E402
from experiment_features.workspace import Workspace  # noqa: E402
from integration.servers import Database, Server  # noqa: E402
from page_app import make_page, serving  # noqa: E402

REPEATS = 20
LIMIT_BYTES = 100_000
LIMIT_SECONDS = 0.1
"""Of a query, at the 95th percentile."""
LIMIT_PAINT_SECONDS = 0.5
FIRST_PAINT = """new Promise((resolve) => new PerformanceObserver(
    (list) => resolve(list.getEntriesByName("first-contentful-paint")[0].startTime)
).observe({ type: "paint", buffered: true }))"""
SMALL = {"users_by_total_experiments"}
"""Tables that may be read whole because they stay small: one row per number of experiments."""

FILL = """
insert into features.compound_features
select n, 'Compound ' || n, 3000000 / n, 1000000 / n, 'run 10000', now()
from generate_series(1, 10000) as n;

insert into features.user_features
select
    n,
    (array['Ann', 'Björn', 'Chloé', 'Daniel', 'Elif', '李'])[1 + n % 6] || ' ' || md5(n::text),
    n % 97, case when n % 97 > 0 then 1.5 end, case when n % 97 > 0 then 2 end,
    case when n % 97 > 0 then 1 + n % 9999 end,
    case when n % 97 > 0 then 'Compound ' || 1 + n % 9999 end,
    case when n % 97 > 0 then 1 end, case when n % 97 > 0 then array[1 + n % 9999, 10000] end,
    'run 10000', now()
from generate_series(1, 1000000) as n;

insert into features.users_by_total_experiments
select total_experiments, count(*) from features.user_features group by 1;

insert into features.user_features_past (
    user_id, user_name, total_experiments, run_id, valid_from, valid_to
)
select
    case when n % 2 = 0 then 1 else n end, 'Ann', 0, 'run ' || 1 + n % 10000,
    '2020-01-01'::timestamptz + n * interval '1 hour',
    '2020-01-01'::timestamptz + (n + 1) * interval '1 hour'
from generate_series(1, 20000) as n;

insert into features.pipeline_runs
select
    'run ' || n, 'scheduled', '/drops/' || n,
    '[{"table": "users", "name": "users.csv", "rows": 1000000, "bytes": 1, "sha256": "0"}]',
    '{}', 'duckdb', 1, (array['loaded', 'unchanged', 'loaded', 'rejected'])[1 + n % 4],
    1000000, 48000000, 10000, 48, 10, 3, 1, 2, 3, 4,
    now() - (10001 - n) * interval '1 hour', now() - (10000 - n) * interval '1 hour'
from generate_series(1, 10000) as n;

update features.pipeline_runs set issues_by_rule = (
    select jsonb_object_agg(of_table || '.' || rule, length(run_id))
    from
        unnest(array['users', 'compounds', 'user_experiments']) as of_table,
        unnest(array[
            'too_few_fields', 'too_many_fields', 'malformed_quotes', 'nul_byte', 'user_id_missing',
            'user_id_invalid', 'name_missing', 'compound_id_missing', 'experiment_id_repeated'
        ]) as rule
);

update features.pipeline_runs
set loaded_at = (select max(updated_at) from features.user_features)
where run_id = 'run 10000';

insert into features.user_features_past
select
    user_id, user_name, total_experiments + user_id % 7, average_experiment_run_time * 1.5,
    average_compounds_per_experiment, most_common_compound_id, most_common_compound_name,
    most_common_compound_experiments, most_common_compound_ids, 'run 9999',
    updated_at - interval '1 hour', updated_at
from features.user_features where user_id % 100 = 0;

insert into features.load_changes
select
    'run 10000', 'users', 100, 10000, 0, array_agg(user_id) filter (where user_id % 10000 = 1),
    array_agg(user_id) filter (where user_id % 10000 = 1 or user_id % 1000 = 0)
from features.user_features;

insert into features.data_issues (
    run_id, found_by, closed_by, severity, table_name, file_name, line_number, rule, column_name,
    value, message, raw_row
)
select
    -- Half of them belong to the last load, which the page shows first.
    'run ' || run, 'run ' || run, case when run < 10000 then 'run ' || 1 + run end,
    case when n % 5 = 0 then 'error' else 'warning' end,
    (array['users', 'user_experiments'])[1 + n % 3 % 2],
    'part ' || n % 20 || '.csv', n, 'rule_' || n % 5, 'email', 'x',
    'a message of the usual length for rule ' || n % 5, '{}'
from
    generate_series(1, 100000) as n,
    lateral (select case when n % 2 = 0 then 10000 else 1 + n % 9999 end as run) as runs;
"""

VIEWS = {
    "overview": "/",
    "users": "/users",
    "users, by name": "/users?sort=name",
    "users, most experiments first": "/users?sort=experiments&descending=true",
    "users, deep in the list": "/users?after=99000000",
    "users, deep, by experiments": "/users?sort=experiments&descending=true&after=500000",
    "users, back from there": "/users?sort=name&before=500000",
    "users, a word begins with a": "/users?q=a",
    "users, second page of that": "/users?q=a&after=500004",
    "users, full name": "/users?q=bj%C3%B6rn%20c4ca",
    "users, words that begin alike": "/users?q=a%20b",
    "users, no name has both": "/users?q=ann%20el",
    "users, second word": "/users?q=c4ca42",
    "users, no match": "/users?q=zzz",
    "users, an id": "/users?q=777777",
    "user with 10,000 periods": "/users/1",
    "lines, from 1,000,000": "/users/1/lines",
    "lines, deep in the list": "/users/1/lines?after=99000",
    "lines, with a compound": "/users/1/lines?compound=7",
    "compounds of a user": "/users/1/compounds",
    "compounds, most experiments first": "/compounds?sort=experiments&descending=true",
    "compounds, by name": "/compounds?sort=name",
    "compounds, a word": "/compounds?q=compound",
    "compound": "/compounds/77",
    "changes of 10,000 users": "/changes",
    "changes, of an average": "/changes?feature=average_experiment_run_time",
    "changes, new users": "/changes?kind=new",
    "changes, deep in the list": "/changes?after=[3,0,500000,%22total_experiments%22]",
    "changes of compounds": "/changes?of=compounds",
    "quality of 50,000 issues": "/quality",
    "quality, by table": "/quality?table=users",
    "quality, by rule": "/quality?table=users&rule=rule_2",
    "quality, by file": "/quality?table=users&file=part+6.csv",
    "quality, deep in the list": '/quality?after=["users","part 6.csv",90006,"rule_1"]',
    "quality of another run": "/quality?run=run+500",
    "drops": "/drops",
    "drops, deep in the list": "/drops?after=900",
    "over time": "/over-time",
    "over time, deep": "/over-time?after=run+5000",
    "two users, one with 10,000 periods": "/compare?one=1&other=2",
    "two users by words of their names": "/compare?one=c4ca42&other=bj%C3%B6rn%20c4ca",
    "two compounds": "/compare?of=compounds&one=77&other=1",
    "runs": "/runs",
    "runs, deep in the list": "/runs?after=run+5000",
    "run": "/runs/run%2010000",
}


def main() -> int:
    """Fills the database and measures the page; returns the exit status."""
    server = Server("18")
    try:
        with server.database("page") as database:
            began = time.perf_counter()
            fill(database)
            print(f"filled in {time.perf_counter() - began:.0f} s", file=sys.stderr)
            return measure(database)
    finally:
        server.close()


def fill(database: Database) -> None:
    """Inserts the rows, gathers the statistics as autovacuum would, and stores parts."""
    with database.connect(autocommit=True) as owner:
        for statement in FILL.split(";\n"):
            owner.execute(statement)
        with owner.transaction():
            for relation in RELATIONS:
                fill_words(owner, relation)
        owner.execute("vacuum analyze")
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            make_drop(folder / "drop", 1_000_000, users=1_000, word="User")
            store = PartStore(STORE, find_database_id(owner), folder)
            read = extract(folder / "drop", Workspace(folder / "run"), store, NoLedger())
        layers = Jsonb(entered(read.layers, "run 10000"))
        owner.execute(
            "update features.pipeline_runs set parts = %s where run_id = 'run 10000'", [layers]
        )


def measure(database: Database) -> int:
    """Prints a line for each view, followed by its scans; returns the exit status."""
    os.environ["AIRFLOW_CONN_FEATURES_DB_READER"] = database.url("analyst").replace("ql", "", 1)
    behind = tuple(f"/drops/{number}" for number in range(1, 10_000))
    arrivals = [Arrival("/drops/9", datetime.now(UTC), "waiting", "run 9000", behind)]
    app = make_page(arrivals=arrivals)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
    client, faults = TestClient(app), 0
    painted = first_paints(app)
    for name, address in VIEWS.items():
        answer, scans = explain(client, address)
        seconds, slowest = repeat(client, address)
        size, median = len(answer.content), statistics.median(seconds)
        print(
            f"{name:32} {median * 1000:6.0f} ms, slowest query {slowest * 1000:4.0f} ms, "
            f"painted after {painted[name] * 1000:4.0f} ms, {size / 1000:6.1f} KB  {address}"
        )
        whole = [scan for scan in scans if scan.startswith("whole ")]
        for scan in dict.fromkeys(scans):
            print(f"    {scan}")
        faults += len(whole) + (size > LIMIT_BYTES) + (answer.status_code != 200)
        faults += slowest > LIMIT_SECONDS
        faults += painted[name] > LIMIT_PAINT_SECONDS
    print(f"{faults} faults")
    return 1 if faults else 0


def first_paints(app: FastAPI) -> dict[str, float]:
    """Returns the seconds until Chromium first paints something of each view."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    painted = {}
    with serving(app, PAGE) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name, address in VIEWS.items():
            page = browser.new_page()
            page.goto(url + address)
            painted[name] = page.evaluate(FIRST_PAINT) / 1000
            page.close()
        browser.close()
    return painted


def repeat(client: TestClient, address: str) -> tuple[list[float], float]:
    """Returns how long each request took, and the slowest query at its 95th percentile."""
    of_views: list[float] = []
    of_queries: dict[int, list[float]] = defaultdict(list)
    fetch = paging.fetch
    for _ in range(REPEATS):
        numbers = itertools.count()

        def timed(connection: Connection, query: sql.Composable, values: dict[str, Any]) -> Any:
            began = time.perf_counter()
            rows = fetch(connection, query, values)
            of_queries[next(numbers)].append(time.perf_counter() - began)  # noqa: B023
            return rows

        began = time.perf_counter()
        with fetching(timed):
            client.get(address)
        of_views.append(time.perf_counter() - began)
    percentiles = (statistics.quantiles(times, n=20)[-1] for times in of_queries.values())
    return of_views, max(percentiles, default=0.0)


def explain(client: TestClient, address: str) -> tuple[Any, list[str]]:
    """Returns the answer, and the scans of all statements that the view sends."""
    scans: list[str] = []
    fetch = paging.fetch

    def explaining(connection: Connection, query: sql.Composable, values: dict[str, Any]) -> Any:
        explained = sql.SQL("explain (format json) ") + query
        ((plan,),) = connection.execute(explained, values).fetchall()
        scans.extend(scans_of(plan[0]["Plan"]))
        return fetch(connection, query, values)

    with fetching(explaining):
        return client.get(address), scans


@contextmanager
def fetching(function: Callable[..., Any]) -> Iterator[None]:
    """Lets all queries of the page go through a function."""
    fetch = paging.fetch
    modules = (name_search, page_queries, paging, trace, feature_queries, change_queries, drops)
    for module in modules:
        module.fetch = function
    try:
        yield
    finally:
        for module in modules:
            module.fetch = fetch


def scans_of(node: dict[str, Any]) -> list[str]:
    """Returns the scans of a plan, each of an index or of a whole table."""
    found = [scan for child in node.get("Plans", []) for scan in scans_of(child)]
    if node["Node Type"] == "Seq Scan" and node["Relation Name"] not in SMALL:
        found.append(f"whole {node['Relation Name']}")
    elif "Index Name" in node:
        condition = node.get("Index Cond", "in its order")
        found.append(f"{node['Node Type'].lower()} {node['Index Name']}: {condition[:110]}")
    return found


if __name__ == "__main__":
    sys.exit(main())
