"""Screenshots of the real page for the README and the docs.

The test always takes them; with PICTURES=1, it saves them in the documentation:

    PICTURES=1 scripts/test.sh tests/browser/test_pictures.py
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from browser.visitor import PAGE, Visitor
from e2e.local_stack import ROOT, Stack

pytestmark = [
    pytest.mark.xdist_group("operation"),
    pytest.mark.thorough,
    pytest.mark.timeout(900),
]

IMAGES = ROOT / "docs" / "images"
MOST_BYTES = 300_000

# A month of daily runs and a user with some history, which the other tests do not produce.
FURNISH = """
insert into features.pipeline_runs
select
    'scheduled__' || to_char(day, 'YYYY-MM-DD') || 'T02:00:00+00:00', 'scheduled',
    '/data/drops/' || to_char(day, 'YYYY-MM-DD'),
    jsonb_build_array(jsonb_build_object('rows', 240 + 4 * n + 9 * (n % 7))), '{}', 'pandas', 1,
    case when n % 11 = 6 then 'rejected' else 'loaded' end,
    40, 294, 12, 294 / 40.0::double precision, (array[9, 7, 8, 5, 12, 6, 4])[1 + n % 7]
    + case when n % 11 = 6 then 34 else 0 end, 2, 0, 3, 0, 37,
    day - (4 + n % 5 / 2.0) * interval '1 second', day
from generate_series(1, 30) as n,
    lateral (select now() + (n - 30) * interval '1 day' as day) as days;
insert into features.user_features_past
select
    user_id, user_name, total_experiments - 9 + n, average_experiment_run_time * (0.8 + n % 3 / 9.0),
    1 + n / 6.0, most_common_compound_id, most_common_compound_name, 1, most_common_compound_ids,
    'scheduled__' || to_char(day, 'YYYY-MM-DD') || 'T02:00:00+00:00', day, day + interval '4 days'
from features.user_features,
    generate_series(1, 8) as n,
    lateral (select updated_at + (n - 9) * interval '4 days' as day) as days
where user_id = 10
"""
CLEAR = """
delete from features.pipeline_runs where run_id like 'scheduled\\_\\_%T02:00:00+00:00';
delete from features.user_features_past where user_id = 10 and run_id like 'scheduled%'
"""


@pytest.fixture
def run_id(stack: Stack, loaded: dict[str, Any]) -> Iterator[str]:
    """The first run's id, in a database that looks a month old."""
    with stack.connect("postgres", "experiment_features") as owner:
        owner.execute(FURNISH)
        yield loaded["run_id"]
        owner.execute(CLEAR)


def test_pictures(run_id: str, visit: Callable[..., Visitor], tmp_path: Path) -> None:
    """Each screenshot is small enough to be kept in the repository."""
    folder = IMAGES if os.environ.get("PICTURES") else tmp_path
    folder.mkdir(exist_ok=True)
    addresses = {
        "user": "/users/10",
        "quality_dark": f"/quality?run={run_id}",
        "overview_phone": "/",
    }
    for name, address in {"overview": "/", **addresses}.items():
        size = {"width": 1280, "height": 1165 if name == "overview" else 900}
        if "phone" in name:
            size = {"width": 390, "height": 760}
        page = visit("admin", viewport=size).page
        theme = "dark" if "dark" in name else "light"
        page.add_init_script(f"localStorage.setItem('theme', '{theme}')")
        in_airflow = name == "overview"
        page.goto(f"/plugin/experiment-features{PAGE}/" if in_airflow else PAGE + address)
        place = page.frame_locator("iframe") if in_airflow else page
        place.get_by_role("heading", level=1).wait_for()
        if "quality" not in name:
            place.locator(".plot canvas").first.wait_for()
        picture = folder / f"{name}.png"
        page.screenshot(path=picture, animations="disabled")
        assert picture.stat().st_size < MOST_BYTES, name
