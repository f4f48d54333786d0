"""Find the people in the photo, choose the speaker, read the face, frame it for the film.

Refuses what no renderer can animate before anything costly starts. Cuts nobody out; that is
the next stage.
"""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

import numpy as np

from vidgen.errors import InputError
from vidgen.events import Emit, Log, StageProgress
from vidgen.settings import Options
from vidgen.stages.framing import Crop, Scene, choose_framing, crop_frame
from vidgen.stages.people import (
    Candidate,
    faceless,
    is_readable,
    number_people,
    others,
    person_of,
    pick,
    problem_of,
    weight,
)
from vidgen.vision.faces import FaceDetector, LandmarkNet, Landmarks, head_pose
from vidgen.vision.iris import IrisNet
from vidgen.vision.mouth_cover import is_covered, mouth_line
from vidgen.vision.sight import views
from vidgen.work import Box, EyeView, Floats, Notes, Photo, Pixels, Subject, Work

NAME: Final = "yolo_detection"
DOUBTFUL: Final = 0.013  # `LandmarkNet.doubt` of a mouth that can hardly be seen
MOST_READ: Final = 8  # faces read to find one that can speak
WIDE: Final = 0.11  # of the face: lips so far apart in the photo cannot be brought together well
SOFT: Final = 2.0  # times enlarged from which a film looks soft


class PersonFinder(Protocol):
    """Finds whole people, whether or not their faces show."""

    @property
    def name(self) -> str: ...

    @property
    def device(self) -> str: ...

    def load(self) -> None: ...

    def __call__(self, rgb: Pixels, threshold: float) -> Sequence[tuple[Box, float]]:
        """Each one's box, in pixels of `rgb` (H, W, 3), and score, at least `threshold`."""
        ...

    def release(self) -> None:
        """Give memory back; the next call loads again."""
        ...


class Detect:
    """The stage `yolo_detection`: Photo → Subject (and the Photo turned, if it lay on its side).

    `people` may find whole persons; without it their boxes are grown from the faces.
    """

    name = NAME

    def __init__(
        self,
        faces: FaceDetector,
        landmarks: LandmarkNet,
        options: Options,
        people: PersonFinder | None = None,
        irises: IrisNet | None = None,
    ) -> None:
        self.faces = faces
        self.landmarks = landmarks
        self.options = options
        self.people = people
        self.irises = irises

    def run(self, work: Work, emit: Emit) -> Work:
        """Raises InputError when nobody is found, chosen or readable."""
        load_seconds = self._load()
        photo = work.get(Photo)
        turns, candidates = self._search(photo.rgb, emit)
        if turns:
            photo = replace(photo, rgb=np.ascontiguousarray(np.rot90(photo.rgb, turns)))
            emit(Log("INFO", "detect.turned", {"degrees": turns * 90}))
        chosen = self._choose(candidates, photo, emit)
        emit(StageProgress(NAME, 2, 3, "steps"))
        subject, crop = self._frame(photo, candidates, chosen, emit)
        notes = {
            "backend": self.people.name if self.people else "centerface",
            "model": "face_landmark",
            "device": self.people.device if self.people else "cpu",
            "work": round(photo.rgb.shape[0] * photo.rgb.shape[1] / 1e6, 3),
            "work_unit": "megapixels",
            "load_seconds": round(load_seconds, 3),
            **_metadata(candidates, chosen, crop, subject),
        }
        return work.plus(photo, subject, Notes(notes, "detect.done"))

    def _load(self) -> float:
        """Read the models; how long that took, seconds."""
        began = time.monotonic()
        for model in (self.faces, self.landmarks, self.people):
            if model is not None:
                model.load()
        return time.monotonic() - began

    # Who is there

    def _search(self, rgb: Pixels, emit: Emit) -> tuple[int, list[Candidate]]:
        """Quarter turns anticlockwise that bring the faces upright, and the faces, best first.

        Looks again, brightened and turned, only while nobody readable is found.
        Raises InputError when there is no face at all.
        """
        found: tuple[int, list[Candidate]] | None = None
        for turns, picture in _looks(rgb):
            candidates = self._candidates(picture)
            if any(map(is_readable, candidates)):
                found = turns, candidates
                break
            if found is None and any(one.face for one in candidates):
                found = turns, candidates
        emit(StageProgress(NAME, 1, 3, "steps"))
        if found is None:
            raise self._nobody(rgb)
        return found

    def _candidates(self, rgb: Pixels) -> list[Candidate]:
        threshold = self.options.conf_threshold
        faces = sorted(self.faces.detect(rgb, threshold), key=lambda face: -weight(face, rgb))
        persons = self.people(rgb, threshold) if self.people else ()
        found = [Candidate(face, person_of(face, persons, rgb)) for face in faces]
        read = [self._with_landmarks(rgb, one) for one in found[:MOST_READ]]
        return read + found[MOST_READ:] + faceless(persons, faces, rgb)

    def _with_landmarks(self, rgb: Pixels, candidate: Candidate) -> Candidate:
        """With its landmarks, or with the reason why it cannot be animated."""
        face = candidate.face
        landmarks = self.landmarks.find(rgb, face.box, face.roll) if face else None
        problem = problem_of(face, landmarks, rgb)
        return replace(candidate, landmarks=landmarks, problem=problem)

    def _nobody(self, rgb: Pixels) -> InputError:
        threshold = self.options.conf_threshold
        weak = self.faces.detect(rgb, min(0.2, threshold))
        if weak:
            return InputError(
                "No face in the photo is sure enough: the best scores {score}, {threshold} is"
                " asked for.",
                hint="Use a sharper photo of a face, or lower --conf-threshold.",
                code="detect.unsure",
                score=round(weak[0].score, 2),
                threshold=threshold,
            )
        return InputError(
            "No face was found in the photo.",
            hint="Use a photo in which a face looks at the camera and is not covered.",
            code="detect.no_face",
        )

    # Who speaks

    def _choose(self, candidates: list[Candidate], photo: Photo, emit: Emit) -> int:
        """Index of the speaker. Raises InputError when that person cannot be animated."""
        index = pick(candidates, self.options.person, photo.rgb.shape[1])
        first = index
        if self.options.person == "auto":
            readable = (i for i, one in enumerate(candidates) if is_readable(one))
            index = next(readable, index)
        chosen = candidates[index] = self._sure(photo.rgb, candidates[index])
        able = others(candidates, index)
        problem = problem_of(chosen.face, chosen.landmarks, photo.rgb, able)
        if problem is not None:
            raise problem
        if index != first:
            counted = number_people(candidates)
            told = {"number": counted[index], "passed": counted[first]}
            emit(Log("INFO", "detect.next_best", told))
        return index

    def _sure(self, rgb: Pixels, candidate: Candidate) -> Candidate:
        if candidate.landmarks is None and candidate.problem is None:
            return self._with_landmarks(rgb, candidate)
        return candidate

    # How the film shows the speaker

    def _frame(
        self, photo: Photo, candidates: list[Candidate], chosen: int, emit: Emit
    ) -> tuple[Subject, Crop]:
        speaker = candidates[chosen]
        assert speaker.landmarks is not None
        self._warn_of_mouth(photo.rgb, speaker.landmarks, emit)
        height, width = photo.rgb.shape[:2]
        faces = tuple(one.face.box for one in candidates if one.face and one is not speaker)
        scene = Scene(width, height, speaker.landmarks.centre, speaker.landmarks.height, faces)
        crop = choose_framing(scene, self.options.framing, self.options.aspect)
        size = crop.size(self.options.height, self.options.aspect)
        _warn_of_size(crop, size, emit)
        points = _move_points(speaker.landmarks.points, crop, size)
        frame = crop_frame(photo.rgb, crop, size)
        subject = Subject(
            frame,
            points,
            _box_of(points, size),
            _move_box(speaker.person.box, crop, size),
            tuple(one.person for one in candidates),
            chosen,
            self._eyes(frame, points, emit),
        )
        return subject, crop

    def _eyes(self, frame: Pixels, points: Floats, emit: Emit) -> tuple[EyeView, ...]:
        """Both eyes; what keeps one from moving is told once."""
        if self.irises is None:
            return ()
        eyes = views(frame, points, self.irises)
        reasons = {eye.problem for eye in eyes if eye.problem}
        if reasons:
            count = sum(bool(eye.problem) for eye in eyes)
            emit(Log("INFO", "detect.eyes_still", {"count": count, "why": sorted(reasons)}))
        return eyes

    def _warn_of_mouth(self, rgb: Pixels, face: Landmarks, emit: Emit) -> None:
        """Raises InputError for a covered mouth; a doubtful one is only told."""
        doubt = self.landmarks.doubt(rgb, face)
        line = mouth_line(rgb, face)
        if is_covered(line, doubt):
            raise InputError(
                "The speaker's mouth seems to be covered, by a mask, a hand or a microphone.",
                hint="Use a photo in which the whole mouth can be seen.",
                code="detect.covered",
                doubt=round(doubt, 4),
                line=round(line.usual, 3),
            )
        if doubt >= DOUBTFUL:
            emit(Log("WARNING", "detect.mouth_unclear", {"doubt": round(doubt, 4)}))
        if _apart(face) > WIDE:
            emit(Log("WARNING", "detect.mouth_open", {"percent": round(100 * _apart(face))}))


# Looking


def _looks(rgb: Pixels) -> Iterator[tuple[int, Pixels]]:
    """The photo, brightened, and turned a quarter, three quarters, half anticlockwise."""
    yield 0, rgb
    yield 0, _brighten(rgb)
    for turns in (1, 3, 2):
        yield turns, np.ascontiguousarray(np.rot90(rgb, turns))


def _brighten(rgb: Pixels) -> Pixels:
    """Shadows lifted, and local contrast made even (CLAHE), for faces in the dark."""
    import cv2

    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    lifted = (255 * (lab[..., 0] / 255.0) ** 0.6).astype(np.uint8)
    lab[..., 0] = cv2.createCLAHE(3.0, (8, 8)).apply(lifted)
    made: Pixels = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return made


# Telling


def _apart(face: Landmarks) -> float:
    """The distance of the inner lips (points 13 and 14) as a share of the face's height."""
    above, below = face.points[[13, 14], :2]
    return float(np.hypot(*(above - below)) / face.height)


def _warn_of_size(crop: Crop, size: tuple[int, int], emit: Emit) -> None:
    times = size[1] / crop.height
    if times > SOFT:
        told = {"times": round(times, 1), "pixels": crop.height, "height": size[1]}
        emit(Log("WARNING", "detect.soft", told))


def _metadata(
    candidates: Sequence[Candidate], chosen: int, crop: Crop, subject: Subject
) -> dict[str, Any]:
    """What the stage's last event says of the people and the framing. Boxes in photo pixels."""
    counted = number_people(candidates)
    yaw, pitch, roll = head_pose(subject.landmarks)
    people = [
        {
            "number": counted[i],
            "box": list(one.person.box),
            "face": list(one.person.face or ()),
            "score": round(one.person.score, 3),
            "problem": one.problem.code if one.problem else "",
        }
        for i, one in enumerate(candidates)
    ]
    return {
        "number": counted[chosen],
        "count": len(candidates),
        "detected_persons": len(candidates),
        "selected_person": {
            "person_id": counted[chosen] - 1,
            "confidence": round(candidates[chosen].person.score, 3),
        },
        "people": sorted(people, key=lambda person: person["number"]),
        "crop": [crop.left, crop.top, crop.left + crop.width, crop.top + crop.height],
        "width": subject.frame.shape[1],
        "height": subject.frame.shape[0],
        "face_pixels": subject.face[3] - subject.face[1],
        "pose": [round(yaw, 1), round(pitch, 1), round(roll, 1)],
    }


# From photo pixels to the film's


def _move_points(points: Floats, crop: Crop, size: tuple[int, int]) -> Floats:
    """(468, 3) landmarks; a pixel's middle stays its middle."""
    scale = np.array([size[0] / crop.width, size[1] / crop.height], np.float32)
    moved = points.copy()
    moved[:, :2] = (points[:, :2] + 0.5 - (crop.left, crop.top)) * scale - 0.5
    moved[:, 2] *= scale[1]
    return moved


def _move_box(box: Box, crop: Crop, size: tuple[int, int]) -> Box:
    across, down = size[0] / crop.width, size[1] / crop.height
    x0, y0 = (box[0] - crop.left) * across, (box[1] - crop.top) * down
    x1, y1 = (box[2] - crop.left) * across, (box[3] - crop.top) * down
    return _clip((x0, y0, x1, y1), size)


def _box_of(points: Floats, size: tuple[int, int]) -> Box:
    (x0, y0), (x1, y1) = points[:, :2].min(0).tolist(), points[:, :2].max(0).tolist()
    return _clip((x0, y0, x1, y1), size)


def _clip(box: tuple[float, float, float, float], size: tuple[int, int]) -> Box:
    x0, y0, x1, y1 = box
    width, height = size
    left, top = min(max(0, math.floor(x0)), width - 1), min(max(0, math.floor(y0)), height - 1)
    return (
        left,
        top,
        min(max(left + 1, math.ceil(x1)), width),
        min(max(top + 1, math.ceil(y1)), height),
    )
