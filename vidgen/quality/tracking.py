"""See the lips and lids of the one face in a film, frame by frame, and hear what is said then.

Measures only. Reads any film that PyAV reads, in windows, so that a long one costs no more.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vidgen.media.containers import open_container
from vidgen.vision.faces import CHIN, FOREHEAD, INNER_LIPS, LandmarkNet, Landmarks
from vidgen.work import Floats, Pixels

Array = NDArray[np.float64]
FASTEST: Final = 31.0  # frames per second looked at; of faster films every second one or so
EYES: Final = (33, 263)  # outer corners
CORNERS: Final = (61, 291)  # of the mouth
LIDS: Final = ((159, 145, 33, 133), (386, 374, 263, 362))  # upper, lower, corners
SURE: Final = 0.8  # score from which on a first face is taken without looking further
# Where a face may be when nobody says it: centre x, y in shares of the frame, height in its height
GUESSES: Final = tuple(
    (x, y, size)
    for size in (0.45, 0.30, 0.65, 0.20)
    for x, y in ((0.5, 0.47), (0.5, 0.35), (0.3, 0.45), (0.7, 0.45))
)


@dataclass(frozen=True, slots=True)
class Tracking:
    """One face over consecutive frames; arrays are (N,) and 0 where the face was lost."""

    times: Array  # seconds, the frames' centres
    opening: Array  # inner lips' distance, in face heights (forehead to chin)
    width: Array  # of the mouth, in face heights
    eyes: Array  # height over width of the eyes' openings, mean of both
    seen: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.times)

    def only_seen(self) -> "Tracking":
        keep = self.seen
        return Tracking(
            self.times[keep], self.opening[keep], self.width[keep], self.eyes[keep], keep[keep]
        )


def track(
    video: Path,
    net: LandmarkNet,
    *,
    start: float = 0.0,
    frames: int | None = None,
    face: Sequence[float] | None = None,
) -> Tracking:
    """At most `frames` frames from the key frame at or before `start` seconds on.

    `face` is the box (left, top, right, bottom, pixels) to begin at; without it likely places are
    tried. Frames in which no face is found are marked, not skipped.
    """
    rows: list[tuple[float, Landmarks | None]] = []
    previous: Landmarks | None = None
    for time, rgb in pictures(video, start, frames):
        found = net.track(rgb, previous) if previous else None
        if found is None and (previous is not None or len(rows) % 10 == 0):
            found = first_face(rgb, net, face)  # a lost face is not searched in every frame
        previous = found
        rows.append((time, found))
    return track_faces(rows)


def track_faces(rows: Sequence[tuple[float, Landmarks | None]]) -> Tracking:
    """What faces found at some times (seconds, the frames' centres) tell; None: it was lost."""
    nothing = (0.0, 0.0, 0.0, 0.0)
    measured = [(time, *(_measure(face) if face else nothing)) for time, face in rows]
    table = np.array(measured, dtype=np.float64).reshape(-1, 5)
    times, opening, width, eyes, ratio = table.T
    scale = float(np.median(ratio[ratio > 0])) if (ratio > 0).any() else 1.0
    return Tracking(times, opening * scale, width * scale, eyes, ratio > 0)


def pictures(video: Path, start: float, frames: int | None) -> Iterator[tuple[float, Pixels]]:
    """Time of its centre in seconds and RGB pixels of each picture looked at."""
    import av

    with open_container(video, unseen=True) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = float(stream.average_rate or 25)
        step = max(1, round(rate / FASTEST))
        begin = float((container.start_time or 0) / av.time_base)
        if start > 0:
            container.seek(int((start + begin) * av.time_base))
        left = frames
        for number, frame in enumerate(container.decode(stream)):
            if number % step:
                continue
            if left is not None:
                if left == 0:
                    return
                left -= 1
            yield float(frame.time or 0.0) - begin + 0.5 / rate, _rgb(frame)


def _rgb(frame: Any) -> Pixels:
    return np.asarray(frame.to_ndarray(format="rgb24"))


def first_face(
    rgb: Pixels, net: LandmarkNet, face: Sequence[float] | None = None
) -> Landmarks | None:
    """The face in `face`, or the first sure one at the usual places, else the best there."""
    if face is not None:
        left, top, right, bottom = face
        return net.find(rgb, (left, top, right, bottom))
    best: Landmarks | None = None
    height, width = rgb.shape[:2]
    for x, y, size in GUESSES:
        half = size * height / 2
        box = (x * width - half, y * height - half, x * width + half, y * height + half)
        found = net.find(rgb, box)
        if found is not None and (best is None or found.score > best.score):
            best = found
        if best is not None and best.score >= SURE:
            break
    return best


def _measure(face: Landmarks) -> tuple[float, float, float, float]:
    """Opening, mouth's width (both in eye distances), eyes' opening, eye distance in Hf."""
    points = face.points[:, :2]

    def distance(one: int, other: int) -> float:
        return float(np.linalg.norm(points[one] - points[other]))

    between = max(distance(*EYES), 1e-6)
    lids = [distance(up, down) / max(distance(a, b), 1e-6) for up, down, a, b in LIDS]
    return (
        distance(*INNER_LIPS) / between,
        distance(*CORNERS) / between,
        sum(lids) / 2,
        between / max(distance(FOREHEAD, CHIN), 1e-6),
    )


def blinks(watched: Tracking, depth: float = 0.80) -> int:
    """How often both eyes fell under `depth` of their usual opening."""
    if not len(watched):
        return 0
    usual = float(np.median(watched.eyes))
    shut = watched.eyes < depth * usual
    return int(np.sum([not before and now for before, now in pairwise([False, *shut.tolist()])]))


def hear(video: Path, start: float, end: float) -> tuple[Floats, int]:
    """The sound of `start`–`end` seconds of the film's own clock, mono, and its rate.

    Silence where the film has no sound; (empty, 48000) when it has none at all.
    """
    import av

    with open_container(video, unseen=True) as container:
        if not container.streams.audio:
            return np.zeros(0, np.float32), 48_000
        stream = container.streams.audio[0]
        rate = stream.rate
        samples = np.zeros(max(0, round((end - start) * rate)), np.float32)
        if start > 1:
            container.seek(int((start - 0.5) * av.time_base))
        resampler = av.AudioResampler(format="flt", layout="mono", rate=rate)
        for frame in container.decode(stream):
            at = float(frame.time or 0.0)
            if at > end:
                break
            for part in resampler.resample(frame):
                sound = np.asarray(part.to_ndarray(), np.float32).reshape(-1)
                _paste(samples, sound, round((at - start) * rate))
                at += part.samples / rate
        return samples, rate


def _paste(samples: Floats, part: Floats, place: int) -> None:
    """Write `part` into `samples` from `place` on, as far as it falls inside."""
    first, last = max(0, place), min(len(samples), place + len(part))
    if last > first:
        samples[first:last] = part[first - place : last - place]
