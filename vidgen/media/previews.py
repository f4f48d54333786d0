"""Pictures for watchers: of the cut-out, and of the film while it is drawn, beside the drawing.

Never delays the renderer and never fails a run.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Final

from vidgen.events import Emit, Log, Preview
from vidgen.media.colour import to_rgb
from vidgen.media.output import atomic_output
from vidgen.work import Cutout, Frames, Pixels

PERCENTS: Final = (25, 50, 75)  # of the film, unless told otherwise
LARGEST_SIDE: Final = 640  # pixels
CUTOUT_HEIGHT: Final = 480  # pixels
QUALITY: Final = 85  # of JPEG


class Previews:
    """A context manager that saves the frames at these percents of the film as JPEG files."""

    def __init__(
        self, folder: Path, frame_count: int, emit: Emit, percents: Sequence[int] = PERCENTS
    ) -> None:
        self.folder = folder
        self.emit = emit
        self._wanted = {frame_count * percent // 100: percent for percent in percents}
        self._worker = ThreadPoolExecutor(1, "preview")

    def __enter__(self) -> "Previews":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._worker.shutdown(wait=True, cancel_futures=error is not None)

    def offer(self, first: int, frames: Frames) -> None:
        """Look whether a wanted frame is among these, which begin at number `first`."""
        for number in range(first, first + len(frames)):
            percent = self._wanted.pop(number, None)
            if percent is not None:
                pixels = frames.pixels[number - first]
                self._worker.submit(self._save, pixels, frames.layout, percent)

    def _save(self, pixels: Pixels, layout: str, percent: int) -> None:
        name = f"rendering-{percent}"
        try:
            self.emit(save_preview(to_rgb(pixels, layout), self.folder / f"{name}.jpg", name))
        except Exception as error:  # a watcher's picture is never worth a run
            self.emit(Log("INFO", "render.no_preview", {"percent": percent, "reason": str(error)}))


def tell_cutout(cutout: Cutout, folder: Path, emit: Emit) -> None:
    """Save the speaker alone, on nothing, as `cutout.png`, and say so; about 20 ms."""
    try:
        emit(save_cutout(cutout, folder / "cutout.png"))
    except Exception as error:  # a watcher's picture is never worth a run
        emit(Log("INFO", "matte.no_preview", {"reason": str(error)}))


def save_cutout(cutout: Cutout, path: Path) -> Preview:
    """Write a PNG with alpha, at most 480 pixels high; raises OSError, VidgenError."""
    import cv2

    H, W = cutout.matte.shape
    scale = min(1.0, CUTOUT_HEIGHT / H)
    size = max(1, round(W * scale)), max(1, round(H * scale))
    colours = cv2.resize(cutout.foreground, size, interpolation=cv2.INTER_AREA)
    alpha = cv2.resize(cutout.matte, size, interpolation=cv2.INTER_AREA)
    bgra = cv2.cvtColor(colours, cv2.COLOR_RGB2BGRA)
    bgra[..., 3] = cv2.convertScaleAbs(alpha, alpha=255)
    # For photos runs are found fast, and what longer searches find makes the file no smaller.
    how = (cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE)
    done, data = cv2.imencode(".png", bgra, how)
    if not done:
        raise OSError("the picture could not be made a PNG")
    return _write_preview(data.tobytes(), path, "cutout", size)


def save_preview(rgb: Pixels, path: Path, name: str) -> Preview:
    """Write (H, W, 3) as a JPEG file of at most 640 pixels a side; raises OSError, VidgenError."""
    import cv2

    H, W = rgb.shape[:2]
    scale = min(1.0, LARGEST_SIDE / max(H, W))
    size = max(1, round(W * scale)), max(1, round(H * scale))
    small = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", small[..., ::-1], (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
    if not done:
        raise OSError("the picture could not be made a JPEG")
    return _write_preview(data.tobytes(), path, name, size)


def _write_preview(content: bytes, path: Path, name: str, size: tuple[int, int]) -> Preview:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_output(path, durable=False) as temporary:
        temporary.write_bytes(content)
    return Preview(
        name=name,
        path=str(path),
        width=size[0],
        height=size[1],
        sha256=hashlib.sha256(content).hexdigest(),
        bytes=len(content),
    )
