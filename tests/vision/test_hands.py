"""Hands: the palm net's answers worked out by hand, and both nets on a drawn one."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.support.hands import hand_at, with_hand
from vidgen.media.photo import open_photo
from vidgen.vision.faces import FaceDetector, LandmarkNet, Landmarks
from vidgen.vision.hands import HandFinder, hidden_share, palms_of
from vidgen.work import Floats, Pixels

ANCHORS = 2016


def answers(*palms: tuple[int, float, tuple[float, ...]]) -> tuple[Floats, Floats]:
    """The net's: anchor, logit, and middle, size, wrist and middle finger's root off the anchor."""
    logits, places = np.full(ANCHORS, -20, np.float32), np.zeros((ANCHORS, 18), np.float32)
    for anchor, logit, (x, y, side, *ends) in palms:
        logits[anchor] = logit
        places[anchor, :4] = x, y, side, side
        places[anchor, 4:6], places[anchor, 8:10] = ends[:2], ends[2:]
    return logits, places


@pytest.mark.parametrize(
    ("anchor", "middle"),
    [
        (0, (4, 4)),  # 24 × 24 cells of 8 pixels with two anchors each
        (1, (4, 4)),
        (2, (12, 4)),
        (48, (4, 12)),
        (1151, (188, 188)),
        (1152, (8, 8)),  # then 12 × 12 of 16 pixels with six
        (1157, (8, 8)),
        (1158, (24, 8)),
        (2015, (184, 184)),
    ],
)
def test_a_palm_lies_off_its_anchors_middle(anchor: int, middle: tuple[int, int]) -> None:
    logits, places = answers((anchor, 2.0, (3, -2, 40, 0, 20, 20, 20)))
    (palm,) = palms_of(logits, places, 100.0, 50.0, 384.0)  # a square of twice the net's side
    assert palm.centre == pytest.approx((100 + 2 * (middle[0] + 3), 50 + 2 * (middle[1] - 2)), 1e-4)
    assert palm.side == pytest.approx(80)
    assert palm.score == pytest.approx(1 / (1 + np.exp(-2)))


@pytest.mark.parametrize(
    ("fingers", "roll"), [((0, -9), 0), ((9, 0), 90), ((0, 9), 180), ((-9, 0), -90)]
)
def test_a_hand_is_turned_as_its_middle_finger(fingers: tuple[int, int], roll: float) -> None:
    logits, places = answers((700, 2.0, (0, 0, 40, 5, 5, 5 + fingers[0], 5 + fingers[1])))
    assert palms_of(logits, places, 0, 0, 192)[0].roll == pytest.approx(roll)


def test_the_best_comes_first_and_the_same_palm_once() -> None:
    logits, places = answers(
        (0, 1.0, (0, 0, 30, 0, 9, 0, 0)),
        (1, 3.0, (2, 0, 30, 0, 9, 0, 0)),
        (1151, 2.0, (0, 0, 30, 0, 9, 0, 0)),
        (600, -3.0, (0, 0, 30, 0, 9, 0, 0)),  # too unsure
    )
    assert [round(palm.centre[0]) for palm in palms_of(logits, places, 0, 0, 192)] == [6, 188]


def lips_at(x: float, y: float) -> Floats:
    return np.array([(x - 20, y), (x, y - 8), (x + 20, y), (x, y + 8)], np.float32)


@pytest.mark.parametrize(
    ("at", "least", "most"),
    [
        ((100, 150), 0.99, 1.0),  # behind the palm
        ((93, 50), 0.3, 0.95),  # behind fingers, with gaps between them
        ((100, 330), 0.0, 0.0),  # below the wrist
        ((190, 100), 0.0, 0.0),  # beside
    ],
)
def test_how_much_of_the_lips_a_hand_hides(
    at: tuple[float, float], least: float, most: float
) -> None:
    hand = hand_at((100, 200), 100)
    assert least <= hidden_share(lips_at(*at), [hand]) <= most
    assert hidden_share(lips_at(*at), []) == 0
    aside = hand_at((400, 200), 100)
    assert hidden_share(lips_at(*at), [aside, hand]) == hidden_share(lips_at(*at), [hand])


@pytest.fixture(scope="module")
def finder(model_path: Callable[[str], Path]) -> HandFinder:
    return HandFinder(model_path("palm_detection"), model_path("hand_landmark"))


@pytest.fixture(scope="module")
def woman(demo_photo: Path) -> Pixels:
    return open_photo(demo_photo).rgb


@pytest.fixture(scope="module")
def face(woman: Pixels, model_path: Callable[[str], Path]) -> Landmarks:
    (face,) = FaceDetector(model_path("centerface")).detect(woman, 0.5)
    found = LandmarkNet(model_path("face_landmark")).find(woman, face.box)
    assert found is not None
    return found


@pytest.mark.models
@pytest.mark.parametrize("wrist", [(224.0, 200.0), (290.0, 190.0), (150.0, 210.0)])
def test_a_drawn_hand_is_found_finger_by_finger(
    finder: HandFinder, woman: Pixels, face: Landmarks, wrist: tuple[float, float]
) -> None:
    (hand,) = finder.near(with_hand(woman, wrist, 50), face)
    off = np.linalg.norm(hand - hand_at(wrist, 50), axis=1)
    assert np.median(off) < 8
    finder.release()


@pytest.mark.models
def test_a_face_alone_has_no_hand(finder: HandFinder, woman: Pixels, face: Landmarks) -> None:
    assert finder.near(woman, face) == ()
