"""Every error that fastbench raises on purpose: one clear line, and the exit code it ends with."""

from __future__ import annotations

EXIT_OK = 0
EXIT_RUN = 1  # the run failed, or its result is partial
EXIT_USAGE = 2  # wrong usage or configuration: nothing was started
EXIT_THRESHOLD = 3  # measured, but a limit that was asked for does not hold
EXIT_INTERRUPTED = 130  # Ctrl-C: what had been measured is written, marked interrupted


class FastbenchError(Exception):
    """Base of all expected errors. The message says what, where, and what to do, in one line."""

    exit_code = EXIT_RUN


class UsageError(FastbenchError):
    """An argument or a configuration value is wrong; nothing was started."""

    exit_code = EXIT_USAGE


class NotWrittenError(FastbenchError):
    """A run ended, but its files cannot be written; ``result``: what they were to hold."""

    def __init__(self, message: str, result: object) -> None:
        super().__init__(message)
        self.result = result


class ConnectError(FastbenchError):
    """No connection to the target could be opened."""


class ProtocolError(FastbenchError):
    """The peer sent bytes that are not its protocol."""


class ServerError(FastbenchError):
    """The server answered, but it is not the kind expected or refused what the run needs."""


class EngineError(FastbenchError):
    """The native engine could not do its work: no memory, no such CPU, a broken invariant."""


class DownloadError(FastbenchError):
    """A file on the network cannot be had, or is not what its publisher says."""


class DatasetError(FastbenchError):
    """A dataset is missing, truncated, changed, of a wrong shape or type, or cannot be made."""


class NoDatasetError(DatasetError):
    """What was named as a dataset is not there or cannot be read; nothing was started."""

    exit_code = EXIT_USAGE


class ModelError(FastbenchError):
    """A model is missing, unreadable, or does not fit the dataset or the server."""


class NoModelError(ModelError):
    """What was named as a model is not there or cannot be read; nothing was started."""

    exit_code = EXIT_USAGE


class LocalServerError(FastbenchError):
    """A server for trials could not be installed, started or stopped."""
