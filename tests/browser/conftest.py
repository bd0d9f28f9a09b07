"""Chromium before the running stack."""

import os
import shutil
from collections.abc import Callable, Generator, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from browser.visitor import Visitor
from e2e.local_stack import Stack

CHROMIUMS = ("chromium", "google-chrome")
"""Debian's, and the one that GitHub's machines bring."""

# Root has no sandbox; and a browser that calls home would spoil the test that nothing leaves.
OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

TIMEOUT = 60_000
"""Milliseconds, for whatever should be there at once: the machine may have much else to do."""

expect.set_options(TIMEOUT)

NETWORK_CHANGED = "ERR_NETWORK_CHANGED"
"""Chromium drops all that it loads when an address of the machine comes or goes, as they do with
every container that other tests start beside these."""


class NetworkChangedError(Exception):
    """A test failed after Chromium had dropped what it loaded."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Has tests tried again that failed for this, and for nothing else."""
    reasons = [NETWORK_CHANGED, NetworkChangedError]
    item.add_marker(pytest.mark.flaky(reruns=3, only_rerun=reasons))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Tells a failure that follows from the dropped ones, whatever then was missing, from others."""
    try:
        return (yield)
    except Exception as error:
        visitors: list[Visitor] = pyfuncitem.funcargs.get("visitors", [])
        if any(NETWORK_CHANGED in fault for visitor in visitors for fault in visitor.faults):
            raise NetworkChangedError from error
        raise


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, without which these tests are skipped, but never in CI.

    It ends with them: while Playwright runs, nothing else in the process can use asyncio.
    """
    chromium = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    if not chromium:
        message = "Chromium is not installed (Debian: apt install chromium)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def visitors() -> list[Visitor]:
    """All who have visited the stack in this test."""
    return []


@pytest.fixture
def visit(
    browser: Browser, stack: Stack, visitors: list[Visitor]
) -> Iterator[Callable[..., Visitor]]:
    """Opens a browser for one of the stack's users; all that is faulty in it fails the test."""
    contexts: list[BrowserContext] = []

    def open_for(user: str, **options: object) -> Visitor:
        options = {"viewport": {"width": 1280, "height": 900}, "base_url": stack.url, **options}
        context = browser.new_context(**options)  # type: ignore[arg-type]
        context.set_default_timeout(TIMEOUT)
        if user:
            token = stack.token(user)
            context.add_cookies([{"name": "_token", "value": token, "url": stack.url}])
        contexts.append(context)
        visitors.append(Visitor(context.new_page(), stack))
        return visitors[-1]

    yield open_for
    for context in contexts:
        context.close()
    for visitor in visitors:
        assert visitor.faults == []
        assert visitor.foreign_requests == []


@pytest.fixture
def page(visit: Callable[..., Visitor]) -> Page:
    """The page of an administrator, outside of Airflow's frame."""
    return visit("admin").page
