"""The arguments of the command line."""

import argparse
import os
import sys
from pathlib import Path

from experiment_features import version
from experiment_features.engines.choose import ENGINES
from experiment_features.run import Run


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
        metavar="URL",
        default=os.environ.get("DATABASE_URL"),
        help="postgresql://user@host/database, or set DATABASE_URL",
    )

    drop = argparse.ArgumentParser(add_help=False)
    drop.add_argument(
        "source", type=_given, help="the drop's folder: a path, or a URI such as s3://bucket/key"
    )
    drop.add_argument(
        "--engine", choices=ENGINES, default="auto", help="the engine that computes the features"
    )
    drop.add_argument(
        "--max-rejected-percent",
        type=_percent,
        default=Run.max_rejected_percent,
        metavar="N",
        help="refuse a drop if more than N percent of a table's rows are faulty (default: 10)",
    )
    drop.add_argument(
        "--max-removed-percent",
        type=_percent,
        default=Run.max_removed_percent,
        metavar="N",
        help="hold a load if it would remove more than N percent of the users, compounds or "
        "experiments (default: 20)",
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
        metavar="URL",
        help="also show whether a load would be held (DATABASE_URL is not used for this)",
    )
    judge.add_argument("--json", action="store_true", help="print everything as JSON")
    judge.add_argument("--csv", type=Path, metavar="FILE", help="write all issues to a CSV file")
    judge.set_defaults(fail=judge.error)

    upgrade = commands.add_parser(
        "migrate", parents=[database], help="create or upgrade the schema"
    )
    upgrade.add_argument(
        "--adopt-store",
        action="store_true",
        help="take over the parts of the database of which this is a copy, because it is gone",
    )
    upgrade.set_defaults(fail=upgrade.error)
    return parser


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        sys.stdout.write(f"{parser.prog} {version.describe()}\n")
        parser.exit()


def _given(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("it is empty: expected a folder or URI")
    return text


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 to 100") from None
    if not 0 <= value <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 100")
    return value
