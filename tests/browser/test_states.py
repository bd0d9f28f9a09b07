"""Every view in every state of the ledger, on a database of its own; no stack has to run."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from browser.visitor import PAGE, VIEWS
from drops import Drop, Part, Row
from experiment_features.errors import TerminalError
from integration.running import extract_drop, make_drop, make_pipeline, run_stages
from integration.servers import Database, Server
from page_app import make_page, serving

USERS = dict.fromkeys(range(1, 51), "Ann")
FIRST = make_drop(USERS | {5: ""}, [(1, "1;2", "10"), (2, "1", "20")])
DELTA = Drop((Part("users", "", (Row(("2", "Bob", "nobody", "2024-01-01")),)),))
FEWER = make_drop({2: "Bob"}, [(2, "1", "10")])

Prepare = Callable[[Database, Path], None]


def load(
    database: Database, folder: Path, *, drop: Drop, mode: str = "snapshot", most: float = 100
) -> None:
    """Runs all stages, whether they load the drop or not."""
    source = drop.write(folder / "drop")
    pipeline = make_pipeline(
        database, folder, mode=mode, max_rejected_percent=50, max_removed_percent=most
    )
    with suppress(TerminalError):
        run_stages(pipeline, lambda: pipeline.extract(source))


def refuse(database: Database, folder: Path) -> None:
    """Runs the first stage on an empty folder."""
    with suppress(TerminalError):
        extract_drop(make_pipeline(database, folder), folder)


STATES: dict[str, tuple[Prepare | None, str | None, bool, str, int]] = {
    "empty": (None, None, True, "light", 1440),
    "one_run": (partial(load, drop=FIRST), "loaded", False, "dark", 390),
    "newest_refused": (refuse, "refused", True, "dark", 1440),
    "held": (partial(load, drop=FEWER, most=20), "held", True, "light", 390),
    "delta": (partial(load, drop=DELTA, mode="delta"), "loaded", False, "light", 1440),
    "gone_user": (partial(load, drop=FEWER), "loaded", True, "dark", 390),
}
"""By state, what leads to it from the one before, how that run ends, whether the visitor is a
steward, the theme, and the width."""

NEXT_RUN = datetime(2027, 1, 1, tzinfo=UTC)
LATEST = "select run_id, status from features.pipeline_runs order by started_at desc limit 1"


def test_every_view_is_accessible(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In Airflow's theme, without a finding of axe, an error or a bar to scroll sideways."""
    server = Server("18")
    try:
        with server.database("states") as database:
            for role, user in (("READER", "analyst"), ("STEWARD", "steward")):
                url = database.url(user).replace("ql", "", 1)
                monkeypatch.setenv(f"AIRFLOW_CONN_FEATURES_DB_{role}", url)
            for name, (prepare, status, as_steward, theme, width) in STATES.items():
                if prepare:
                    folder = tmp_path / name
                    folder.mkdir()
                    prepare(database, folder)
                latest = database.query(LATEST)
                assert [run["status"] for run in latest] == ([status] if prepare else [])
                addresses = [*VIEWS, "/users?q=nobody"]
                addresses += [f"/runs/{quote(run['run_id'])}" for run in latest]
                page = make_page(
                    may_trigger_runs=as_steward, as_steward=as_steward, next_run=NEXT_RUN
                )
                with serving(page, PAGE) as url:
                    visit_all(browser, [url + address for address in addresses], theme, width, name)
    finally:
        server.close()


def visit_all(
    browser: Browser, addresses: Sequence[str], theme: str, width: int, state: str
) -> None:
    """Asserts what the test says, of one state; what is folded is opened before."""
    faults: list[str] = []
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    page.on("pageerror", lambda error: faults.append(str(error)))
    for address in addresses:
        answer = page.goto(address)
        assert answer
        assert answer.status in (200, 404), (state, address)
        expect(page.locator("html")).to_have_css("color-scheme", theme)
        for details in page.locator("summary").all():
            details.click()
        found = Axe().run(page).response["violations"]
        assert found == [], (state, address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, (state, address)
    page.close()
    assert faults == [], state
