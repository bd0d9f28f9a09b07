"""Writes the tables that documents take from the code: input, rules, features, settings and so on.

usage: scripts/write_docs.py      (with .venv/bin/python and PYTHONPATH=include)

A section of a page is written anew between `<!-- NAME: written by scripts/write_docs.py -->` and
`<!-- end -->`; .env.example is written whole. tests/unit/test_written_documents.py fails while
any of them is stale.
"""

import usage

# isort: split
import ast
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import MISSING, dataclass, fields
from functools import partial
from pathlib import Path
from textwrap import wrap

from experiment_features.config import Settings
from experiment_features.contract import ALL_TABLES, BY_PRODUCTS, Table
from experiment_features.definitions import RELATIONS, RUN_FIGURES, Feature
from experiment_features.rules.rules import RULES, rules_of
from experiment_features.run import Run

ROOT = Path(__file__).resolve().parents[1]
SECTION = re.compile(
    r"(<!-- ([a-z_ -]+): written by scripts/write_docs\.py -->\n).*?(<!-- end -->)", re.DOTALL
)


@dataclass(frozen=True)
class Setting:
    """An environment variable, as people read about it; without an example, .env leaves it out."""

    name: str
    default: str
    meaning: str
    example: str = ""


SETTINGS_OF_SCRIPTS = (
    Setting(
        "AIRFLOW_PORT",
        "8080",
        "The port on which Airflow's UI and API listen, for this machine only.",
        "8081",
    ),
    Setting(
        "EXPERIMENT_FEATURES_LOCAL",
        ".local",
        "The folder that holds the local stack's databases, logs and secrets; an absolute path.",
        "/path/to/state",
    ),
    Setting(
        "EXPERIMENT_FEATURES_DROPS", "drops", "With Docker: the folder of drops.", "/data/drops"
    ),
    Setting(
        "EXPERIMENT_FEATURES_SECRETS",
        ".secrets",
        "With Docker: the folder of secrets.",
        "/path/to/secrets",
    ),
    Setting(
        "EXPERIMENT_FEATURES_TARGET",
        "the stack that is running",
        "Which stack the scripts use when both are running: local or docker.",
        "local",
    ),
    Setting(
        "AIRFLOW_URL",
        "the stack that is running",
        "The Airflow in which scripts/trigger_etl.sh starts runs.",
        "https://airflow.example.org",
    ),
    Setting(
        "AIRFLOW_USER",
        "admin; with Docker, api",
        "The account that scripts/trigger_etl.sh logs in with.",
        "admin",
    ),
    Setting(
        "AIRFLOW_PASSWORD",
        "that of the running stack",
        "The password of that account.",
        "secret",
    ),
    Setting(
        "DATABASE_URL",
        "",
        "The database of the command line, unless it is given as --database-url. "
        "scripts/features.sh uses the running stack's by default.",
    ),
    Setting(
        "PYTHON",
        "that which `.venv` has, or the newest that is installed",
        "The interpreter from which scripts/setup.sh makes .venv. Set it in the environment.",
    ),
)

ENV_EXAMPLE_HEADER = """\
# Settings of the scripts and the pipeline, written by scripts/write_docs.py. Copy this file to .env
# and uncomment what you want to change. A running stack keeps its settings: run scripts/stop.sh
# before a change and scripts/start.sh after it; with Docker, scripts/start_docker.sh after it.
# Variables of the environment take precedence. Put a value with a $, or with a blank and a #, into
# single quotes: Docker Compose's rules apply.
"""


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A table in Markdown."""
    head, *body = (f"| {' | '.join(line)} |" for line in (header, *rows))
    return "\n".join([head, "|" + "---|" * len(header), *body])


def code(text: str) -> str:
    """The text in the type of code; nothing when it is empty."""
    return f"`{text}`" if text else ""


def input_and_rules() -> str:
    """Each table's columns and rules, after the rules that all tables share."""
    shared = {rule.name: rule.message for rule in RULES if rule.column is None}
    rows = ((code(name), "error", message) for name, message in shared.items())
    parts = ["### Every table", table(("rule", "severity", "broken when"), rows)]
    for each in ALL_TABLES:
        parts += [f"### {each}", columns_of(each), own_rules_of(each, shared)]
    return "\n\n".join(parts)


def columns_of(of: Table) -> str:
    """The columns of a table."""
    rows = (
        (code(c.name), c.kind.value + "; optional" * c.is_optional, c.description)
        for c in of.columns
    )
    return table(("column", "holds", "meaning"), rows)


def own_rules_of(of: Table, shared: Iterable[str]) -> str:
    """The rules of a table, but for those that all tables share."""
    rows = (
        (code(rule.name), rule.severity, code(rule.column or ""), rule.message)
        for rule in rules_of(of)
        if rule.name not in shared
    )
    return table(("rule", "severity", "column", "broken when"), rows)


def by_products() -> str:
    """The names of files that are ignored beside those of a drop."""
    rows = ((origin, ", ".join(map(code, patterns))) for origin, patterns in BY_PRODUCTS.items())
    return table(("left by", "names, in upper or lower case"), rows)


def features_table(features: Iterable[Feature]) -> str:
    """Features with their meanings."""
    rows = ((code(f.name), f.sql_type, f.unit, f.meaning) for f in features)
    return table(("column", "type", "unit", "meaning"), rows)


def parameters() -> str:
    """The parameters of the DAG, read from its file without importing Airflow."""
    text = (ROOT / "dags" / "features_dag.py").read_text(encoding="utf-8")
    (found,) = (
        node.value
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "PARAMETERS"
    )
    rows = []
    for name, param in zip(found.keys, found.values, strict=True):
        options = {option.arg: option.value for option in param.keywords}
        rows.append((code(name.value), _default(param.args[0]), options["description"].value))
    return table(("parameter", "default", "meaning"), rows)


def _default(node: ast.expr) -> str:
    """The default of a parameter: a constant, or that of a field of Run."""
    match node:
        case ast.Constant(value):
            return code(str(value).lower())
        case ast.Attribute(ast.Name("Run"), field):
            return code(str(getattr(Run, field)).lower()) or "empty"
        case _:
            raise ValueError(f"no default is known for {ast.unparse(node)}")


def settings_of_pipeline() -> Iterator[Setting]:
    """The settings, as the fields of `Settings` describe them."""
    for field in fields(Settings):
        default = "" if field.default is MISSING else str(field.default)
        yield Setting(**{"default": default, **field.metadata})


def settings_table(settings: Iterable[Setting]) -> str:
    """Settings with their defaults."""
    rows = ((code(s.name), s.default, s.meaning) for s in settings)
    return table(("variable", "default", "meaning"), rows)


def env_example() -> str:
    """The file .env.example."""
    parts = [ENV_EXAMPLE_HEADER]
    for setting in (*SETTINGS_OF_SCRIPTS, *settings_of_pipeline()):
        if setting.example:
            default = f" Default: {setting.default}." if setting.default else ""
            lines = wrap(setting.meaning + default, 98, break_on_hyphens=False)
            comment = "".join(f"# {line}\n" for line in lines)
            parts.append(f"{comment}#{setting.name}={setting.example}\n")
    return "\n".join(parts)


SECTIONS: dict[str, Callable[[], str]] = {
    "by-products": by_products,
    "input and rules": input_and_rules,
    "parameters": parameters,
    "settings of the pipeline": lambda: settings_table(settings_of_pipeline()),
    "settings of the scripts": lambda: settings_table(SETTINGS_OF_SCRIPTS),
    "figures of a run": partial(features_table, RUN_FIGURES.values()),
    **{relation.name: partial(features_table, relation.features) for relation in RELATIONS},
}


def renewed(page: str) -> str:
    """The page with each of its sections written anew."""
    return SECTION.sub(lambda found: f"{found[1]}\n{SECTIONS[found[2]]()}\n\n{found[3]}", page)


def documents() -> dict[Path, str]:
    """Every document with a part that is written, and what it should say."""
    pages = {path: path.read_text(encoding="utf-8") for path in ROOT.glob("docs/*.md")}
    written = {path: renewed(text) for path, text in pages.items() if SECTION.search(text)}
    return {**written, ROOT / ".env.example": env_example()}


if __name__ == "__main__":
    if len(sys.argv) > 1:
        usage.wrong_usage()
    for path, text in documents().items():
        path.write_text(text, encoding="utf-8")
