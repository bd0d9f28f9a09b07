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

from experiment_features.visible_text import escape


class PipelineError(Exception):
    """Anything that stops a run; ``str()`` is a sentence for the user."""

    def __init__(self, message: str) -> None:
        # Names of files may hold what no terminal should obey, and bytes that are no text.
        super().__init__("\n".join(map(escape, message.split("\n"))))


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
