"""Every portrait of a folder speaks; one sheet each, to be looked at, and a table of numbers.

    python -m benchmarks.portraits FOLDER OUT [--voice jfk.flac] [--height 512] [--only NAME,…]
        [--numbers]

A sheet shows the whole frame, the mouth and the eyes at the same ten moments: silent, p/b/m, a, o,
s/f, a blink's start, middle and end, the largest turns. Nothing is encoded: what the renderer draws
is what is judged. `--numbers` also draws four seconds and measures what `Numbers` tells. Photos
that are refused are listed with the reason. Scores from 1 to 5 are for people to give.
"""

import argparse
import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.sheet import save, sheet
from vidgen.errors import InputError
from vidgen.events import Event, Log
from vidgen.media.audio import load_speech
from vidgen.media.colour import LUMA
from vidgen.media.photo import open_photo
from vidgen.models.catalog import Catalog
from vidgen.models.select import SELFIE
from vidgen.paths import Home
from vidgen.renderers.puppet.geometry import FaceGeometry, measure
from vidgen.renderers.puppet.motion import motion
from vidgen.renderers.puppet.renderer import PuppetRenderer
from vidgen.settings import Options
from vidgen.speech.mouth_curves import mouth_curves, sample_curves
from vidgen.stages.detect import Detect
from vidgen.stages.matte import Matte
from vidgen.vision.faces import FaceDetector, LandmarkNet
from vidgen.vision.iris import IrisNet
from vidgen.vision.selfie import Selfie
from vidgen.work import Box, Cutout, MotionOptions, Pixels, Speech, Subject, Work

PHOTOS: Final = (".jpg", ".jpeg", ".png", ".webp")
WIDE: Final = 200  # pixels of one picture on a sheet
SECONDS: Final = 4  # drawn whole for the numbers
BLINK: Final = (0.04, 0.12, 0.28)  # seconds after a blink's start: going, shut, coming back


@dataclass(frozen=True, slots=True)
class Numbers:
    """What can be measured of one film; NaN where it cannot."""

    lid_colour: float  # ΔE (CIE 1976) of a shut lid against the skin beside and below the eye
    hole: float  # share of a shut mouth's middle that is as dark as its darkest 2 % in the photo
    yaw: float  # SD, degrees, as planned
    pitch: float
    roll: float
    outline: float  # px at 512: mean move of the speaker's outline at the largest turn
    background: float  # of 255, mean frame-to-frame difference far from the speaker
    sharpness: float  # Laplacian variance of the cheeks over the photo's


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--voice", type=Path, required=True)
    parser.add_argument("--height", type=int, default=512)
    parser.add_argument("--only", default="")
    parser.add_argument("--numbers", action="store_true")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    speech = load_speech(asked.voice, max_seconds=60)
    rows: dict[str, Any] = {}
    for photo in sorted(asked.folder.iterdir()):
        wanted = not asked.only or photo.stem in asked.only.split(",")
        if photo.suffix.lower() in PHOTOS and wanted:
            rows[photo.stem] = _judged(photo, speech, asked)
            print(photo.stem, json.dumps(rows[photo.stem]), file=sys.stderr, flush=True)
    (asked.out / "numbers.json").write_text(json.dumps(rows, indent=1), "utf-8")
    print_table(rows)


def print_table(rows: Mapping[str, Any]) -> None:
    """Markdown; a refused photo has its reason instead of numbers."""
    names = [field.name for field in fields(Numbers)]
    print("| portrait | " + " | ".join(names) + " | told |")
    print("|---" * (2 + len(names)) + "|")
    for name, row in rows.items():
        numbers = row.get("numbers", {})
        cells = [f"{numbers[key]:.3g}" if key in numbers else "" for key in names]
        print(f"| {name} | {' | '.join(cells)} | {row.get('refused') or ', '.join(row['told'])} |")


def _judged(photo: Path, speech: Speech, asked: argparse.Namespace) -> dict[str, Any]:
    told: list[str] = []

    def emit(event: Event) -> None:
        if isinstance(event, Log):
            told.append(event.code)

    try:
        made, numbers = film_sheet(photo, speech, asked.height, emit, asked.numbers)
    except InputError as error:
        return {"refused": error.code, "told": told}
    save(made, asked.out / f"{photo.stem}.jpg")
    return {"told": told} | ({"numbers": asdict(numbers)} if numbers else {})


def film_sheet(
    photo: Path, speech: Speech, height: int, emit: Any, measures: bool
) -> tuple[Pixels, Numbers | None]:
    """The sheet of one photo's film. Raises InputError when it is refused."""
    shelf, options = Catalog(Home.default()), Options(height=height)
    net = LandmarkNet(shelf.path("face_landmark"))
    irises = IrisNet(shelf.path("iris_landmark"))
    detect = Detect(FaceDetector(shelf.path("centerface")), net, options, None, irises)
    matte = Matte(Selfie(*(shelf.path(name) for name in SELFIE)), options)
    work = matte.run(detect.run(Work(open_photo(photo)), emit), emit)
    subject, cutout, look = work.get(Subject), work.get(Cutout), MotionOptions()
    wanted = _Wanted.of(speech, look)
    with PuppetRenderer().perform(subject, cutout, speech, look) as act:
        chosen = [next(iter(act.frames(i, i + 1))).pixels[0] for i in wanted.moments]
        last = min(act.frame_count, 25 * SECONDS) if measures else 0
        run = [few.pixels for few in act.frames(0, last)]
    shown = _laid_out(subject, chosen)
    if not measures:
        return shown, None
    with PuppetRenderer().perform(subject, cutout, speech, replace(look, head_motion=0.0)) as act:
        still = [next(iter(act.frames(i, i + 1))).pixels[0] for i in wanted.moments]
    seen = net.find(still[1], subject.face)
    shut = measure(seen.points if seen else subject.landmarks)
    return shown, _measured(subject, cutout, wanted, (chosen, still), np.concatenate(run), shut)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """The frames to show, in the order of the sheet, and the head's curves."""

    moments: tuple[int, ...]
    head: Mapping[str, NDArray[np.float32]]

    @classmethod
    def of(cls, speech: Speech, look: MotionOptions) -> "_Wanted":
        count = speech.frame_count(look.fps)
        voice = mouth_curves(speech, look)
        plan = motion(voice, look, speech.seconds)
        mouth = sample_curves(voice, look.fps, 0, count)
        head = plan.sample(look.fps, 0, count)
        quiet = mouth["jaw"] + mouth["press"] + mouth["fricative"] + head["lids"]
        open_eyed = 1 - head["lids"]
        first = plan.blinks[0] if plan.blinks else 0.0
        sounds = (
            int(np.argmin(quiet)),
            int(np.argmax(mouth["press"] * open_eyed)),
            int(np.argmax(mouth["jaw"] * (1 - mouth["round"]) * open_eyed)),
            int(np.argmax(mouth["round"] * mouth["jaw"] * open_eyed)),
            int(np.argmax(mouth["fricative"] * open_eyed)),
        )
        lids = tuple(min(count - 1, round((first + after) * float(look.fps))) for after in BLINK)
        turns = int(np.argmin(head["yaw"])), int(np.argmax(head["yaw"]))
        return cls((*sounds, *lids, *turns), head)


def _laid_out(subject: Subject, frames: list[Pixels]) -> Pixels:
    face = measure(subject.landmarks)
    height, width = frames[0].shape[:2]
    mouth = _around(face.axes.x, face.axes.y + 0.06 * face.height, face.height, (0.32, 0.24))
    eyes_x = float(np.mean([eye.axes.x for eye in face.eyes]))
    eyes_y = float(np.mean([eye.axes.y for eye in face.eyes]))
    eyes = _around(eyes_x, eyes_y, face.height, (0.42, 0.19))
    rows = [
        [_small(frame) for frame in frames],
        *([_cut(frame, box, (width, height)) for frame in frames] for box in (mouth, eyes)),
    ]
    return np.concatenate([sheet(row, len(row)) for row in rows])


def _around(x: float, y: float, h: float, reach: tuple[float, float]) -> Box:
    return (
        round(x - reach[0] * h),
        round(y - reach[1] * h),
        round(x + reach[0] * h),
        round(y + reach[1] * h),
    )


def _small(frame: Pixels) -> Pixels:
    import cv2

    tall = round(WIDE * frame.shape[0] / frame.shape[1])
    return np.asarray(cv2.resize(frame, (WIDE, tall), interpolation=cv2.INTER_AREA), np.uint8)


def _cut(frame: Pixels, box: Box, size: tuple[int, int]) -> Pixels:
    import cv2

    left, top = max(0, box[0]), max(0, box[1])
    part = frame[top : min(size[1], box[3]), left : min(size[0], box[2])]
    wide, tall = box[2] - box[0], box[3] - box[1]
    target = WIDE, max(1, round(WIDE * tall / wide))
    return np.asarray(cv2.resize(part, target, interpolation=cv2.INTER_CUBIC), np.uint8)


# Numbers


def _measured(
    subject: Subject,
    cutout: Cutout,
    wanted: _Wanted,
    frames: tuple[list[Pixels], list[Pixels]],
    run: Pixels,
    shut: FaceGeometry,
) -> Numbers:
    """`frames` are those of the sheet, with the head moving and with it at rest; `shut` is the face
    in the second of these."""
    import cv2

    face = measure(subject.landmarks, subject.eyes)
    far = cv2.dilate((cutout.matte > 0.02).astype(np.uint8), np.ones((31, 31), np.uint8)) == 0
    steps = [
        float(np.abs(now.astype(np.int16) - before)[far].mean()) if far.any() else np.nan
        for before, now in pairwise(run)
    ]
    photo = _sharpness(subject.frame, subject.landmarks)
    sharp = [_sharpness(frame, subject.landmarks) / photo for frame in run[10::15]]
    return Numbers(
        lid_colour=_mean([_lid(frames[1][6], eye) for eye in face.eyes if not eye.problem]),
        hole=_hole(frames[1][1], shut),
        yaw=float(np.std(wanted.head["yaw"])),
        pitch=float(np.std(wanted.head["pitch"])),
        roll=float(np.std(wanted.head["roll"])),
        outline=_outline(subject, cutout, frames[0]),
        background=float(np.mean(steps)),
        sharpness=float(np.median(sharp)),
    )


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _lab(colours: NDArray[Any]) -> NDArray[np.float32]:
    import cv2

    flat = (colours.reshape(-1, 1, 3) / np.float32(255)).astype(np.float32)
    return np.asarray(cv2.cvtColor(flat, cv2.COLOR_RGB2LAB)[:, 0], np.float32)


def _lid(frame: Pixels, eye: Any) -> float:
    """ΔE between the middle of the shut lid and the skin a little below the eye."""
    w = 2 * eye.half
    u = np.linspace(-0.3, 0.3, 13) * w
    middle = np.interp(u, eye.upper.u, eye.upper.v), np.interp(u, eye.lower.u, eye.lower.v)
    lid = [middle[0] + share * (middle[1] - middle[0]) for share in (0.1, 0.3, 0.5)]
    skin = [middle[1] + share * w for share in (0.30, 0.36, 0.42)]

    def colour(rows: list[Any]) -> NDArray[np.float32]:
        x, y = eye.axes.xy(np.stack([u] * len(rows)), np.stack(rows))
        x = np.clip(x.round().astype(int), 0, frame.shape[1] - 1)
        y = np.clip(y.round().astype(int), 0, frame.shape[0] - 1)
        return np.asarray(np.median(_lab(frame[y, x]), 0), np.float32)

    return float(np.linalg.norm(colour(lid) - colour(skin)))


def _hole(frame: Pixels, face: FaceGeometry) -> float:
    """Share of a shut mouth's columns with two dark bands, one over the other, from the outer edge
    of one lip to that of the other: beside these are beards, and shade under the lip."""
    u = np.linspace(-0.6 * face.left, 0.6 * face.right, 41)
    top, bottom = face.outer_upper(u), face.outer_lower(u)
    rows = top + np.linspace(0.05, 0.95, 60)[:, None] * (bottom - top)
    x, y = face.axes.xy(np.broadcast_to(u, (60, 41)), rows)
    x = np.clip(x.round().astype(int), 0, frame.shape[1] - 1)
    y = np.clip(y.round().astype(int), 0, frame.shape[0] - 1)
    luma = frame[y, x].astype(np.float32) @ LUMA
    dark = luma < 0.55 * np.median(luma)
    starts = (dark[1:] & ~dark[:-1]).sum(0) + dark[0]
    return float((starts >= 2).mean())


def _outline(subject: Subject, cutout: Cutout, chosen: list[Pixels]) -> float:
    """Share of the speaker's rim, above the chin, that differs between the two largest turns."""
    import cv2

    face = measure(subject.landmarks)
    solid = (cutout.matte > 0.5).astype(np.uint8)
    reach = max(3, round(0.02 * face.height))
    ring = cv2.dilate(solid, np.ones((reach, reach), np.uint8)) - cv2.erode(
        solid, np.ones((reach, reach), np.uint8)
    )
    rows = np.arange(len(ring))[:, None]
    rim = (ring > 0) & (rows < face.axes.y)
    change = np.abs(chosen[-1].astype(np.int16) - chosen[-2]).max(-1)
    return float((change[rim] > 12).mean()) if rim.any() else float("nan")


def _sharpness(frame: Pixels, points: NDArray[np.float32]) -> float:
    import cv2

    chosen = points[[50, 280, 4], :2]
    (left, top), (right, bottom) = chosen.min(0).astype(int), chosen.max(0).astype(int)
    part = frame[max(0, top) : max(top + 4, bottom), max(0, left) : max(left + 4, right)]
    grey = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY)
    return max(1e-6, float(cv2.Laplacian(grey, cv2.CV_32F).var()))


if __name__ == "__main__":
    main()
