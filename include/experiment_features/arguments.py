"""The arguments of the command line."""

import argparse
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiment_features import version
from experiment_features.contract import MODES
from experiment_features.engines.choose import ENGINES
from experiment_features.errors import ConfigurationError
from experiment_features.output import writing_result
from experiment_features.places import local_path
from experiment_features.run import Run
from experiment_features.visible_text import shown

_RUN_ID = "the id of a run"


def make_parser() -> argparse.ArgumentParser:
    """The commands and their options; ``command`` names the one that is given."""
    parser = argparse.ArgumentParser(
        prog="experiment_features",
        description="The pipeline without Airflow, for development, benchmarks and one-off loads.",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show version and commit")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    database = argparse.ArgumentParser(add_help=False)
    database.add_argument(
        "--database-url",
        type=_url,
        metavar="URL",
        default=os.environ.get("DATABASE_URL", "").strip() or None,
        help="postgresql://user@host/database, or set DATABASE_URL",
    )

    removal = argparse.ArgumentParser(add_help=False)
    removal.add_argument(
        "--max-removed-percent",
        type=_percent,
        default=Run.max_removed_percent,
        metavar="N",
        help="hold a load if it would remove more than N percent of the users, compounds or "
        "experiments (default: %(default)g)",
    )

    drop = argparse.ArgumentParser(add_help=False, parents=[removal])
    drop.add_argument(
        "source",
        type=_not_empty("a folder or URI"),
        help="the drop's folder: a path, or a URI such as s3://bucket/key",
    )
    drop.add_argument(
        "--mode",
        choices=MODES,
        default=Run.mode,
        help="whether the drop is everything, or only what has changed; auto: a snapshot, unless "
        "its manifest says otherwise",
    )
    drop.add_argument(
        "--engine", choices=ENGINES, default="auto", help="the engine that computes the features"
    )
    drop.add_argument(
        "--max-rejected-percent",
        type=_percent,
        default=Run.max_rejected_percent,
        metavar="N",
        help="refuse a drop if more than N percent of a table's rows are faulty "
        "(default: %(default)g)",
    )
    drop.add_argument("--allow-empty", action="store_true", help="accept tables without rows")

    run = commands.add_parser("run", parents=[drop, database], help="load a drop")
    run.add_argument("--force", action="store_true", help="load an unchanged drop again")
    run.add_argument(
        "--dry-run", action="store_true", help="show what a load would do, without doing it"
    )
    run.add_argument("--json", action="store_true", help="print the result as JSON")
    run.set_defaults(fail=run.error)

    judge = commands.add_parser("check", parents=[drop], help="show what loading a drop would do")
    judge.add_argument(
        "--database-url",
        type=_url,
        metavar="URL",
        help="also show whether a load would be held (DATABASE_URL is not used for this)",
    )
    judge.add_argument("--json", action="store_true", help="print everything as JSON")
    judge.add_argument(
        "--csv", type=_csv_file, metavar="FILE", help="write all issues to a CSV file"
    )
    judge.set_defaults(fail=judge.error)

    _add_load_commands(commands, database, removal)
    upgrade = commands.add_parser(
        "migrate", parents=[database], help="create or upgrade the schema"
    )
    upgrade.add_argument(
        "--adopt-store",
        action="store_true",
        help="take over the parts of the database that this one was copied from and replaces",
    )
    upgrade.set_defaults(fail=upgrade.error)
    return parser


def _add_load_commands(
    commands: Any, database: argparse.ArgumentParser, removal: argparse.ArgumentParser
) -> None:
    """Adds the commands about loads."""
    parents = [argparse.ArgumentParser(add_help=False), database]
    parents[0].add_argument("--json", action="store_true", help="print one JSON object")

    trace = commands.add_parser(
        "trace", parents=parents, help="show the lines that a user's features are made of"
    )
    trace.add_argument("user_id", type=_id, metavar="USER_ID")
    trace.add_argument(
        "--compound", type=_id, metavar="ID", help="show only the lines with this compound"
    )
    trace.add_argument(
        "--run",
        type=_not_empty(_RUN_ID),
        metavar="RUN",
        help="trace the load of this run (default: the last load)",
    )

    reproduce = commands.add_parser(
        "reproduce", parents=parents, help="compute an earlier load again, and compare"
    )
    reproduce.add_argument(
        "run", type=_not_empty(_RUN_ID), metavar="RUN", help="the run that loaded it"
    )
    reproduce.add_argument("--engine", choices=ENGINES, help="default: the engine of that run")

    restore = commands.add_parser(
        "restore", parents=[*parents, removal], help="load again what an earlier run had loaded"
    )
    restore.add_argument(
        "run", type=_not_empty(_RUN_ID), metavar="RUN", help="the run that loaded it"
    )
    restore.add_argument(
        "--dry-run", action="store_true", help="show what a load would do, without doing it"
    )
    state = commands.add_parser(
        "state", parents=parents, help="show the last load, its files and the size of the store"
    )
    ways = state.add_mutually_exclusive_group()
    ways.add_argument(
        "--verify",
        action="store_true",
        help="compute what is in force as a whole, and compare the database with it",
    )
    ways.add_argument(
        "--export",
        type=_folder,
        metavar="FOLDER",
        help="write what is in force to an empty or new folder, as CSV that loads to the same",
    )

    store = commands.add_parser("store", help="manage the store of parts")
    actions = store.add_subparsers(required=True, metavar="ACTION", dest="action")
    prune = actions.add_parser(
        "prune", parents=[database], help="remove at once the parts that only older runs need"
    )
    prune.add_argument("--yes", action="store_true", help="do not ask")
    for command in (trace, reproduce, restore, state, prune):
        command.set_defaults(fail=command.error)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        with writing_result():
            sys.stdout.write(f"{parser.prog} {version.describe()}\n")
        parser.exit()


def _not_empty(what: str) -> Callable[[str], str]:
    def given(text: str) -> str:
        if not text:
            raise argparse.ArgumentTypeError(f"it is empty: expected {what}")
        return text

    return given


def _url(text: str) -> str:
    return _not_empty("a URL")(text.strip())


def _csv_file(text: str) -> Path:
    return Path(_not_empty("a file")(text))


def _folder(text: str) -> Path:
    try:
        return local_path(_not_empty("a folder")(text), "FOLDER")
    except ConfigurationError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _id(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and 1 <= int(text) < 2**63):
        raise argparse.ArgumentTypeError(
            f"{shown(text)} is not a whole number from 1 to {2**63 - 1}"
        )
    return int(text)


def _percent(text: str) -> float:
    # float() alone would also take 1_0, digits of other scripts, and -0.
    if not re.fullmatch("[0-9]+([.][0-9]*)?|[.][0-9]+", text) or float(text) > 100:
        raise argparse.ArgumentTypeError(f"{shown(text)} is not a number from 0 to 100")
    return float(text)
