"""The people in a photo: their boxes, which of them `--person` means, who cannot be animated.

Finds nothing itself: it judges what the detector and the landmark net have found.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from vidgen.errors import InputError
from vidgen.vision.exposure import Fault
from vidgen.vision.faces import EYE_CORNERS, MOUTH, Face, Landmarks, head_pose
from vidgen.work import Box, Person, Pixels

LEAST_FACE: Final = 40  # pixels of face height that the landmark net reads well
MOST_YAW: Final = 35.0  # degrees, as `head_pose` tells
MOST_ROLL: Final = 60.0  # degrees; beyond it the photo is turned
MOST_ASIDE: Final = 0.45  # nose off the eyes' middle, in eye distances, of a head about 45° aside
BODY: Final = (4.2, 5.5)  # a body is about so many faces wide and high
HAIR: Final = 0.5  # of a face's height, above it


@dataclass(frozen=True, slots=True)
class Candidate:
    """One person, and whether the face can be animated. Pixels of the photo as looked at."""

    face: Face | None  # None: only the body was found
    person: Person
    landmarks: Landmarks | None = None
    problem: InputError | None = None

    def scaled(self, by: float) -> "Candidate":
        """Found, not read yet, in the pixels of a picture `by` times as large."""
        return replace(
            self,
            face=self.face and self.face.moved(by),
            person=replace(
                self.person,
                box=_scaled(self.person.box, by),
                face=self.person.face and _scaled(self.person.face, by),
            ),
        )

    @property
    def place(self) -> tuple[float, float, float, float]:
        """The face's box, or where on the body it should be: left, top, right, bottom."""
        if self.face is not None:
            return self.face.box
        x0, y0, x1, y1 = self.person.box
        wide, high = (x1 - x0) / BODY[0], (y1 - y0) / BODY[1]
        middle, top = (x0 + x1) / 2, y0 + HAIR * high
        return middle - wide / 2, top, middle + wide / 2, top + high


def _scaled(box: Box, by: float) -> Box:
    x0, y0, x1, y1 = (round(value * by) for value in box)
    return x0, y0, x1, y1


def faceless(persons: Sequence[tuple[Box, float]], faces: Sequence[Face]) -> list[Candidate]:
    """The bodies in which no face was found: seen from behind, covered, cut off."""
    middles = [((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in (face.box for face in faces)]
    return [
        Candidate(None, Person(box, None, score), problem=problem_of(None, None))
        for box, score in persons
        if not any(box[0] <= x < box[2] and box[1] <= y < box[3] for x, y in middles)
    ]


def person_of(face: Face, persons: Sequence[tuple[Box, float]], rgb: Pixels) -> Person:
    """The person this face belongs to: the tightest box round its middle, else a grown one."""
    x0, y0, x1, y1 = face.box
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    around = [box for box, _ in persons if box[0] <= x < box[2] and box[1] <= y < box[3]]
    small = min(around, key=lambda box: (box[2] - box[0]) * (box[3] - box[1]), default=None)
    return Person(small or _grown(face, rgb), _on(rgb, face.box), face.score)


def _grown(face: Face, rgb: Pixels) -> Box:
    """A body's box from its face: hair above, down to the hips."""
    x0, y0, x1, y1 = face.box
    aside, high = (BODY[0] - 1) / 2 * (x1 - x0), y1 - y0
    top = y0 - HAIR * high
    return _on(rgb, (x0 - aside, top, x1 + aside, top + BODY[1] * high))


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


def weight(face: Face, rgb: Pixels) -> float:
    """area × centrality × score: how likely this face is the one that the photo is of."""
    x0, y0, x1, y1 = face.box
    height, width = rgb.shape[:2]
    off = math.hypot((x0 + x1) / width - 1, (y0 + y1) / height - 0.9)
    return (x1 - x0) * (y1 - y0) * math.exp(-(off**2)) * face.score


# Choosing


def pick(candidates: Sequence[Candidate], person: str, width: int) -> int:
    """Index of the person that `--person` names; `candidates` stand best first."""
    middles = [(one.place[0] + one.place[2]) / 2 for one in candidates]
    areas = [(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in (one.place for one in candidates)]
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
    return _index_of_number(candidates, person)


def _index_of_number(candidates: Sequence[Candidate], person: str) -> int:
    counted = number_people(candidates)
    if not (person.isascii() and person.isdigit()):
        raise InputError(
            "--person {person} is not known.",
            hint="Use auto, largest, left, right, center, or a number from 1, left to right.",
            code="detect.person_unknown",
            person=person,
        )
    if int(person) not in counted:
        raise InputError(
            "There is no person {number} in the photo; {count} found.",
            hint="Count from 1, left to right: {people}.",
            code="detect.no_such_person",
            number=int(person),
            count=len(candidates),
            people=_describe(candidates, range(len(candidates))),
        )
    return counted.index(int(person))


def number_people(candidates: Sequence[Candidate]) -> list[int]:
    """Each candidate's number, counted from 1, left to right."""
    order = sorted(range(len(candidates)), key=lambda i: candidates[i].place[0])
    return [order.index(i) + 1 for i in range(len(candidates))]


def others(candidates: Sequence[Candidate], chosen: int) -> str:
    """`: 2 (face 113 × 195 pixels at 555, 242)`, everybody else who can speak; "" for nobody."""
    able = [i for i, one in enumerate(candidates) if i != chosen and is_readable(one)]
    return f": {_describe(candidates, able)}" if able else ""


def _describe(candidates: Sequence[Candidate], which: Sequence[int]) -> str:
    """`1 (face 113 × 195 pixels at 555, 242), 2 (body …)`, left to right."""
    counted = number_people(candidates)
    told = []
    for i in sorted(which, key=counted.__getitem__):
        one = candidates[i]
        x0, y0, x1, y1 = (round(value) for value in (one.face or one.person).box)
        part = "face" if one.face else "body"
        told.append(f"{counted[i]} ({part} {x1 - x0} × {y1 - y0} pixels at {x0}, {y0})")
    return ", ".join(told)


def is_readable(candidate: Candidate) -> bool:
    return candidate.landmarks is not None and candidate.problem is None


# Refusing


def problem_of(
    face: Face | None,
    landmarks: Landmarks | None,
    size: tuple[int, int] = (0, 0),
    others: str = "",
) -> InputError | None:
    """Why this person cannot be animated; None if it can. `others`: who can, see `others`.

    `size` is the photo's width and height, of which face and landmarks are pixels.
    """
    if face is None:
        return InputError(
            "The speaker's face cannot be seen: only the body was found.",
            hint="Use a photo in which the face looks at the camera, or choose somebody else with"
            " --person{others}.",
            code="detect.faceless",
            others=others,
        )
    pixels = round(face.box[3] - face.box[1])
    if pixels < LEAST_FACE:
        return InputError(
            "The speaker's face is too small: {pixels} pixels high.",
            hint="Use a larger photo, or one taken closer ({least} pixels is the least), or choose"
            " somebody else with --person{others}.",
            code="detect.too_small",
            pixels=pixels,
            least=LEAST_FACE,
            others=others,
        )
    if landmarks is None:
        return _unreadable(face, others)
    yaw, _, roll = head_pose(landmarks.points)
    if abs(yaw) > MOST_YAW:
        return _profile(round(abs(yaw)), others)
    if abs(roll) > MOST_ROLL:
        return InputError(
            "The speaker's head lies on its side: turned by about {degrees}°.",
            hint="Turn the photo so that the head is upright, or choose somebody else with"
            " --person{others}.",
            code="detect.on_its_side",
            degrees=round(abs(roll)),
            others=others,
        )
    return _crop_problem(landmarks, size, others)


def _unreadable(face: Face, others: str) -> InputError:
    """Found, but the landmark net sees no face in it."""
    if abs(face.aside) > MOST_ASIDE:
        return _profile(45, others)
    return InputError(
        "The speaker's face could be found but not read: it is turned aside, covered, blurred,"
        " badly lit or not a human's.",
        hint="Use a photo in which the face looks at the camera, or choose somebody else with"
        " --person{others}.",
        code="detect.unreadable",
        others=others,
    )


def _profile(degrees: int, others: str) -> InputError:
    return InputError(
        "The speaker's face is turned too far aside: about {degrees}° or more.",
        hint="Use a photo in which the face looks towards the camera, at most about"
        " {most}° aside, or choose somebody else with --person{others}.",
        code="detect.profile",
        degrees=degrees,
        most=round(MOST_YAW),
        others=others,
    )


def _crop_problem(landmarks: Landmarks, size: tuple[int, int], others: str) -> InputError | None:
    points = landmarks.points[list(EYE_CORNERS + MOUTH), :2]
    if (points >= 0).all() and (points < size).all():
        return None
    return InputError(
        "The speaker's face is cut off by the photo's edge.",
        hint="Use a photo that shows both eyes and the whole mouth, or choose somebody else with"
        " --person{others}.",
        code="detect.cut_off",
        others=others,
    )


def blurry_face(pixels: float) -> InputError:
    """The face, with the detail of one so many pixels high."""
    return InputError(
        "The speaker's face is too blurred: it shows no more than one {pixels} pixels high.",
        hint="Use a sharper photo.",
        code="detect.blurred",
        pixels=round(pixels),
    )


def hidden_mouth(fault: Fault, doubt: float, line: float) -> InputError:
    """Why the mouth cannot be made out: the photo's `fault`, else something before it."""
    match fault:
        case "burnt":
            return InputError(
                "The speaker's face is overexposed: the light took the mouth's edges away.",
                hint="Use a photo with less light on the face.",
                code="detect.burnt",
            )
        case "two_tones":
            return InputError(
                "The photo has two tones only, black and white: the mouth cannot be made out.",
                hint="Use the photo with its greys or colours.",
                code="detect.two_tones",
            )
        case "negative":
            return InputError(
                "The photo seems to be a negative: the skin is darker than eyes and brows.",
                hint="Turn its colours round in an image editor.",
                code="detect.negative",
            )
    return InputError(
        "The speaker's mouth cannot be made out: a mask, a hand or a microphone seems to cover it,"
        " or its lips hardly differ from what is round them.",
        hint="Use a photo in which the whole mouth can be seen.",
        code="detect.covered",
        doubt=round(doubt, 4),
        line=round(line, 3),
    )
