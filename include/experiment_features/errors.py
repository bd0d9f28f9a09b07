"""What can go wrong, by what helps.

    PipelineError
    ├── TerminalError            trying again cannot help
    │   ├── ConfigurationError   a parameter or setting is wrong: mend it
    │   ├── DatabaseRefused      PostgreSQL lacks the schema, a privilege, or the will
    │   └── DropRefused          the input is wrong: mend the drop
    │       └── DropRejected     too many of its rows are
    └── TransientError           trying again can help
        ├── DatabaseUnavailable  PostgreSQL is away, busy, or broke off
        ├── EngineUnavailable    so is the cluster that computes
        ├── StorageUnavailable   so is the object storage
        └── WorkspaceUnavailable the workspace cannot be written: disk full, memory short

A message says what happened, where (file, line, column), what was expected and what to do.
"""


class PipelineError(Exception):
    """Anything that stops a run; ``str()`` is a sentence for the user."""

    def __init__(self, message: str) -> None:
        # Names of files and folders may hold bytes that are no text, and that nothing prints.
        super().__init__(message.encode(errors="backslashreplace").decode())


class TerminalError(PipelineError):
    """Trying the same again gives the same error."""


class ConfigurationError(TerminalError):
    """A parameter, setting or schema is not what it must be."""


class DatabaseRefused(TerminalError):
    """PostgreSQL is there, but its schema, privileges or constraints are in the way."""


class DropRefused(TerminalError):
    """The drop cannot be read as what the contract asks for; nothing was changed."""


class DropRejected(DropRefused):
    """More rows of a table are faulty than the run allows; its issues are worth recording."""


class TransientError(PipelineError):
    """The same may work in a moment."""


class DatabaseUnavailable(TransientError):
    """PostgreSQL could not be reached, or ended the connection or the transaction."""


class EngineUnavailable(TransientError):
    """The cluster could not be reached, or gave up the work."""


class StorageUnavailable(TransientError):
    """The store of a drop or workspace could not be reached, or broke off."""


class WorkspaceUnavailable(TransientError):
    """The workspace, or the memory to work in, could not be had."""
