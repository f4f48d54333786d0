"""GIF and animated WebP: whole, in time, limited, and they say what they are."""

from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from tests.support.fake_renderer import SIZE, FakeRenderer, shelf
from vidgen.errors import InputError
from vidgen.media.animation import check_length
from vidgen.media.mux import notes_of
from vidgen.request import build_request, default_settings
from vidgen.stages.finalize import Finalize
from vidgen.stages.render import Render
from vidgen.work import MotionOptions, Notes, Video, Work

SECONDS = 1.43
TASK = "550e8400"


def make(folder: Path, format: str, *, transparent: bool) -> Work:
    renderer = FakeRenderer("rgba" if transparent else "rgb24")
    work = shelf(folder, SECONDS, transparent=transparent)
    look = MotionOptions(fps=Fraction(25))
    work = Render(renderer, look, format=format).run(work, lambda _: None)
    finalize = Finalize(folder / f"me.{format}", format=format, task_id=TASK, poster=False)
    return finalize.run(work, lambda _: None)


@pytest.mark.parametrize("transparent", [False, True])
@pytest.mark.parametrize(("format", "frames"), [("gif", 18), ("webp", 36)])
def test_the_animation_is_whole_in_time_and_says_what_it_is(
    tmp_path: Path, format: str, frames: int, transparent: bool
) -> None:
    done = make(tmp_path, format, transparent=transparent)
    video, target = done.get(Video), tmp_path / f"me.{format}"
    assert video.path == target
    assert (video.poster, abs(video.seconds - SECONDS) < 0.05) == (None, True)
    assert done.get(Notes).values["audio_codec"] == ""
    with Image.open(target) as picture:
        assert picture.size == SIZE
        assert picture.info["loop"] == 0
        shown = 0
        for number in range(getattr(picture, "n_frames", 1)):
            picture.seek(number)
            picture.load()  # only now the time is read
            shown += round(picture.info["duration"])
        assert abs(shown - 1440) <= 40
        alpha = picture.convert("RGBA").getchannel("A").tobytes()
        assert (min(alpha) < 255) is transparent
    assert any("Synthetic media" in said and TASK in said for said in notes_of(target))
    assert frames == done.get(Notes).values["frames"]


def test_what_would_be_huge_is_refused() -> None:
    with pytest.raises(InputError) as error:
        check_length("gif", 31)
    assert error.value.hint.startswith("Take a part with --trim 0-30,")
    check_length("webp", 60)
    check_length("mp4", 600)
    with pytest.raises(InputError) as error:
        build_request(Path("a.jpg"), Path("b.wav"), "x.webp", default_settings(height=1080))
    assert error.value.code == "option.animation_height"


def test_an_animation_is_smaller_by_itself() -> None:
    photo, voice = Path("a.jpg"), Path("b.wav")
    request = build_request(photo, voice, "x.gif", default_settings())
    assert (request.options.format, request.options.height) == ("gif", 480)
    request = build_request(photo, voice, "x.webp", default_settings(height=300))
    assert request.options.height == 300
    settings = default_settings(background="transparent")
    assert build_request(photo, voice, "x.gif", settings).options.format == "gif"
