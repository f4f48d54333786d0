"""Find the people in the photo, choose the speaker, read the face, frame it for the film.

Refuses what no renderer can animate before anything costly starts. Cuts nobody out; that is
the next stage.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Final, Protocol

import numpy as np

from vidgen.errors import InputError
from vidgen.events import Emit, Log, StageProgress
from vidgen.media.photo import read_part
from vidgen.settings import Options
from vidgen.stages.frame_picture import FramePicture
from vidgen.stages.framing import (
    Crop,
    Scene,
    box_of,
    choose_framing,
    move_box,
    move_points,
)
from vidgen.stages.mouth import check_mouth
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
from vidgen.vision.borders import find_content
from vidgen.vision.enlarger import Enlarger
from vidgen.vision.faces import SIDES, TRACE, Face, FaceDetector, LandmarkNet, Landmarks, head_pose
from vidgen.vision.hands import HandFinder
from vidgen.vision.iris import IrisNet
from vidgen.vision.sight import views
from vidgen.work import Box, EyeView, Floats, Notes, Photo, Pixels, Subject, Work

NAME: Final = "yolo_detection"
SHOWN: Final = (
    3200  # pixels, of a photo in which the least face leaves a trace when it is seen whole
)
WEAK: Final = 0.2  # of a face that may be one
MOST_READ: Final = 8  # faces read to find one that can speak


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

    `people` may find whole persons; without it their boxes are grown from the faces. Without
    `hands` nobody looks for one before the mouth.
    """

    name = NAME

    def __init__(
        self,
        faces: FaceDetector,
        landmarks: LandmarkNet,
        options: Options,
        people: PersonFinder | None = None,
        irises: IrisNet | None = None,
        enlarger: Enlarger | None = None,
        hands: HandFinder | None = None,
    ) -> None:
        self.faces = faces
        self.landmarks = landmarks
        self.options = options
        self.people = people
        self.irises = irises
        self.hands = hands
        self.picture = FramePicture(NAME, options.enlarge, enlarger)

    def run(self, work: Work, emit: Emit) -> Work:
        """Raises InputError when nobody is found, chosen or readable."""
        load_seconds = self._load()
        photo = work.get(Photo)
        turns, candidates = self._search(photo, emit)
        if turns:
            photo = photo.turned(turns)
            code = "detect.upside_down" if turns == 2 else "detect.turned"
            emit(Log("INFO", code, {"degrees": turns * 90}))
        chosen = self._choose(candidates, photo, emit)
        emit(StageProgress(NAME, 2, self.picture.steps, "steps"))
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

    def _search(self, photo: Photo, emit: Emit) -> tuple[int, list[Candidate]]:
        """Quarter turns anticlockwise that bring the faces upright, and the faces, best first.

        Looks again, brightened and turned, only while nobody readable is found.
        Raises InputError when there is no face at all.
        """
        found: tuple[int, list[Candidate]] | None = None
        seen, trace = self.faces.scan(photo.rgb, self.options.conf_threshold)
        for look, faces in chain([(photo, seen)], self._looks(photo, trace)):
            candidates = self._candidates(look, faces)
            if any(map(is_readable, candidates)):
                found = look.turns, candidates
                break
            if found is None and any(one.face for one in candidates):
                found = look.turns, candidates
        emit(StageProgress(NAME, 1, self.picture.steps, "steps"))
        if found is None:
            raise self._nobody(trace)
        return found

    def _looks(self, photo: Photo, trace: float) -> Iterator[tuple[Photo, Sequence[Face]]]:
        """The photo brightened, turned a quarter, three quarters, half anticlockwise, and closely,
        and the faces seen. Where nothing left a trace, nobody looks for what is small."""
        threshold = self.options.conf_threshold
        bright = replace(photo, rgb=_brighten(photo.rgb))
        faces, more = self.faces.scan(bright.rgb, threshold)
        yield bright, faces
        is_blank = max(trace, more) < TRACE
        for turns in (1, 3, 2):
            turned = photo.turned(turns)
            sides = SIDES[:-1] if is_blank else SIDES
            yield turned, self.faces.scan(turned.rgb, threshold, sides)[0]
        if max(photo.rgb.shape) > (SHOWN if is_blank else SIDES[-1]):
            yield photo, self.faces.detect_small(photo.rgb, threshold)

    def _candidates(self, photo: Photo, seen: Sequence[Face]) -> list[Candidate]:
        """Everybody, best first, in pixels of the whole photo."""
        threshold, rgb = self.options.conf_threshold, photo.rgb
        faces = sorted(seen, key=lambda face: -weight(face, rgb))
        persons = self.people(rgb, threshold) if self.people else ()
        found = [Candidate(face, person_of(face, persons, rgb)) for face in faces]
        found = [one.scaled(photo.scale) for one in found + faceless(persons, faces)]
        few = min(MOST_READ, len(faces))
        return [self._with_landmarks(photo, one) for one in found[:few]] + found[few:]

    def _with_landmarks(self, photo: Photo, candidate: Candidate) -> Candidate:
        """With its landmarks, or with the reason why it cannot be animated."""
        face, by, landmarks = candidate.face, photo.scale, None
        if face:
            small = face.moved(1 / by)
            landmarks = self.landmarks.find(photo.rgb, small.box, small.roll)
        landmarks = landmarks and landmarks.moved(by)
        problem = problem_of(face, landmarks, photo.size)
        return replace(candidate, landmarks=landmarks, problem=problem)

    def _nobody(self, trace: float) -> InputError:
        """`trace`: the highest score of any place in the photo."""
        threshold = self.options.conf_threshold
        if trace >= min(WEAK, threshold):
            return InputError(
                "No face in the photo is sure enough: the best scores {score}, {threshold} is"
                " asked for.",
                hint="Use a sharper photo of a face, or lower --conf-threshold.",
                code="detect.unsure",
                score=round(trace, 2),
                threshold=threshold,
            )
        return InputError(
            "No face was found in the photo.",
            hint="Use a photo in which a human face looks at the camera and is not covered.",
            code="detect.no_face",
        )

    # Who speaks

    def _choose(self, candidates: list[Candidate], photo: Photo, emit: Emit) -> int:
        """Index of the speaker. Raises InputError when that person cannot be animated."""
        index = pick(candidates, self.options.person, photo.size[0])
        first = index
        if self.options.person == "auto":
            readable = (i for i, one in enumerate(candidates) if is_readable(one))
            index = next(readable, index)
        chosen = candidates[index] = self._sure(photo, candidates[index])
        able = others(candidates, index)
        problem = problem_of(chosen.face, chosen.landmarks, photo.size, able)
        if problem is not None:
            raise problem
        if index != first:
            counted = number_people(candidates)
            told = {"number": counted[index], "passed": counted[first]}
            emit(Log("INFO", "detect.next_best", told))
        return index

    def _sure(self, photo: Photo, candidate: Candidate) -> Candidate:
        """Read, if it was not; what a reduced copy did not tell, in all pixels of the photo."""
        face = candidate.face
        if candidate.landmarks is not None or face is None:
            return candidate
        if photo.scale == 1:
            return candidate if candidate.problem else self._with_landmarks(photo, candidate)
        x0, y0, x1, y1 = face.box
        reach = round(x1 - x0 + y1 - y0)
        around = Crop(round(x0) - reach, round(y0) - reach, 3 * reach, 3 * reach)
        part, left, top = _read_around(photo, around)
        box = x0 - left, y0 - top, x1 - left, y1 - top
        found = self.landmarks.find(part, box, face.roll)
        landmarks = found and found.moved(1, -left, -top)
        problem = problem_of(face, landmarks, photo.size)
        return replace(candidate, landmarks=landmarks, problem=problem)

    # How the film shows the speaker

    def _frame(
        self, photo: Photo, candidates: list[Candidate], chosen: int, emit: Emit
    ) -> tuple[Subject, Crop]:
        speaker = candidates[chosen]
        assert speaker.landmarks is not None
        shown = _visible_part(photo, speaker, self.options.framing)
        faces = tuple(one.face.box for one in candidates if one.face and one is not speaker)
        scene = Scene(*photo.size, speaker.landmarks.centre, speaker.landmarks.height, faces)
        crop = choose_framing(scene.within(shown), self.options.framing, self.options.aspect)
        crop = crop.shift(shown)
        size = crop.size(self.options.height, self.options.aspect)
        source, inside, face = self._source(photo, crop, size, speaker.landmarks)
        check_mouth(source, face, self.landmarks, self.hands, emit)
        points = move_points(face.points, inside, size)
        frame = self.picture.cut(source, inside, size, points, emit)
        subject = Subject(
            frame,
            points,
            box_of(points, size),
            move_box(speaker.person.box, crop, size),
            tuple(one.person for one in candidates),
            chosen,
            self._eyes(frame, points, emit),
        )
        return subject, crop

    def _source(
        self, photo: Photo, crop: Crop, size: tuple[int, int], face: Landmarks
    ) -> tuple[Pixels, Crop, Landmarks]:
        """The picture to cut the film from, with the crop and the face in its pixels.

        The photo's reduced copy where it has pixels enough, else a part of the whole, in which the
        face is read once more.
        """
        if photo.scale == 1:
            return photo.rgb, crop, face
        small = crop.scaled(1 / photo.scale)
        if small.height >= size[1]:
            return photo.rgb, small, face.moved(1 / photo.scale)
        part, left, top = _read_around(photo, crop)
        inside = replace(crop, left=crop.left - left, top=crop.top - top)
        seen = face.moved(1, left, top)
        return part, inside, self.landmarks.track(part, seen) or seen

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


# Looking


def _visible_part(photo: Photo, speaker: Candidate, framing: str) -> Box:
    """What of the photo may be shown: not the bars round it, unless all of it is to be kept."""
    width, height = photo.size
    if framing == "keep" or speaker.face is None:
        return 0, 0, width, height
    by = photo.scale
    x0, y0, x1, y1 = (round(value / by) for value in speaker.face.box)
    found = find_content(photo.rgb, (x0, y0, x1, y1))
    left, top, right, bottom = (round(value * by) for value in found)
    return left, top, min(right, width), min(bottom, height)


def _read_around(photo: Photo, crop: Crop) -> tuple[Pixels, int, int]:
    """What of `crop` lies on the whole photo, and the left and top at which it begins."""
    width, height = photo.size
    left, top = max(0, crop.left), max(0, crop.top)
    right, bottom = min(width, crop.left + crop.width), min(height, crop.top + crop.height)
    return read_part(photo, (left, top, right, bottom)), left, top


def _brighten(rgb: Pixels) -> Pixels:
    """Shadows lifted, and local contrast made even (CLAHE), for faces in the dark."""
    import cv2

    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    lifted = (255 * (lab[..., 0] / 255.0) ** 0.6).astype(np.uint8)
    lab[..., 0] = cv2.createCLAHE(3.0, (8, 8)).apply(lifted)
    made: Pixels = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return made


# Telling


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
