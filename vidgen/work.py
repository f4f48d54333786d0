"""The values that stages hand to one another, and the shelf they stand on.

All are immutable; a stage takes what it needs with `work.get(Subject)` and answers
`work.plus(cutout)`. Pixel rows run down, columns to the right; colours are sRGB, RGB order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]
Box = tuple[int, int, int, int]  # pixels: left, top, right, bottom (right and bottom outside)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Folder:
    """Where this run's stages may keep files: `work` for their own, `previews` for watchers."""

    work: Path
    previews: Path

    @property
    def task(self) -> Path:
        """The run's own folder: what lies there is kept as long as its history."""
        return self.work.parent


@dataclass(frozen=True, slots=True)
class Photo:
    """The photo, upright, in sRGB."""

    path: Path
    rgb: Pixels  # (H, W, 3), of a large photo a reduced copy
    sha256: str
    full: tuple[int, int] = (0, 0)  # width, height of the whole; (0, 0): what `rgb` has
    turns: int = 0  # quarters anticlockwise, by which rgb and full were turned after reading

    @property
    def scale(self) -> float:
        """Pixels of the whole along one of `rgb`'s."""
        return float(max(1.0, max(self.full) / max(self.rgb.shape[:2])))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the whole."""
        return self.full if any(self.full) else (self.rgb.shape[1], self.rgb.shape[0])

    def turned(self, turns: int) -> "Photo":
        """Turned by so many quarters anticlockwise."""
        rgb = np.ascontiguousarray(np.rot90(self.rgb, turns))
        full = self.full[::-1] if turns % 2 else self.full
        return replace(self, rgb=rgb, full=full, turns=(self.turns + turns) % 4)


@dataclass(frozen=True, slots=True)
class Speech:
    """One voice, mono. What the lips follow and what is heard are the same samples."""

    samples: Floats  # (N,) in -1..1
    rate: int  # samples per second
    sha256: str  # of the file it was read from
    text: str = ""  # the words, when they are known

    @property
    def seconds(self) -> float:
        return len(self.samples) / self.rate

    def frame_count(self, fps: Fraction) -> int:
        """ceil(seconds × fps), exactly: the film covers the whole voice; at least one."""
        return max(1, ceil(Fraction(len(self.samples), self.rate) * fps))


@dataclass(frozen=True, slots=True)
class Person:
    """One person found in the photo, in photo pixels."""

    box: Box
    face: Box | None
    score: float  # the detector's, 0–1


@dataclass(frozen=True, slots=True)
class EyeView:
    """One eye of the speaker, seen closely, in frame pixels."""

    upper: Floats  # (9, 2) the upper lid's edge from the left corner to the right
    lower: Floats  # (9, 2) the lower one
    centre: Floats  # (2,) of the iris
    radius: float  # of the iris
    problem: str = ""  # why it must stay as it is: "small", "shut", "large", "unsure", "unseen"


@dataclass(frozen=True, slots=True)
class Subject:
    """The speaker, framed: the picture that everything after detection works on."""

    frame: Pixels  # (H, W, 3), both even, at the size of the film
    landmarks: Floats  # (468, 3) x, y, z in frame pixels; MediaPipe's numbering
    face: Box  # frame pixels
    person: Box  # frame pixels
    people: tuple[Person, ...] = ()  # everybody found, photo pixels, best first
    chosen: int = 0  # index into people
    eyes: tuple[EyeView, ...] = ()  # the picture's left and right; () when nobody looked


@dataclass(frozen=True, slots=True)
class Cutout:
    """The speaker cut out of `Subject.frame`, and what to show behind."""

    foreground: Pixels  # (H, W, 3) the frame, else colours without the old background's tint
    matte: Floats  # (H, W) coverage 0–1
    background: Pixels | None  # (H, W, 3); None is transparent
    keeps_photo: bool = False  # the background is the frame's own, filled in behind the speaker


@dataclass(frozen=True, slots=True)
class Frames:
    """A few consecutive frames from a renderer, ready for the encoder.

    `layout` is PyAV's name for one item of `pixels`: "rgb24" (B, H, W, 3),
    "rgba" (B, H, W, 4, colours not premultiplied) or "yuv420p" (B, H * 3 / 2, W,
    BT.709 limited range).
    """

    pixels: Pixels
    layout: str = "rgb24"

    def __len__(self) -> int:
        return len(self.pixels)


@dataclass(frozen=True, slots=True)
class Film:
    """The silent film in pieces that follow one another without a gap."""

    pieces: tuple[Path, ...]
    frame_count: int
    fps: Fraction
    size: tuple[int, int]  # width, height
    has_alpha: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)  # renderer, device, seed, quality …


@dataclass(frozen=True, slots=True)
class Video:
    """The finished file, in place."""

    path: Path
    poster: Path | None
    seconds: float
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notes:
    """What a stage tells at its end: the pipeline puts it into the stage's last event.

    Agreed names in `values`: `backend`, `model`, `device`, `precision`; `work` and `work_unit`
    ("megapixels", "seconds", "frames") for the ETA; `load_seconds` for the models' loading.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    code: str = ""  # of the sentence that says it
    status: Literal["completed", "skipped", "reused"] = "completed"


class Work:
    """An immutable shelf, looked up by type: at most one value of each."""

    __slots__ = ("_shelf",)

    def __init__(self, *values: object) -> None:
        self._shelf: dict[type, object] = {type(value): value for value in values}

    def get(self, kind: type[T]) -> T:
        """The value of this type. Raises LookupError when no stage has made it yet."""
        try:
            return self._shelf[kind]  # type: ignore[return-value]  # the key is the value's type
        except KeyError:
            raise LookupError(f"no stage has made a {kind.__name__} yet") from None

    def has(self, kind: type) -> bool:
        return kind in self._shelf

    def plus(self, *values: object) -> "Work":
        """A new shelf with these values added, or put in the place of older ones."""
        return Work(*self._shelf.values(), *values)


@dataclass(frozen=True, slots=True)
class MotionOptions:
    """How the speaker should move. The scales are 1 for the usual amount, 0 switches off."""

    fps: Fraction = Fraction(25)
    seed: int = 0
    mouth: float = 1.0
    head_motion: float = 1.0
    blink: float = 1.0
    brows: float = 1.0
    gaze: float = 1.0
    mood: str = "neutral"  # of MOODS
    expression: float = 1.0  # of the mood and of the brows
    language: str = "en"  # eSpeak's name for the language of Speech.text
