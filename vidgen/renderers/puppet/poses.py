"""What each frame asks of the figure: weights and turns, from the controls and the motion."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np

from vidgen.renderers.puppet.blendshapes import CARRIED, JAW, WEIGHTS, WIDEST
from vidgen.renderers.puppet.canvas import Number
from vidgen.renderers.puppet.geometry import FaceGeometry
from vidgen.renderers.puppet.grid import Array, smoothstep
from vidgen.renderers.puppet.head import MOVES
from vidgen.renderers.puppet.motion import Motion
from vidgen.renderers.puppet.tongue import tip_out
from vidgen.speech.curves import limit_speed, smooth
from vidgen.speech.mouth_curves import MouthCurves, sample_curves
from vidgen.work import MotionOptions

PARTED: Final = 0.026 / WIDEST  # how far f and s part the lips, in openings of the jaw
PURSED: Final = 0.25  # of the opening that rounded lips take
TOUCHING: Final = 0.03  # openings of the jaw: lips farther apart press nothing
LOOK: Final = 0.005  # of a half eye, less than a tenth of a pixel at 512
LEAST_LOOK: Final = 1e-3  # of a half eye: less is not seen
FARTHEST: Final = np.array([0.26, 0.30], np.float32)  # half widths aside, half heights down
LIPS, BONE = 160.0, 140.0  # mm/s: people reach 200 and 150
APART: Final = 63.0  # mm between the pupils of a usual face
SMALL: Final = (60.0, 60.0)  # pixels of Hf: half the motion from here down, all of it so far up
SMILE: Final = 0.030  # Hf: a photo whose lips are farther apart is smiling or speaking


@dataclass(frozen=True, slots=True)
class Poses:
    """One row for each frame."""

    weights: Array  # (N, 10), order of bases.WEIGHTS
    turns: Array  # (N, 6), order of head.MOVES
    lids: Array  # (N, 2) left and right eye, 0 as in the photo – 1 shut
    gaze: Array  # (N, 2) of the eye's half width and half height
    tongue: Array  # (N,) 0–1

    @property
    def looks(self) -> Array:
        """(N,) whether the eyes look elsewhere than in the photo."""
        return np.asarray(np.abs(self.gaze).sum(1) > LEAST_LOOK)

    @property
    def speaks(self) -> Array:
        """(N,) whether the mouth is not the photo's own."""
        return np.asarray(self.weights[:, :-1].any(1))

    @property
    def drop(self) -> Array:
        """(N,) how far down the jaw's teeth are, Hf."""
        return 0.87 * self._hung

    @property
    def lift(self) -> Array:
        """(N,) how far down the tongue is, Hf: raised, it stays behind as the jaw drops."""
        return 0.95 * self._hung - self.tongue * (0.35 * self._hung + 0.010)

    @property
    def tip(self) -> Array:
        """(N,) how much of the tongue's tip is out, 0–1."""
        return tip_out(self.tongue)

    @property
    def _hung(self) -> Array:
        return CARRIED * WIDEST * self.weights[:, JAW].astype(np.float64)

    def __len__(self) -> int:
        return len(self.weights)

    def part(self, first: int, last: int) -> "Poses":
        """Those of frames first..last-1."""
        return Poses(*(getattr(self, column.name)[first:last] for column in fields(self)))

    def pose(self, index: int) -> "Pose":
        """One frame's."""
        one = self.part(index, index + 1)
        numbers = (one.looks, one.tongue, one.drop, one.lift, one.tip, one.speaks)
        rest = (float(number[0]) for number in numbers)
        return Pose(one.weights[0], one.turns[0], one.lids[0].tolist(), one.gaze[0].tolist(), *rest)


@dataclass(frozen=True, slots=True)
class Pose:
    """What one frame asks of the figure, or a batch of them, see `canvas`."""

    weights: Array  # (10,)
    turns: Array  # (6,)
    lids: Sequence[Number]  # left and right
    gaze: Sequence[Number]  # aside and down
    looks: Number  # 1 when the gaze is not the photo's
    tongue: Number
    drop: Number  # of the lower teeth, Hf
    lift: Number  # of the tongue down, Hf
    tip: Number  # 1 when the tongue's is out
    speaks: Number  # 1 when the mouth is not the photo's own


def poses(
    face: FaceGeometry, controls: MouthCurves, motion: Motion, look: MotionOptions, count: int
) -> Poses:
    """The first `count` frames."""
    mouth = sample_curves(_limit_speeds(controls, face), look.fps, 0, count)
    head = motion.sample(look.fps, 0, count)
    return Poses(
        weights=_weights(face, mouth, head["brows"], look),
        turns=_turns(face, head),
        lids=np.clip(np.stack([head["lids"], head["lids_right"]], 1), 0, 1),
        gaze=_in_steps(np.stack([head["gaze_x"], head["gaze_y"]], 1)).clip(-FARTHEST, FARTHEST),
        tongue=mouth["tongue"],
    )


def _limit_speeds(controls: MouthCurves, face: FaceGeometry) -> MouthCurves:
    """`controls` no faster than this face's lips and jaw could move.

    What is too short to be opened wide is opened less; a closure stays one. The limit is that of
    the gap as it is drawn: rounded lips open less, and lips that part press each other no more,
    or that would come on top.
    """
    widest = WIDEST * face.height * APART / face.pupils  # mm
    share = 1 - PURSED * controls.round
    teeth = PARTED * controls.fricative
    lips = _at_most((controls.jaw * share + teeth) * (1 - controls.press), LIPS / widest)
    teeth = np.minimum(teeth, lips)
    return replace(
        controls,
        jaw=(lips - teeth) / share,
        fricative=teeth / np.float32(PARTED),
        press=np.minimum(controls.press, np.clip(1 - lips / TOUCHING, 0, 1)),
        chin=_at_most(controls.chin, BONE / (CARRIED * widest)),
    )


def _at_most(curve: Array, speed: float) -> Array:
    """`curve` at so much a second, without the corners that limits leave."""
    slow = smooth(limit_speed(curve.astype(np.float64), speed), 0.8)
    return np.asarray(slow, np.float32)


def without_mouth(plan: Poses) -> Poses:
    """The same head, eyes and brows, with the mouth and the jaw as in the photo."""
    weights = np.where([name == "brows" for name in WEIGHTS], plan.weights, 0)
    return replace(plan, weights=weights.astype(np.float32))


def _turns(face: FaceGeometry, head: dict[str, Array]) -> Array:
    """The head's moves; a small face turns less: its outline is only a few pixels' work."""
    share = 0.5 + 0.5 * float(smoothstep(np.asarray((face.height - SMALL[0]) / SMALL[1])))
    calm = np.array([1.0 if name == "breath" else share for name in MOVES], np.float32)
    return (np.stack([head[name] for name in MOVES], 1) * calm).astype(np.float32)


def _in_steps(gaze: Array) -> Array:
    """Rounded to LOOK, so that a resting eye need not be drawn anew in each frame."""
    return np.round(gaze / LOOK) * LOOK


def _weights(
    face: FaceGeometry, mouth: dict[str, Array], brows: Array, look: MotionOptions
) -> Array:
    jaw = mouth["jaw"] * (1 - PURSED * mouth["round"])
    wide = jaw * np.minimum(1, jaw / 0.65)  # small openings are narrow ones
    speaks = np.full_like(jaw, 1.0 if look.mouth > 0 else 0.0)
    smiles = face.smile if face.gap > SMILE * face.height else 0.0
    if look.mood == "happy":  # the photo's own smile may stay
        smiles *= max(0.0, 1 - look.expression)
    columns = {
        "wide": wide,
        "narrow": jaw - wide,
        "close": speaks * (1 - face.ajar * (1 - 0.6 * mouth["press"])),
        "round": mouth["round"],
        "spread": mouth["spread"],
        "press": mouth["press"],
        "apart": mouth["fricative"] * (1 - mouth["press"]),
        "relax": smiles * speaks,
        "brows": brows,
        "jaw": np.maximum(mouth["chin"], jaw),
    }
    return np.stack([columns[name] for name in WEIGHTS], 1).astype(np.float32)
