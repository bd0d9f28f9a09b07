"""Everything that can go wrong, by whether trying again helps.

    PipelineError
    ├── TerminalError            trying again cannot help
    │   ├── ConfigurationError   a parameter or setting is wrong: correct it
    │   ├── DatabaseRefused      PostgreSQL lacks the schema or a privilege, or refuses the data
    │   └── DropRefused          the input is wrong: correct the drop
    │       └── DropRejected     too many of its rows are faulty
    └── TransientError           trying again may help
        ├── DatabaseUnavailable  PostgreSQL is down or busy, or the connection was lost
        ├── EngineUnavailable    the same, for the computing cluster
        ├── StorageUnavailable   the same, for the object storage
        └── WorkspaceUnavailable the workspace cannot be written: disk full or out of memory

A message says what happened, where (file, line, column), what was expected and what to do.
"""

_MOST_CHARACTERS = 200


def shown(text: object, most: int | None = _MOST_CHARACTERS) -> str:
    r"""What somebody else has named or written, fit for a message, a terminal and a log line.

    Characters that a terminal would obey or that nobody sees are escaped (``\n``, ``\u200b``), as
    are bytes of a name that are no text; of what is long, the middle is left out.

    Args:
        text: a name, path, id or cell.
        most: how many characters to keep; None keeps all.
    """
    text = str(text)
    if most is not None and len(text) > most:
        text = f"{text[: most * 2 // 3]}...{text[-(most // 3) :]}"
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class PipelineError(Exception):
    """Anything that stops a run; ``str()`` is one line for the user."""

    def __init__(self, message: str) -> None:
        super().__init__(shown(message, most=None))


class TerminalError(PipelineError):
    """Trying again gives the same error."""


class ConfigurationError(TerminalError):
    """A parameter or setting is wrong."""


class DatabaseRefused(TerminalError):
    """PostgreSQL answers, but its schema, privileges or constraints stand in the way."""


class DropRefused(TerminalError):
    """The drop cannot be read as the data contract requires; nothing was changed."""


class DropRejected(DropRefused):
    """More rows of a table are faulty than the run allows; the issues are recorded."""


class TransientError(PipelineError):
    """Trying again later may work."""


class DatabaseUnavailable(TransientError):
    """PostgreSQL could not be reached, or ended the connection or the transaction."""


class EngineUnavailable(TransientError):
    """The cluster could not be reached, or gave up on the work."""


class StorageUnavailable(TransientError):
    """The object storage could not be reached, or the connection was lost."""


class WorkspaceUnavailable(TransientError):
    """The workspace cannot be written, or memory ran out."""
