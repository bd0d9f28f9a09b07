"""The charts of page.js, on tables that a test makes; no stack has to run."""

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from features_page.rendering import STATIC

PERIODS = """
<table id="periods"><thead><tr><th>From</th><th>To</th><th>Experiments</th></tr></thead><tbody>
{}</tbody></table>
<figure class="plot"><output></output><div data-table="periods" data-column="2" data-kind="steps"
  data-unit="experiments" data-x="" style="height: 200px"></div></figure>
"""
PERIOD = """
<tr><td><time datetime="2026-01-{:02}T00:00:00+00:00"></time></td>
<td>{}</td><td data-value="{}"></td></tr>
"""
BARS = """
<table id="bars"><thead><tr><th>Experiments</th><th>Users</th></tr></thead><tbody>{}</tbody></table>
<figure class="plot"><output></output><div data-table="bars" data-column="1" data-kind="bars"
  data-unit="users" data-x="experiments" style="height: 200px"></div></figure>
"""
LOADS = """
<table id="loads"><thead><tr><th>Started</th><th>Users</th><th>Run</th></tr></thead><tbody>{}</tbody></table>
<figure class="plot"><output></output><div data-table="loads" data-column="1" data-kind="line"
  data-unit="users" data-x="" style="height: 200px; width: 500px"></div></figure>
"""
LOAD = """
<tr><td><time datetime="2026-01-{:02}T00:00:00+00:00"></time></td>
<td{}></td><td><a class="id" href="http://page/runs/{}"></a></td></tr>
"""


def draw(browser: Browser, html: str, *, width: int = 600) -> Any:
    """Opens a page with a table and its chart; gives what was drawn, and its labels below."""
    page = open_page(browser, html, width=width)
    try:
        return page.evaluate(
            """() => {
                const box = document.querySelector(".plot [data-table]");
                const labels = [];
                const fill = CanvasRenderingContext2D.prototype.fillText;
                CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
                    labels.push(text);
                    return fill.call(this, text, ...place);
                };
                draw(box);
                return new Promise((done) => setTimeout(() => done({
                    points: read(box).map((point) => [Math.round(point.x), point.y, point.label]),
                    labels,
                })));
            }"""
        )
    finally:
        page.close()


def open_page(browser: Browser, html: str, *, width: int = 600) -> Page:
    """Opens a page with a table and its chart."""
    page = browser.new_page(viewport={"width": width, "height": 600})
    # Airflow's theme is in the local storage, which a page without an address lacks.
    page.route("http://page/**", lambda route: route.fulfill(body="<!doctype html><body>"))
    page.goto("http://page/")
    page.set_content(html)
    for name in ("uplot.min.js", "page.js"):
        page.add_script_tag(path=STATIC[name])
    return page


def test_two_histories_in_one_chart(browser: Browser) -> None:
    """Each line keeps its own gaps; where only the other has a point, a line has its last value."""

    def period(begin: int, end: int, value: int) -> str:
        return PERIOD.format(
            begin, f'<time datetime="2026-01-{end:02}T00:00:00+00:00"></time>', value
        )

    html = PERIODS.format(period(1, 4, 5)) + PERIODS.replace("periods", "others").format(
        period(6, 8, 3) + period(2, 3, 7)
    )
    html = html.replace('data-table="periods"', 'data-table="periods others"')
    page = open_page(browser, html)
    try:
        data = page.evaluate(
            """() => {
                const box = document.querySelector('[data-table="periods others"]');
                draw(box);
                const { data } = drawn.get(box);
                return data[0].map((x, at) => [x, valueAt(data[1], at), valueAt(data[2], at)]);
            }"""
        )
    finally:
        page.close()
    assert [(x, one, other) for x, one, other in data if x == round(x)] == [
        (day(1), 5, None),
        (day(2), 5, 7),
        (day(3), 5, None),
        (day(4), None, None),
        (day(6), None, 3),
        (day(8), None, None),
    ]


def test_a_point_leads_to_its_run(browser: Browser) -> None:
    """A click on a point opens the run; a run without the figure interrupts no line."""
    rows = [(3, ' data-value="9"', "c"), (2, "", "b"), (1, ' data-value="5"', "a")]
    page = open_page(browser, LOADS.format("".join(LOAD.format(*row) for row in rows)))
    try:
        box = page.locator(".plot [data-table]")
        page.add_style_tag(path=STATIC["uplot.min.css"])
        page.evaluate("draw(document.querySelector('.plot [data-table]'))")
        over = box.locator(".u-over").bounding_box()
        assert over
        page.mouse.move(over["x"] + over["width"] - 2, over["y"] + 50)
        expect(page.locator("output")).to_have_text("3 Jan 2026, 00:00:00 UTC: 9 users")
        page.mouse.click(over["x"] + over["width"] - 2, over["y"] + 50)
        page.wait_for_url("http://page/runs/c")
    finally:
        page.close()


def test_one_point_is_in_the_middle_of_a_day(browser: Browser) -> None:
    """Else, its chart would have an axis of years."""
    labels = draw(browser, LOADS.format(LOAD.format(3, ' data-value="5"', "a")))["labels"]
    assert {"2 Jan", "3 Jan", "12:00"} <= set(labels)


def day(number: int) -> int:
    """The beginning of a day of January 2026, in seconds."""
    return 1_767_225_600 + 86_400 * (number - 1)


def test_periods_end_where_they_end(browser: Browser) -> None:
    """Nothing is drawn between two stays or after the last, and a short stay is a line."""
    stays = [(1, 2, 5), (2, 4, 7), (6, 7, 1), (9, 10, 2)]
    rows = [
        PERIOD.format(begin, f'<time datetime="2026-01-{end:02}T00:00:00+00:00"></time>', value)
        for begin, end, value in reversed(stays)
    ]
    points = draw(browser, PERIODS.format("".join(rows)))["points"]
    assert [(x, y) for x, y, _ in points] == [
        *((day(1), 5), (day(2), 5), (day(2), 7), (day(4), 7), (day(4), None)),
        *((day(6), 1), (day(7), 1), (day(7), None)),
        *((day(9), 2), (day(10), 2), (day(10), None)),
    ]


def test_a_period_that_lasts_is_drawn_until_now(browser: Browser) -> None:
    """The period without an end goes on."""
    points = draw(browser, PERIODS.format(PERIOD.format(1, "now", 5)))["points"]
    assert points[1][0] > day(300)
    assert points[1][1] == 5


@pytest.mark.parametrize(("count", "width"), [(30, 600), (29, 320), (7, 600)])
def test_bars_have_room_for_their_labels(count: int, width: int, browser: Browser) -> None:
    """The last bar has a label, labels keep apart, and both axes have names."""
    names = [f"{50_000 * n:,}\u2013{50_000 * n + 49_999:,}" for n in range(count)]
    rows = [f"<tr><th>{name}</th><td data-value='{n}'></td></tr>" for n, name in enumerate(names)]
    drawn = draw(browser, BARS.format("".join(rows)), width=width)
    shown = [label for label in drawn["labels"] if label in names]
    assert shown[-1] == names[-1]
    assert 1 <= len(shown) <= width / 100
    assert {"experiments", "users"} <= set(drawn["labels"])
    assert drawn["points"][1][2] == f"{names[1]} experiments"
