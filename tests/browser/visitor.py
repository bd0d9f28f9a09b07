"""A browser page that records its errors and its requests to other hosts."""

from collections.abc import Callable
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import ConsoleMessage, FrameLocator, Page, Request

from e2e.local_stack import Stack

# Chromium's warning about how Airflow frames the pages of plugins.
AIRFLOWS_OWN = "An iframe which has both allow-scripts and allow-same-origin"

PAGE = "/experiment-features"

VIEWS = [
    "/",
    "/compounds",
    "/compounds/1",
    "/users",
    "/users/1",
    "/users/1/lines",
    "/users/1/compounds",
    "/changes",
    "/compare?one=1&other=2",
    "/over-time",
    "/quality",
    "/drops",
    "/runs",
]


class Visitor:
    """A person using a browser."""

    def __init__(self, page: Page, stack: Stack) -> None:
        """Records from the first request on."""
        self.page = page
        self.stack = stack
        self.faults: list[str] = []
        self.foreign_requests: list[str] = []
        page.on("console", self._note_message)
        page.on("pageerror", lambda error: self.faults.append(f"exception: {error}"))
        page.on("request", self._note_request)

    def evidence(self) -> dict[str, Callable[[Path], object]]:
        """What the visitor saw: the picture of the page, its address, and its faults."""
        told = [self.page.url, *self.faults, *self.foreign_requests]
        return {
            "page.png": lambda to: self.page.screenshot(path=to),
            "page.html": lambda to: to.write_text(self.page.content()),
            "faults.txt": lambda to: to.write_text("\n".join(told)),
        }

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not message.text.startswith(AIRFLOWS_OWN):
            self.faults.append(f"{message.type}: {message.text} ({message.location['url']})")

    def _note_request(self, request: Request) -> None:
        here = (self.stack.url, "data:", f"blob:{self.stack.url}")
        if not request.url.startswith(here):
            self.foreign_requests.append(request.url)

    def log_in(self, user: str) -> None:
        """Enters name and password in Airflow's login form."""
        self.page.goto("/auth/login?next=/")
        self.page.locator("input[name=username]").fill(user)
        self.page.locator("input[name=password]").fill(self.stack.password(user))
        self.page.locator("button[type=submit]").click()
        self.page.get_by_role("link", name="Dags", exact=True).wait_for()

    def open(self, address: str = "/") -> Page:
        """Opens a view of the features page, outside Airflow's frame."""
        self.page.goto(PAGE + address)
        return self.page

    @property
    def frame(self) -> FrameLocator:
        """The features page in Airflow's frame."""
        return self.page.frame_locator(f'iframe[src*="{PAGE[1:]}"]')

    def assert_accessible(self) -> None:
        """Asserts that axe-core finds nothing."""
        told = [
            f"{fault['id']}: {node['html'][:200]} {node.get('failureSummary', '')}"
            for fault in Axe().run(self.page).response["violations"]
            for node in fault["nodes"]
        ]
        assert told == [], self.page.url
