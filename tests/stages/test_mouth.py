"""Mouths that cannot speak: a drawn hand before one is named, beside it nobody minds."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.hands import hand_at, with_hand
from vidgen.errors import InputError
from vidgen.events import Event, Log
from vidgen.media.photo import open_photo
from vidgen.settings import Options
from vidgen.stages.detect import Detect
from vidgen.stages.mouth import check_mouth
from vidgen.vision.faces import FaceDetector, LandmarkNet, Landmarks
from vidgen.vision.hands import HandFinder
from vidgen.vision.mouth_cover import LOWER, UPPER
from vidgen.work import Floats, Photo, Pixels, Subject, Work

pytestmark = pytest.mark.models

BEFORE = (228.0, 200.0)  # the wrist of a hand whose palm lies over the demo photo's mouth
BESIDE = [(300.0, 190.0), (150.0, 200.0), (224.0, 290.0)]


class KnownHands(HandFinder):
    """Sees the hands that it was told of, and counts how often it is asked."""

    def __init__(self, *hands: Floats) -> None:
        self.known, self.asked = hands, 0

    def near(self, rgb: Pixels, face: Landmarks) -> tuple[Floats, ...]:
        self.asked += 1
        return self.known

    def release(self) -> None:
        pass


@pytest.fixture(scope="module")
def woman(demo_photo: Path) -> Photo:
    return open_photo(demo_photo)


@pytest.fixture(scope="module")
def finder(model_path: Callable[[str], Path]) -> HandFinder:
    return HandFinder(model_path("palm_detection"), model_path("hand_landmark"))


@pytest.fixture(scope="module")
def look(model_path: Callable[[str], Path]) -> Callable[..., Subject]:
    faces = FaceDetector(model_path("centerface"))
    landmarks = LandmarkNet(model_path("face_landmark"))

    def look(rgb: Pixels, hands: HandFinder | None) -> Subject:
        stage = Detect(faces, landmarks, Options(height=512), hands=hands)
        return stage.run(
            Work(Photo(Path("photo"), np.ascontiguousarray(rgb), "")), lambda _: None
        ).get(Subject)

    return look


def test_a_hand_before_the_mouth_is_named(
    look: Callable[..., Subject], finder: HandFinder, woman: Photo
) -> None:
    with pytest.raises(InputError) as told:
        look(with_hand(woman.rgb, BEFORE, 45), finder)
    assert told.value.code == "detect.hand"
    assert "A hand lies before the speaker's mouth: it hides " in str(told.value)
    assert told.value.details["percent"] > 60


@pytest.mark.parametrize("wrist", BESIDE)
def test_a_hand_beside_the_mouth_may_stay(
    look: Callable[..., Subject], finder: HandFinder, woman: Photo, wrist: tuple[float, float]
) -> None:
    assert look(with_hand(woman.rgb, wrist, 45), finder).face


def test_a_clear_mouth_is_not_searched_for_hands(
    look: Callable[..., Subject], woman: Photo
) -> None:
    hands = KnownHands(hand_at(BEFORE, 45))
    assert look(woman.rgb, hands).face
    assert hands.asked == 0


def test_a_covered_mouth_without_a_hand_is_covered(
    look: Callable[..., Subject], woman: Photo
) -> None:
    masked = woman.rgb.copy()
    outline = [(187, 122), (196, 160), (225, 178), (252, 162), (264, 126), (226, 116)]
    cv2.fillPoly(masked, [np.array(outline)], (190, 215, 235))
    for hands, code in (
        (None, "detect.covered"),
        (KnownHands(), "detect.covered"),
        (KnownHands(hand_at((400, 200), 45)), "detect.covered"),
        (KnownHands(hand_at(BEFORE, 45)), "detect.hand"),
    ):
        with pytest.raises(InputError) as told:
            look(masked, hands)
        assert told.value.code == code


class Certain(LandmarkNet):
    """In no doubt."""

    def doubt(self, rgb: Pixels, face: Landmarks) -> float:
        return 0.005


@pytest.mark.parametrize("more", [0.1, 0.2])
def test_a_mouth_wide_open_is_told_and_never_refused(
    woman: Photo, look: Callable[..., Subject], more: float
) -> None:
    """No mouth so wide can be drawn: its points are put there, and the dark between them."""
    subject = look(woman.rgb, None)
    face, rgb = Landmarks(subject.landmarks.copy(), 1.0), subject.frame.copy()
    down = np.sin(np.linspace(0, np.pi, len(LOWER)), dtype=np.float32)
    inner = face.points[list(UPPER + LOWER[::-1]), :2]
    inner[: len(UPPER)] -= np.outer(down, [0, more * face.height / 2])
    inner[len(UPPER) :] += np.outer(down, [0, more * face.height / 2])
    face.points[list(UPPER + LOWER[::-1]), :2] = inner
    cv2.fillPoly(rgb, [inner.round().astype(np.int32)], (45, 8, 10))
    events: list[Event] = []
    check_mouth(rgb, face, Certain(Path("none")), None, events.append)
    assert [event.code for event in events if isinstance(event, Log)] == ["detect.mouth_open"]
