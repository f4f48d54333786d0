"""What each frame asks of the figure: weights and turns, from the controls and the motion."""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from vidgen.renderers.puppet.blendshapes import WEIGHTS
from vidgen.renderers.puppet.geometry import FaceGeometry
from vidgen.renderers.puppet.grid import Array
from vidgen.renderers.puppet.head import MOVES
from vidgen.renderers.puppet.motion import Motion
from vidgen.speech.mouth_curves import MouthCurves
from vidgen.speech.mouth_curves import sample_curves as sampled_controls
from vidgen.work import MotionOptions

HISS: Final = 0.10  # how far the jaw opens for f, s, sh at least
LOOK: Final = 0.005  # of a half eye, less than a tenth of a pixel at 512
SMILE: Final = 0.030  # Hf: a photo whose lips are farther apart is smiling or speaking


@dataclass(frozen=True, slots=True)
class Poses:
    """One row for each frame."""

    weights: Array  # (N, 9), order of bases.WEIGHTS
    turns: Array  # (N, 6), order of head.MOVES
    lids: Array  # (N,) 0 as in the photo – 1 shut
    gaze: Array  # (N, 2) of the eye's half width and half height
    tongue: Array  # (N,) 0–1

    def __len__(self) -> int:
        return len(self.weights)


def poses(
    face: FaceGeometry, controls: MouthCurves, motion: Motion, look: MotionOptions, count: int
) -> Poses:
    """The first `count` frames."""
    mouth = sampled_controls(controls, look.fps, 0, count)
    head = motion.sample(look.fps, 0, count)
    return Poses(
        weights=_weights(face, mouth, head["brows"], look.mouth),
        turns=np.stack([head[name] for name in MOVES], 1).astype(np.float32),
        lids=np.clip(head["lids"], 0, 1),
        gaze=_in_steps(np.stack([head["gaze_x"], head["gaze_y"]], 1)),
        tongue=mouth["tongue"],
    )


def without_mouth(plan: Poses) -> Poses:
    """The same head, eyes and brows, with the mouth and the jaw as in the photo."""
    weights = np.where([name == "brows" for name in WEIGHTS], plan.weights, 0)
    return replace(plan, weights=weights.astype(np.float32))


def _in_steps(gaze: Array) -> Array:
    """Rounded to LOOK, so that a resting eye need not be drawn anew in each frame."""
    return np.round(gaze / LOOK) * LOOK


def _weights(face: FaceGeometry, mouth: dict[str, Array], brows: Array, amount: float) -> Array:
    jaw = mouth["jaw"] * (1 - 0.25 * mouth["round"])
    jaw = np.maximum(jaw, HISS * mouth["fricative"]) * (1 - mouth["press"])
    wide = jaw * np.minimum(1, jaw / 0.65)  # small openings are narrow ones
    speaks = np.full_like(jaw, 1.0 if amount > 0 else 0.0)
    smiles = 1.0 if face.gap > SMILE * face.height else 0.0
    columns = {
        "wide": wide,
        "narrow": jaw - wide,
        "close": speaks,
        "round": mouth["round"],
        "spread": mouth["spread"],
        "press": mouth["press"],
        "apart": mouth["fricative"] * (1 - mouth["press"]),
        "relax": smiles * speaks,
        "brows": brows,
    }
    return np.stack([columns[name] for name in WEIGHTS], 1).astype(np.float32)
