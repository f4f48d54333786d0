"""People found by an Ultralytics network (YOLO26 and its kin), with or without a visible face.

Finds boxes only: whose face it is and who speaks is the detection stage's business. Keeps the
library from looking for a network, installing packages, and changing threads for everybody else.
"""

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from vidgen.device.device import has_package, map_torch, usable_cores
from vidgen.device.memory import free
from vidgen.errors import SetupError
from vidgen.installation import install_command
from vidgen.models.files import not_loadable
from vidgen.work import Box, Pixels

PERSON: Final = 0  # COCO's class
SIDE: Final = 640  # pixels, longest side, of the picture the network sees
MOST_PEOPLE: Final = 50
# What the library reads at its import. It would else ask a name server, send statistics, install
# packages and run whatever a weights file says.
SWITCHES: Final = {
    "YOLO_OFFLINE": "1",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
    "ULTRALYTICS_SAFE_LOAD": "1",
}


class YoloPeople:
    """A person finder for the detection stage. `weights` is a verified file.

    `settings` is a folder for the library's own settings file, so that the user's stays untouched.
    """

    def __init__(self, weights: Path, settings: Path, device: str = "cpu") -> None:
        self.weights = weights
        self.settings = settings
        self.device = device
        self._model: Any = None
        self._loading = threading.Lock()  # loaded ahead in a thread of its own, perhaps

    @property
    def name(self) -> str:
        return self.weights.stem

    def load(self) -> None:
        """Read the weights, once. Raises SetupError when they are not what they should be."""
        with self._loading:
            if self._model is None:
                self._model = _load(self.weights, self.settings)

    def release(self) -> None:
        self._model = None
        free(self.device)

    def __call__(self, rgb: Pixels, threshold: float) -> list[tuple[Box, float]]:
        """Whole people, best first: box in pixels of `rgb` (H, W, 3), score 0–1."""
        import numpy as np
        import torch

        self.load()
        height, width = rgb.shape[:2]
        with _restore_globals():
            # Its kernels are so small that threads waiting for a busy core cost tenfold: 90 ms
            # became 1.5 s on two cores that others used as well.
            torch.set_num_threads(min(8, max(1, usable_cores() - 1)))
            found = self._model.predict(
                np.ascontiguousarray(rgb[..., ::-1]),  # it takes BGR
                conf=threshold,
                classes=[PERSON],
                imgsz=SIDE,
                device=self.device,
                quantize=16 if self.device.startswith("cuda") else None,
                # YOLO26 has a head of its own that finds nobody twice; others need suppression.
                nms=False if _finds_once(self._model) else None,
                max_det=MOST_PEOPLE,
                verbose=False,
            )[0].boxes
            boxes, scores = found.xyxy.cpu().numpy(), found.conf.cpu().numpy()
        return [
            (whole, float(score))
            for box, score in sorted(zip(boxes, scores, strict=True), key=lambda one: -one[1])
            if (whole := _whole(box.tolist(), width, height)) is not None
        ]


def _finds_once(model: Any) -> bool:
    """Whether the network has the one-to-one head; `end2end` only tells if it is in use now."""
    return getattr(model.model.model[-1], "one2one_cv2", None) is not None


def _whole(box: list[float], width: int, height: int) -> Box | None:
    """Whole pixels within the picture; None for a box without any."""
    left, top = max(0, int(box[0])), max(0, int(box[1]))
    right, bottom = min(width, round(box[2])), min(height, round(box[3]))
    return (left, top, right, bottom) if right > left and bottom > top else None


def _load(weights: Path, settings: Path) -> Any:
    if not weights.is_file():  # the library would download a file of that name from somewhere
        raise SetupError(
            "The model file {path} is not there.",
            hint="Fetch it: vidgen models pull {name}",
            code="models.gone",
            path=str(weights),
            name=weights.stem,
        )
    with _restore_globals():
        YOLO = _library(settings)
        try:
            model = YOLO(str(weights), task="detect")
            names = model.names
        except Exception as error:  # a pickle that is refused or broken can raise anything
            raise not_loadable(weights, _plain(error), weights.stem) from error
    if PERSON not in names:
        raise SetupError(
            "The network in {path} does not know people.",
            hint="Use one of: yolo26n, yolo26s, yolo26m, yolo11n.",
            code="detect.no_people",
            path=str(weights),
        )
    return model


def _plain(error: Exception) -> str:
    """The first sentence, without the library's own "ERROR ❌"."""
    line = re.sub(r"^ERROR\W*", "", str(error).partition("\n")[0])
    return line.partition(". ")[0].rstrip(".")


def _library(settings: Path) -> Any:
    if not has_package("ultralytics"):
        raise SetupError(
            "Finding people with YOLO needs the GPU extra, which is not installed.",
            hint="Install it: {command}",
            code="detect.no_extra",
            command=install_command("gpu"),
        )
    map_torch()
    settings.mkdir(parents=True, exist_ok=True)
    os.environ.update(SWITCHES, YOLO_CONFIG_DIR=str(settings))
    from ultralytics import YOLO
    from ultralytics.nn import tasks

    # Somebody may have imported it before us, without the switch: a pickle must never run.
    tasks.SAFE_LOAD = True
    return YOLO


@contextmanager
def _restore_globals() -> Iterator[None]:
    """Put back what the library changes for the whole process: threads, the environment, Pillow.

    It sets OMP_NUM_THREADS=1 and OpenCV to one thread at its import and torch to one fewer than
    there are cores at each prediction: every later network on the CPU would crawl. Its own
    `Image.open` looks for a package of its own when a picture is damaged, and fails for want of it.
    """
    import cv2
    import torch
    from PIL import Image

    environment, open_image = dict(os.environ), Image.open
    threads, cv_threads = torch.get_num_threads(), cv2.getNumThreads()
    try:
        yield
    finally:
        Image.open = open_image
        torch.set_num_threads(threads)
        cv2.setNumThreads(cv_threads)
        for name in ("OMP_NUM_THREADS", "NUMEXPR_MAX_THREADS", "CUDA_VISIBLE_DEVICES"):
            if name in environment:
                os.environ[name] = environment[name]
            else:
                os.environ.pop(name, None)
