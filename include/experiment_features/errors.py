"""Everything that can go wrong, by whether trying again helps.

    PipelineError
    ├── NothingToDo              the run has no drop to load, which is not a fault
    ├── TerminalError            trying again cannot help
    │   ├── ConfigurationError   a parameter or setting is wrong: correct it
    │   │   └── PartGone         it asks for rows that the store of parts no longer has
    │   ├── DatabaseRefused      PostgreSQL lacks the schema or a privilege, or refuses the data
    │   ├── DropRefused          the input is wrong: correct the drop
    │   │   └── DropRejected     too many of its rows are faulty
    │   └── LoadHeld             too much would be removed: confirm it, or correct the drop
    └── TransientError           trying again may help
        ├── DatabaseUnavailable  PostgreSQL is down or busy, or the connection was lost
        ├── DropChanged          a file of the drop was written or replaced while it was read
        ├── EngineUnavailable    the computing cluster is down, or gave up on the work
        ├── StorageUnavailable   object storage, a disk or a network share is away or full
        └── WorkspaceUnavailable the workspace cannot be written: disk full or out of memory

A message says what happened, where (file, line, column), what was expected and what to do.
"""

import errno

from experiment_features.visible_text import escape, shorten

_CHECK_DISK = "check the disk or network share"

SHORTAGES = {
    errno.EMFILE: "allow the process to open more files (`ulimit -n`)",
    errno.ENFILE: "close other programs, or allow the machine to open more files (fs.file-max)",
    errno.ENOMEM: "free memory",
    errno.ENOSPC: "free disk space",
    errno.EDQUOT: "free disk space, or raise the quota",
    errno.EIO: _CHECK_DISK,
    errno.ESTALE: _CHECK_DISK,
    errno.ETIMEDOUT: _CHECK_DISK,
    errno.ENOTCONN: _CHECK_DISK,
    errno.EHOSTDOWN: _CHECK_DISK,
    errno.EHOSTUNREACH: _CHECK_DISK,
}
"""What to do when the operating system cannot open or read any file, whichever it is."""


class PipelineError(Exception):
    """Anything that stops a run; ``str()`` is one line for the user."""

    status = "failed"
    """The status that the run gets in the ledger."""

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        line: int | None = None,
        column: str | None = None,
    ) -> None:
        """Keeps the location of the fault, if there is one, for the ledger."""
        super().__init__(shorten(escape(message)))
        self.file = None if file is None else escape(file)
        self.line, self.column = line, column


class NothingToDo(PipelineError):
    """The run has no drop to load: the message says why."""

    status = "skipped"


class TerminalError(PipelineError):
    """Trying again gives the same error."""

    status = "refused"


class ConfigurationError(TerminalError):
    """A parameter or setting is wrong."""


class PartGone(ConfigurationError):
    """Rows of a load or run are no longer in the store of parts, or are damaged there."""


class DatabaseRefused(TerminalError):
    """PostgreSQL answers, but its schema, privileges or constraints stand in the way."""


class DropRefused(TerminalError):
    """The drop cannot be read as the data contract requires; nothing was changed."""


class DropRejected(DropRefused):
    """More rows of a table are faulty than the run allows; the issues are recorded."""

    status = "rejected"

    def __init__(self, message: str, judged: dict[str, dict[str, int]] | None = None) -> None:
        """Keeps, for the ledger, by table the rows and the rejected_rows that were compared."""
        super().__init__(message)
        self.judged = judged


class LoadHeld(TerminalError):
    """The load would remove more than the run allows; only the ledger was changed."""

    status = "held"


class TransientError(PipelineError):
    """Trying again later may work."""


class DatabaseUnavailable(TransientError):
    """PostgreSQL could not be reached, or ended the connection or the transaction."""


class DropChanged(TransientError):
    """A file of the drop was written, replaced, added or removed while the drop was read."""


class EngineUnavailable(TransientError):
    """The cluster could not be reached, or gave up on the work."""


class StorageUnavailable(TransientError):
    """Object storage or a network share is away, a disk fails, or the system is short of files."""


class WorkspaceUnavailable(TransientError):
    """The workspace cannot be written, or memory ran out."""
