"""What the command line writes to standard output and standard error, which may be full or closed.

terminal.py is imported only where it is needed, because many runs have no terminal.
"""

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from experiment_features.errors import WorkspaceUnavailable
from experiment_features.visible_text import escape


class _OneLine(logging.Formatter):
    """Prevents quoted text from looking like another message."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """The record's message, with terminal control characters escaped."""
        return escape(super().formatMessage(record))


def log_handler() -> logging.Handler:
    """Writes the log to standard error."""
    handler: logging.Handler = logging.StreamHandler()
    if sys.stderr.isatty():
        from experiment_features import terminal

        handler = terminal.log_handler()
    handler.setFormatter(_OneLine())
    return handler


def complain(what: str, message: object) -> None:
    """Prints an error."""
    from experiment_features import terminal

    with suppress(OSError):  # if it cannot be printed, the exit status still reports it
        terminal.complain(what, message)


@contextmanager
def writing_result() -> Iterator[None]:
    """Writes all that is printed within.

    Raises:
        WorkspaceUnavailable: standard output takes no more, because its disk is full.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        pass  # the reader has closed the pipe
    except OSError as error:
        raise WorkspaceUnavailable(
            f"the result cannot be written to standard output ({error.strerror}), but the "
            "command has completed its work: free disk space"
        ) from error


def print_json(value: Mapping[str, Any]) -> None:
    """Prints one object on one line."""
    sys.stdout.write(json.dumps(value) + "\n")
