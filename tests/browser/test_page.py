"""The features page inside Airflow, as people use it."""

import csv
import re
import shutil
import urllib.error
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from playwright.sync_api import Locator, Page, expect

from browser.visitor import PAGE, VIEWS, Visitor
from e2e.local_stack import RUNS, Stack
from failing_run import fail_on_purpose

pytestmark = [
    pytest.mark.xdist_group("operation"),
    pytest.mark.thorough,
    pytest.mark.usefixtures("loaded"),
    pytest.mark.timeout(900),  # each wait has its own timeout
]

Visit = Callable[..., Visitor]

STYLE = """html => {
    const [ground] = [document.body, html]
        .map((element) => getComputedStyle(element).backgroundColor)
        .filter((colour) => colour !== "rgba(0, 0, 0, 0)");
    return [ground, getComputedStyle(document.body).fontFamily];
}"""
"""The ground and the fonts of a document."""

HOSTILE = "<script>document.title='run'</script><img src=x onerror=\"document.title='run'\">"


@pytest.fixture
def hostile_user(stack: Stack) -> Iterator[int]:
    """A user whose name is a script, deleted after the test."""
    with stack.connect("postgres", "experiment_features") as owner:
        owner.execute(
            "insert into features.user_features "
            "(user_id, user_name, total_experiments, run_id, updated_at) "
            "values (666, %s, 0, 'x', now())",
            [HOSTILE],
        )
        yield 666
        owner.execute("delete from features.user_features where user_id = 666")


def test_trigger_and_view_a_run(visit: Visit, stack: Stack) -> None:
    """A user can log in, fill in the form, trigger, open the run's tab and return to Airflow."""
    visitor = visit("")
    page = visitor.page
    visitor.log_in("admin")
    page.goto("/dags/experiment_features")
    page.get_by_role("button", name="Trigger").first.click()
    form = page.get_by_role("dialog")
    expect(form).to_contain_text("empty: the drop of the last load")
    form.get_by_role("button", name="Quality").click()
    expect(form.get_by_label(re.compile("Most rejected rows"))).to_have_attribute(
        "aria-valuemax", "100"
    )
    form.get_by_role("button", name="Run", exact=True).click()
    expect(form).to_contain_text("auto takes DuckDB or, for small drops, pandas")
    force = form.get_by_label("Load an unchanged drop")
    force.press("Space")
    expect(force).to_be_checked()
    with page.expect_response(lambda r: r.url.endswith("/dagRuns") and r.ok) as triggered:
        form.get_by_role("button", name="Trigger").click()
    run_id = triggered.value.json()["dag_run_id"]
    page.goto(f"/dags/experiment_features/runs/{quote(run_id)}")
    assert stack.wait_for_run(run_id)["state"] == "success"
    expect(page.get_by_text("Success", exact=True).first).to_be_visible()

    page.locator('a[href$="/plugin/run-features"]').click()
    expect(visitor.frame.get_by_role("heading", level=1)).to_have_text(run_id)
    expect(visitor.frame.locator(".lead .status")).to_have_text("loaded")
    visitor.frame.get_by_role("link", name="The issues, line by line").click()
    expect(visitor.frame.get_by_role("heading", level=1)).to_have_text("Data quality")
    visitor.frame.get_by_role("link", name=run_id).click()
    visitor.frame.get_by_role("link", name="Open in Airflow").click()
    run_in_airflow = re.compile(f"/dags/experiment_features/runs/{re.escape(quote(run_id))}$")
    page.wait_for_url(run_in_airflow, wait_until="commit")
    (entry,) = stack.query(
        "select trigger, status from features.pipeline_runs where run_id = %s", run_id
    )
    assert (entry["trigger"], entry["status"]) == ("manual", "loaded")


def test_navigation_opens_the_page_in_the_frame(visit: Visit, stack: Stack) -> None:
    """The figures in Airflow's frame match the database; a view survives a reload."""
    visitor = visit("admin")
    visitor.page.goto("/")
    visitor.page.get_by_role("link", name="Features", exact=True).click()
    figures = visitor.frame.locator(".figures dd")
    (known,) = stack.query(
        "select count(*) as users, sum(total_experiments) as experiments, "
        "avg(total_experiments) as average, (select compound_name from features.compound_features "
        "order by total_experiments desc, compound_id limit 1) as compound "
        "from features.user_features"
    )
    expect(figures).to_have_text(
        [
            str(known["users"]),
            str(known["experiments"]),
            f"{known['average']:.2f}",
            known["compound"],
        ]
    )
    expect(visitor.frame.locator(".plot canvas").first).to_be_visible()
    visitor.frame.get_by_role("link", name="Users", exact=True).click()
    visitor.page.wait_for_url(re.compile(f"/plugin/experiment-features{PAGE}/users$"))
    visitor.page.reload()
    expect(visitor.frame.get_by_role("heading", level=1)).to_have_text("Users")


def test_dag_tab(visit: Visit) -> None:
    """The DAG has a tab with the page, whose link to the Trigger button leaves the frame."""
    visitor = visit("admin")
    visitor.page.goto("/dags/experiment_features")
    visitor.page.locator('a[href$="/plugin/features"]').click()
    visitor.frame.get_by_role("link", name="Open the DAG to trigger a run").click()
    visitor.page.wait_for_url(re.compile("/dags/experiment_features$"), wait_until="commit")


def test_tabs_keep_the_view(visit: Visit) -> None:
    """In the DAG's tab, a view survives a reload; its address can be copied, and opens anywhere."""
    visitor = visit("admin")
    visitor.page.goto("/dags/experiment_features")
    visitor.page.locator('a[href$="/plugin/features"]').click()
    visitor.frame.get_by_role("link", name="Users", exact=True).click()
    visitor.frame.get_by_role("link", name="Experiments", exact=True).click()
    view = "/users?sort=experiments&descending=true"
    visitor.page.wait_for_url(re.compile(re.escape(f"/plugin/features#{view}") + "$"))
    visitor.page.reload()
    chosen = visitor.frame.locator('th[aria-sort="descending"]')
    expect(chosen).to_have_text("Experiments")
    visitor.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    visitor.frame.get_by_role("button", name="Copy link").click()
    expect(visitor.frame.get_by_role("button", name="Copied")).to_be_visible()
    assert visitor.page.evaluate("navigator.clipboard.readText()").endswith(PAGE + view)


@pytest.mark.parametrize(("theme", "width"), [("light", 1440), ("dark", 390)])
def test_answers_are_three_clicks_away(theme: str, width: int, visit: Visit, stack: Stack) -> None:
    """From Airflow's home: who ran most, on which lines, what became of the newest drop, all issues."""
    most = stack.query("select max(total_experiments) from features.user_features")[0]["max"]
    (newest,) = stack.query(
        "select run_id from features.pipeline_runs order by started_at desc, run_id desc limit 1"
    )
    visitor = visit("viewer", viewport={"width": width, "height": 900})
    visitor.page.add_init_script(f"localStorage.setItem('theme', '{theme}')")
    frame = visitor.frame

    def click(*links: Locator) -> None:
        visitor.page.goto("/")
        visitor.page.get_by_role("link", name="Features", exact=True).click()
        for link in links:
            link.click()

    rows = frame.locator("tbody tr")
    click(
        frame.get_by_role("link", name="Users", exact=True),
        frame.get_by_role("link", name="Experiments", exact=True),
    )
    expect(rows.first).to_contain_text(f"{most}")
    first = rows.first.get_by_role("link", name="line by line").first
    click(frame.get_by_role("link", name="Users", exact=True), first)
    expect(frame.get_by_role("heading", level=1)).to_have_text(re.compile("Lines of user"))
    click(frame.get_by_label("State").get_by_role("link").first)
    expect(frame.get_by_role("heading", level=1)).to_have_text(newest["run_id"])
    with visitor.page.expect_download() as download:
        click(
            frame.get_by_role("link", name="Data quality", exact=True),
            frame.get_by_role("link", name="Download all as CSV"),
        )
    issues = stack.query("select count(*) from features.latest_data_issues")[0]["count"]
    with Path(download.value.path()).open(encoding="utf-8-sig", newline="") as file:
        assert len([*csv.DictReader(file)]) == issues


def test_search_and_user(visit: Visit, stack: Stack) -> None:
    """A user can be found by the start of the name, using only the keyboard."""
    (known,) = stack.query("select * from features.user_features where user_id = 2")
    page = visit("viewer").open("/users")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.get_by_role("searchbox").focus()
    page.keyboard.type(known["user_name"][:4].upper())
    page.keyboard.press("Enter")
    page.get_by_role("link", name=known["user_name"]).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(known["user_name"])
    expect(page.locator(".figures dd").first).to_have_text(str(known["total_experiments"]))
    expect(page.locator(".ties li")).to_have_count(len(known["most_common_compound_ids"]))


@pytest.mark.parametrize(("address", "width"), [("/users/1", 1440), ("/users", 390)])
def test_the_meaning_of_a_figure(address: str, width: int, visit: Visit) -> None:
    """The keyboard opens and closes it, within the screen; it is part of the button for all."""
    visitor = visit("viewer", viewport={"width": width, "height": 900})
    page = visitor.open(address)
    button = page.get_by_role("button", name="What it means: Experiments", exact=True)
    meaning = page.get_by_text("How many experiments the user ran; 0 if none.")
    expect(button).to_have_accessible_description(meaning.text_content() or "")
    expect(meaning).to_be_hidden()
    button.focus()
    page.keyboard.press("Enter")
    expect(meaning).to_be_in_viewport(ratio=1)
    visitor.assert_accessible()
    page.keyboard.press("Escape")
    expect(meaning).to_be_hidden()
    expect(button).to_be_focused()


def test_issue(page: Page, stack: Stack) -> None:
    """An issue can be found by its rule; file and line are shown, but not the faulty value."""
    (issue,) = stack.query(
        "select distinct rule, file_name, line_number from features.data_issues "
        "where rule = 'email_invalid'"
    )
    page.goto(f"{PAGE}/quality")
    page.get_by_role("link", name="email_invalid").click()
    row = page.get_by_role("region", name="Issues", exact=True).locator("tbody tr")
    expect(row).to_have_count(1)
    expect(row).to_contain_text(f"{issue['file_name']}")
    expect(row).to_contain_text(str(issue["line_number"]))
    with stack.connect("postgres", "experiment_features") as owner:
        query = "select value from features.data_issues where rule = 'email_invalid' limit 1"
        value = owner.execute(query).fetchall()[0]["value"]
    assert value
    assert value not in page.content()


def test_download(visit: Visit, stack: Stack) -> None:
    """The button in Airflow's frame downloads all users."""
    visitor = visit("viewer")
    visitor.page.goto(f"/plugin/experiment-features{PAGE}/users")
    with visitor.page.expect_download() as download:
        visitor.frame.get_by_role("link", name="Download all as CSV").click()
    assert download.value.suggested_filename == "user_features.csv"
    with Path(download.value.path()).open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    users = stack.query("select user_id, total_experiments from features.user_features order by 1")
    assert [(int(row["user_id"]), int(row["total_experiments"])) for row in rows] == [
        (user["user_id"], user["total_experiments"]) for user in users
    ]


def test_what_a_run_changed(visit: Visit) -> None:
    """Three clicks from Airflow's home lead to the compounds that the newest load changed."""
    visitor = visit("viewer")
    visitor.page.goto("/")
    visitor.page.get_by_role("link", name="Features", exact=True).click()
    visitor.frame.get_by_role("link", name="What changed").click()
    expect(visitor.frame.get_by_role("heading", level=1)).to_have_text("What changed")
    relations = visitor.frame.get_by_role("navigation", name="Relation")
    relations.get_by_role("link", name="Compounds").click()
    visitor.page.wait_for_url(re.compile("/changes.*of=compounds"))
    expect(relations.locator("[aria-current]")).to_have_text("Compounds")


def test_compare_two_compounds(visit: Visit) -> None:
    """Three clicks from Airflow's home, two names and Enter; the address alone shows it again."""
    visitor = visit("viewer")
    visitor.page.goto("/")
    visitor.page.get_by_role("link", name="Features", exact=True).click()
    visitor.frame.get_by_role("link", name="Compounds", exact=True).click()
    visitor.frame.get_by_role("link", name="Compare two").click()
    visitor.frame.get_by_label("First compound").fill("aspirin")
    visitor.frame.get_by_label("Second compound").fill("caff")
    visitor.page.keyboard.press("Enter")
    visitor.page.wait_for_url(re.compile("/compare.*one=aspirin.*other=caff"))
    both = visitor.frame.get_by_role("region", name="Features of both")
    expect(both.get_by_role("columnheader")).to_have_text(
        ["Feature", re.compile("Aspirin"), re.compile("Caffeine"), "Difference"]
    )
    expect(visitor.frame.locator(".plot canvas").first).to_be_visible()
    page = visitor.open("/compare?one=a")
    expect(page.get_by_role("heading", name="Users that match “a”")).to_be_visible()
    visitor.assert_accessible()


def test_over_time_leads_to_a_run_by_keyboard(visit: Visit) -> None:
    """What a click on a point does, the table below the charts does, too."""
    page = visit("viewer").open("/over-time")
    expect(page.locator(".plot canvas")).to_have_count(3 + 6)
    page.locator("summary").press("Enter")
    run = page.locator("#loads a.id").first
    run_id = run.inner_text()
    run.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(run_id)


def test_only_stewards_get_the_rows(visit: Visit, stack: Stack) -> None:
    """The file of the issues has the faulty values for an administrator, but not for a viewer."""
    address = f"{PAGE}/quality.csv?rule=email_invalid"
    files = [visit(user).page.request.get(address).text() for user in ("admin", "viewer")]
    with stack.connect("postgres", "experiment_features") as owner:
        query = "select value from features.latest_data_issues where rule = 'email_invalid' limit 1"
        value = owner.execute(query).fetchall()[0]["value"]
    assert [value in file for file in files] == [True, False]


def test_script_in_a_name_stays_text(page: Page, hostile_user: int) -> None:
    """A script in a user's name is displayed, not run."""
    for address in ("/users?sort=id&descending=true", f"/users/{hostile_user}"):
        page.goto(PAGE + address)
        expect(page.get_by_text(HOSTILE).first).to_be_visible()
        assert "run" not in page.title()


def test_viewer_may_look_but_not_trigger(visit: Visit, stack: Stack) -> None:
    """A viewer sees the page without a link to trigger runs, and Airflow refuses to run any."""
    page = visit("viewer").open("/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Overview")
    expect(page.get_by_role("link", name="Open the DAG to trigger a run")).to_have_count(0)
    for address in VIEWS:
        assert page.request.get(PAGE + address).status == 200, address
    run = {"logical_date": None, "conf": {}}
    with pytest.raises(urllib.error.HTTPError, match="403"):
        stack.call(RUNS, run, cookie=stack.token("viewer"))


@pytest.mark.parametrize("cookie", ["", "e30.e30.e30"], ids=["none", "forged"])
def test_nothing_is_shown_without_a_login(cookie: str, visit: Visit, stack: Stack) -> None:
    """Without a login, every address is refused and shows no data."""
    visitor = visit("")
    names = [
        user["user_name"] for user in stack.query("select user_name from features.user_features")
    ]
    for address in [
        *VIEWS,
        "/users.csv",
        "/compounds.csv",
        "/changes.csv",
        "/quality.csv",
        "/health",
        "/runs/x",
    ]:
        answer = visitor.page.request.get(PAGE + address, headers={"Cookie": f"_token={cookie}"})
        assert answer.status in (401, 403), address
        assert not [name for name in names if name in answer.text()]


def test_a_shared_address_leads_to_the_login_and_back(visit: Visit, stack: Stack) -> None:
    """Whoever opens an address without being logged in sees it after the login."""
    page = visit("").page
    page.goto(f"{PAGE}/users?q=amara")
    page.locator("input[name=username]").fill("viewer")
    page.locator("input[name=password]").fill(stack.password("viewer"))
    page.locator("button[type=submit]").click()
    page.wait_for_url(re.compile(re.escape(f"{PAGE}/users?q=amara")))
    expect(page.get_by_role("link", name="Amara Okafor")).to_be_visible()


def test_looks_like_airflow(visit: Visit) -> None:
    """Ground and font are Airflow's own, and its navigation shows the page's icon."""
    visitor = visit("admin")
    for theme in ("light", "dark"):
        visitor.page.add_init_script(f"localStorage.setItem('theme', '{theme}')")
        visitor.page.goto(f"/plugin/experiment-features{PAGE}/")
        visitor.frame.get_by_role("heading", level=1).wait_for()
        expect(visitor.page.locator('img[src*="static/icon"]').first).to_be_visible()
        airflows = visitor.page.locator("html").evaluate(STYLE)
        assert visitor.frame.locator("html").evaluate(STYLE) == airflows


def test_theme_follows_airflow(visit: Visit) -> None:
    """Switching the theme in Airflow switches it in the frame at once."""
    visitor = visit("admin")
    visitor.page.goto(f"/plugin/experiment-features{PAGE}/")
    visitor.frame.locator(".plot canvas").first.wait_for()
    for theme in ("dark", "light"):
        visitor.page.evaluate(f"localStorage.setItem('theme', '{theme}')")
        expect(visitor.frame.locator("html")).to_have_css("color-scheme", theme)


def test_unavailable_database_is_explained(stack: Stack, visit: Visit) -> None:
    """Without its database, the page answers 503 with a sentence that names no role."""
    visitor = visit("admin")
    with stack.without_features_database():
        answer: Any = visitor.page.request.get(f"{PAGE}/users")
    assert answer.status == 503
    assert "The features database" in answer.text()
    assert "features_reader@" not in answer.text()


@pytest.mark.usefixtures("browser")
def test_a_failing_test_leaves_what_explains_it(stack: Stack, tmp_path: Path) -> None:
    """The folder that its message names has a picture of the page, beside what the stack left."""
    failure = fail_on_purpose(tmp_path, stack, visits="/users")
    left = failure / "2_Visitor"
    assert (left / "page.png").read_bytes().startswith(b"\x89PNG")
    assert "Amara Okafor" in (left / "page.html").read_text()
    assert "/experiment-features/users" in (left / "faults.txt").read_text()
    assert list(failure.glob("*/*.error")) == []
    shutil.rmtree(failure)
