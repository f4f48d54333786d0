"""Write frames into one piece of the silent film, in a thread of its own.

Knows how pixels become packets; not what is drawn, nor how pieces become a film.
"""

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from vidgen.media.barrier import mark_finer
from vidgen.media.colour import video_frame
from vidgen.media.containers import open_container
from vidgen.media.encodings import HARDWARE, Encoding
from vidgen.media.output import atomic_output
from vidgen.work import Box, Frames, Pixels

QUEUED_BATCHES: Final = 4  # enough to bridge the encoder's look-ahead, little enough for memory
BT709: Final = 1  # ITU-T H.273: the same number for primaries, transfer and matrix
LIMITED_RANGE: Final = 1  # AVCOL_RANGE_MPEG


class FilmWriter:
    """A context manager that encodes `Frames` into the file `path`.

    The file appears at `path` only when the block ends without an error, whole and on disk.
    What fails in the encoder's thread is raised by the next `write`, at the latest at the end of
    the block: SetupError for a full disk, ValueError for frames of a wrong size or layout,
    HardwareLostError.
    """

    def __init__(
        self,
        path: Path,
        *,
        size: tuple[int, int],
        fps: Fraction,
        encoding: Encoding,
        barrier: Sequence[Box] = (),
    ) -> None:
        """`size` is width, height in pixels, both even; `barrier` are blocks that x264 makes
        finer in the first frame."""
        self.path = path
        self.size = size
        self.fps = fps
        self.encoding = encoding
        self.barrier = tuple(barrier) if encoding.codec == "libx264" else ()
        self.frame_count = 0  # frames given so far
        self._queue: queue.Queue[Frames | None] = queue.Queue(QUEUED_BATCHES)
        self._failure: BaseException | None = None
        self._abandoned = threading.Event()
        self._stack = ExitStack()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> "FilmWriter":
        # Here: two threads that import it first at once, ours and a preview's, get half of it.
        import av  # noqa: F401

        temporary = self._stack.enter_context(atomic_output(self.path))
        self._thread = threading.Thread(
            target=self._run, args=(temporary,), name=f"encode {self.path.name}", daemon=True
        )
        self._thread.start()
        return self

    def write(self, frames: Frames) -> None:
        """Hand over the next frames; waits while the queue is full.

        Their pixels must not be changed afterwards.
        """
        if self._failure is not None:
            raise self._failure
        if frames.pixels.shape[0]:
            self._queue.put(frames)
            self.frame_count += len(frames)

    def end(self) -> None:
        """No more frames will come: what was given is encoded while others do other things."""
        self._queue.put(None)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            self._abandoned.set()
        try:
            self._end_thread()
        finally:
            if error is not None:
                self._stack.__exit__(kind, error, traceback)
            else:
                self._land()

    def _land(self) -> None:
        with self._stack:  # the landing: cleans up and tells errors plainly, or moves the file
            if self._failure is not None:
                raise self._failure

    def _end_thread(self) -> None:
        assert self._thread is not None
        self.end()
        self._thread.join()

    def _run(self, temporary: Path) -> None:
        batches = iter(self._queue.get, None)  # stays at its end once it came there
        marks = self.barrier
        try:
            with _encoder(temporary, self.size, self.fps, self.encoding) as encode:
                for frames in batches:
                    for pixels in frames.pixels:
                        if self._abandoned.is_set():
                            raise _AbandonedError  # what the encoder still holds is not waited for
                        encode(pixels, frames.layout, marks)
                        marks = ()
                if self._abandoned.is_set():
                    raise _AbandonedError
        except BaseException as error:
            self._failure = error
            # Keep emptying the queue: the renderer must come to its next write, not wait for ever.
            for _ in batches:
                pass


class _AbandonedError(Exception):
    """Nobody wants the piece any more."""


class HardwareLostError(Exception):
    """A hardware encoder that had answered does not any more: others took its last session, or
    its driver ended."""


@contextmanager
def _encoder(
    path: Path, size: tuple[int, int], fps: Fraction, encoding: Encoding
) -> Iterator[Callable[[Pixels, str, Sequence[Box]], None]]:
    """Open the file, give a function that encodes a frame into it, write the rest at the end."""
    with open_container(path, "w", format=encoding.container) as container:
        stream = _video_stream(container, size, fps, encoding)
        number = 0

        def encode(pixels: Pixels, layout: str, finer: Sequence[Box]) -> None:
            nonlocal number
            frame = _tag(mark_finer(video_frame(pixels, layout, encoding.pixels), finer))
            if (frame.width, frame.height) != size:
                raise ValueError(f"a frame of {frame.width}x{frame.height} in a film of {size}")
            frame.pts, frame.time_base = number, 1 / fps
            number += 1
            container.mux(_packets(stream, frame, encoding))

        yield encode
        container.mux(_packets(stream, None, encoding))


def _packets(stream: Any, frame: Any, encoding: Encoding) -> Any:
    """What the encoder makes of a frame; None ends it."""
    import av

    try:
        return stream.encode(frame)  # the first one opens the encoder
    except (av.error.FFmpegError, OSError) as error:
        if encoding.codec in HARDWARE.values():
            raise HardwareLostError(encoding.codec) from error
        raise


def _video_stream(container: Any, size: tuple[int, int], fps: Fraction, encoding: Encoding) -> Any:
    stream = container.add_stream(encoding.codec, rate=fps, options=dict(encoding.options))
    context = stream.codec_context
    context.width, context.height = size
    context.pix_fmt = encoding.pixels
    context.time_base = 1 / fps
    context.thread_count = encoding.threads
    context.colorspace = context.color_primaries = context.color_trc = BT709
    context.color_range = LIMITED_RANGE
    return stream


def _tag(frame: Any) -> Any:
    """The frame with what its numbers mean; some encoders read it here and not in the stream."""
    frame.colorspace = frame.color_primaries = frame.color_trc = BT709
    frame.color_range = LIMITED_RANGE
    return frame
