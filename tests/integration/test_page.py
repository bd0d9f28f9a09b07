"""The page on a real database; tests/browser tests it inside Airflow, behind the login."""

import csv
import io
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import jwt
import pytest
from airflow.api_fastapi.app import create_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.api_fastapi.auth.tokens import get_signing_args
from fastapi.testclient import TestClient

from drops import Drop, Part, Row
from experiment_features.definitions import RELATIONS, RUN_FIGURES
from experiment_features.errors import DropRefused, DropRejected, LoadHeld
from experiment_features.load.database import connect
from experiment_features.rules.rules import RULES
from experiment_features.spreadsheet import escape_formulas
from features_airflow.object_storage import open_place
from features_page.access import GUARDS, is_steward
from features_page.app import STATIC, make_app
from features_page.problems import SENTENCES
from integration.histories import restore
from integration.running import make_drop, new_run_id, run_drop
from integration.servers import Database
from page_app import make_page
from s3_server import BUCKET, S3Server

SAMPLE = Path(__file__).parents[2] / "include" / "data" / "sample"
CONNECTION = "AIRFLOW_CONN_FEATURES_DB_READER"
VIEWS = [
    "/",
    "/users",
    "/compounds",
    "/changes",
    "/compare",
    "/drops",
    "/over-time",
    "/quality",
    "/runs",
]
NEXT_RUN = datetime(2026, 11, 30, 2, tzinfo=UTC)
PARAMETERS = {
    "source": {"value": "", "description": "A folder.", "schema": {"type": ["string", "null"]}},
    "max_removed_percent": {
        "value": 20,
        "description": "Else, it is held.",
        "schema": {"type": "number", "minimum": 0, "maximum": 100, "section": "Quality"},
    },
}
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' or '1'='1",
    "{{ 7901 * 7907 }} {% raw %} %s %(search)s",
    "javascript:alert(1)",
    "&lt;b&gt; ]]> <!-- </td></table>",
]
FAILED = ("failed", "refused", "rejected", "held")
ENTER_RUN = """
insert into features.pipeline_runs (
    run_id, trigger, source, source_files, parameters, definition_version, status,
    started_at, finished_at
)
values ('odd', 'cli', 'x', '[]', '{}', 1, 'loaded', now(), now())
"""
ENTER_NEWEST = """
insert into features.pipeline_runs (
    run_id, trigger, source, source_files, parameters, definition_version, status,
    started_at, finished_at
)
select 'new', 'cli', '/drops/new', '[]', '{}', 1, status, now(),
    case when status <> 'running' then now() end
from (values (%s)) as entry (status)
"""
ENTER_ISSUES = """
insert into features.data_issues (
    run_id, found_by, severity, table_name, file_name, line_number, rule, column_name, value,
    message, raw_row
)
select 'odd', 'odd', 'error', 'users', name, n, 'a rule', 'x', 'secret', 'message', '{}'
from unnest(%s::text[]) as name, generate_series(1, 60) as n
"""


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets Airflow's connection features_db_reader, or another one, to a URL."""

    def set_connection(url: str, name: str = CONNECTION) -> None:
        monkeypatch.setenv(name, url.replace("postgresql", "postgres", 1))

    return set_connection


@pytest.fixture
def page(database: Database, use: Any) -> Iterator[TestClient]:
    """A client of the app for a user who may view and trigger, on the test's database."""
    use(database.url("analyst"))
    with make_client() as client:
        yield client


@pytest.fixture
def empty_page(empty_database: Database, use: Any) -> Iterator[TestClient]:
    """The same, on a database that tests share."""
    use(empty_database.url("analyst"))
    with make_client() as client:
        yield client


def make_client(*, may_trigger_runs: bool = True, as_steward: bool = False) -> TestClient:
    """Returns a client of the app as Airflow mounts it, for a user who may view it."""
    page = make_page(
        may_trigger_runs=may_trigger_runs,
        as_steward=as_steward,
        next_run=NEXT_RUN,
        parameters=PARAMETERS,
    )
    prefix = "/airflow/experiment-features"
    return TestClient(page, root_path=prefix, raise_server_exceptions=False)


def text_of(html: str) -> str:
    """Returns the visible text of HTML."""
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def test_every_address_is_guarded() -> None:
    """Every route but that of static files has the page's guards: Airflow guards none of them."""
    for route in make_app().routes:
        calls = [dependency.call for dependency in route.dependant.dependencies]  # type: ignore[attr-defined]
        guards = [] if route.path == STATIC else [guard.dependency for guard in GUARDS]  # type: ignore[attr-defined]
        assert calls[: len(GUARDS)] == guards, route


def token(**claims: Any) -> str:
    """Returns a token like Airflow's, for a user who may do nothing."""
    now = int(time.time())
    known = {"sub": "Ann", "role": None, "aud": "apache-airflow", "iat": now, "nbf": now}
    secret = claims.pop("secret", get_signing_args()["secret_key"])
    return jwt.encode(known | {"exp": now + 600} | claims, secret, "HS512")


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        pytest.param({}, 403, id="valid"),
        pytest.param({"secret": "of last year" * 10}, 401, id="signed with an old secret"),
        pytest.param({"exp": 1}, 401, id="expired"),
        pytest.param({"aud": "elsewhere"}, 401, id="foreign"),
    ],
)
def test_token(claims: dict[str, Any], status: int) -> None:
    """Without a valid token, the answer is 401; only a known user without permission gets 403."""
    create_auth_manager()
    client = TestClient(make_app())
    for headers in (
        {"Authorization": f"Bearer {token(**claims)}"},
        {"Cookie": f"_token={token(**claims)}"},
    ):
        for address in (
            *VIEWS,
            "/users.csv",
            "/compounds.csv",
            "/changes.csv",
            "/quality.csv",
            "/health",
        ):
            answer = client.get(address, headers=headers)
            assert answer.status_code == status, answer.text
            assert SENTENCES[status] in answer.text
        assert client.get("/static/page.js", headers=headers).status_code == 200


def test_a_shared_address_leads_to_the_login_and_back() -> None:
    """A person is sent to Airflow's login; a frame shows a link to it, and a program its status."""
    create_auth_manager()
    prefix = "/airflow/experiment-features"
    client = TestClient(make_app(), root_path=prefix, follow_redirects=False)
    person = {"Accept": "text/html,*/*", "Sec-Fetch-Dest": "document"}
    address = "/runs/a%3Fb%20%2Fc?dag=x&after=%C3%A9"
    answer = client.get(address, headers=person)
    assert answer.status_code == 303
    login = urlsplit(answer.headers["Location"])
    assert login.path == "/airflow/api/v2/auth/login"
    assert parse_qs(login.query) == {"next": [f"{prefix}/runs/a%3Fb%20/c?dag=x&after=%C3%A9"]}
    framed = client.get("/users", headers={**person, "Sec-Fetch-Dest": "iframe"})
    assert framed.status_code == 401
    assert 'login?next=%2Fairflow%2Fexperiment-features%2Fusers"' in framed.text
    for headers in ({}, {"Accept": "text/csv"}):
        assert client.get("/users.csv", headers=headers).status_code == 401


@pytest.mark.parametrize("address", VIEWS)
def test_nothing_yet(address: str, page: TestClient) -> None:
    """With an empty database, every view says what to do, or that the user may not do it."""
    shown = page.get(address)
    assert shown.status_code == 200
    assert "Nothing has been loaded yet" in shown.text
    assert 'href="/airflow/dags/experiment_features"' in shown.text
    looks = make_client(may_trigger_runs=False).get(address)
    assert "You do not have permission to trigger it" in text_of(looks.text)
    assert "/dags/experiment_features" not in looks.text


def test_figures_match_the_database(page: TestClient, database: Database, tmp_path: Path) -> None:
    """The figures are those of the last load; values of faulty rows are not shown."""
    drop = shutil.copytree(SAMPLE, tmp_path / "drop")
    result = run_drop(database, drop)
    overview = text_of(page.get("/").text)
    assert f"Users {result['users']}" in overview
    assert f"Experiments {result['experiments']}" in overview
    assert f"Experiments per user {result['average_experiments_per_user']:.2f}" in overview
    quality = page.get("/quality").text
    assert f"{result['rejected_rows']} of 355 rows rejected" in text_of(quality)
    run = text_of(page.get(f"/runs/{quote(result['run_id'])}").text)
    assert f"{result['inserted']} new" in run
    for row in database.query("select value, raw_row::text from features.data_issues"):
        for secret in (row["raw_row"], row["value"]):
            assert not secret or len(secret) < 6 or secret not in quality + run


def test_hostile_names_stay_text(page: TestClient, database: Database, tmp_path: Path) -> None:
    """HTML, scripts, SQL and templates in names, paths and addresses are shown as text."""
    users = dict(enumerate(HOSTILE, start=1))
    compounds = {number: f"{name} c" for number, name in users.items()}
    experiments = [(user_id, str(user_id), "1") for user_id in users]
    run_id = f"{new_run_id()}<script>/..%2f"
    drop = make_drop(users, experiments, compounds).write(tmp_path / "<b>")
    run_drop(database, drop, run_id=run_id)
    addresses = [*VIEWS, f"/runs/{quote(run_id, safe='')}", *(f"/users/{user}" for user in users)]
    addresses += [f"/users?q={quote(name)}" for name in HOSTILE]
    addresses += [f"/compare?one={quote(name)}&other=1" for name in HOSTILE]
    addresses += ["/compare?one=1&other=2", "/compare?of=compounds&one=3&other=4"]
    addresses += [f"/quality?table={quote(name)}&rule={quote(name)}" for name in HOSTILE]
    addresses += [f"/runs/{quote(name, safe='')}" for name in HOSTILE]
    for address in addresses:
        html = page.get(address).text
        for markup in ("<script>alert", "<img", "<b>", "<!--", 'onerror="', str(7901 * 7907)):
            assert markup not in html.replace("<!doctype", ""), (address, markup)
    for user_id, name in users.items():
        assert " ".join(name.split()) in text_of(page.get(f"/users/{user_id}").text)
    assert len(re.findall('/users/[0-9]+"', page.get("/users?q=javascript").text)) == 1
    assert database.value("select count(*) from features.user_features") == len(users)


def test_a_user_who_has_gone(page: TestClient, database: Database, tmp_path: Path) -> None:
    """The heading has the last name, and says since when and by which run the user is gone."""
    for number, users in enumerate(
        ({1: "Ann", 2: "Bo"}, {1: "Anna", 2: "Bo"}, {2: "Bo"}, {3: "Cy"})
    ):
        drop = make_drop(users, [(user, "1", "1") for user in users]).write(tmp_path / str(number))
        run_drop(database, drop, run_id=f"run {number}", max_removed_percent=100.0)
    html = page.get("/users/1").text
    since = database.value(
        "select max(valid_to) from features.user_features_past where user_id = 1"
    )
    assert re.findall("<h1>(.*)</h1>", html) == ["<bdi>Anna</bdi>"]
    told = (
        f"User 1, gone since {since.astimezone(UTC):%Y-%m-%d %H:%M} UTC, when run 2 loaded a drop"
    )
    assert told in text_of(html)
    database.query("delete from features.pipeline_runs where run_id = 'run 2'")
    assert "UTC. History" in text_of(
        page.get("/users/1").text
    )  # nobody knows any more which run it was


def test_compounds(page: TestClient, database: Database, tmp_path: Path) -> None:
    """All compounds are listed, sorted, searched and downloaded; each has a page, with its history."""
    compounds = {1: "Water", 2: "Acetic acid", 30: "=1+1 Ether", 4: "Zinc"}
    first = make_drop(
        {1: "Ann", 2: "Bo"}, [(1, "1;2", "1"), (1, "1", "1"), (2, "1;30", "1")], compounds
    )
    run_drop(database, first.write(tmp_path / "first"), run_id="one")

    def listed(address: str) -> list[str]:
        return re.findall(
            r'<th scope="row"><a href="[^"]*/compounds/(\d+)">', page.get(address).text
        )

    assert listed("/compounds") == ["1", "2", "4", "30"]
    assert listed("/compounds?sort=name") == ["30", "2", "1", "4"]
    assert listed("/compounds?sort=experiments&descending=true") == ["1", "30", "2", "4"]
    assert listed("/compounds?q=ACI") == ["2"]
    assert listed("/compounds?q=30") == ["30"]
    assert listed("/") == ["1", "2", "30", "4"]
    assert "/compounds/1" in page.get("/users/1").text
    water = text_of(page.get("/compounds/1").text)
    assert "Experiments 3 Users 2" in water
    assert page.get("/compounds/9").status_code == 404
    rows = list(csv.reader(io.StringIO(page.get("/compounds.csv").content.decode("utf-8-sig"))))
    assert [row[:4] for row in rows] == [
        ["compound_id", "compound_name", "total_experiments", "total_users"],
        ["1", "Water", "3", "2"],
        ["2", "Acetic acid", "1", "1"],
        ["4", "Zinc", "0", "0"],
        ["30", "'=1+1 Ether", "1", "1"],
    ]
    second = make_drop({1: "Ann"}, [(1, "1", "1")], {1: "Water"}).write(tmp_path / "second")
    run_drop(database, second, run_id="two", max_removed_percent=100.0)
    gone = text_of(page.get("/compounds/2").text)
    assert "Acetic acid Compare Compound 2, gone since" in gone
    assert "when two loaded a drop without this compound" in gone
    assert text_of(page.get("/compounds/1").text).count("now") == 1


def test_what_people_have_named_is_isolated(
    page: TestClient, database: Database, tmp_path: Path
) -> None:
    """Names that are written from right to left leave what stands beside them in its place."""
    name = "\u05e9\u05dc\u05d5\u05dd"
    users, compounds = {1: f"user {name}", 2: ""}, {1: f"compound {name}"}
    drop = make_drop(users, [(1, "1", "1")], compounds).write(tmp_path / "drop")
    (drop / "users.csv").rename(drop / f"users {name}.csv")
    run_id = run_drop(database, drop, max_rejected_percent=100.0)["run_id"]
    views = ("/", "/users", "/users/1", "/compounds", "/compounds/1", "/quality")
    for address in (*views, f"/runs/{run_id}"):
        html = page.get(address).text
        shown = re.findall(f"[a-z]+ {name}", html)
        assert shown, address
        assert len(re.findall(f"<bdi>[a-z]+ {name}", html)) == len(shown), address


def test_lines_and_moments_can_be_told_apart(page: TestClient, database: Database) -> None:
    """Line numbers are plain digits, for editors; moments in tables have seconds."""
    database.query(ENTER_RUN)
    database.query(ENTER_ISSUES, ["a.csv"])
    database.query("update features.data_issues set line_number = 1000000 + line_number")
    assert '<td class="number">1000001</td>' in page.get("/quality").text
    for address in ("/runs", "/runs/odd", "/"):
        assert re.search(r">\d{4}-\d\d-\d\d \d\d:\d\d:\d\d</time>", page.get(address).text), address


@pytest.mark.parametrize("mode", ["snapshot", "delta"])
def test_a_rejected_run_says_why(
    mode: str, page: TestClient, database: Database, tmp_path: Path
) -> None:
    """Rows, rejected rows, share and limit are those that decided, table by table."""
    names = dict.fromkeys(range(1, 41), "Ann")
    run_drop(database, make_drop(names, [(1, "1", "1")]).write(tmp_path / "first"))
    faulty = make_drop(dict.fromkeys(range(1, 13), "") | {13: "Ann"}, [(13, "1", "1")])
    source = faulty.write(tmp_path / "second")
    with pytest.raises(DropRejected):
        run_drop(database, source, run_id="bad", mode=mode, max_rejected_percent=12.5)
    limit = "12.5 %" if mode == "snapshot" else "12.5 % and 10 rows"
    for address in ("/runs/bad", "/quality?run=bad"):
        shown = text_of(page.get(address).text)
        assert f"users 13 12 92.31 % {limit} compounds 3 0 0.00 % {limit}" in shown
    assert "Experiments per user –" not in text_of(page.get("/runs/bad").text)


def test_a_delta_says_so(page: TestClient, database: Database, tmp_path: Path) -> None:
    """With its base, the rows that it healed, and no share of rows that are not its own."""
    whole = make_drop({1: "Ann"}, [(1, "1", "1"), (2, "1", "1")]).write(tmp_path / "whole")
    first = run_drop(database, whole, max_rejected_percent=100)
    source = Drop((Part("users", "", (Row(("2", "Bo", "b@b.org", "2024-01-01")),)),))
    result = run_drop(database, source.write(tmp_path / "monday"), mode="delta")
    shown = text_of(page.get(f"/runs/{quote(result['run_id'])}").text)
    assert f"Drop a delta on {first['run_id']} Started" in shown
    assert "Rows read 1 Rejected 0 of all rows in force Valid again 1 of earlier drops" in shown
    assert "0 of all rows in force rejected" in text_of(page.get("/quality").text)
    assert "16.67 %" in text_of(page.get("/runs").text)  # of the snapshot
    assert "0.00 %" not in text_of(page.get("/runs").text)


def changes_shown(html: str) -> list[str]:
    """The rows of a list of changes, as text."""
    return [text_of(row) for row in re.findall(r"<tr>.*?</tr>", html, re.DOTALL)[1:]]


def test_what_a_run_changed(page: TestClient, database: Database, tmp_path: Path) -> None:
    """Overview and run lead to all that is new, changed and gone, with a file of the same."""
    first = make_drop({1: "Ann", 2: "=1+1", 3: "Cy"}, [(1, "1", "1"), (2, "1", "1")])
    run_drop(database, first.write(tmp_path / "first"))
    second = make_drop(
        {1: "Ann", 3: "Cy B.", 4: "Dee"}, [(1, "1", "1")] * 4, {1: "Water", 9: "Zinc"}
    )
    run_drop(database, second.write(tmp_path / "second"), run_id="two/b")
    for address in ("/", "/runs/two%2Fb"):
        assert "/changes?run=two%2Fb" in page.get(address).text
    shown = page.get("/changes?run=two%2Fb").text
    assert changes_shown(shown) == [
        "Ann 1 changed Experiments 1 4",
        "=1+1 2 gone Experiments 1 –",
        "Ann 1 changed Most common compound experiments 1 4",
        "Cy B. 3 changed User name Cy Cy B.",
        "Dee 4 new Experiments – 0",
    ]
    assert "Show all · 1 new · 2 changed · 1 gone Feature all · User name · Exp" in text_of(shown)
    of_name = page.get("/changes?run=two%2Fb&feature=user_name&kind=changed").text
    assert changes_shown(of_name) == ["Cy B. 3 changed User name Cy Cy B."]
    compounds = page.get("/changes?of=compounds").text
    assert changes_shown(compounds)[0] == "Water 1 changed Experiments 2 4"
    assert "1 new · 1 changed · 2 gone" in text_of(compounds)
    answer = page.get("/changes.csv?run=two%2Fb")
    assert 'filename="user_changes.csv"' in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert len(rows) == 5
    assert rows[1] == {
        "user_id": "2",
        "user_name": "'=1+1",
        "kind": "gone",
        "feature": "total_experiments",
        "before": "1",
        "after": "",
        "run_id": "two/b",
    }
    for address in ("/changes?run=none", "/changes.csv?run=none"):
        assert page.get(address).status_code == 404
    unchanged = run_drop(database, tmp_path / "second")["run_id"]
    assert "The run changed no users." in text_of(page.get(f"/changes?run={unchanged}").text)
    assert f"/changes?run={unchanged}" not in page.get(f"/runs/{unchanged}").text


def test_a_run_that_is_held_for_its_experiments_alone(
    page: TestClient, database: Database, tmp_path: Path
) -> None:
    """It says so, instead of counting nobody who would have gone; Accept is for those who may."""
    for number, experiments in enumerate((30, 5)):
        drop = make_drop({1: "Ann"}, experiments * [(1, "1", "1")]).write(tmp_path / str(number))
        with pytest.raises(LoadHeld) if number else nullcontext():
            run_drop(database, drop, run_id=f"run {number}")
    html = page.get("/changes?run=run%201").text
    assert "but too many experiments of users who stay, so it was held" in text_of(html)
    (address,) = re.findall('href="[^"]*(/drops[?][^"]*)"', html)
    asked = {"source": [str(tmp_path / "1")], "max_removed_percent": ["100"]}
    assert parse_qs(urlsplit(unescape(address)).query) == asked
    reader = make_client(may_trigger_runs=False).get("/changes?run=run%201").text
    assert "/drops?" not in reader


def test_a_held_restore(page: TestClient, database: Database, tmp_path: Path) -> None:
    """Its way is another restore: what its folder holds now may be another drop."""
    for name, number in (("small", 1), ("large", 12)):
        users = {user_id: f"user {user_id}" for user_id in range(1, number + 1)}
        run_drop(database, make_drop(users).write(tmp_path / name), run_id=name, allow_empty=True)
    with pytest.raises(LoadHeld) as held:
        restore(database, tmp_path, "small", max_removed_percent=20)
    way = "restore small with max_removed_percent 100"
    assert str(held.value).endswith(f"if that is right: {way}")
    run_id = database.value("select run_id from features.pipeline_runs where status = 'held'")
    html = page.get(f"/changes?run={run_id}").text
    assert f"If the drop is right: {way}." in text_of(html)
    assert "/drops?" not in html


def test_what_a_held_run_would_have_removed(
    page: TestClient, database: Database, tmp_path: Path
) -> None:
    """Who would have gone, and the way to accept it, as the run's own message says it."""
    users = {number: f"user {number}" for number in range(1, 13)}
    run_drop(database, make_drop(users, [(12, "1", "1")]).write(tmp_path / "first"))
    less = make_drop({1: "user 1"}, [(1, "1", "1")]).write(tmp_path / "less")
    with pytest.raises(LoadHeld) as held:
        run_drop(database, less, run_id="held", mode="snapshot")
    assert 'href="/airflow/experiment-features/changes?run=held"' in page.get("/runs/held").text
    shown = page.get("/changes?run=held").text
    assert "would have removed 11 users and 0 compounds" in text_of(shown)
    _, way = str(held.value).split("if that is right: ")
    assert f"run {less} with mode snapshot and max_removed_percent 100" == way
    assert f"If the drop is right: {way}." in text_of(shown)
    assert changes_shown(shown)[:2] == [
        "user 12 12 gone Experiments 1 –",
        "user 2 2 gone Experiments 0 –",
    ]
    assert "No compound would have gone." in text_of(
        page.get("/changes?run=held&of=compounds").text
    )
    rows = list(csv.reader(io.StringIO(page.get("/changes.csv?run=held").text)))
    assert len(rows) == 12


def rows_of(html: str, table: str) -> list[list[str]]:
    """The cells of a table's body, as text."""
    (found,) = re.findall(f'<table id="{table}".*?</table>', html, re.DOTALL)
    rows = re.findall(r"<tr>.*?</tr>", found, re.DOTALL)[1:]
    return [[text_of(cell) for cell in re.findall(r"<t[dh].*?</t[dh]>", row)] for row in rows]


def test_over_time(page: TestClient, database: Database, tmp_path: Path) -> None:
    """Loads, deltas and rejected drops, each with its figures and the share that each rule rejected."""
    first = make_drop({1: "Ann", 2: "", 3: "Cy"}, [(1, "1", "1"), (2, "1", "1")]).write(
        tmp_path / "1"
    )
    run_drop(database, first, run_id="one/b", max_rejected_percent=50)
    fixed = Drop((Part("users", "", (Row(("2", "Bo", "b@b.org", "2024-01-01")),)),))
    run_drop(database, fixed.write(tmp_path / "2"), run_id="two", mode="delta")
    faulty = make_drop({1: "", 2: "", 3: "Cy"}, [(3, "1", "x")]).write(tmp_path / "3")
    with pytest.raises(DropRejected):
        run_drop(database, faulty, run_id="three")
    run_drop(database, first, run_id="four", max_rejected_percent=50, max_removed_percent=100)
    html = page.get("/over-time").text
    assert 'href="/airflow/experiment-features/runs/one%2Fb"' in html
    rules = re.findall(r"<th[^>]*><code>(\w+)</code>", html)
    assert rules == ["name_missing", "user_id_unknown", "experiment_run_time_invalid"]
    # 8 rows in the first drop, and as many in force after the delta; 7 in the third.
    shares = ["25.00 %", "12.50 %", "12.50 %", "0.00 %"]
    rows = rows_of(html, "loads")
    assert [row[1:] for row in rows] == [
        ["2", "1", "0.50", *shares, "four"],
        ["–", "–", "–", "42.86 %", "28.57 %", "0.00 %", "14.29 %", "three rejected"],
        ["3", "2", "0.67", *["0.00 %"] * 4, "two"],
        ["2", "1", "0.50", *shares, "one/b"],
    ]
    assert text_of(page.get("/runs/one%2Fb").text).count("25.00 %") == 1
    chosen = page.get("/over-time?rule=user_id_unknown").text
    assert [row[5] for row in rows_of(chosen, "loads")] == [
        "12.50 %",
        "0.00 %",
        "0.00 %",
        "12.50 %",
    ]
    assert '<b aria-current="true">user_id_unknown</b>' in chosen
    none = text_of(page.get("/over-time?rule=nul_byte").text)
    assert "nul_byte rejected no row of these runs." in none
    assert [row[-1] for row in rows_of(page.get("/over-time?after=two").text, "loads")] == ["one/b"]
    assert "No more runs." in page.get("/over-time?after=one%2Fb").text
    for address in ("/", "/runs"):
        assert "/experiment-features/over-time" in page.get(address).text
    database.query("update features.pipeline_runs set issues_by_rule = null")
    assert "By rule, nothing is known" in page.get("/over-time").text


def test_two_side_by_side(page: TestClient, database: Database, tmp_path: Path) -> None:
    """Users or compounds, by id or name; of several that match, one is chosen; the gone, too."""
    users = {1: "Ann Lee", 2: "Bo", 3: "Ann Ray", 4: "Ann Day"}
    first = make_drop(users, [(1, "1;2", "1"), (1, "1", "4"), (3, "1", "1")])
    run_drop(database, first.write(tmp_path / "first"), run_id="one")
    del users[3]
    second = make_drop(users, [(1, "1;2", "1"), (1, "1", "4"), (2, "1", "9")])
    run_drop(database, second.write(tmp_path / "second"), run_id="two", max_removed_percent=100.0)
    html = page.get("/compare?one=1&other=2").text
    shown = text_of(html)
    assert "Experiments 2 1 -1 Mean run time 2.50 9.00 +6.50 Compounds per exp" in shown
    assert links_to_lines(page, "/compare?one=1&other=2") == {
        *("/users/1/lines", "/users/2/lines", "/users/1/lines?run=one"),
        *("/users/2/lines?run=one", "/users/2/lines?run=two"),
    }
    histories = [rows_of(html, f"periods-{side}") for side in ("one", "other")]
    assert [[row[2] for row in rows] for rows in histories] == [["2"], ["1", "0"]]
    assert 'data-table="periods-one periods-other"' in html
    assert page.get("/compare?one=LEE&other=bo").text.count("<bdi>Ann Lee</bdi>") == 3
    several = page.get("/compare?one=a&other=2").text
    assert "Users that match “a”" in text_of(several)
    offered = re.findall(r"/compare\?of=users&amp;one=(\d)&amp;other=2", several)
    assert offered == ["4", "1"]  # who has gone is not found by name
    gone = text_of(page.get("/compare?one=3&other=1").text)
    assert "Ann Ray 3, gone Ann Lee 1 Difference Experiments – 2 –" in gone
    compounds = text_of(page.get("/compare?of=compounds&one=2&other=1").text)
    assert "Experiments 1 3 +2 Users 1 2 +1" in compounds
    for address in ("/compare?one=9", "/compare?one=1&other=nobody", "/compare?one=0"):
        answer = page.get(address)
        assert (answer.status_code, "No user has this id" in answer.text) == (404, True), address
    for address in ("/users", "/users/1"):
        assert "/experiment-features/compare?of=users" in page.get(address).text


def test_a_tab_of_a_run_repeats_nothing(page: TestClient, database: Database) -> None:
    """Airflow shows the run's name above the frame; elsewhere, the page has to."""
    database.query(ENTER_RUN)
    assert 'class="id in-tab"' in page.get("/runs/odd?dag=experiment_features").text
    assert "in-tab" not in page.get("/runs/odd").text


@pytest.mark.parametrize(
    ("status", "hours", "shown", "code"),
    [
        ("loaded", 1, "green Up to date", 200),
        ("unchanged", 1, "green Up to date", 200),
        ("loaded", 25, "red Out of date", 503),
        *((bad, 1, "amber The newest drop was not loaded", 503) for bad in FAILED),
        ("failed", 25, "red Out of date", 503),
        ("skipped", 1, "green Up to date", 200),
        ("running", 25, "green Up to date", 200),
    ],
)
def test_state(
    status: str, hours: int, shown: str, code: int, page: TestClient, database: Database
) -> None:
    """Every view says in words how fresh the features are; monitors get the same as JSON."""
    database.query(ENTER_RUN)
    database.query(
        "update features.pipeline_runs set started_at = now() - %s, finished_at = now() - %s",
        *(timedelta(hours=hours),) * 2,
    )
    database.query(ENTER_NEWEST, status)
    since = timedelta() if status == "running" else timedelta(hours=hours - 0.5)
    database.query(
        "update features.pipeline_runs set started_at = now() - %s, "
        "finished_at = case when finished_at is not null then now() - %s end where run_id = 'new'",
        *(since, since),
    )
    colour, _, words = shown.partition(" ")
    for address in VIEWS:
        html = page.get(address).text
        assert f'<span class="status {colour}">{words}</span>' in html, address
        assert "Next run: 2026-11-30 02:00" in text_of(html)
        assert (f"Newest drop: new {status}" in text_of(html)) == (
            status not in ("skipped", "running")
        )
    answer = page.get("/health")
    assert answer.status_code == code
    told = answer.json()
    assert (told["state"], told["words"]) == (colour, words)
    assert told["is_stale"] == (colour == "red")
    assert told["is_failed"] == (status in FAILED)
    assert datetime.fromisoformat(told["next_run_at"]) == NEXT_RUN
    assert told["deadline_hours"] == 24
    assert told["loaded"]["run_id"] == ("new" if status == "loaded" else "odd")


def test_state_after_a_clock_was_ahead(page: TestClient, database: Database) -> None:
    """Features that were loaded in the future are new, not less than that."""
    database.query(ENTER_RUN)
    database.query("update features.pipeline_runs set finished_at = now() + interval '1 day'")
    assert page.get("/health").json()["age_seconds"] == 0
    assert "Features: 0.0 s old" in text_of(page.get("/").text)


@pytest.mark.parametrize("unit", ["", " <min> "], ids=["no unit", "unit"])
def test_the_meaning_of_figures(
    unit: str,
    page: TestClient,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every hint leads to a meaning of `definitions`; run times have the unit that is set."""
    monkeypatch.setenv("EXPERIMENT_FEATURES_RUN_TIME_UNIT", unit)
    for number in (1, 2):
        experiments = number * [(1, "1", "1")]
        drop = make_drop({1: "Ann"}, experiments).write(tmp_path / str(number))
        run_id = run_drop(database, drop)["run_id"]
    meanings = [
        figure.meaning.replace("`", "")
        for figures in (*(relation.features for relation in RELATIONS), RUN_FIGURES.values())
        for figure in figures
    ]
    views = ("/", "/users", "/users/1", "/compounds", "/compounds/1", "/changes", "/runs")
    for address in (*views, "/changes?of=compounds", f"/runs/{run_id}"):
        html = page.get(address).text
        shown = dict(re.findall('id="(meaning-[a-z_]+)" popover>(.*)</p>', html))
        buttons = re.findall('popovertarget="([^"]*)"', html)
        assert 0 < len(buttons) == html.count("popovertarget"), address
        assert set(buttons) <= shown.keys(), address
        assert set(map(unescape, shown.values())) <= set(meanings), address
        assert html.count(' id="meaning-') == len(shown), address
    labelled = f"Mean run time{' (<min>)' if unit else ''}"
    for address in ("/users", "/users/1", "/changes"):
        told = text_of(page.get(address).text)
        assert f"{labelled} " in told.replace("\xa0", " "), address
    assert ("Run time (<min>) Counts" if unit else "Run time Counts") in text_of(
        page.get("/users/1/lines").text
    )
    assert f'data-unit="{"&lt;min&gt;" if unit else ""}"' in page.get("/users/1").text


def test_the_form_that_loads_a_drop(page: TestClient, database: Database) -> None:
    """An address fills it in, and hides nothing of what it fills in; a reader gets no form."""
    for number in range(60):
        database.query(
            ENTER_RUN.replace("'odd'", f"'run {number}'").replace("'x'", f"'/d/{number}'")
        )
    address = f"/drops?source={quote(HOSTILE[1])}&max_removed_percent=99.5"
    html = page.get(address).text
    assert re.findall('name="source"[^>]* value="([^"]*)"', html) == [
        "&#34;&gt;&lt;img src=x onerror=alert(1)&gt;"
    ]
    assert 'max="100" value="99.5"' in html
    assert "<details open>" in html
    assert 'data-api="/airflow/api/v2/dags/experiment_features/dagRuns"' in html
    plain = page.get("/drops").text
    assert 'max="100" value="20"' in plain
    assert "<details>" in plain
    assert "<img" not in html + plain
    assert len(re.findall('href="[^"]*/drops[?]source=', plain)) == 50
    assert len(re.findall('href="[^"]*/drops[?]source=', page.get("/drops?after=50").text)) == 10
    assert "No more drops" in page.get("/drops?after=1000").text
    reader = make_client(may_trigger_runs=False).get(address).text
    assert "<form" not in reader
    assert "source=" not in reader


def test_state_of_nothing(page: TestClient) -> None:
    """Before the first load, a monitor is told that nothing has been loaded."""
    answer = page.get("/health")
    assert (answer.status_code, answer.json()["words"]) == (503, "Nothing has been loaded yet")


def test_state_with_a_wrong_setting(
    page: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A deadline that is no number does not pass for one; the log names it."""
    monkeypatch.setenv("EXPERIMENT_FEATURES_DEADLINE_HOURS", "a day")
    assert page.get("/health").status_code == 500
    assert "EXPERIMENT_FEATURES_DEADLINE_HOURS is 'a day'" in caplog.text


INVISIBLE = "\x1b[2J\x07\x85\u200b\u202e\ufeff\xad\U000e0041"


def test_invisible_characters_are_shown(
    page: TestClient, database: Database, tmp_path: Path
) -> None:
    """Escaped, wherever a page shows what people have named; a download has names as they are."""
    name, shown = f"x{INVISIBLE}", "x" + INVISIBLE.encode("unicode_escape").decode()
    drop = make_drop({1: f"a{name}", 2: ""}, [(1, "1", "1")], {1: f"b{name}"})
    source = drop.write(tmp_path / f"c{name}")
    (source / "users.csv").rename(source / f"users d{name}.csv")
    run_id, options = f"e{name}", {"max_rejected_percent": 100.0}
    run_drop(database, source, run_id=run_id, triggered_by=f"f{name}", **options)
    database.query("update features.pipeline_runs set notices = array['g'||%s]", name)
    database.query("update features.pipeline_runs set error = 'h', error_file = 'h'||%s", name)
    address, unknown = f"/runs/{quote(run_id, safe='')}", f"/runs/{quote('i' + name)}"
    views = (
        *VIEWS,
        "/users/1",
        address,
        f"/quality?file={quote('users d' + name)}",
        unknown,
    )
    html = {view: page.get(view).text for view in views}
    for view, text in html.items():
        assert not set(INVISIBLE) & set(text) - set("x[2J"), view
    for view, names in [
        ("/", "be"),
        ("/users", "ab"),
        ("/quality", "de"),
        ("/users/1", "abe"),
        (address, "cdefgh"),
        (unknown, "i"),
    ]:
        for letter in names:
            assert f"{letter}{shown}" in html[view], (view, letter)
    assert f'value="{name}"' in page.get(f"/users?q={quote(name)}").text  # to be searched again
    assert f"a{name}" in page.get("/users.csv").text


@pytest.mark.parametrize(("sign", "most"), [("&", 100_000), ("\U000e0041", 150_000)], ids=ascii)
def test_long_values_make_no_large_page(
    sign: str, most: int, page: TestClient, database: Database, tmp_path: Path
) -> None:
    """A page has at most 100 KB, or 150 KB of escapes, whatever the drop contains."""
    users = dict.fromkeys(range(1, 61), "x" + sign * 16_000)
    ids = ";".join(map(str, range(1, 301)))
    compounds = dict.fromkeys(range(1, 301), "x" + sign * 10000)
    experiments = [(user_id, ids, "1") for user_id in users]
    run_drop(database, make_drop(users, experiments, compounds).write(tmp_path / "drop"))
    for address in (*VIEWS, "/users/1", "/compare?one=1&other=2", "/compare?one=x"):
        assert len(page.get(address).content) < most, address


ODD_LINES = [
    Row(("1", "1", "1;2", "10.5")),
    Row(("2", "1", "999", "")),  # no such compound
    Row(("secret a", "1", "secret b", "secret c")),
    Row(("4", "2", ";".join(map(str, range(1, 301))), "1")),
    *(Row((str(number), "3", "1", "1")) for number in range(5, 125)),
    Row(("125", "3", "999", "1")),
]
"""Of three users: the first has two faulty rows, the second a long list, the third 121 rows."""


MESSAGES = {rule.name: rule.message for rule in RULES}
INVALID = [f"experiment_{name}_invalid" for name in ("compound_ids", "id", "run_time")]


def load_lines(database: Database, folder: Path, **options: Any) -> str:
    """Loads ODD_LINES from two files; returns the run id."""
    users = dict.fromkeys((1, 2, 3), "Ann") | {4: "Bob"}
    drop = make_drop(users, compounds=dict.fromkeys(range(1, 301), "Water"))
    parts = [part for part in drop.parts if part.table != "user_experiments"]
    for name, rows in (("_<b>{0}", ODD_LINES[:2]), ("_b", ODD_LINES[2:])):
        parts.append(Part("user_experiments", name, tuple(rows)))
    options = {"max_rejected_percent": 100.0} | options
    return str(run_drop(database, Drop(tuple(parts)).write(folder), **options)["run_id"])


def links_to_lines(page: TestClient, address: str) -> set[str]:
    """The addresses of lines to which a page leads."""
    links = re.findall('href="[^"]*(/users/[0-9]+/lines[^"]*)"', page.get(address).text)
    return set(map(unescape, links))


def test_lines(page: TestClient, database: Database, tmp_path: Path) -> None:
    """One click leads from a number to the lines it is made of; what is not valid is not shown."""
    run_id = load_lines(database, tmp_path / "drop")
    links = links_to_lines(page, "/users/1")
    of_compound = "/users/1/lines?compound=1"
    assert links == {"/users/1/lines", f"/users/1/lines?run={run_id}", of_compound}
    for link in links - {of_compound}:
        html = page.get(link).text
        shown = text_of(html)
        assert f"from {tmp_path / 'drop'} by {run_id}" in shown
        assert "1 of 3 rows counted, total_experiments 1: equal" in shown
        rows = [text_of(row) for row in re.findall(r"<tr>.*?</tr>", html, re.DOTALL)[1:]]
        assert rows == [
            "user_experiments_<b>{0}.csv:2 1 1; 2 10.5 yes",
            "user_experiments_<b>{0}.csv:3 2 999 – rejected experiment_compound_ids_unknown "
            + MESSAGES["experiment_compound_ids_unknown"],
            "user_experiments_b.csv:2 not valid not valid not valid rejected "
            + " , ".join(f"{name} {MESSAGES[name]}" for name in INVALID),
        ]
        assert "secret" not in html
        assert "<b>" not in html
        assert "Ann" not in html
    assert "0 of 0 rows counted, total_experiments 0: equal" in text_of(
        page.get("/users/4/lines").text
    )
    assert len(page.get("/users/2/lines").content) < 10_000


def test_every_number_of_a_user_leads_to_its_lines(
    page: TestClient, database: Database, tmp_path: Path
) -> None:
    """Wherever a number stands; those before and after a run lead to the lines of then."""
    load_lines(database, tmp_path / "first", run_id="one")
    fewer = make_drop({1: "Ann", 5: "Eve"}, [(1, "2", "1"), (1, "2;2;3", "4")])
    run_drop(database, fewer.write(tmp_path / "second"), run_id="two", max_removed_percent=100.0)
    shown = {"/users/1/lines", "/users/1/lines?compound=2", "/users/5/lines"}
    assert links_to_lines(page, "/users") == shown
    of_compounds = [f"/users/1/lines?compound={compound}" for compound in (2, 3)]
    assert links_to_lines(page, "/users/1/compounds") == {"/users/1/lines", *of_compounds}
    changes = links_to_lines(page, "/changes?run=two")
    assert {"/users/1/lines?run=one", "/users/1/lines?run=two", "/users/3/lines?run=one"} < changes
    assert links_to_lines(page, "/changes?run=one") == {
        f"/users/{user}/lines?run=one" for user in range(1, 5)
    }
    assert links_to_lines(page, "/changes?of=compounds") == set()
    for address, counted, found in [
        ("/users/1/lines?compound=3", 2, ["user_experiments.csv:3"]),
        ("/users/1/lines?compound=2", 2, ["user_experiments.csv:2", "user_experiments.csv:3"]),
        ("/users/1/lines?compound=7", 2, []),
        ("/users/1/lines?run=one&compound=999", 1, ["user_experiments_<b>{0}.csv:3"]),
    ]:
        html = page.get(address).text
        assert f"total_experiments {counted}: equal" in text_of(html), address
        assert re.findall("user_experiments[^ ]*:[0-9]+", text_of(html)) == found, address
    (first, after) = (
        page.get(f"/users/3/lines?run=one&compound=1{end}").text for end in ("", "&after=100")
    )
    assert "compound Water in 120 rows" in text_of(first)
    assert "/users/3/lines?after=50&amp;run=one&amp;compound=1" in first
    assert (after.count("_b.csv:"), 'rel="next"' in after) == (20, False)


@pytest.mark.parametrize("few", [0, 1_000], ids=["many rows", "few rows"])
def test_pages_of_lines(
    few: int,
    page: TestClient,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The links lead through all lines and back; every page counts all, in either way."""
    monkeypatch.setattr("experiment_features.report.trace._FEW_ROWS", few)
    run_id = load_lines(database, tmp_path / "drop")
    address, seen, firsts = f"/users/3/lines?run={run_id}", [], []
    while address:
        html = page.get(address).text
        assert "120 of 121 rows counted, total_experiments 120: equal" in text_of(html)
        lines = re.findall(r"_b\.csv:(\d+)<", html)
        firsts.append(lines[0])
        seen += lines
        address = "".join(
            re.findall(r'rel="next" href="/airflow/experiment-features([^"]*)"', html)
        )
        address = unescape(address)
    assert seen == [str(line) for line in range(4, 125)]
    for first in firsts[-2::-1]:
        (address,) = re.findall(r'rel="prev" href="/airflow/experiment-features([^"]*)"', html)
        html = page.get(unescape(address)).text
        assert re.findall(r"_b\.csv:(\d+)<", html)[0] == first
    assert 'rel="prev"' not in html
    assert "No more lines" in page.get(f"/users/3/lines?after={2**63 - 1}").text


@pytest.mark.parametrize("few", [0, 1_000], ids=["many rows", "few rows"])
def test_compounds_of_a_user(
    few: int,
    page: TestClient,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All compounds of the experiments that count, the most used first; those of rejected rows not."""
    monkeypatch.setattr("experiment_features.report.trace._FEW_ROWS", few)
    load_lines(database, tmp_path / "drop")

    def shown(address: str) -> list[tuple[str, ...]]:
        row = r'/compounds/(\d+)"><bdi>Water</bdi>.*?compound=\1"[^>]*>([\d,]+)</a>'
        return re.findall(row, page.get(address).text, re.DOTALL)

    assert 'href="/airflow/experiment-features/users/1/compounds"' in page.get("/users/1").text
    assert shown("/users/1/compounds") == [("1", "1"), ("2", "1")]
    assert shown("/users/3/compounds") == [("1", "120")]
    first = page.get("/users/2/compounds").text
    assert "300 compounds in 1 experiment" in text_of(first)
    (after,) = re.findall(r'rel="next" href="[^"]*(/users/2/compounds[^"]*)"', first)
    assert shown(after)[0] == ("51", "1")
    assert "The user has no experiments." in page.get("/users/4/compounds").text
    assert page.get("/users/9/compounds").status_code == 404


def test_lines_of_an_earlier_load(page: TestClient, database: Database, tmp_path: Path) -> None:
    """A period of the history leads to the lines of then, even of a user who is gone."""
    first = load_lines(database, tmp_path / "first")
    drop = make_drop({2: "Bob"}, [(2, "1", "1")]).write(tmp_path / "second")
    run_drop(database, drop, max_removed_percent=100.0)
    assert "1 of 3 rows counted" in text_of(page.get(f"/users/1/lines?run={first}").text)
    now = text_of(page.get("/users/1/lines").text)
    assert "0 of 0 rows counted, total_experiments 0: equal" in now
    assert "The drop has no experiments of this user" in now


def test_lines_that_are_not_there(page: TestClient, database: Database, tmp_path: Path) -> None:
    """Unknown users and runs are not found; of a run that did not load, the page says so."""
    load_lines(database, tmp_path / "first")
    (tmp_path / "second").mkdir()
    faulty = make_drop({1: "", 2: "", 3: "Ann"}, [(3, "1", "1")]).write(tmp_path / "second")
    with pytest.raises(DropRejected):
        run_drop(database, faulty, run_id="faulty")
    for address, message in [
        ("/users/9/lines", "There has never been a user 9."),
        ("/users/1/lines?run=none", "This run is not in the ledger"),
        ("/users/1/lines?run=faulty", "Run faulty did not load its drop, so it has no lines."),
    ]:
        answer = page.get(address)
        assert (answer.status_code, message in text_of(answer.text)) == (404, True), address


def test_lines_without_the_store(
    page: TestClient, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts that are gone or damaged, and a store that cannot be opened, are said in a sentence."""
    store = tmp_path / "store"
    monkeypatch.setenv("EXPERIMENT_FEATURES_STORE", str(store))
    load_lines(database, tmp_path / "drop", store=store)
    for table in ("users", "compounds"):
        shutil.rmtree(store / table)  # the page's server does not see them
    before = {path: path.stat().st_mtime_ns for path in store.rglob("*")}
    assert page.get("/users/1/lines").status_code == 200
    assert {path: path.stat().st_mtime_ns for path in store.rglob("*")} == before
    part = next(store.glob("user_experiments/*/*.parquet"))
    content = part.read_bytes()
    part.write_bytes(content[:-9] + b"x" + content[-8:])
    for _ in ("damaged", "gone"):
        assert page.get("/users/1/compounds").status_code == 410
        answer = page.get("/users/1/lines")
        assert answer.status_code == 410
        assert "The lines are no longer in the store of parts, or are damaged there" in answer.text
        part.unlink(missing_ok=True)
    for place in ("s3://nobody@laboratory/store", str(tmp_path / "not mounted")):
        monkeypatch.setenv("EXPERIMENT_FEATURES_STORE", place)
        told = trouble("/users/1/lines")
        assert "The store of parts, which has the lines, cannot be read at the moment." in told


def test_lines_from_object_storage(
    page: TestClient,
    database: Database,
    s3: S3Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A store in object storage is read through its Airflow connection; its faults are no loss."""
    quick = {"retries": {"max_attempts": 1}}
    away = s3.connection(endpoint_url="http://127.0.0.1:1", config_kwargs=quick)
    monkeypatch.setenv("AIRFLOW_CONN_LAB", s3.connection())
    monkeypatch.setenv("AIRFLOW_CONN_LAB_AWAY", away)
    monkeypatch.setenv("AIRFLOW_CONN_LAB_OLD_KEY", s3.connection(login="nobody"))
    monkeypatch.setenv("EXPERIMENT_FEATURES_STORE", "s3://lab@laboratory/store")
    load_lines(database, tmp_path / "drop", store=open_place("s3://lab@laboratory/store"))
    assert "120 of 121 rows counted" in text_of(page.get("/users/3/lines").text)
    for connection in ("lab_away", "lab_old_key"):
        monkeypatch.setenv("EXPERIMENT_FEATURES_STORE", f"s3://{connection}@laboratory/store")
        assert "cannot be read at the moment" in trouble("/users/3/lines")
    for key in s3.keys("store"):
        s3.client().delete_object(Bucket=BUCKET, Key=f"store/{key}")
    monkeypatch.setenv("EXPERIMENT_FEATURES_STORE", "s3://lab@laboratory/store")
    assert page.get("/users/3/lines").status_code == 410


def test_download(page: TestClient, database: Database, tmp_path: Path) -> None:
    """The download has every user and feature, with possible formulas in names disarmed."""
    names = {1: "=1+1", 2: "Ann", 3: "a;=HYPERLINK(1)", 4: 'Björn "B", -x', 5: "+49", 6: "@a"}
    experiments = [(2, "1;2", "1.5")]
    run_drop(database, make_drop(names, experiments).write(tmp_path / "drop"))
    answer = page.get("/users.csv")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="user_features.csv"'
    assert answer.content.startswith(b"\xef\xbb\xbfuser_id,user_name,")
    rows = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert [row["user_name"] for row in rows] == [
        *("'=1+1", "Ann", "a;'=HYPERLINK(1)", 'Björn "B",\' -x', "'+49", "'@a")
    ]
    assert rows[1]["total_experiments"] == "1"
    assert rows[1]["average_experiment_run_time"] == "1.5"
    assert rows[1]["most_common_compound_ids"] == "1;2"
    assert rows[0]["most_common_compound_ids"] == ""


FAULTY = Drop(
    (
        Part("users", "", (Row(("1", "Ann", "@zoe", "2024-01-01")), Row(("Zoe", "=Zoe", "", "")))),
        Part("compounds", "", (Row(("1", "Water", "C")),)),
        Part(
            "user_experiments",
            "",
            (
                Row(("1", "1", "1;999", "10,5")),
                Row(("2", "7", "1", "Zoe 1")),
                Row(("3", "1", "Zoe", "-1e3")),
                Row(("4", "1", "1", "Zoe"), "too_many_fields"),
            ),
        ),
    )
)
"""Rows with issues: a person's name stands in some of their cells."""


def issues_in(client: TestClient, address: str) -> list[dict[str, str]]:
    """The rows of a file of issues."""
    answer = client.get(address)
    assert answer.headers["Content-Disposition"] == 'attachment; filename="data_issues.csv"'
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


def test_issues_to_send_back(
    page: TestClient, database: Database, use: Any, tmp_path: Path
) -> None:
    """Readers get ids, compounds and run times; only stewards the rows, if their connection is there."""
    options = {"max_rejected_percent": 100.0, "allow_empty": True}
    run_drop(database, FAULTY.write(tmp_path / "drop"), **options)
    rows = issues_in(page, "/quality.csv?table=user_experiments")
    numbers = ("user_id", "experiment_compound_ids", "experiment_run_time")
    shown = {row["line_number"]: tuple(row[name] for name in numbers) for row in rows}
    assert shown == {
        "2": ("1", "1;999", "10,5"),
        "3": ("7", "1", ""),
        "4": ("1", "", "'-1e3"),
        "5": ("", "", ""),
    }
    assert {row["row_id"] for row in rows if row["line_number"] == "2"} == {"1"}
    steward = make_client(as_steward=True)
    for client in (page, steward):
        assert "Zoe" not in client.get("/quality.csv").text
        assert "zoe" not in client.get("/quality.csv").text
    assert "only stewards get them" in page.get("/quality").text
    use(database.url("steward"), "AIRFLOW_CONN_FEATURES_DB_STEWARD")
    assert "Zoe" not in page.get("/quality.csv").text
    assert "only stewards get them" not in steward.get("/quality").text
    every = issues_in(steward, "/quality.csv")
    query = "select rule, value, raw_row from features.data_issues order by table_name, file_name, "
    for row, issue in zip(every, database.query(query + "line_number, rule"), strict=True):
        assert row["rule"] == issue["rule"]
        assert row["value"] == escape_formulas(issue["value"] or "")
        for name, cell in issue["raw_row"].items():
            assert row[name] == escape_formulas(cell or ""), name
    assert [row["name"] for row in every if row["rule"] == "user_id_invalid"] == ["'=Zoe"]
    of_rule = issues_in(steward, "/quality.csv?table=users&rule=email_invalid&file=users.csv")
    assert [(row["line_number"], row["value"]) for row in of_rule] == [("2", "'@zoe"), ("3", "")]
    (link,) = re.findall('href="[^"]*(/quality.csv[^"]*)"', page.get("/quality?table=users").text)
    assert len(issues_in(page, unescape(link))) == sum(r["table_name"] == "users" for r in every)
    assert page.get("/quality.csv?run=none").status_code == 404


def test_the_message_of_a_failed_run(
    page: TestClient, database: Database, use: Any, tmp_path: Path
) -> None:
    """Only stewards see it, as it may quote a cell."""
    drop = make_drop({1: "Ann"}, [(1, "1", "1")]).write(tmp_path / "drop")
    (drop / "users.csv").write_text("user_id,nom\n1,Zoe\n")
    with pytest.raises(DropRefused):
        run_drop(database, drop, run_id="bad")
    use(database.url("steward"), "AIRFLOW_CONN_FEATURES_DB_STEWARD")
    message = database.value("select message from features.pipeline_runs where run_id = 'bad'")
    assert message not in text_of(page.get("/runs/bad").text)
    steward = make_client(as_steward=True)
    assert message in text_of(steward.get("/runs/bad").text)
    use(database.url("analyst"), "AIRFLOW_CONN_FEATURES_DB_STEWARD")
    for address in ("/runs/bad", "/quality.csv?run=bad"):
        answer = steward.get(address)
        assert (answer.status_code, "lacks the role" in answer.text) == (503, True), address


@pytest.mark.parametrize(
    ("user", "expected"),
    [("ADMIN", True), ("admin", True), ("OP", False), ("VIEWER", False), (None, False)],
)
def test_stewards_of_the_simple_auth_manager(user: str | None, expected: bool) -> None:
    """The role admin, and no other."""
    create_auth_manager()
    assert is_steward(SimpleAuthManagerUser(username="Ann", role=user)) is expected


def test_stewards_of_other_auth_managers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who may read the resource."""
    asked = []

    def is_authorized(**question: Any) -> bool:
        asked.append(question)
        return question["user"] == "Ann"

    manager = SimpleNamespace(is_authorized_custom_view=is_authorized)
    monkeypatch.setattr("features_page.access.get_auth_manager", lambda: manager)
    assert [is_steward(user) for user in ("Ann", "Bo")] == [True, False]  # type: ignore[arg-type]
    question = {"method": "GET", "resource_name": "Experiment features raw rows"}
    assert asked == [question | {"user": "Ann"}, question | {"user": "Bo"}]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("Ann-Lee", "Ann-Lee"),
        ("-", "'-"),
        ("-12,5", "-12,5"),
        ("-12.5", "-12.5"),
        ("-1+1", "'-1+1"),
        ("  =x", "'  =x"),
        ("\uff1dx", "'\uff1dx"),
        ("\t=x", "'\t'=x"),
        ('"=x', "'\"=x"),
        ("a\n=x", "a\n'=x"),
        (" \t=x", " \t'=x"),
        ("\u200b=x", "'\u200b=x"),
        ("\ufeff\x01 @x", "'\ufeff\x01 @x"),
        (-1, -1),
        (None, None),
    ],
)
def test_no_formula(value: Any, written: Any) -> None:
    """What a spreadsheet would run gets an apostrophe; other texts and numbers do not change."""
    assert escape_formulas(value) == written


@pytest.mark.parametrize("part", ["\t", "\n", "\t ", ", ", "; \u200b"])
def test_a_long_cell_is_written_at_once(part: str) -> None:
    """Nothing else runs in the server meanwhile, so a cell may not take a second."""
    started = time.process_time()
    escape_formulas(part * 20_000 + "x")
    assert time.process_time() - started < 0.5


@pytest.mark.parametrize(
    "address",
    [
        *("/compounds?after=x", "/compounds/0"),
        *("/users?after=x", "/users?after=0", f"/users?before={2**63}", "/users/0", "/users/x"),
        *(
            "/users/0/lines",
            "/users/1/lines?compound=x",
            "/users/1/lines?after=-1",
            f"/users/1/lines?before={2**63}",
        ),
        *("/users?sort=user_name", "/users?q=%00", f"/users?q={'x' * 1001}"),
        *("/runs?after=%00", "/quality?after=1", "/quality?after=[1]", "/quality?run=%00"),
        *("/compare?of=runs", "/compare?one=%00", "/over-time?rule=email_invalid"),
        *("/over-time?after=%00", f"/compare?other={'x' * 1001}", "/over-time?rule=%00"),
        *("/changes?of=runs", "/changes?kind=odd", "/changes?after=x", "/changes?after=[1,1,0,1]"),
        *("/drops?mode=odd", "/drops?max_removed_percent=101", "/drops?max_removed_percent=nan"),
        *("/drops?after=-1", "/drops?source=%00"),
        *('/quality?after=["a","b",0,"c"]', '/quality?after=["a","b",1,"\\u0000"]'),
    ],
)
def test_unreadable_address(address: str, empty_page: TestClient) -> None:
    """An invalid address is answered with 422 and a sentence."""
    answer = empty_page.get(address)
    assert answer.status_code == 422
    assert "This address is not valid" in answer.text


ODD = [
    *(
        "%",
        "%s",
        "%(rows)s",
        "100%.csv",
        "_",
        "'",
        '"',
        "\\",
        "{0}",
        "\x1b[2J",
        "\u202e",
        "\U0010ffff",
    ),
    *("9" * 1000, "1e5", "\uff11", "\r\n", '["a"]', '["a","b",1e400,"c"]', "[" * 900),
    *(f'["a","b",{"9" * 900},"c"]', '["%s","\'",1,"\\\\"]', '["\\ud800","b",1,"c"]'),
]
"""What some part of a query could take for more than text."""

ADDRESSES = [
    *("/compounds?q={0}", "/compounds/{0}", "/drops?source={0}", "/drops?after={0}"),
    *("/compare?one={0}&other={0}", "/over-time?after={0}"),
    *("/users?q={0}", "/users?after={0}", "/users/{0}", "/runs/{0}", "/runs?before={0}"),
    *("/users/{0}/compounds", "/quality.csv?run=odd&table={0}&rule={0}&file={0}"),
    *("/changes?run={0}", "/changes?run=odd&feature={0}"),
    "/changes?run=odd&after=[1,0.5,1,%22{0}%22]",
    *(
        "/users/{0}/lines",
        "/users/1/lines?run={0}",
        "/users/1/lines?compound={0}",
        "/users/1/lines?after={0}",
    ),
    *("/quality?run=odd&table={0}&rule={0}&file={0}", "/quality?after={0}", "/quality?run={0}"),
]


@pytest.mark.thorough
def test_odd_values(page: TestClient, database: Database) -> None:
    """Whatever an address contains, it is found, not found or not valid."""
    database.query(ENTER_RUN)
    for odd in [*map(quote, ODD), "%00", "%ff", "%ed%a0%80", "%"]:
        for address in ADDRESSES:
            answer = page.get(address.format(odd))
            assert answer.status_code in (200, 404, 422), (address, odd)


def test_issues_of_oddly_named_files(page: TestClient, database: Database) -> None:
    """The links between the pages of issues lead on and back, whatever files are called."""
    names = ODD[:12]
    database.query(ENTER_RUN)
    database.query(ENTER_ISSUES, names)
    for name in names:
        first = page.get(f"/quality?file={quote(name)}").text
        (following,) = re.findall(r'rel="next" href="[^"?]*([^"]*)"', first)
        second = page.get("/quality" + unescape(following)).text
        (previous,) = re.findall(r'rel="prev" href="[^"?]*([^"]*)"', second)
        assert second.count("<td><code>a rule") == 10, name
        assert page.get("/quality" + unescape(previous)).text.count("<td><code>a rule") == 50, name


@pytest.mark.parametrize(
    "address",
    [
        "/users/9",
        "/compounds/9",
        "/runs/none",
        "/quality?run=none",
        "/static/../app.py",
        "/openapi.json",
    ],
)
def test_not_there(address: str, page: TestClient) -> None:
    """Unknown users, runs and files are answered with 404."""
    assert page.get(address).status_code == 404


def test_nothing_can_be_written(page: TestClient) -> None:
    """The views refuse POST."""
    assert {page.post(view).status_code for view in VIEWS} == {405}


def test_other_dags_have_no_features(page: TestClient) -> None:
    """On other DAGs, where Airflow also shows the tab, the page says there are no features."""
    for address in ("/?dag=other", "/runs/x?dag=other"):
        assert "this DAG has none" in page.get(address).text


def test_headers_of_every_answer(page: TestClient) -> None:
    """A strict policy lets only Airflow frame the page; only static files may be cached."""
    for address in (*VIEWS, "/users.csv", "/users/x", "/none", "/static/page.js"):
        headers = page.get(address).headers
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'self'" in policy
        assert "unsafe" not in policy
        assert headers["X-Content-Type-Options"] == "nosniff"
        kept = "immutable" if "static" in address else "no-store"
        assert kept in headers["Cache-Control"], address


def trouble(address: str = "/") -> str:
    """Asserts that the answer is a 503; returns its text."""
    answer = make_client().get(address)
    assert answer.status_code == 503
    return text_of(answer.text)


@pytest.mark.parametrize("address", [*VIEWS, "/users.csv", "/users/1", "/users/1/lines", "/runs/x"])
def test_unavailable_database(address: str, use: Any) -> None:
    """If the database cannot be reached, the message names no host and no user."""
    use("postgresql://somebody:secret@127.0.0.1:1/nowhere")
    told = trouble(address)
    assert "The features database is not responding. Try again in a moment." in told
    assert not re.search("127.0.0.1|somebody|secret|nowhere", told)


def test_database_that_refuses(database: Database, use: Any) -> None:
    """If the role, the schema or the connection is missing, the message says so."""
    use(database.url("stranger"))
    assert "lacks the role features_reader" in trouble()
    with connect(database.url("keeper")) as owner:
        owner.execute("drop table features.users_by_total_experiments")
    use(database.url("analyst"))
    assert "the schema is missing or outdated" in trouble()
    del os.environ[CONNECTION]
    assert (
        "The Airflow connection features_db_reader, or for stewards features_db_steward"
        in trouble()
    )
