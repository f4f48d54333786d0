"""Everything about one speaker that is worked out once, and the fields of one frame.

Both ways of drawing, `cpu` and `cuda` on a device, start from these fields, each on its `Canvas`.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vidgen.renderers.puppet import (
    blendshapes,
    eyes,
    folds,
    geometry,
    head,
    layer,
    lighting,
    lip_edges,
    mood,
    mouth,
)
from vidgen.renderers.puppet.blendshapes import Blendshapes
from vidgen.renderers.puppet.canvas import Canvas
from vidgen.renderers.puppet.eyes import EyePatch
from vidgen.renderers.puppet.folds import Folds
from vidgen.renderers.puppet.geometry import FaceGeometry
from vidgen.renderers.puppet.grid import Array, Grid, span
from vidgen.renderers.puppet.head import HeadField
from vidgen.renderers.puppet.layer import FINE, Layer
from vidgen.renderers.puppet.lighting import Lighting
from vidgen.renderers.puppet.mouth import Mouth
from vidgen.work import Box, Cutout, MotionOptions, Subject

CALM: Final = 0.4  # of the brows' motion behind glasses: their frame must not bend
CELL: Final = 0.018  # Hf: one node of the fields in so much of a face


@dataclass(frozen=True, slots=True)
class Rig:
    """One speaker, ready to move."""

    size: tuple[int, int]  # width, height of the frame
    face: FaceGeometry
    light: Lighting
    layer: Layer
    grid: Grid  # over layer.box
    nodes: Array  # (rows, columns, 2) the grid's nodes, frame pixels
    head: HeadField
    bases: Blendshapes  # over the face's part of the grid
    rows: slice  # of that part
    columns: slice
    mouth: Mouth
    folds: Folds
    eyes: tuple[EyePatch, ...]

    def fields(self, canvas: Canvas, weights: Array, turns: Array) -> "Fields":
        """Where everything comes from in the frame with these weights (10,) and turns (6,)."""
        upper, lower = self.bases.fields(canvas, weights)
        turned = self.head.field(canvas, turns, self.nodes)
        near, face = turned[..., self.rows, self.columns, :], self.bases.grid
        at = canvas.scale_places(near, face.origin, 1 / face.pitch)
        moved = canvas.look_up(self.bases.merge(canvas, upper, lower), at)
        whole = canvas.add(turned, moved, self.columns.start, self.rows.start)
        return Fields(upper, lower, turned, whole)

    def extent(self, weights: Array, turns: Array) -> tuple[Array, Array]:
        """The least and the most that any node may lie from its source in frames with weights
        (N, 10) and turns (N, 6): two (rows, columns, 2), frame pixels."""
        least, most = span(turns, self.head.basis)
        far = float(max(-least.min(), most.max()))
        low, high = self.bases.extent(weights, far)
        near = self.rows, self.columns
        least[near] += low
        most[near] += high
        return least, most


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one frame."""

    upper: Array  # the face's part of the grid: displacement to the source, upper layer
    lower: Array
    turned: Array  # (rows, columns, 2): where each node was before the head moved, frame pixels
    whole: Array  # the same before head and face moved


def build(subject: Subject, cutout: Cutout, look: MotionOptions | None = None) -> Rig:
    """Prepare `subject`, in the mood of `look`, else in the photo's own."""
    face = lip_edges.snap_lips(subject.frame, geometry.measure(subject.landmarks, subject.eyes))
    light = lighting.measure(subject.frame, face)
    pitch = max(2, round(CELL * face.height))
    size = subject.frame.shape[1], subject.frame.shape[0]
    shown = layer.build(subject, cutout, face, pitch)
    grid = Grid.over(shown.box, pitch)
    alpha = np.zeros(size[::-1], np.uint8)
    layer.crop(alpha, shown.box)[:] = shown.fine[::FINE, ::FINE, 3]
    part, rows, columns = grid.part(_around(face, subject.frame.shape))
    calm = CALM if light.glasses or light.wire else 1.0
    feeling = mood.build(face, part, look.mood, look.expression, calm) if look else None
    lean = float(np.random.default_rng([look.seed, 8]).uniform(-1, 1)) if look else 0.0
    bases = blendshapes.build(face, part, calm, feeling, lean, light.blur)
    return Rig(
        size=size,
        face=face,
        light=light,
        layer=shown,
        grid=grid,
        nodes=np.stack(grid.nodes(), -1),
        head=head.build(face, grid, alpha),
        bases=bases,
        rows=rows,
        columns=columns,
        mouth=mouth.build(subject.frame, face, light, alpha, bases),
        folds=folds.build(subject.frame, face, part, alpha),
        eyes=eyes.build(subject.frame, face, light, alpha),
    )


def _around(face: FaceGeometry, shape: tuple[int, ...]) -> Box:
    """All that the mouth and the brows move, with room for the head's own motion."""
    h = face.height
    x, y = face.outline.T
    bottom = face.axes.xy(
        np.array([-0.4, 0.4], np.float32) * h, np.array([face.chin + 0.34 * h] * 2, np.float32)
    )
    xs, ys = np.append(x, bottom[0]), np.append(y, bottom[1])
    margin = 0.16 * h
    return (
        max(0, int(xs.min() - margin)),
        max(0, int(ys.min() - margin)),
        min(shape[1], int(xs.max() + margin)),
        min(shape[0], int(ys.max() + margin)),
    )
