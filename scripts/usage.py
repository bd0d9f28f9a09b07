"""Answers --help for the script beside it that runs: prints its docstring.

Scripts import this first, so that the answer does not depend on what else they import.
"""

import sys
from pathlib import Path
from typing import NoReturn

import __main__


def wrong_usage() -> NoReturn:
    """End the script with its usage line and exit status 1."""
    lines = (__main__.__doc__ or "").splitlines()
    sys.exit(next(line for line in lines if line.startswith("usage:")))


_script = Path(getattr(__main__, "__file__", "")).resolve()
if _script.parent == Path(__file__).resolve().parent and sys.argv[1:] in (["-h"], ["--help"]):
    print((__main__.__doc__ or "").strip())
    sys.exit()
