"""Writes a drop (see drops.py) in another form: its rows as they are, or some of them odd.

python -m benchmarks.forms DROP FOLDER FORM
"""

import gzip
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

ODD_ROWS = " % odd rows"
"""A form: of a hundred rows of experiments, so many are odd."""

FORMS = ("gz", "zst", "padded", "quoted", f"1{ODD_ROWS}")

_ODD: tuple[Callable[[list[str]], list[str]], ...] = (
    lambda cells: [*cells[:2], f'"{cells[2]}"', cells[3]],
    lambda cells: [*cells[:3], f"+{cells[3]}"],
    lambda cells: [cells[0], "999999999", *cells[2:]],  # no such user
    lambda cells: [*cells[:3], "n/a"],  # no number
)


def write_form(drop: Path, folder: Path, form: str) -> None:
    """Writes the files of a drop to a new folder, in one of FORMS."""
    folder.mkdir()
    for source in drop.glob("*.csv"):
        suffix = f".{form}" if form in ("gz", "zst") else ""
        with source.open("rb") as rows, _open(folder / (source.name + suffix), suffix) as target:
            if suffix:
                shutil.copyfileobj(rows, target, 2**20)
            else:
                lines = (line.decode().rstrip("\n") for line in rows)
                is_odd = form.endswith(ODD_ROWS) and source.name.startswith("user_experiments")
                every = 100 // int(form.removesuffix(ODD_ROWS)) if is_odd else 0
                target.writelines(line.encode() + b"\n" for line in _written(lines, form, every))


def _open(path: Path, suffix: str) -> IO[bytes]:
    if suffix == ".gz":
        return gzip.open(path, "wb", 6)
    if suffix == ".zst":
        import pyarrow as pa  # here: the measuring process must stay small

        return pa.output_stream(path, compression="zstd")  # type: ignore[no-any-return]
    return path.open("wb")


def _written(lines: Iterable[str], form: str, every: int) -> Iterator[str]:
    """The lines in a form; one in ``every`` is odd."""
    for number, line in enumerate(lines):
        if form == "padded":
            yield line.replace(",", " , ")
        elif form == "quoted":
            yield '"' + line.replace(",", '","') + '"'
        elif every and number and number % every == 0:
            yield ",".join(_ODD[number // every % len(_ODD)](line.split(",")))
        else:
            yield line


if __name__ == "__main__":
    write_form(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
