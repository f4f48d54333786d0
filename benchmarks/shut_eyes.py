"""Shut lids held against real ones: how far a drawn blink is off the same person's.

    python -m benchmarks.shut_eyes FOLDER [--sheet OUT.png]

FOLDER holds pairs of pictures of the same size, NAME-open.png and NAME-shut.png: a face whose eyes
are open, and the same a moment later, in a blink. The second is lined up with the first by what
does not blink. One line a face, then the mean: L1 over the eyes' patches, a share of the skin's
light, of the drawn lids and of the photo as it is; the sheet shows open, real and drawn eyes.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vidgen.media.colour import LUMA
from vidgen.models.catalog import Catalog
from vidgen.paths import Home
from vidgen.renderers.puppet import eyes, lighting
from vidgen.renderers.puppet.canvas import ONE_FRAME
from vidgen.renderers.puppet.geometry import Eye, FaceGeometry, measure
from vidgen.renderers.puppet.lid_net import HEIGHT, LEVEL, PITCH, SKIN, WIDTH
from vidgen.vision.faces import FaceDetector, LandmarkNet
from vidgen.vision.iris import IrisNet
from vidgen.vision.sight import views
from vidgen.work import Pixels

Array = NDArray[np.float32]

ALIKE: Final = 0.93  # correlation of the two frames beside the eyes: less are no pair


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sheet", type=Path)
    asked = parser.parse_args()
    found = list(compare(sorted(asked.folder.glob("*-open.png"))))
    if not found:
        parser.exit(1, "No pair NAME-open.png, NAME-shut.png of one face with two open eyes.\n")
    errors = np.array([numbers for _, numbers, _ in found])
    for name, (drawn, still), _ in found:
        print(f"{name:24s} drawn {drawn:.3f}  as the photo {still:.3f}")
    drawn, still = errors.mean(0)
    print(f"{len(found)} faces, mean         drawn {drawn:.4f}  as the photo {still:.4f}")
    if asked.sheet:
        Image.fromarray(np.concatenate([strip for *_, strip in found])).save(asked.sheet)


def compare(opens: Sequence[Path]) -> Iterator[tuple[str, tuple[float, float], Pixels]]:
    """Name, L1 of the drawn lids and of the photo, and (HEIGHT, 6 WIDTH, 3) the patches, of each
    usable pair."""
    for name, still, real, face in usable(opens):
        made = drawn_shut(still, face)
        rows = [[patch(one, eye) for one in (still, real, made)] for eye in face.eyes]
        drawn = float(np.mean([off(lid, true, photo) for photo, true, lid in rows]))
        as_it_is = float(np.mean([off(photo, true, photo) for photo, true, _ in rows]))
        strip = np.concatenate([one for row in rows for one in row], 1).clip(0, 255)
        yield name, (drawn, as_it_is), strip.astype(np.uint8)


def usable(opens: Sequence[Path]) -> Iterator[tuple[str, Pixels, Pixels, FaceGeometry]]:
    """Name, the open and the shut frame, lined up, and the face, of each pair that can be used."""
    shelf = Catalog(Home.default())
    detector = FaceDetector(shelf.path("centerface"))
    net, irises = LandmarkNet(shelf.path("face_landmark")), IrisNet(shelf.path("iris_landmark"))
    for path in opens:
        still, shut = (
            np.asarray(Image.open(one).convert("RGB"))
            for one in (path, path.with_name(path.name.replace("-open.", "-shut.")))
        )
        seen = detector.detect(still, 0.3)
        points = net.find(still, max(seen, key=lambda face: face.score).box) if seen else None
        sight = views(still, points.points, irises) if points else ()
        if points is None or any(eye.problem for eye in sight):
            continue
        face = measure(points.points, sight)
        real, likeness = lined_up(still, shut, face)
        if likeness >= ALIKE:
            yield path.name.removesuffix("-open.png"), still, real, face


def drawn_shut(still: Pixels, face: FaceGeometry) -> Pixels:
    """The picture with both lids down."""
    import cv2

    out = still.copy()
    for eye in eyes.build(still, face, lighting.measure(still, face)):
        left, top, right, bottom = eye.box
        made = eye.lids.draw(ONE_FRAME, eye.lids.still.copy(), 1.0)
        small = cv2.resize(made, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
        out[top:bottom, left:right] = np.asarray(small).clip(0, 255)
    return out


def lined_up(still: Pixels, shut: Pixels, face: FaceGeometry) -> tuple[Pixels, float]:
    """`shut` moved onto `still`, and their correlation there (Evangelidis and Psarakis 2008)."""
    import cv2

    one, other = (cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in (still, shut))
    width = face.eyes[0].half + face.eyes[1].half
    places = np.array([(eye.axes.x, eye.axes.y) for eye in face.eyes])
    low = places.min(0) - width * np.array([1.2, 1.0])
    high = places.max(0) + width * np.array([1.2, 1.4])
    mask = np.zeros(one.shape, np.uint8)
    cv2.rectangle(mask, low.astype(int).tolist(), high.astype(int).tolist(), 255, -1)
    for x, y in places:
        middle, axes = (int(x), int(y - 0.08 * width)), (int(0.75 * width), int(0.48 * width))
        cv2.ellipse(mask, middle, axes, 0, 0, 360, 0, -1)
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 60, 1e-5)
    try:
        likeness, move = cv2.findTransformECC(
            one, other, np.eye(2, 3, dtype=np.float32), cv2.MOTION_AFFINE, stop, mask, 5
        )
    except cv2.error:  # it found no way
        return shut, 0.0
    how = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    size = shut.shape[1], shut.shape[0]
    moved = cv2.warpAffine(shut, move, size, flags=how, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8), float(likeness)


def patch(picture: Pixels, eye: Eye) -> Array:
    """(HEIGHT, WIDTH, 3) the eye in its own axes, its outer corner on the left."""
    import cv2

    across = -eye.outer * (np.arange(WIDTH) - WIDTH / 2 + 0.5)
    u, v = np.meshgrid(across, np.arange(HEIGHT) - LEVEL + 0.5)
    step = 2 * eye.half / PITCH
    x, y = eye.axes.xy((u * step).astype(np.float32), (v * step).astype(np.float32))
    soft = cv2.GaussianBlur(picture, (0, 0), 0.4 * step) if step > 1.3 else picture
    found = cv2.remap(soft, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32)


def off(one: Array, other: Array, still: Array) -> float:
    """Mean distance of two patches, a share of the light of the skin below the eye in `still`."""
    return float(np.abs(one - other).mean() / max(12.0, float(np.median(still[SKIN] @ LUMA))))


if __name__ == "__main__":
    main()
