"""Renders responses: templates, number and time formats, headers, static files."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import Request
from fastapi.responses import FileResponse, HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from experiment_features.contract import USER_EXPERIMENTS
from experiment_features.definitions import RUN_FIGURES, RUN_TIME_UNIT
from experiment_features.rules.rules import rules_of
from experiment_features.rules.validate import ALWAYS_TAKEN
from experiment_features.visible_text import escape
from features_page.access import DAG_ID

_FOLDER = Path(__file__).parent

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Sent with every response: only the page's own scripts run, and only Airflow may frame it."""

STATIC = {path.name: path for path in (_FOLDER / "static").iterdir()}
_VERSION = hashlib.sha256(b"".join(path.read_bytes() for path in STATIC.values())).hexdigest()[:12]

_PREFIX_OF_APP = "/experiment-features"


def render(
    request: Request, template: str, *, status: int = 200, active: str = "", **values: Any
) -> HTMLResponse:
    """A page from a template; ``active`` is the tab that it belongs to."""
    html = _environment.get_template(template).render(
        page=address_of_page(request),
        airflow=address_of_airflow(request),
        version=_VERSION,
        dag_id=DAG_ID,
        active=active,
        freshness=getattr(request.state, "freshness", None),
        run_time_unit=getattr(request.state, "run_time_unit", ""),
        **values,
    )
    return HTMLResponse(html, status_code=status, headers=HEADERS)


def show_nothing_yet(request: Request, title: str, active: str, may_trigger: bool) -> Response:
    """A view before the first load."""
    return render(request, "nothing_yet.html", active=active, title=title, may_trigger=may_trigger)


def address_of_page(request: Request) -> str:
    """Where Airflow serves the page: a path without a slash at its end."""
    return str(request.scope.get("root_path", "")).rstrip("/")


def address_of_airflow(request: Request) -> str:
    """The path of Airflow itself, without a slash at its end."""
    return address_of_page(request).removesuffix(_PREFIX_OF_APP)


def static_file(name: str) -> Response | None:
    """One of the page's own files; browsers may cache it, as its address changes with it."""
    if name not in STATIC:
        return None
    caching = {"Cache-Control": "public, max-age=31536000, immutable"}
    return FileResponse(STATIC[name], headers=HEADERS | caching)


def _number(value: float | None, digits: int = 0) -> str:
    """A number with digit grouping and that many decimals; a dash for None."""
    return "–" if value is None else f"{value:,.{digits}f}"


def _percent(share: float | None) -> str:
    """A share in percent; a small one never looks like zero."""
    if share is None:
        return "–"
    if 0 < share < 0.0001:
        return "< 0.01 %"
    return f"{share:.2%}".replace("%", " %")


def _duration(seconds: float | None) -> str:
    """Seconds in readable units."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 48 * 60:
        return f"{minutes // (24 * 60)} days"
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def _time(moment: datetime, *, seconds: bool = False) -> str:
    """A moment in UTC, as in Airflow's logs."""
    return f"{moment.astimezone(UTC):{'%Y-%m-%d %H:%M:%S' if seconds else '%Y-%m-%d %H:%M'}}"


def _size(size: int | None) -> str:
    """Bytes in readable units."""
    if size is None:
        return "–"
    amount, units = float(size), iter(("bytes", "kB", "MB", "GB"))
    unit = next(units)
    while amount >= 1000 and (larger := next(units, None)):
        amount, unit = amount / 1000, larger
    return f"{amount:,.0f} {unit}" if unit == "bytes" else f"{amount:,.1f} {unit}"


def _query(**values: Any) -> str:
    """The query string of an address, without empty values."""
    query = urlencode({name: value for name, value in values.items() if value not in (None, "")})
    return f"?{query}" if query else ""


def _visible(value: Any) -> Any:
    """A text from outside with escapes for invisible characters, which could disguise a name."""
    return escape(value) if isinstance(value, str) and not isinstance(value, Markup) else value


_environment = Environment(
    loader=FileSystemLoader(_FOLDER / "templates"),
    autoescape=True,
    finalize=_visible,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {
    "number": _number,
    "percent": _percent,
    "duration": _duration,
    "time": _time,
    "size": _size,
    "last_folder": lambda path: path.rstrip("/").rpartition("/")[2],
    "in_path": lambda text: quote(text, safe=""),
}
_environment.globals |= {
    "query": _query,
    "always_taken": ALWAYS_TAKEN,
    "of_run": RUN_FIGURES,
    "own_unit": RUN_TIME_UNIT,
    "rules": {rule.name: rule.message for rule in rules_of(USER_EXPERIMENTS)},
}
