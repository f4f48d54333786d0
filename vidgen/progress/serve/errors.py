"""Why somebody gets nothing: the one error that becomes an HTTP answer."""

import errno
from typing import Final

from vidgen.files import NO_SPACE

# What the machine lacks for a moment only: descriptors, memory, processes.
SHORTAGES: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})
RETRY_AFTER: Final = 5  # seconds, told to those who find no place


class ApiError(Exception):  # an answer, told to the client
    """Why somebody gets nothing: an HTTP status, a code for programs, a sentence for people."""

    def __init__(self, status: int, code: str, message: str, retry_after: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after


def source_refusal(away: Exception) -> ApiError:
    """The answer when a run may be at a source that is not there now."""
    message = f"A source of this server is out of reach: {away}."
    return ApiError(503, "source_down", message, RETRY_AFTER)


def storage_refusal(error: OSError) -> ApiError:
    """The answer when this machine's disk does not take what was sent."""
    if error.errno in NO_SPACE:
        return ApiError(507, "disk_full", "The disk of this server is full.", RETRY_AFTER)
    reason = error.strerror or type(error).__name__
    message = f"The store of this server cannot be used: {reason}."
    return ApiError(503, "store", message, RETRY_AFTER)
