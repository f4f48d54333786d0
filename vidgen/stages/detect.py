"""Find the people in the photo, choose the speaker, read the face, frame it for the film.

Refuses what no renderer can animate before anything costly starts. Cuts nobody out; that is
the next stage.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from vidgen.errors import InputError
from vidgen.events import Emit, Log, StageProgress
from vidgen.faces import EYE_CORNERS, MOUTH, Face, FaceDetector, LandmarkNet, Landmarks, head_pose
from vidgen.settings import Options
from vidgen.stages.framing import Crop, Scene, choose_crop, cut_out
from vidgen.work import Box, Floats, Notes, Person, Photo, Pixels, Subject, Work

NAME: Final = "yolo_detection"
LEAST_FACE: Final = 40  # pixels of face height that the landmark net reads well
MOST_YAW: Final = 35.0  # degrees, as `head_pose` tells
MOST_ROLL: Final = 60.0  # degrees; beyond it the photo is turned
MOST_ASIDE: Final = 0.45  # nose off the eyes' middle, in eye distances, of a head about 45° aside
COVERED: Final = 0.017  # `LandmarkNet.doubt` of a mouth that cannot be seen
DOUBTFUL: Final = 0.013  # and of one that can hardly be seen
MOST_READ: Final = 8  # faces read to find one that can speak
SOFT: Final = 2.0  # times enlarged from which a film looks soft
# Finds people: each one's box and score, 0–1, given a picture and the least score
PersonFinder = Callable[[Pixels, float], Sequence[tuple[Box, float]]]


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One face, and whether it can be animated. Pixels of the photo as it was looked at."""

    face: Face
    person: Person
    landmarks: Landmarks | None = None
    problem: InputError | None = None


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
    ) -> None:
        self.faces = faces
        self.landmarks = landmarks
        self.options = options
        self.people = people

    def run(self, work: Work, emit: Emit) -> Work:
        """Raises InputError when nobody is found, chosen or readable."""
        began = time.monotonic()
        self.faces.load()
        self.landmarks.load()
        load_seconds = time.monotonic() - began
        photo = work.get(Photo)
        turns, candidates = self._search(photo.rgb, emit)
        if turns:
            photo = replace(photo, rgb=np.ascontiguousarray(np.rot90(photo.rgb, turns)))
            emit(Log("INFO", "detect.turned", {"degrees": turns * 90}))
        chosen = self._chosen(candidates, photo, emit)
        emit(StageProgress(NAME, 2, 3, "steps"))
        subject, crop = self._framed(photo, candidates, chosen, emit)
        notes = {
            "backend": "centerface",
            "model": "face_landmark",
            "device": "cpu",
            "work": round(photo.rgb.shape[0] * photo.rgb.shape[1] / 1e6, 3),
            "work_unit": "megapixels",
            "load_seconds": round(load_seconds, 3),
            **_told(candidates, chosen, crop, subject),
        }
        return work.plus(photo, subject, Notes(notes, "detect.done"))

    # Who is there

    def _search(self, rgb: Pixels, emit: Emit) -> tuple[int, list[_Candidate]]:
        """Quarter turns anticlockwise that bring the faces upright, and the faces, best first.

        Looks again, brightened and turned, only while nobody readable is found.
        Raises InputError when there is no face at all.
        """
        found: tuple[int, list[_Candidate]] | None = None
        for turns, picture in _looks(rgb):
            candidates = self._candidates(picture)
            if any(candidate.problem is None for candidate in candidates[:MOST_READ]):
                found = turns, candidates
                break
            if candidates and found is None:
                found = turns, candidates
        emit(StageProgress(NAME, 1, 3, "steps"))
        if found is None:
            raise self._nobody(rgb)
        return found

    def _candidates(self, rgb: Pixels) -> list[_Candidate]:
        faces = self.faces.detect(rgb, self.options.conf_threshold)
        persons = self.people(rgb, self.options.conf_threshold) if self.people else ()
        found = [_Candidate(face, _person(face, persons, rgb)) for face in faces]
        found.sort(key=lambda candidate: -_weight(candidate.face, rgb))
        return [self._read(rgb, one) for one in found[:MOST_READ]] + found[MOST_READ:]

    def _read(self, rgb: Pixels, candidate: _Candidate) -> _Candidate:
        """With its landmarks, or with the reason why it cannot be animated."""
        face = candidate.face
        landmarks = self.landmarks.find(rgb, face.box, face.roll)
        problem = _problem(face, landmarks, rgb)
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

    def _chosen(self, candidates: list[_Candidate], photo: Photo, emit: Emit) -> int:
        """Index of the speaker. Raises InputError when that person cannot be animated."""
        index = _pick(candidates, self.options.person, photo.rgb.shape[1])
        first = index
        if self.options.person == "auto":
            readable = (i for i, one in enumerate(candidates) if _is_readable(one))
            index = next(readable, index)
        chosen = candidates[index] = self._sure(photo.rgb, candidates[index])
        if chosen.problem is not None:
            raise chosen.problem
        if index != first:
            numbers = _numbers(candidates)
            told = {"number": numbers[index], "passed": numbers[first]}
            emit(Log("INFO", "detect.next_best", told))
        return index

    def _sure(self, rgb: Pixels, candidate: _Candidate) -> _Candidate:
        if candidate.landmarks is None and candidate.problem is None:
            return self._read(rgb, candidate)
        return candidate

    # How the film shows the speaker

    def _framed(
        self, photo: Photo, candidates: list[_Candidate], chosen: int, emit: Emit
    ) -> tuple[Subject, Crop]:
        speaker = candidates[chosen]
        assert speaker.landmarks is not None
        self._warn_of_mouth(photo.rgb, speaker.landmarks, emit)
        height, width = photo.rgb.shape[:2]
        others = tuple(one.face.box for one in candidates if one is not speaker)
        scene = Scene(width, height, speaker.landmarks.centre, speaker.landmarks.height, others)
        crop = choose_crop(scene, self.options.framing, self.options.aspect)
        size = crop.size(self.options.height, self.options.aspect)
        _warn_of_size(crop, size, emit)
        points = _moved(speaker.landmarks.points, crop, size)
        subject = Subject(
            cut_out(photo.rgb, crop, size),
            points,
            _box_of(points, size),
            _moved_box(speaker.person.box, crop, size),
            tuple(one.person for one in candidates),
            chosen,
        )
        return subject, crop

    def _warn_of_mouth(self, rgb: Pixels, face: Landmarks, emit: Emit) -> None:
        """Raises InputError for a covered mouth; a doubtful one is only told."""
        doubt = self.landmarks.doubt(rgb, face)
        if doubt >= COVERED:
            raise InputError(
                "The speaker's mouth seems to be covered, by a mask, a hand or a microphone.",
                hint="Use a photo in which the whole mouth can be seen.",
                code="detect.covered",
                doubt=round(doubt, 4),
            )
        if doubt >= DOUBTFUL:
            emit(Log("WARNING", "detect.mouth_unclear", {"doubt": round(doubt, 4)}))


# Looking


def _looks(rgb: Pixels) -> Iterator[tuple[int, Pixels]]:
    """The photo, brightened, and turned a quarter, three quarters, half anticlockwise."""
    yield 0, rgb
    yield 0, _brightened(rgb)
    for turns in (1, 3, 2):
        yield turns, np.ascontiguousarray(np.rot90(rgb, turns))


def _brightened(rgb: Pixels) -> Pixels:
    """Shadows lifted, and local contrast made even (CLAHE), for faces in the dark."""
    import cv2

    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    lifted = (255 * (lab[..., 0] / 255.0) ** 0.6).astype(np.uint8)
    lab[..., 0] = cv2.createCLAHE(3.0, (8, 8)).apply(lifted)
    made: Pixels = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    return made


def _person(face: Face, persons: Sequence[tuple[Box, float]], rgb: Pixels) -> Person:
    """The person this face belongs to: the tightest box round its middle, else a grown one."""
    x0, y0, x1, y1 = face.box
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    around = [box for box, _ in persons if box[0] <= x < box[2] and box[1] <= y < box[3]]
    small = min(around, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]), default=None)
    return Person(small or _grown(face, rgb), _on(rgb, face.box), face.score)


def _grown(face: Face, rgb: Pixels) -> Box:
    """A body's box from its face: about four faces wide, hair above, down to the hips."""
    x0, y0, x1, y1 = face.box
    wide, high = x1 - x0, y1 - y0
    return _on(rgb, (x0 - 1.6 * wide, y0 - 0.5 * high, x1 + 1.6 * wide, y1 + 4 * high))


def _on(rgb: Pixels, box: Sequence[float]) -> Box:
    """Whole pixels within the picture."""
    height, width = rgb.shape[:2]
    x0, y0, x1, y1 = box
    return (
        min(max(0, math.floor(x0)), width - 1),
        min(max(0, math.floor(y0)), height - 1),
        min(max(1, math.ceil(x1)), width),
        min(max(1, math.ceil(y1)), height),
    )


def _weight(face: Face, rgb: Pixels) -> float:
    """area × centrality × score: how likely this face is the one that the photo is of."""
    x0, y0, x1, y1 = face.box
    height, width = rgb.shape[:2]
    off = math.hypot((x0 + x1) / width - 1, (y0 + y1) / height - 0.9)
    return (x1 - x0) * (y1 - y0) * math.exp(-(off**2)) * face.score


# Choosing


def _pick(candidates: Sequence[_Candidate], person: str, width: int) -> int:
    """Index of the person that `--person` names; `candidates` stand best first."""
    middles = [(one.face.box[0] + one.face.box[2]) / 2 for one in candidates]
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (one.face.box for one in candidates)]
    everybody = range(len(candidates))
    match person:
        case "auto":
            return 0
        case "largest":
            return max(everybody, key=areas.__getitem__)
        case "left":
            return min(everybody, key=middles.__getitem__)
        case "right":
            return max(everybody, key=middles.__getitem__)
        case "center":
            return min(everybody, key=lambda i: abs(middles[i] - width / 2))
    return _numbered(candidates, person)


def _numbered(candidates: Sequence[_Candidate], person: str) -> int:
    numbers = _numbers(candidates)
    if not (person.isascii() and person.isdigit()):
        raise InputError(
            "--person {person} is not known.",
            hint="Use auto, largest, left, right, center, or a number from 1, left to right.",
            code="detect.person_unknown",
            person=person,
        )
    if int(person) not in numbers:
        raise InputError(
            "There is no person {number} in the photo; {count} found.",
            hint="Count from 1, left to right: {people}.",
            code="detect.no_such_person",
            number=int(person),
            count=len(candidates),
            people=_listed(candidates),
        )
    return numbers.index(int(person))


def _numbers(candidates: Sequence[_Candidate]) -> list[int]:
    """Each candidate's number, counted from 1, left to right."""
    order = sorted(range(len(candidates)), key=lambda i: candidates[i].face.box[0])
    return [order.index(i) + 1 for i in range(len(candidates))]


def _listed(candidates: Sequence[_Candidate]) -> str:
    """`1 (face 113 × 195 pixels at 555, 242), 2 (…)`."""
    told = []
    for number, one in sorted(
        zip(_numbers(candidates), candidates, strict=True), key=lambda x: x[0]
    ):
        x0, y0, x1, y1 = (round(value) for value in one.face.box)
        told.append(f"{number} (face {x1 - x0} × {y1 - y0} pixels at {x0}, {y0})")
    return ", ".join(told)


def _is_readable(candidate: _Candidate) -> bool:
    return candidate.landmarks is not None and candidate.problem is None


# Refusing


def _problem(face: Face, landmarks: Landmarks | None, rgb: Pixels) -> InputError | None:
    """Why this face cannot be animated; None if it can."""
    pixels = round(face.box[3] - face.box[1])
    if pixels < LEAST_FACE:
        return InputError(
            "The speaker's face is too small: {pixels} pixels high.",
            hint="Use a larger photo, or one taken closer; {least} pixels is the least.",
            code="detect.too_small",
            pixels=pixels,
            least=LEAST_FACE,
        )
    if landmarks is None:
        return _unreadable(face)
    yaw, _, roll = head_pose(landmarks.points)
    if abs(yaw) > MOST_YAW:
        return _profile(round(abs(yaw)))
    if abs(roll) > MOST_ROLL:
        return InputError(
            "The speaker's head lies on its side: turned by about {degrees}°.",
            hint="Turn the photo so that the head is upright.",
            code="detect.on_its_side",
            degrees=round(abs(roll)),
        )
    return _cut_off(landmarks, rgb)


def _unreadable(face: Face) -> InputError:
    """Found, but the landmark net sees no face in it."""
    if abs(face.aside) > MOST_ASIDE:
        return _profile(45)
    return InputError(
        "The speaker's face could be found but not read: it is turned aside, covered or blurred.",
        hint="Use a photo in which the face looks at the camera, or choose somebody else with"
        " --person.",
        code="detect.unreadable",
    )


def _profile(degrees: int) -> InputError:
    return InputError(
        "The speaker's face is turned too far aside: about {degrees}° or more.",
        hint="Use a photo in which the face looks towards the camera, at most about"
        " {most}° aside, or choose somebody else with --person.",
        code="detect.profile",
        degrees=degrees,
        most=round(MOST_YAW),
    )


def _cut_off(landmarks: Landmarks, rgb: Pixels) -> InputError | None:
    height, width = rgb.shape[:2]
    points = landmarks.points[list(EYE_CORNERS + MOUTH), :2]
    if (points >= 0).all() and (points < (width, height)).all():
        return None
    return InputError(
        "The speaker's face is cut off by the photo's edge.",
        hint="Use a photo that shows both eyes and the whole mouth.",
        code="detect.cut_off",
    )


# Telling


def _warn_of_size(crop: Crop, size: tuple[int, int], emit: Emit) -> None:
    times = size[1] / crop.height
    if times > SOFT:
        told = {"times": round(times, 1), "pixels": crop.height, "height": size[1]}
        emit(Log("WARNING", "detect.soft", told))


def _told(
    candidates: Sequence[_Candidate], chosen: int, crop: Crop, subject: Subject
) -> dict[str, Any]:
    """What the stage's last event says of the people and the framing. Boxes in photo pixels."""
    numbers = _numbers(candidates)
    yaw, pitch, roll = head_pose(subject.landmarks)
    people = [
        {
            "number": numbers[i],
            "box": list(one.person.box),
            "face": list(one.person.face or ()),
            "score": round(one.face.score, 3),
            "problem": one.problem.code if one.problem else "",
        }
        for i, one in enumerate(candidates)
    ]
    return {
        "number": numbers[chosen],
        "count": len(candidates),
        "people": sorted(people, key=lambda person: person["number"]),
        "crop": [crop.left, crop.top, crop.left + crop.width, crop.top + crop.height],
        "width": subject.frame.shape[1],
        "height": subject.frame.shape[0],
        "face_pixels": subject.face[3] - subject.face[1],
        "pose": [round(yaw, 1), round(pitch, 1), round(roll, 1)],
    }


# From photo pixels to the film's


def _moved(points: Floats, crop: Crop, size: tuple[int, int]) -> Floats:
    """(468, 3) landmarks; a pixel's middle stays its middle."""
    scale = np.array([size[0] / crop.width, size[1] / crop.height], np.float32)
    moved = points.copy()
    moved[:, :2] = (points[:, :2] + 0.5 - (crop.left, crop.top)) * scale - 0.5
    moved[:, 2] *= scale[1]
    return moved


def _moved_box(box: Box, crop: Crop, size: tuple[int, int]) -> Box:
    across, down = size[0] / crop.width, size[1] / crop.height
    x0, y0 = (box[0] - crop.left) * across, (box[1] - crop.top) * down
    x1, y1 = (box[2] - crop.left) * across, (box[3] - crop.top) * down
    return _clipped((x0, y0, x1, y1), size)


def _box_of(points: Floats, size: tuple[int, int]) -> Box:
    (x0, y0), (x1, y1) = points[:, :2].min(0).tolist(), points[:, :2].max(0).tolist()
    return _clipped((x0, y0, x1, y1), size)


def _clipped(box: tuple[float, float, float, float], size: tuple[int, int]) -> Box:
    x0, y0, x1, y1 = box
    width, height = size
    left, top = min(max(0, math.floor(x0)), width - 1), min(max(0, math.floor(y0)), height - 1)
    return (
        left,
        top,
        min(max(left + 1, math.ceil(x1)), width),
        min(max(top + 1, math.ceil(y1)), height),
    )
