"""Chromium, for tests of the running stack."""

import os
import shutil
from collections.abc import Callable, Generator, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

import evidence
from browser.visitor import Visitor
from e2e.local_stack import Stack

CHROMIUMS = ("chromium", "google-chrome")
"""The names on Debian and on GitHub's runners."""

# Chromium cannot sandbox root, and must not call home while a test counts foreign requests.
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
"""Milliseconds; ample, because the machine may be busy."""

expect.set_options(TIMEOUT)

NETWORK_CHANGED = "ERR_NETWORK_CHANGED"
"""Chromium aborts all loading when a network address appears or disappears, as happens whenever
other tests start or stop a container."""


class NetworkChangedError(Exception):
    """A test failed after Chromium had aborted loading."""


def pytest_itemcollected(item: pytest.Item) -> None:
    """Reruns tests that failed for this reason, but no others."""
    reasons = [NETWORK_CHANGED, NetworkChangedError]
    item.add_marker(pytest.mark.flaky(reruns=3, only_rerun=reasons))


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Fails a test in which a visitor noticed a fault, while evidence.py can still see the page.

    Raises NetworkChangedError for any failure in a test in which Chromium aborted loading.
    """
    visitors: list[Visitor] = pyfuncitem.funcargs.get("visitors", [])
    try:
        answer = yield
        for visitor in visitors:
            assert visitor.faults == []
            assert visitor.foreign_requests == []
    except Exception as error:
        if any(NETWORK_CHANGED in fault for visitor in visitors for fault in visitor.faults):
            raise NetworkChangedError from error
        raise
    else:
        return answer


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; if it is missing, these tests are skipped, or fail in CI.

    It closes after each module, because nothing else in the process can use asyncio meanwhile.
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
    """All visitors that this test has opened."""
    return []


@pytest.fixture
def visit(
    browser: Browser, stack: Stack, visitors: list[Visitor]
) -> Iterator[Callable[..., Visitor]]:
    """Opens the browser as one of the stack's users."""
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
        evidence.WITNESSES.append(visitors[-1])
        return visitors[-1]

    yield open_for
    for visitor in visitors:
        evidence.WITNESSES.remove(visitor)
    for context in contexts:
        context.close()


@pytest.fixture
def page(visit: Callable[..., Visitor]) -> Page:
    """A browser page of an administrator, outside Airflow's frame."""
    return visit("admin").page
