"""Why somebody gets nothing: the one error that becomes an HTTP answer."""


class ApiError(Exception):  # an answer, told to the client
    """Why somebody gets nothing: an HTTP status, a code for programs, a sentence for people."""

    def __init__(self, status: int, code: str, message: str, retry_after: int = 0) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.retry_after = retry_after
