"""A batch of films in this terminal or in a pipe: lines, bare events, or nothing."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import BinaryIO, TextIO

from vidgen.events import Envelope
from vidgen.messages import harmless, say, user_language
from vidgen.progress.batch import BatchProgress, BatchView, Film
from vidgen.progress.views.choose import resolve_mode
from vidgen.progress.views.text import (
    batch_failure,
    batch_opening,
    clock_time,
    duration,
    remaining,
)


@contextmanager
def open_batch_view(
    mode: str | None = None,
    *,
    stderr: TextIO | None = None,
    stdout: BinaryIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Iterator[BatchView]:
    """The view for `mode` on this process's own streams, in the user's language."""
    stream = stderr or sys.stderr
    mode = resolve_mode(mode, stream, environ)
    if mode == "tty":
        from vidgen.progress.views.live_batch import LiveBatch

        live = LiveBatch(stream, user_language(), environ=environ)
        with live:
            yield live
    elif mode == "rawjson":
        yield RawBatch(stdout or sys.stdout.buffer)
    elif mode == "quiet":
        yield QuietBatch()
    else:
        yield PlainBatch(stream, user_language())


class QuietBatch:
    """Says nothing; the table at the end does."""

    def open(self, progress: BatchProgress) -> None:
        pass

    def began(self, film: Film) -> None:
        pass

    def told(self, film: Film, envelope: Envelope) -> None:
        pass

    def lost(self, film: Film) -> None:
        pass

    def ended(self, film: Film, *, again: bool) -> None:
        pass


class RawBatch(QuietBatch):
    """The events of all films as their lines on the wire; each names its run."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream: BinaryIO | None = stream

    def told(self, film: Film, envelope: Envelope) -> None:  # noqa: ARG002  # the view's form
        if self._stream is None:
            return
        try:
            self._stream.write(envelope.to_wire() + b"\n")
            self._stream.flush()
        except (OSError, ValueError):  # a closed pipe ends the talking, never the work
            self._stream = None


class PlainBatch(QuietBatch):
    """A line when a film begins and when it ends, with what is left of all."""

    def __init__(self, stream: TextIO, language: str = "en") -> None:
        self._stream: TextIO | None = stream
        self._language = language
        self._progress: BatchProgress | None = None

    def open(self, progress: BatchProgress) -> None:
        self._progress = progress
        self._write(f"{batch_opening(progress, self._language)}{_tail(progress, self._language)}")

    def began(self, film: Film) -> None:
        self._write(f"{self._name(film)}: {say('batch.started', None, self._language)}")

    def lost(self, film: Film) -> None:
        self._write(f"WARNING: {self._name(film)}: {say('batch.lost', None, self._language)}")

    def ended(self, film: Film, *, again: bool) -> None:
        for line in self._end(film, again=again):
            self._write(f"{self._name(film)}: {line}")

    def _end(self, film: Film, *, again: bool) -> Iterator[str]:
        language, progress = self._language, self._progress
        left = _tail(progress, language) if progress else ""
        if film.state == "complete":
            took = duration(film.took_seconds, language)
            yield f"{say('batch.done', {'time': took}, language)}{left}: {film.video}"
            return
        said, advice = batch_failure(film, language)
        if again:
            yield f"{say('batch.again', None, language)}: {said}"
            return
        yield f"{say(f'batch.{film.state}', None, language)}{left}" + (f": {said}" if said else "")
        if advice:
            yield advice

    def _name(self, film: Film) -> str:
        total = self._progress.total if self._progress else 0
        return f"{film.number}/{total} {film.title}"

    def _write(self, line: str) -> None:
        if self._stream is None or self._progress is None:
            return
        text = f"[{clock_time(self._progress.elapsed)}] {harmless(line)}\n"
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        try:
            self._stream.write(text.encode(encoding, "replace").decode(encoding))
            self._stream.flush()
        except (OSError, ValueError):
            self._stream = None


def _tail(progress: BatchProgress, language: str) -> str:
    left = remaining(progress.remaining(), None, language)
    counts = progress.counts
    over = progress.total - counts.get("waiting", 0) - counts.get("running", 0)
    said = say("batch.of", {"over": over, "total": progress.total}, language)
    return f", {said}" + (f", {left}" if left and over < progress.total else "")
