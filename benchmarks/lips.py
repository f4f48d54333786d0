"""Do the lips say what the voice says? The table of docs/performance.md, from decoded films.

    python -m benchmarks.lips [FOLDER] [--voices NAMES --ways sound,words,true,loudness]
        [--photo FILE] [--heard-by 15|telephone|room] [--controls]

Without `--voices` it is the whole table, JUDGED below. Each voice is drawn by the puppet, encoded,
decoded and looked at by the landmarks' network; the voice's true sounds say what should be seen
when. A way is who knows the sounds: `sound` hears them, `words` has the text, `true` is told them,
`loudness` is the renderer as it was without a recogniser. With `--controls` the films' own lips
late, early, reversed, as a sine, frozen and as loudness alone are judged too: each must miss a
goal, or the goals say nothing.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from benchmarks import natural, talking
from tests.support.articulation import EDGE, Articulation, judged, within
from tests.support.speakers import with_noise, with_reverb
from vidgen.media.encoder import FilmWriter
from vidgen.media.encodings import encoding_for
from vidgen.media.photo import open_photo
from vidgen.models import catalog, pull
from vidgen.models.catalog import Catalog
from vidgen.paths import Home
from vidgen.quality.correlation import envelope
from vidgen.quality.tracking import Tracking, first_face, pictures, track_faces
from vidgen.renderers.puppet.renderer import PuppetRenderer
from vidgen.settings import Options
from vidgen.speech.espeak import Phone
from vidgen.speech.hearing import Hearing
from vidgen.speech.phonemes import PhonemeSource, TimedPhones
from vidgen.speech.visemes import is_open_vowel, kind
from vidgen.stages.detect import Detect
from vidgen.stages.matte import Matte
from vidgen.vision.faces import FaceDetector, LandmarkNet, Landmarks
from vidgen.vision.selfie import Selfie
from vidgen.work import Cutout, MotionOptions, Pixels, Speech, Subject, Work

Array = NDArray[np.float64]
FPS: Final = 25
PUPILS: Final = ((33, 133), (362, 263))  # corners of either eye
APART: Final = 63.0  # mm between the pupils
FASTEST: Final = 200.0  # mm/s that lips move
TEETH: Final = 0.12  # of what is seen between the lips: teeth show; shut lips read up to .11
SLIT: Final = 0.60  # of the way from shut to open: lips that are nearly shut
SHUT: Final = 0.25  # of that way: less is a closure


@dataclass(frozen=True, slots=True)
class Line:
    """One column of the table: what it is called and the least and the most it may be."""

    what: str
    least: float = -np.inf
    most: float = np.inf

    def fits(self, value: float) -> bool:
        return bool(np.isnan(value)) or self.least <= value <= self.most


# Goals by way; dense texts have three p, b, m a second
LINES: Final = {
    "auc": ("AUC", {"sound": 0.90, "words": 0.94, "true": 0.97}, 1),
    "ratio": ("(open − pause) / (p, b, m − pause)", {"sound": 3.0, "words": 4.0, "true": 5.0}, 1),
    "closed": ("p, b, m closed", {"sound": 0.90, "words": 0.95, "true": 0.97}, 1),
    "drowned": ("open vowels closed", {"sound": 0.12, "words": 0.10, "true": 0.06}, -1),
    "width": ("width, round / close vowels", {"sound": 0.94, "words": 0.92, "true": 0.90}, -1),
    "teeth": ("f, v, s, z: teeth in a slit", {"sound": 0.8, "words": 0.9, "true": 0.9}, 1),
    "lag_ms": ("lag, ms", {"sound": 20.0, "words": 20.0, "true": 20.0}, 0),
    "r": ("r with loudness", {"sound": 0.45, "words": 0.45, "true": 0.35}, 1),
    "fast": ("frames over 200 mm/s", {"sound": 0.0, "words": 0.0, "true": 0.0}, -1),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """The lips of one film, frame by frame."""

    watched: Tracking
    teeth: Array  # (N,) share of what is seen between the lips that looks like teeth
    millimetres: float  # in one face height


@dataclass(frozen=True, slots=True)
class Film:
    """One voice, what it comes through, and who knows its sounds, with commas."""

    name: str
    heard_by: str = ""
    ways: str = "sound"


JUDGED: Final = (
    Film("dense-7", ways="loudness,sound,words,true"),
    Film("usual-7", ways="loudness,sound,words,true"),
    Film("dense-8"), Film("usual-8"), Film("dense-7-joe"), Film("usual-8-joe"),
    Film("usual-7-0.8"), Film("usual-7-1.25"), Film("dense-7", "15"), Film("dense-7", "5"),
    Film("dense-7", "telephone"), Film("dense-7", "room"),
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--voices", default="", help="of benchmarks.natural, -joe or -0.8 behind")
    parser.add_argument("--ways", default="sound,words,true")
    parser.add_argument("--photo", type=Path)
    parser.add_argument("--heard-by", default="", help="noise of so many dB, telephone, or room")
    parser.add_argument("--controls", action="store_true")
    asked = parser.parse_args()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="lips-"))
    shelf = Catalog(Home.default())
    pull.ensure(shelf, [*catalog.find_models("embedded"), *catalog.find_models("demo")])
    stage = _stage(shelf, asked.photo or shelf.path("demo_photo"))
    print("| film | " + " | ".join(name for name, _, _ in LINES.values()) + " | misses |")
    print("|---" * (len(LINES) + 2) + "|")
    films = [Film(name, asked.heard_by, asked.ways) for name in asked.voices.split(",") if name]
    for film in films or JUDGED:
        voice = _voice(folder, film.name)
        heard = spoil(voice, film.heard_by) if film.heard_by else voice
        for way in film.ways.split(","):
            seen = _film(stage, shelf, folder, heard, way)
            numbers = measure(seen, voice)  # by the clean voice: noise hides its pauses
            _print(f"{heard.name}, {way}", way, numbers)
            if asked.controls:
                _print_controls(seen, voice, way)


def spoil(voice: natural.Voice, how: str) -> natural.Voice:
    """The voice in white noise of so many dB below it, by telephone (8 kHz), or in a room."""
    from scipy.signal import resample_poly

    if how == "telephone":
        samples = resample_poly(resample_poly(voice.samples, 8000, voice.rate), voice.rate, 8000)
    elif how == "room":
        samples = with_reverb(voice.samples)
    else:
        samples = with_noise(voice.samples, float(how))
    name = f"{voice.name}, {how} dB" if how.isdigit() else f"{voice.name}, {how}"
    return replace(voice, name=name, samples=samples[: len(voice.samples)].astype(np.float32))


def _voice(folder: Path, name: str) -> natural.Voice:
    """The voice NAME in `folder`, made there if it is not."""
    import soundfile

    file = folder / f"{name}.wav"
    if not file.is_file():
        natural.by_name(name).write(folder)
    samples, rate = soundfile.read(file, dtype="float32")
    phones = json.loads(file.with_suffix(".json").read_text("utf-8"))
    text = file.with_suffix(".txt").read_text("utf-8")
    return natural.Voice(name, samples, rate, tuple(Phone(*entry) for entry in phones), text)


@dataclass(frozen=True, slots=True)
class Stage:
    """One speaker, ready to be drawn."""

    subject: Subject
    cutout: Cutout


def _stage(shelf: Catalog, photo: Path) -> Stage:
    options = Options(height=512, aspect="1:1")
    faces, net = FaceDetector(shelf.path("centerface")), LandmarkNet(shelf.path("face_landmark"))
    work = Detect(faces, net, options).run(Work(open_photo(photo)), lambda _: None)
    names = ("selfie_segmentation", "selfie_segmentation_landscape")
    matter = Selfie(*(shelf.path(name) for name in names))
    work = Matte(matter, options).run(work, lambda _: None)
    return Stage(work.get(Subject), work.get(Cutout))


def _film(stage: Stage, shelf: Catalog, folder: Path, voice: natural.Voice, way: str) -> Seen:
    """Drawn, encoded, decoded and looked at."""
    file = folder / f"{voice.name.replace(', ', '-').replace(' ', '')}-{way}.mp4"
    text = voice.text if way == "words" else ""
    speech = Speech(voice.samples, voice.rate, "", text)
    puppet = PuppetRenderer(hearing=_hearing(shelf, voice, way))
    height, width = stage.subject.frame.shape[:2]
    with (
        puppet.perform(
            stage.subject, stage.cutout, speech, MotionOptions(fps=Fraction(FPS))
        ) as act,
        FilmWriter(
            file, size=(width, height), fps=Fraction(FPS), encoding=encoding_for("mp4")
        ) as writer,
    ):
        for frames in act.frames(0, act.frame_count):
            writer.write(frames)
    return look(file, _net(shelf))


@cache
def _net(shelf: Catalog) -> LandmarkNet:
    return LandmarkNet(shelf.path("face_landmark"))


def _hearing(shelf: Catalog, voice: natural.Voice, way: str) -> PhonemeSource | None:
    """Who knows the sounds."""
    if way == "true":
        return lambda *_: TimedPhones(voice.phones)
    return Hearing(shelf.path("phone_recognizer")) if way in ("sound", "words") else None


# --- looking --------------------------------------------------------------------------------------


def look(film: Path, net: LandmarkNet) -> Seen:
    """Every frame of `film`."""
    rows, teeth, scales = [], [], []
    face: Landmarks | None = None
    for time, rgb in pictures(film, 0.0, None):
        face = (net.track(rgb, face) if face else None) or first_face(rgb, net)
        assert face is not None
        rows.append((time, face))
        teeth.append(_teeth(rgb, face))
        scales.append(APART / _between_pupils(face) * face.height)
    return Seen(track_faces(rows), np.array(teeth), float(np.median(scales)))


def _between_pupils(face: Landmarks) -> float:
    one, other = (face.points[list(corners), :2].mean(0) for corners in PUPILS)
    return float(np.linalg.norm(one - other))


def _teeth(rgb: Pixels, face: Landmarks) -> float:
    """The share of tooth-coloured pixels in the middle of what is seen between the lips."""
    import cv2

    points = face.points[:, :2]
    top, bottom = points[13], points[14]
    aside = (points[308] - points[78]) * 0.2
    rows = np.linspace(-0.1, 1.1, 12)[:, None, None]
    columns = np.linspace(-1, 1, 9)[None, :, None]
    at = (top + (bottom - top) * rows + aside * columns).astype(np.float32)
    seen = cv2.remap(rgb, at[..., 0], at[..., 1], cv2.INTER_LINEAR).reshape(-1, 3).astype(float)
    cheek = _patch(rgb, points[[50, 280]])
    lip = _patch(rgb, np.stack([(points[14] + points[17]) / 2, (points[0] + points[13]) / 2]))
    pale = _redness(seen) < 0.5 * (_redness(lip) + min(_redness(cheek), _redness(lip)) * 0.6)
    return float((pale & (seen.mean(1) > 0.5 * cheek.mean())).mean())


def _patch(rgb: Pixels, centres: NDArray[np.floating]) -> Array:
    """Mean colour round some points, (1, 3)."""
    parts = [
        rgb[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3].reshape(-1, 3) for x, y in centres
    ]
    return np.asarray(np.concatenate(parts).mean(0, keepdims=True), np.float64)


def _redness(colours: Array) -> Array:
    """How much stronger red is than green, of red."""
    return np.asarray((colours[:, 0] - colours[:, 1]) / np.maximum(1, colours[:, 0]))


# --- judging --------------------------------------------------------------------------------------


def measure(seen: Seen, voice: natural.Voice) -> dict[str, float]:
    """Every number of LINES."""
    watched = seen.watched
    loud = envelope(voice.samples, voice.rate)
    found = judged(watched.opening, watched.times, loud, voice.phones)
    step = np.abs(np.diff(watched.opening)) * seen.millimetres * FPS  # mm/s
    share = _share(watched.opening, found)
    labial = [p for p in voice.phones if kind(p.ipa) == "bilabial"]
    wide = [p for p in voice.phones if is_open_vowel(p.ipa)]
    return {
        "auc": found.auc,
        "ratio": found.ratio,
        "closed": _mean([within(share, watched.times, p).min() < SHUT for p in labial]),
        "drowned": _mean([within(share, watched.times, p).mean() < SHUT for p in wide]),
        "width": talking.round_width(watched, voice.phones),
        "teeth": _shown(seen, share, [_audible(p, loud.pauses(EDGE)) for p in voice.phones]),
        "lag_ms": found.lag_ms,
        "r": found.r,
        "fast": float((step > FASTEST).mean()),
    }


def _share(opening: Array, found: Articulation) -> Array:
    """The opening from 0, as in pauses, to 1, its 95th percentile.

    The landmarks' network reads a shut mouth as more than nothing, from .01 to .04 of the face's
    height by the portrait; how it reads this one in pauses is what shut means.
    """
    rest = found.pause_mean * found.p95
    return np.asarray((opening - rest) / max(1e-6, found.p95 - rest))


def _mean(hits: Sequence[bool | np.bool_]) -> float:
    return float(np.array(hits, float).mean()) if hits else float("nan")


def _audible(phone: Phone, pauses: Sequence[tuple[float, float]]) -> Phone:
    """`phone` up to a pause within it: voices' networks count a breath as the last sound's."""
    ends = [start for start, _ in pauses if phone.start < start < phone.end]
    return Phone(phone.start, min([phone.end, *ends]), phone.ipa)


def _shown(seen: Seen, share: Array, phones: Sequence[Phone]) -> float:
    """The share of f, v, s and z whose middle shows teeth between lips that are nearly shut."""
    hits: list[bool] = []
    for phone in phones:
        if kind(phone.ipa) == "labiodental" or phone.ipa in ("s", "z"):
            at = int(np.abs(seen.watched.times - (phone.start + phone.end) / 2).argmin())
            hits.append(bool(share[at] < SLIT and seen.teeth[at] > TEETH))
    return _mean(hits)


def line(key: str, way: str) -> Line:
    what, goals, sign = LINES[key]
    goal = goals.get(way, goals["sound"])
    if sign == 0:
        return Line(what, -goal, goal)
    return Line(what, least=goal) if sign > 0 else Line(what, most=goal)


def _print(name: str, way: str, numbers: dict[str, float]) -> None:
    missed = [key for key, value in numbers.items() if not line(key, way).fits(value)]
    cells = " | ".join(
        f"**{value:.2f}**" if key in missed else f"{value:.2f}" for key, value in numbers.items()
    )
    print(f"| {name} | {cells} | {', '.join(missed) or 'none'} |", flush=True)


def _print_controls(seen: Seen, voice: natural.Voice, way: str) -> None:
    loud = envelope(voice.samples, voice.rate)
    for name, opening in talking.controls(seen.watched, loud):
        other = replace(seen, watched=replace(seen.watched, opening=opening))
        _print(f"{voice.name}, {way}, {name}", way, measure(other, voice))


if __name__ == "__main__":
    main()
