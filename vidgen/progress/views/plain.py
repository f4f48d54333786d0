"""Progress as plain lines, for logs and pipes: no cursor, no colour, nothing ever redrawn.

Also the two smallest views: bare event lines (`rawjson`) and nothing (`quiet`).
"""

from collections.abc import Mapping
from typing import Any, BinaryIO, Final, TextIO

from vidgen.events import Envelope, is_start, seconds_of
from vidgen.messages import harmless
from vidgen.progress.views.text import (
    advice,
    clock_time,
    count_text,
    doing,
    duration,
    label,
    remaining,
    sentence,
    speed,
    stage_name,
)

LEAST_SHARE: Final = 0.05 - 1e-9  # a line for every twentieth of a stage …
LEAST_SECONDS: Final = 5.0  # … or every five seconds, like BuildKit's plain mode

Data = Mapping[str, Any]


class Plain:
    """A line per stage start and end, per 5 % or 5 s in between, and per message. Its times are
    those of the events, so a stored run reads as it was.

    A stream that is gone (a closed pipe, a full disk) ends the talking, never the run.
    `says_errors=False` when somebody else tells the run's error, `previews=False` when nobody
    wants to know of pictures. `bell` is written at the run's end, where the stream is a terminal.
    """

    def __init__(
        self,
        stream: TextIO,
        language: str = "en",
        *,
        says_errors: bool = True,
        previews: bool = True,
        bell: str = "",
    ) -> None:
        self._stream: TextIO | None = stream
        self._language = language
        self._says_errors = says_errors
        self._previews = previews
        self._bell = bell
        self._began: float | None = None  # seconds since 1970, like `_now`
        self._now = 0.0
        self._told_share = 0.0
        self._told_at = 0.0
        self._doing = ""  # what the stage was at when it was last told

    def __enter__(self) -> "Plain":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, envelope: Envelope) -> None:
        self._now = seconds_of(envelope.timestamp)
        if self._began is None or is_start(envelope):
            self._began = self._now
        for line in self._lines(envelope.event_type, envelope.data):
            self._write(line)
        if envelope.is_terminal and self._bell and self._stream and self._stream.isatty():
            self._send(self._bell)

    def _lines(self, event_type: str, data: Data) -> list[str]:
        match event_type:
            case "stage_update":
                return self._stage(data)
            case "progress_update":
                return self._progress(data)
            case "log":
                return [f"{data.get('level', 'INFO')}: {sentence(data, self._language)}"]
            case "preview" if self._previews:
                return [f"{label('preview', self._language)}: {data.get('path', '')}"]
            case "error" if self._says_errors:
                hint = advice(data, self._language)
                return [f"ERROR: {sentence(data, self._language)}", *([hint] if hint else [])]
            case "complete":
                took = duration(float(data.get("duration_seconds", 0)), self._language)
                film = f": {data['video_path']}" if data.get("video_path") else ""
                return [f"{sentence(data, self._language)}{film} ({took})"]
            case "cancelled":
                again = data.get("resume_command")
                return [sentence(data, self._language) + (f": {again}" if again else "")]
            case _:
                return []

    def _stage(self, data: Data) -> list[str]:
        self._told_share, self._told_at = 0.0, self._now
        name = stage_name(str(data.get("stage")), self._language)
        if data.get("status") == "started":
            self._doing = doing(data, self._language)
            return [f"{self._doing} ..."]
        outcome = label(str(data.get("status", "completed")), self._language)
        took = duration(float(data.get("duration_seconds", 0)), self._language)
        text = sentence(data, self._language)
        return [f"{name}: {outcome} ({took})" + (f", {text}" if text not in ("", name) else "")]

    def _progress(self, data: Data) -> list[str]:
        share, now = float(data.get("stage_progress", 0)), self._now
        at = doing(data, self._language)
        is_due = share - self._told_share >= LEAST_SHARE or now - self._told_at >= LEAST_SECONDS
        if at == self._doing and not is_due:
            return []
        self._told_share, self._told_at, self._doing = share, now, at
        parts = (
            f"{at}: {share:.0%}",
            count_text(data, self._language),
            speed(data, self._language),
            remaining(data.get("eta_seconds"), data.get("eta_upper_seconds"), self._language),
        )
        return [", ".join(part for part in parts if part)]

    def _write(self, line: str) -> None:
        if self._stream is None:
            return
        text = f"[{clock_time(self._now - (self._began or self._now))}] {harmless(line)}\n"
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        self._send(text.encode(encoding, "replace").decode(encoding))

    def _send(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):  # ValueError: the stream was closed by us or a caller
            self._stream = None


class RawJson:
    """Every event as its line on the wire, flushed at once, and nothing else.

    A closed pipe ends the talking, never the run.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream: BinaryIO | None = stream

    def __enter__(self) -> "RawJson":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, envelope: Envelope) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(envelope.to_wire() + b"\n")
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None


class Quiet:
    """Says nothing; the run's result and its error are told by whoever started it."""

    def __enter__(self) -> "Quiet":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, envelope: Envelope) -> None:
        pass
