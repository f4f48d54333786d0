"""The errors a person can cause, each with what to do about it. Imports nothing of vidgen.

    VidgenError
    ├── InputError    2   the photo, the voice or an option is not usable
    ├── SetupError    3   something is missing on this machine: weights, a key, disk space
    ├── RenderError   4   a renderer or its provider refused or gave up
    ├── DeviceError   5   out of memory, or the device was lost
    └── Cancelled   130   Ctrl-C, SIGTERM or a cancel request

The number is the exit code. Anything else that is raised is a bug and keeps its traceback.
"""

from typing import Any, ClassVar


class VidgenError(Exception):
    """Something a person can understand and mend.

    `message` is one plain English sentence, `hint` says what to do; both may hold
    `{name}` places that `details` fills. `code` names the sentence for translations
    and for programs (`error_code` on the wire); it never changes once released.
    """

    exit_code: ClassVar[int] = 1
    default_code: ClassVar[str] = "error"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        code: str = "",
        is_retryable: bool = False,
        retry_count: int = 0,
        max_retries: int = 0,
        **details: Any,
    ) -> None:
        self.message = message.format_map(details) if details else message
        self.hint = hint.format_map(details) if details else hint
        self.code = code or self.default_code
        self.is_retryable = is_retryable
        self.retry_count = retry_count  # how often it was tried again already
        self.max_retries = max_retries
        self.details = details
        super().__init__(self.message)

    def __reduce__(self) -> Any:
        """As it is, for another process: the sentences are filled in already."""
        return type(self).__new__, (type(self), self.message), self.__dict__


class InputError(VidgenError):
    """The photo, the voice or an option cannot be used as it is."""

    exit_code = 2
    default_code = "input"


class SetupError(VidgenError):
    """This machine lacks something: weights, a key, a package, disk space."""

    exit_code = 3
    default_code = "setup"


class RenderError(VidgenError):
    """A renderer or its provider refused the work or gave up on it."""

    exit_code = 4
    default_code = "render"


class DeviceError(VidgenError):
    """The device ran out of memory or was lost, after the smaller batch was tried."""

    exit_code = 5
    default_code = "device"


class Cancelled(VidgenError):  # noqa: N818  # it is no error of anybody's, only an end
    """Somebody ended the run: Ctrl-C, SIGTERM or a cancel request."""

    exit_code = 130
    default_code = "cancelled"
