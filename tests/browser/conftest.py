"""Chromium, for tests of the running stack."""

import os
from collections.abc import Callable, Generator, Iterator

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

import evidence
from browser import chromium
from browser.visitor import Visitor
from e2e.local_stack import Stack

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


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Generator[None, object, object]:
    """Fails a test in which a visitor noticed a fault, while evidence.py can still see the page."""
    answer = yield
    visitors: list[Visitor] = pyfuncitem.funcargs.get("visitors", [])
    for visitor in visitors:
        assert visitor.faults == []
        assert visitor.foreign_requests == []
    return answer


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium; if it is missing, these tests are skipped, or fail in CI.

    It closes after each module, because nothing else in the process can use asyncio meanwhile.
    """
    if not chromium.find():
        message = "Chromium is not installed (Debian: apt install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.__file__, args=OPTIONS)
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
