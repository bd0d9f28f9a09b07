"""The view of drops: what became of each, and Load, as people use it inside Airflow."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Route, expect

from browser.visitor import PAGE, Visitor
from e2e.local_stack import RUNS, SAMPLE, Stack
from experiment_features.drop.arrival import state_key

pytestmark = [
    pytest.mark.xdist_group("operation"),
    pytest.mark.thorough,
    pytest.mark.usefixtures("loaded"),
    pytest.mark.timeout(900),  # each wait has its own timeout
]

Visit = Callable[..., Visitor]

ANNOUNCE = """
insert into asset_event (asset_id, extra, source_map_index, timestamp)
select id, %s, -1, now() from asset where name = 'laboratory_drops'
"""
NOTE = """
insert into asset_state_store (asset_id, key, value, updated_at)
select id, %s, %s, now() from asset where name = 'laboratory_drops'
"""
ENTER = """
insert into features.pipeline_runs (
    run_id, trigger, source, source_files, parameters, definition_version, status, started_at,
    finished_at
)
values ('held run', 'asset', '/test/1', '[]', '{"mode": "auto"}', 1, 'held', now(), now())
"""
FORGET = [
    "delete from asset_event where extra::text like '%%/test/%%'",
    "delete from asset_state_store where key like '/test/%%'",
]


@pytest.fixture
def arrived(stack: Stack) -> Iterator[None]:
    """A drop that was held, one that waits for it, a new one, and events that name none."""
    waiting = {"stamp": "1", "run_id": "skipped run", "is_waiting": True}
    drops: list[Any] = [
        *({"source": source, "stamp": "1"} for source in ("/test/2", "/test/3")),
        *({"source": f"/test/{odd}"} for odd in ("\ud800", "\0", "x" * 5000)),
        *(5, None, {"source": "", "of": "/test/"}, {"source": 7, "of": "/test/"}),
    ]
    with (
        stack.connect("airflow", "airflow") as airflow,
        stack.connect("postgres", "experiment_features") as features,
    ):
        for drop in drops:
            airflow.execute(ANNOUNCE, [json.dumps({"payload": drop, "from": "/test/"})])
        airflow.execute(NOTE, [state_key("/test/2"), json.dumps(waiting)])
        airflow.execute(NOTE, ["/test/1", json.dumps({"stamp": "1", "run_id": "held run"})])
        airflow.execute(NOTE, ["/test/9", json.dumps(["is_waiting"])])
        features.execute(ENTER)
        yield
        features.execute("delete from features.pipeline_runs where run_id = 'held run'")
        for statement in FORGET:
            airflow.execute(statement)


def told(visitor: Visitor, address: str = "/drops") -> list[list[str]]:
    """The cells of the test's drops in the view."""
    rows = visitor.open(address).locator(".drops tbody tr", has_text="/test/").all()
    return [
        [" ".join((cell.text_content() or "").split()) for cell in row.locator("th, td").all()]
        for row in rows
    ]


@pytest.mark.usefixtures("arrived")
def test_what_became_of_each_drop(visit: Visit) -> None:
    """New, waiting and held drops are told apart; a reader sees the same without any button."""
    admin, viewer = visit("admin"), visit("viewer")
    shown = told(admin)
    assert [row[:2] for row in shown] == [
        ["/test/2", "waiting for 1, which was held"],
        ["/test/3", "new announced, and not yet taken by a run"],
        ["/test/1", "held what would have gone"],
    ]
    assert [row[3:] for row in shown] == [
        ["held run", "Load"],
        ["–", "Load"],
        ["held run", "Accept"],
    ]
    assert [row[:2] for row in told(viewer)] == [row[:2] for row in shown]
    expect(viewer.page.get_by_role("heading", name="Load a drop")).to_have_count(0)
    expect(viewer.page.locator("main").get_by_role("button")).to_have_count(0)
    expect(viewer.page.locator("main .button")).to_have_count(0)


@pytest.mark.usefixtures("arrived")
@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 390)])
def test_drops_are_accessible(theme: str, width: int, visit: Visit) -> None:
    """In every state, with the form filled in to accept a drop, and as a reader sees it."""
    for user, address in (
        ("admin", "/drops?source=/test/1&max_removed_percent=100"),
        ("viewer", "/drops"),
    ):
        visitor = visit(user, viewport={"width": width, "height": 900})
        visitor.page.add_init_script(f"localStorage.setItem('theme', '{theme}')")
        page = visitor.open(address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        visitor.assert_accessible()


def test_load_a_drop(visit: Visit, stack: Stack) -> None:
    """Three clicks and Enter start a run with the visitor's own rights; the address alone does not."""
    visitor = visit("admin")
    page, frame = visitor.page, visitor.frame
    page.goto("/")
    posted: list[str] = []
    page.on("request", lambda request: request.method == "POST" and posted.append(request.url))
    with stack.paused():
        page.get_by_role("link", name="Features", exact=True).click()
        frame.get_by_role("link", name="Drops", exact=True).click()
        frame.get_by_role("link", name=f"Load {SAMPLE.name}").click()
        button = frame.get_by_role("button", name="Load", exact=True)
        expect(button).to_be_focused()
        expect(frame.get_by_label("Source")).to_have_value(str(SAMPLE))
        assert posted == []
        page.keyboard.press("Enter")
        run = frame.get_by_role("status").get_by_role("link")
        run_id = run.text_content() or ""
        expect(frame.get_by_role("status")).to_contain_text("Airflow has queued the run manual__")
        try:
            (started,) = [
                each
                for each in stack.call(f"{RUNS}?state=queued", cookie=stack.token())["dag_runs"]
                if each["dag_run_id"] == run_id
            ]
            assert started["triggering_user_name"] == "admin"
            assert started["conf"] == {
                "source": str(SAMPLE),
                "mode": "auto",
                "max_rejected_percent": 10,
                "max_removed_percent": 20,
                "allow_empty": False,
                "engine": "auto",
                "force": False,
            }
            run.click()
            expect(frame.get_by_text("This one has not begun yet")).to_be_visible()
        finally:
            page.request.delete(f"{RUNS}/{quote(run_id)}")
    assert [Path(url).name for url in posted] == ["dagRuns"]
    assert all("404" in fault for fault in visitor.faults)  # the run that has not begun
    visitor.faults.clear()


def test_another_site_cannot_load(visit: Visit) -> None:
    """What a form of another site can send, even with the visitor's cookie, starts nothing."""
    request = visit("admin").page.request
    run = json.dumps({"logical_date": None, "conf": {"engine": "abacus"}})
    answers = [
        request.post(RUNS, data=run, headers={"Content-Type": kind}).status
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json")
    ]
    assert answers == [422, 422, 400]  # only the last is read, and has a wrong engine
    asked = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    allowed = request.fetch(RUNS, method="OPTIONS", headers=asked).headers
    assert "access-control-allow-origin" not in allowed


def test_what_airflow_refuses(visit: Visit) -> None:
    """Each answer of Airflow's is told in plain words; nothing that it says is taken for HTML."""
    visitor = visit("admin")
    page = visitor.open("/drops")
    status, button = page.get_by_role("status"), page.get_by_role("button", name="Load", exact=True)
    page.get_by_text("More parameters").click()
    percent = page.get_by_label("Most removed (%)")
    percent.fill("101")
    button.click()
    expect(status).to_be_hidden()  # the browser asks for at most 100
    percent.evaluate("field => field.removeAttribute('max')")
    button.click()
    expect(status).to_have_text(
        "Nothing was started. Airflow does not accept the parameters: Invalid input for param "
        "max_removed_percent: 101 is greater than the maximum of 100. The latest runs"
    )
    answers: dict[int, tuple[Any, str]] = {
        401: ("Not authenticated", "Your login has expired: reload the page to log in again."),
        403: ("Forbidden", "You are not allowed to start runs of this DAG"),
        404: ("not found", "Airflow does not know the DAG"),
        409: ("Already exists", "Airflow has such a run already."),
        422: ([{"loc": ["body", "conf"], "msg": "<b>no</b>"}], "parameters: conf: <b>no</b>."),
        500: (None, "Airflow failed (status 500)."),
    }

    def answer(route: Route) -> None:
        route.fulfill(status=code, json={"detail": detail}) if code else route.abort()

    page.route(re.compile(re.escape(RUNS)), answer)
    for code, (detail, sentence) in answers.items():  # noqa: B007  (answer sees them)
        button.click()
        expect(status).to_contain_text(sentence)
        expect(status).to_contain_text("Nothing was started.")
        expect(button).to_be_enabled()
    code = 0
    button.click()
    expect(status).to_contain_text("Airflow did not answer.")
    expect(status.get_by_role("link")).to_have_attribute("href", f"{PAGE}/runs")
    visitor.assert_accessible()
    assert all("Failed to load resource" in fault for fault in visitor.faults)
    visitor.faults.clear()
