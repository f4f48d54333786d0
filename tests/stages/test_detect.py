"""Choosing, framing and refusing speakers: geometry on its own, the rest by the real networks."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.faces import KeptFaces
from tests.support.ncnn import repeats_pixels
from tests.support.puppet import cut, drawn, speaker
from vidgen.errors import InputError
from vidgen.events import Event, Log, StageProgress
from vidgen.media.photo import open_photo
from vidgen.renderers.puppet import rig
from vidgen.settings import Options
from vidgen.stages.detect import Detect
from vidgen.stages.framing import ASPECTS, Crop, Scene, choose_framing, crop_frame
from vidgen.vision.enlarger import Enlarger
from vidgen.vision.faces import CHIN, EYE_CORNERS, FOREHEAD, MOUTH, FaceDetector, LandmarkNet
from vidgen.work import Box, Notes, Photo, Pixels, Subject, Work

# Framing: pure geometry


def placed(scene: Scene, crop: Crop) -> tuple[float, float, float]:
    """The face's height, and how far right and down it stands, shares of the crop."""
    x, y = scene.face
    return (
        scene.face_height / crop.height,
        (x - crop.left) / crop.width,
        (y - crop.top) / crop.height,
    )


def is_inside(scene: Scene, crop: Crop) -> bool:
    right, bottom = crop.left + crop.width, crop.top + crop.height
    return crop.left >= 0 and crop.top >= 0 and right <= scene.width and bottom <= scene.height


def test_keep_shows_the_whole_photo() -> None:
    scene = Scene(1000, 700, (300, 200), 90)
    assert choose_framing(scene, "keep", "keep") == Crop(0, 0, 1000, 700)


def test_what_may_not_be_shown_is_no_part_of_a_crop() -> None:
    other = (1000.0, 980.0, 1150.0, 1180.0)
    scene = Scene(1600, 2600, (600, 1100), 220, (other,))
    box = (0, 800, 1600, 1700)
    assert scene.within(box) == Scene(1600, 900, (600, 300), 220, ((1000.0, 180.0, 1150.0, 380.0),))
    crop = choose_framing(scene.within(box), "auto", "keep").shift(box)
    assert crop.top >= 800
    assert crop.top + crop.height <= 1700


def test_auto_keeps_a_photo_with_a_large_face() -> None:
    assert choose_framing(Scene(1000, 700, (500, 300), 200), "auto", "keep") == Crop(
        0, 0, 1000, 700
    )


@pytest.mark.parametrize("framing", ["auto", "head"])
@pytest.mark.parametrize("aspect", ["keep", *ASPECTS])
def test_a_small_face_gets_head_and_shoulders(framing: str, aspect: str) -> None:
    scene = Scene(4000, 3000, (1800, 1400), 300)
    crop = choose_framing(scene, framing, aspect)
    share, across, down = placed(scene, crop)
    assert 0.36 <= share <= 0.42
    assert abs(across - 0.5) < 0.02
    assert abs(down - 0.47) < 0.02
    assert crop.width / crop.height == pytest.approx(ASPECTS.get(aspect, 4 / 3), abs=0.01)


@pytest.mark.parametrize("aspect", list(ASPECTS))
@pytest.mark.parametrize("face", [(120, 150), (880, 150), (500, 350), (150, 560), (880, 580)])
def test_a_face_near_the_edge_is_framed_without_inventing_pixels(
    aspect: str, face: tuple[int, int]
) -> None:
    scene = Scene(1000, 700, face, 120)
    crop = choose_framing(scene, "head", aspect)
    _, across, down = placed(scene, crop)
    if aspect != "16:9" or 300 < face[0] < 700:
        assert is_inside(scene, crop)
    assert 0.2 < across < 0.8
    assert 0.3 < down < 0.72


@pytest.mark.parametrize("aspect", list(ASPECTS))
def test_keep_with_a_shape_takes_the_largest_part_round_the_face(aspect: str) -> None:
    scene = Scene(1000, 700, (200, 300), 150)
    crop = choose_framing(scene, "keep", aspect)
    assert is_inside(scene, crop)
    assert crop.width == 1000 or crop.height == 700
    assert crop.width / crop.height == pytest.approx(ASPECTS[aspect], abs=0.01)


def test_a_large_face_is_not_cut_to_fit_a_wide_film() -> None:
    scene = Scene(600, 800, (300, 400), 400)
    crop = choose_framing(scene, "auto", "16:9")
    assert placed(scene, crop)[0] <= 0.57


def test_a_face_that_fills_a_low_panorama_is_shown_large() -> None:
    scene = Scene(12_000, 500, (9_100, 260), 120)
    crop = choose_framing(scene, "auto", "keep")
    assert crop.width / crop.height < 1.8
    assert 0.3 < 120 / crop.height < 0.6
    banner = Scene(1584, 396, (300, 200), 190)  # a wide one, whose face is large enough
    assert choose_framing(banner, "auto", "keep") == Crop(0, 0, 1584, 396)
    assert choose_framing(scene, "keep", "keep") == Crop(0, 0, 12_000, 500)


def test_other_people_are_left_out() -> None:
    other = (1000.0, 180.0, 1150.0, 380.0)
    scene = Scene(1600, 900, (600, 300), 220, (other,))
    crop = choose_framing(scene, "auto", "keep")
    assert crop.left + crop.width <= 1000
    assert is_inside(scene, crop)


@pytest.mark.parametrize(
    ("crop", "height", "aspect", "size"),
    [
        (Crop(0, 0, 1000, 700), 720, "keep", (1028, 720)),
        (Crop(0, 0, 1777, 1000), 720, "16:9", (1280, 720)),
        (Crop(0, 0, 563, 1001), 721, "9:16", (406, 720)),
        (Crop(0, 0, 9000, 1000), 720, "keep", (4096, 456)),
    ],
)
def test_films_have_even_sides(crop: Crop, height: int, aspect: str, size: tuple[int, int]) -> None:
    assert crop.size(height, aspect) == size


def test_a_crop_within_the_photo_is_the_photos_pixels() -> None:
    rgb = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    assert (crop_frame(rgb, Crop(10, 20, 40, 30), (40, 30)) == rgb[20:50, 10:50]).all()


def test_beyond_the_photo_is_something_like_it() -> None:
    rgb = np.full((60, 80, 3), (200, 120, 40), np.uint8)
    made = crop_frame(rgb, Crop(-20, -10, 120, 90), (120, 90))
    assert made.shape == (90, 120, 3)
    assert np.abs(made.astype(int) - (200, 120, 40)).max() <= 1


# The stage, by the real networks

Networks = tuple[FaceDetector, LandmarkNet]


@pytest.fixture(scope="module")
def networks(model_path: Callable[[str], Path]) -> Networks:
    return KeptFaces(model_path("centerface")), LandmarkNet(model_path("face_landmark"))


@pytest.fixture(scope="module")
def woman(demo_photo: Path) -> Pixels:
    """(512, 512, 3); one face, 108 pixels high, at 224, 121."""
    return open_photo(demo_photo).rgb


@pytest.fixture(scope="module")
def three(woman: Pixels) -> Pixels:
    """Three people, left to right: small, large, middling; the last one mirrored."""
    scene = np.full((600, 1500, 3), 150, np.uint8)
    head = woman[:300, 80:380]
    for left, side, picture in ((50, 300, head), (450, 560, head), (1080, 400, head[:, ::-1])):
        scene[20 : 20 + side, left : left + side] = cv2.resize(picture, (side, side))
    return scene


def detected(networks: Networks, rgb: Pixels, **chosen: Any) -> tuple[Work, list[Event]]:
    events: list[Event] = []
    photo = Photo(Path("photo"), np.ascontiguousarray(rgb), "")
    work = Detect(*networks, Options(**chosen)).run(Work(photo), events.append)
    return work, events


def refusal(networks: Networks, rgb: Pixels, **chosen: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        detected(networks, rgb, **chosen)
    assert caught.value.hint
    return caught.value


def said(events: list[Event]) -> list[str]:
    return [event.code for event in events if isinstance(event, Log)]


@pytest.mark.models
def test_the_demo_photo_is_framed(networks: Networks, woman: Pixels) -> None:
    work, events = detected(networks, woman)
    subject, notes = work.get(Subject), work.get(Notes)
    assert subject.frame.shape == (518, 518, 3)  # twice the part of the photo that is shown
    points = subject.landmarks[:, :2]
    share = np.linalg.norm(points[CHIN] - points[FOREHEAD]) / 518
    assert 0.35 < share < 0.43
    left, top, right, bottom = subject.face
    assert (points >= (left - 1, top - 1)).all()
    assert (points <= (right, bottom)).all()
    told = dict(notes.values)
    assert told.pop("load_seconds") < 5
    assert told.pop("work") == pytest.approx(0.262, abs=0.001)
    (person,) = told["people"]
    assert person["number"] == told["number"] == told["count"] == 1
    assert (told["width"], told["height"], told["backend"]) == (518, 518, "centerface")
    assert person["score"] > 0.9
    assert said(events) == []
    assert said(detected(networks, woman, height=720)[1]) == ["detect.soft"]
    assert [e.done for e in events if isinstance(e, StageProgress)] == [1, 2]


@pytest.mark.models
def test_the_frames_landmarks_lie_on_its_face(networks: Networks, woman: Pixels) -> None:
    work, _ = detected(networks, woman, aspect="4:5", height=900)
    subject = work.get(Subject)
    assert subject.frame.shape == (900, 720, 3)
    found = networks[1].find(subject.frame, subject.face)
    assert found is not None
    off = np.linalg.norm(found.points[:, :2] - subject.landmarks[:, :2], axis=1).mean()
    assert off < 0.01 * found.height


@pytest.mark.models
@pytest.mark.parametrize(
    ("person", "number"),
    [("left", 1), ("right", 3), ("largest", 2), ("auto", 2), ("center", 2), ("1", 1), ("3", 3)],
)
def test_persons_are_chosen(networks: Networks, three: Pixels, person: str, number: int) -> None:
    work, _ = detected(networks, three, person=person)
    notes, subject = work.get(Notes).values, work.get(Subject)
    assert (notes["number"], notes["count"]) == (number, 3)
    assert [one["number"] for one in notes["people"]] == [1, 2, 3]
    middle = (subject.people[subject.chosen].box[0] + subject.people[subject.chosen].box[2]) / 2
    assert (middle > 400) + (middle > 1000) == number - 1
    best = [one.face for one in subject.people]
    assert best[0] is not None
    assert best[0][0] > 400


@pytest.mark.models
@pytest.mark.parametrize("person", ["0", "4", "99"])
def test_a_person_who_is_not_there(networks: Networks, three: Pixels, person: str) -> None:
    error = refusal(networks, three, person=person)
    assert error.code == "detect.no_such_person"
    assert error.message == f"There is no person {person} in the photo; 3 found."
    assert [f"{number} (face " in error.hint for number in (1, 2, 3)] == [True] * 3
    assert "from 1, left to right" in error.hint


@pytest.mark.models
def test_a_person_of_another_word(networks: Networks, woman: Pixels) -> None:
    assert refusal(networks, woman, person="me").code == "detect.person_unknown"


@pytest.mark.models
def test_the_crop_of_one_leaves_the_others_out(networks: Networks, three: Pixels) -> None:
    work, _ = detected(networks, three, person="right")
    left, _, right, _ = work.get(Notes).values["crop"]
    (_, other, own) = work.get(Notes).values["people"]
    assert left >= other["face"][2]
    assert left < own["face"][0] < own["face"][2] < right


class Finder:
    """Finds these bodies in every picture."""

    name, device = "finder", "cpu"

    def __init__(self, *bodies: Box) -> None:
        self.bodies = bodies
        self.calls: list[str] = []

    def load(self) -> None:
        self.calls.append("load")

    def release(self) -> None:
        self.calls.append("release")

    def __call__(self, rgb: Pixels, threshold: float) -> Sequence[tuple[Box, float]]:
        self.calls.append("find")
        return [(body, 0.9) for body in self.bodies]


@pytest.mark.models
def test_a_finder_of_persons_gives_the_bodies(networks: Networks, three: Pixels) -> None:
    finder = Finder((400, 0, 1020, 600), (0, 0, 1500, 600))
    photo = Photo(Path("photo"), three, "")
    work = Detect(*networks, Options(), finder).run(Work(photo), lambda _: None)
    subject = work.get(Subject)
    assert subject.people[subject.chosen].box == (400, 0, 1020, 600)
    assert work.get(Notes).values["backend"] == "finder"
    assert finder.calls == ["load", "find"]  # kept: letting go is for those who know the memory


def with_a_back_view(networks: Networks, three: Pixels, person: str) -> Work:
    """Between the first and the second face stands somebody of whom only the body was found."""
    finder = Finder((40, 0, 360, 600), (370, 200, 449, 600), (450, 0, 1020, 600))
    photo = Photo(Path("photo"), three, "")
    return Detect(*networks, Options(person=person), finder).run(Work(photo), lambda _: None)


@pytest.mark.models
@pytest.mark.parametrize(("person", "number"), [("auto", 3), ("1", 1), ("3", 3), ("right", 4)])
def test_a_body_without_a_face_counts(
    networks: Networks, three: Pixels, person: str, number: int
) -> None:
    told = with_a_back_view(networks, three, person).get(Notes).values
    assert (told["number"], told["count"], told["detected_persons"]) == (number, 4, 4)
    assert told["selected_person"]["person_id"] == number - 1
    assert 0 < told["selected_person"]["confidence"] <= 1
    assert [one["problem"] for one in told["people"]] == ["", "detect.faceless", "", ""]
    assert told["people"][1]["box"] == [370, 200, 449, 600]
    assert told["people"][1]["face"] == []


@pytest.mark.models
def test_a_body_without_a_face_cannot_speak_and_those_who_can_are_named(
    networks: Networks, three: Pixels
) -> None:
    with pytest.raises(InputError) as told:
        with_a_back_view(networks, three, "2")
    assert told.value.code == "detect.faceless"
    assert [f"{number} (face " in told.value.hint for number in (1, 2, 3, 4)] == [
        True,
        False,
        True,
        True,
    ]


@pytest.mark.models
def test_bodies_alone_are_no_faces(networks: Networks, woman: Pixels) -> None:
    photo = Photo(Path("photo"), np.ascontiguousarray(woman[250:, 250:]), "")
    with pytest.raises(InputError) as told:
        Detect(*networks, Options(), Finder((0, 0, 200, 250))).run(Work(photo), lambda _: None)
    assert told.value.code == "detect.no_face"


@pytest.mark.models
def test_the_film_of_a_large_photo_has_the_photos_own_pixels(
    networks: Networks, woman: Pixels, tmp_path: Path
) -> None:
    wide = np.full((900, 1400, 3), 128, np.uint8)
    wide[300:812, 800:1312] = woman
    cv2.imwrite(str(tmp_path / "a.bmp"), wide[..., ::-1])
    photo = open_photo(tmp_path / "a.bmp", 700)
    work = Detect(*networks, Options()).run(Work(photo), lambda _: None)
    frame, told = work.get(Subject).frame, work.get(Notes).values
    left, top, right, bottom = told["crop"]
    crop = Crop(left, top, right - left, bottom - top)
    assert (frame == crop_frame(wide, crop, (frame.shape[1], frame.shape[0]))).all()
    assert np.abs(np.array(told["people"][0]["face"]) - (977, 361, 1065, 481)).max() < 12
    found = networks[1].find(frame, work.get(Subject).face)
    assert found is not None
    off = np.linalg.norm(found.points[:, :2] - work.get(Subject).landmarks[:, :2], axis=1)
    assert off.mean() < 0.01 * found.height


@pytest.mark.models
def test_a_small_photo_is_enlarged_where_that_is_asked_for(
    networks: Networks, woman: Pixels, tmp_path: Path
) -> None:
    pytest.importorskip("ncnn")
    small = cv2.resize(woman[:400, 30:430], (200, 200), interpolation=cv2.INTER_AREA)
    events: list[Event] = []
    options = Options(enlarge=True, framing="keep")
    detect = Detect(*networks, options, None, None, Enlarger(*repeats_pixels(tmp_path)))
    work = detect.run(Work(Photo(Path("photo"), small, "")), events.append)
    four = small.repeat(4, 0).repeat(4, 1)
    frame = cv2.resize(four, (512, 512), interpolation=cv2.INTER_AREA)
    assert (work.get(Subject).frame == frame).all()
    shares = [event.share for event in events if isinstance(event, StageProgress)]
    assert said(events) == ["detect.enlarged"]
    assert shares == sorted(shares)
    assert len(shares) == 2 + 16  # tiles of 64 pixels
    assert shares[-1] == 1


@pytest.mark.models
def test_a_blurred_photo_is_said_to_be_soft_or_refused(networks: Networks, woman: Pixels) -> None:
    head = cv2.resize(woman[20:270, 100:350], (500, 500), interpolation=cv2.INTER_CUBIC)
    soft = cv2.GaussianBlur(head, (0, 0), 3)
    events = detected(networks, soft, framing="keep")[1]
    (told,) = (event for event in events if isinstance(event, Log) and event.code == "detect.soft")
    assert told.metadata["pixels"] < 200
    assert "detect.soft" not in said(detected(networks, head, framing="keep")[1])
    assert refusal(networks, cv2.GaussianBlur(head, (0, 0), 8)).code == "detect.blurred"


@pytest.mark.models
def test_a_photo_with_pixels_enough_is_not_enlarged(networks: Networks, woman: Pixels) -> None:
    assert said(detected(networks, woman, enlarge=True)[1]) == ["detect.sharp"]


@pytest.mark.models
def test_a_small_face_in_a_panorama_speaks(networks: Networks, woman: Pixels) -> None:
    wide = np.full((420, 9000, 3), 128, np.uint8)
    wide[100:420, 7000:7512] = woman[:320]
    work, _ = detected(networks, wide)
    assert work.get(Notes).values["people"][0]["face"][0] == pytest.approx(7177, abs=12)


@pytest.mark.models
@pytest.mark.parametrize("framing", ["auto", "keep"])
def test_bars_round_a_photo_are_not_shown(networks: Networks, woman: Pixels, framing: str) -> None:
    work, _ = detected(networks, np.pad(woman, ((300, 300), (0, 0), (0, 0))), framing=framing)
    rows = work.get(Subject).frame.max((1, 2))
    assert bool(rows[[0, -1]].min() < 16) == (framing == "keep")


@pytest.mark.models
@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_photo_on_its_side_is_turned(networks: Networks, woman: Pixels, turns: int) -> None:
    work, events = detected(networks, np.rot90(woman, turns))
    assert ("detect.upside_down" if turns == 2 else "detect.turned") in said(events)
    assert np.abs(work.get(Notes).values["pose"][2]) < 10
    assert (work.get(Photo).rgb == woman).all()


@pytest.mark.models
@pytest.mark.parametrize("degrees", [-50, 35])
def test_a_tilted_head_stays_tilted(networks: Networks, woman: Pixels, degrees: int) -> None:
    matrix = cv2.getRotationMatrix2D((224, 121), degrees, 1)
    tilted = cv2.warpAffine(woman, matrix, (512, 512), borderMode=cv2.BORDER_REFLECT)
    work, events = detected(networks, tilted)
    assert not {"detect.turned", "detect.upside_down"} & set(said(events))
    assert work.get(Notes).values["pose"][2] == pytest.approx(-degrees + 3, abs=6)


@pytest.mark.models
def test_nobody(networks: Networks, woman: Pixels) -> None:
    assert refusal(networks, woman[250:, 250:]).code == "detect.no_face"


@pytest.mark.models
def test_nobody_sure_enough(networks: Networks, woman: Pixels) -> None:
    error = refusal(networks, woman, conf_threshold=0.95)
    assert error.code == "detect.unsure"
    assert "--conf-threshold" in error.hint


@pytest.mark.models
def test_a_tiny_face(networks: Networks, woman: Pixels) -> None:
    small = cv2.resize(woman, (160, 160), interpolation=cv2.INTER_AREA)
    error = refusal(networks, small)
    assert (error.code, error.details["least"]) == ("detect.too_small", 40)


@pytest.mark.models
@pytest.mark.parametrize("part", [(slice(None), slice(230, None)), (slice(None, 140), slice(None))])
def test_a_face_cut_off_by_the_edge(
    networks: Networks, woman: Pixels, part: tuple[slice, slice]
) -> None:
    large = cv2.resize(woman, (1024, 1024), interpolation=cv2.INTER_CUBIC)
    rows, columns = (slice(s.start and 2 * s.start, s.stop and 2 * s.stop) for s in part)
    assert refusal(networks, large[rows, columns], conf_threshold=0.3).code in {
        "detect.cut_off",
        "detect.unreadable",
        "detect.no_face",
    }


@pytest.mark.models
def test_a_face_whose_chin_only_is_cut_off_is_taken(networks: Networks, woman: Pixels) -> None:
    close = cv2.resize(woman[20:160, 120:330], None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    points = detected(networks, close)[0].get(Subject).landmarks[[*EYE_CORNERS, *MOUTH], :2]
    assert (points > 0).all()


@pytest.mark.models
def test_a_covered_mouth(networks: Networks, woman: Pixels) -> None:
    masked = woman.copy()
    outline = [(187, 122), (196, 160), (225, 178), (252, 162), (264, 126), (226, 116)]
    cv2.fillPoly(masked, [np.array(outline)], (190, 215, 235))
    assert refusal(networks, masked).code == "detect.covered"


@pytest.mark.models
def test_a_mouth_wide_open_is_said_before_anything_is_drawn(
    networks: Networks, demo_photo: Path, model_path: Callable[[str], Path]
) -> None:
    subject = speaker(demo_photo, model_path, 512)
    made = rig.build(subject, cut(subject))
    _, events = detected(networks, drawn(made, close=1.0, wide=0.8))
    assert "detect.mouth_open" not in said(events)
    _, events = detected(networks, drawn(made, close=1.0, wide=2.6))
    assert "detect.mouth_open" in said(events)


@pytest.mark.models
def test_a_profile_is_refused_and_another_speaks_by_auto(networks: Networks, zidane: Path) -> None:
    rgb = open_photo(zidane).rgb
    error = refusal(networks, rgb, person="left")
    assert error.code in {"detect.profile", "detect.unreadable"}
    assert "--person: 2 (face " in error.hint
    for person, told in (("right", []), ("auto", ["detect.next_best"])):
        work, events = detected(networks, rgb, person=person)
        assert work.get(Notes).values["number"] == 2
        assert said(events) == told


@pytest.mark.models
@pytest.mark.parametrize("person", ["left", "right"])
def test_small_faces_in_a_street(networks: Networks, bus: Path, person: str) -> None:
    work, events = detected(networks, open_photo(bus).rgb, person=person)
    told = work.get(Notes).values
    assert 0.3 < told["face_pixels"] / told["height"] < 0.6
    assert "detect.soft" in said(events)
