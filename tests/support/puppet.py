"""A speaker for the puppet's tests: the demo photo, framed, with a matte of simple shape."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from vidgen.media.photo import open_photo
from vidgen.renderers.puppet import cpu
from vidgen.renderers.puppet.blendshapes import WEIGHTS
from vidgen.renderers.puppet.head import MOVES
from vidgen.renderers.puppet.poses import Poses
from vidgen.renderers.puppet.rig import Rig
from vidgen.vision.faces import FaceDetector, LandmarkNet
from vidgen.work import Cutout, Pixels, Speech, Subject

RATE = 16000


def speaker(
    photo: Path,
    model_path: Callable[[str], Path],
    size: int = 256,
    share: float = 0.42,
    width: int = 0,
) -> Subject:
    """The face of `photo` in a frame `size` high, and `width` wide if not a square: `share` of
    it high, its middle at .47."""
    width = width or size
    rgb = open_photo(photo).rgb
    face = FaceDetector(model_path("centerface")).detect(rgb, 0.5)[0]
    found = LandmarkNet(model_path("face_landmark")).find(rgb, face.box, face.roll)
    assert found is not None
    scale = share * size / found.height
    x, y = found.centre
    matrix = np.array([[scale, 0, width / 2 - scale * x], [0, scale, 0.47 * size - scale * y]])
    edge = cv2.BORDER_REFLECT_101
    frame = cv2.warpAffine(rgb, matrix, (width, size), flags=cv2.INTER_CUBIC, borderMode=edge)
    points = found.points.copy()
    points[:, :2] = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    points[:, 2] *= scale
    return placed(frame, points)


def placed(frame: Pixels, points: Any) -> Subject:
    """A subject with these landmarks, whatever of them the frame holds."""
    height, width = frame.shape[:2]
    (x0, y0), (x1, y1) = points[:, :2].min(0), points[:, :2].max(0)
    box = (int(x0), int(y0), int(x1) + 1, int(y1) + 1)
    return Subject(
        np.ascontiguousarray(frame), points.astype(np.float32), box, (0, 0, width, height)
    )


def cut(subject: Subject, behind: str = "photo") -> Cutout:
    """A head and shoulders with a soft edge, before the photo, a colour or nothing."""
    height, width = subject.frame.shape[:2]
    left, top, right, bottom = subject.face
    middle = (left + right) // 2, (top + bottom) // 2
    tall = bottom - top
    shape = np.zeros((height, width), np.float32)
    cv2.ellipse(shape, middle, (int(0.62 * tall), int(0.8 * tall)), 0, 0, 360, 1.0, -1)
    low = (middle[0], middle[1] + int(1.7 * tall))
    cv2.ellipse(shape, low, (int(1.1 * tall), int(1.1 * tall)), 0, 0, 360, 1.0, -1)
    matte = cv2.GaussianBlur(shape, (0, 0), max(1.0, 0.02 * tall))
    if behind == "nothing":
        return Cutout(subject.frame, matte, None)
    if behind == "green":
        return Cutout(subject.frame, matte, np.full_like(subject.frame, (30, 160, 60)))
    hole = cv2.dilate((matte > 0.02).astype(np.uint8), np.ones((5, 5), np.uint8))
    filled = cv2.inpaint(subject.frame, hole, 3, cv2.INPAINT_TELEA)
    return Cutout(subject.frame, matte, filled, keeps_photo=True)


def asked(*frames: dict[str, float]) -> Poses:
    """A plan with these frames: weights and turns by name, `shut`, `look_x`, `look_y`."""
    count = len(frames)
    weights = np.zeros((count, len(WEIGHTS)), np.float32)
    turns = np.zeros((count, len(MOVES)), np.float32)
    lids, gaze = (np.zeros((count, 2), np.float32) for _ in range(2))
    for index, frame in enumerate(frames):
        for name, value in frame.items():
            if name in WEIGHTS:
                weights[index, WEIGHTS.index(name)] = value
            elif name in MOVES:
                turns[index, MOVES.index(name)] = value
            elif name == "shut":
                lids[index] = value
            else:
                gaze[index, ("look_x", "look_y").index(name)] = value
    return Poses(weights, turns, lids, gaze, np.zeros(count, np.float32))


def drawn(figure: Rig, **frame: float) -> Pixels:
    """One frame."""
    width, height = figure.size
    channels = 4 if figure.layer.background is None else 3
    out = np.empty((height, width, channels), np.uint8)
    cpu.draw(figure, asked(frame), 0, out)
    return out


def voice(seconds: float = 1.0, loud: float = 0.3) -> Speech:
    """Vowel-like pulses, three a second."""
    time = np.arange(round(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 20))
    samples = loud * np.clip(np.sin(2 * np.pi * 3 * time), 0, 1) * tone / 3
    return Speech(samples.astype(np.float32), RATE, "voice")
