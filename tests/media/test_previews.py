"""Pictures of the cut-out for watchers: what is in the file, and that it never costs a run."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.stages.test_matte import Known, drawn_subject
from vidgen.events import Event, Log, Preview
from vidgen.media.colour import to_yuv420p
from vidgen.media.previews import Previews, save_cutout, tell_cutout
from vidgen.settings import Options
from vidgen.stages.matte import Matte
from vidgen.work import Cutout, Folder, Frames, Work


def cutout(height: int, width: int) -> Cutout:
    """Orange, its left half cut out."""
    colours = np.full((height, width, 3), (250, 140, 20), np.uint8)
    matte = np.zeros((height, width), np.float32)
    matte[:, : width // 2] = 1
    return Cutout(colours, matte, None)


@pytest.mark.parametrize(
    ("height", "width", "size"),
    [(960, 1280, (640, 480)), (1920, 1080, (270, 480)), (240, 320, (320, 240))],
)
def test_the_cut_out_is_a_small_picture_with_alpha(
    tmp_path: Path, height: int, width: int, size: tuple[int, int]
) -> None:
    path = tmp_path / "previews" / "cutout.png"
    told = save_cutout(cutout(height, width), path)
    content = path.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    assert told == Preview("cutout", str(path), *size, digest, len(content))
    with Image.open(path) as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGBA", size)
        middle = size[1] // 2
        assert picture.getpixel((3, middle)) == (250, 140, 20, 255)
        assert picture.getpixel((size[0] - 3, middle)) == (250, 140, 20, 0)


def test_the_stage_tells_it_when_the_run_has_a_place_for_it(tmp_path: Path) -> None:
    subject, coverage = drawn_subject()
    events: list[Event] = []
    folder = Folder(tmp_path / "work", tmp_path / "previews")
    Matte(Known(coverage), Options()).run(Work(subject, folder), events.append)
    (told,) = (event for event in events if isinstance(event, Preview))
    assert (told.name, told.width, told.height) == ("cutout", 320, 240)
    assert [file.name for file in (tmp_path / "previews").iterdir()] == ["cutout.png"]


def test_a_cut_out_that_cannot_be_saved_costs_only_a_line(tmp_path: Path) -> None:
    (tmp_path / "previews").write_text("a file where the folder should be")
    events: list[Event] = []
    tell_cutout(cutout(240, 320), tmp_path / "previews", events.append)
    (told,) = events
    assert isinstance(told, Log)
    assert (told.level, told.code) == ("INFO", "matte.no_preview")
    assert told.metadata["reason"]


def test_a_cut_out_without_pixels_costs_only_a_line(tmp_path: Path) -> None:
    events: list[Event] = []
    tell_cutout(cutout(0, 0), tmp_path, events.append)
    assert [type(event) for event in events] == [Log]


@pytest.mark.parametrize("layout", ["rgb24", "rgba", "yuv420p"])
def test_a_preview_has_the_films_colours(tmp_path: Path, layout: str) -> None:
    colour = (230, 90, 30)  # red and blue that are told apart
    rgb = np.full((1, 240, 320, 3), colour, np.uint8)
    pixels = {
        "rgb24": rgb,
        "rgba": np.dstack([rgb[0], np.full((240, 320), 255, np.uint8)])[None],
        "yuv420p": to_yuv420p(rgb[0])[None],
    }[layout]
    events: list[Event] = []
    with Previews(tmp_path, 1, events.append) as previews:
        previews.offer(0, Frames(pixels, layout))
    (told,) = events
    assert isinstance(told, Preview)
    with Image.open(told.path) as picture:
        found = np.asarray(picture.convert("RGB"))[120, 160]
    assert np.abs(found.astype(int) - colour).max() <= 4
