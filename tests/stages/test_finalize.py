"""The finalizing stage: a right video at its place, or nothing."""

import errno
import os
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.fake_renderer import SIZE, FakeRenderer, lag_seconds, number_in, picture, shelf
from vidgen.errors import InputError, RenderError
from vidgen.events import Emit, Event, Log, StageProgress
from vidgen.media.audio import load_speech
from vidgen.media.mux import probe
from vidgen.stages.finalize import Finalize
from vidgen.stages.render import Render
from vidgen.version import __version__
from vidgen.work import Film, MotionOptions, Notes, Speech, Video, Work

SECONDS = 1.43
FPS = Fraction(25)


def rendered(folder: Path, format: str = "mp4", *, transparent: bool = False) -> Work:
    """A shelf with a film and its voice."""
    renderer = FakeRenderer("rgba" if transparent else "rgb24")
    work = shelf(folder, SECONDS, transparent=transparent)
    return Render(renderer, MotionOptions(fps=FPS), format=format).run(work, lambda event: None)


def names(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir() if file.is_file())


@pytest.mark.parametrize(
    ("format", "transparent", "codecs"),
    [
        ("mp4", False, ("h264", "aac")),
        ("webm", False, ("vp9", "opus")),
        ("webm", True, ("vp9", "opus")),
        ("mov", False, ("h264", "pcm_s16le")),
        ("mov", True, ("prores", "pcm_s16le")),
    ],
)
def test_the_video_is_whole_and_says_what_it_is(
    tmp_path: Path, format: str, transparent: bool, codecs: tuple[str, str]
) -> None:
    work = rendered(tmp_path, format, transparent=transparent)
    target = tmp_path / f"me.{format}"
    heard: list[Event] = []
    done = Finalize(target, format=format, task_id="550e8400", title="Hello").run(
        work, heard.append
    )
    video, found = done.get(Video), probe(target)
    assert (found.video_codec, found.audio_codec) == codecs
    assert (found.frame_count, found.fps, found.size, found.has_alpha) == (
        36,
        FPS,
        SIZE,
        transparent,
    )
    assert 0 <= found.video_seconds - found.audio_seconds <= 1 / FPS
    voice = load_speech(target, max_seconds=60)
    assert abs(lag_seconds(voice, work.get(Speech))) < 0.0005
    assert abs(voice.seconds - SECONDS) < 0.001

    tags = {name.lower(): value for name, value in found.tags.items()}
    assert tags["title"] == "Hello"
    assert tags["comment"].startswith("Synthetic media: ")
    assert f"vidgen {__version__}" in tags["comment"]
    assert "550e8400" in tags["comment"]

    poster = tmp_path / "me.poster.png"
    values = {
        "path": str(target),
        "poster": str(poster),
        "bytes": target.stat().st_size,
        "width": SIZE[0],
        "height": SIZE[1],
        "fps": 25.0,
        "frames": 36,
        "video_codec": codecs[0],
        "audio_codec": codecs[1],
        "seconds": 1.44,
        "has_alpha": transparent,
    }
    assert video == Video(target, poster, 1.44, {**work.get(Film).metadata, **values})
    assert done.get(Notes) == Notes(
        {**values, "work": 36, "work_unit": "frames"}, "finalize.done", "completed"
    )
    assert heard == [StageProgress("finalizing", n, 36, "frames") for n in range(1, 37)]
    assert set(names(tmp_path)) == {target.name, "me.poster.png"}


def test_it_says_that_it_looks_at_the_film_before_it_does(tmp_path: Path) -> None:
    heard: list[Event] = []

    def judge(video: Path, work: Work, emit: Emit) -> dict[str, object]:
        emit(Log("INFO", f"looking at {video.name}"))
        return {"offset_ms": 3}

    work = Finalize(tmp_path / "me.mp4", judge=judge).run(rendered(tmp_path), heard.append)
    assert heard[-2:] == [
        StageProgress("finalizing", 36, 36, "frames", "finalize.judging"),
        Log("INFO", "looking at me.mp4"),
    ]
    assert work.get(Notes).values["offset_ms"] == 3


@pytest.mark.parametrize("transparent", [False, True])
def test_the_poster_is_the_first_frame(tmp_path: Path, transparent: bool) -> None:
    work = rendered(tmp_path, "mov", transparent=transparent)
    video = Finalize(tmp_path / "me.mov", format="mov").run(work, lambda event: None).get(Video)
    assert video.poster is not None
    shown = np.asarray(Image.open(video.poster))
    assert shown.shape == (SIZE[1], SIZE[0], 4 if transparent else 3)
    assert number_in(shown) == 0
    difference = np.abs(shown.astype(int) - picture(0, "rgba" if transparent else "rgb24"))
    assert difference.mean() < 2


def test_without_a_title_the_file_is_called_by_its_name(tmp_path: Path) -> None:
    Finalize(tmp_path / "My film.mp4").run(rendered(tmp_path), lambda event: None)
    tags = probe(tmp_path / "My film.mp4").tags
    assert (tags["title"], tags["encoder"]) == ("My film", f"vidgen {__version__}")


def test_an_existing_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "me.mp4").write_text("precious")
    (tmp_path / "me.poster.png").write_text("precious too")
    heard: list[Event] = []
    video = Finalize(tmp_path / "me.mp4").run(rendered(tmp_path), heard.append).get(Video)
    assert (video.path, video.poster) == (tmp_path / "me-2.mp4", tmp_path / "me-2.poster.png")
    assert [event for event in heard if isinstance(event, Log)] == [
        Log("INFO", "finalize.renamed", {"name": "me.mp4", "new_name": "me-2.mp4"})
    ]
    assert (tmp_path / "me.mp4").read_text() == "precious"
    assert (tmp_path / "me.poster.png").read_text() == "precious too"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="has no named pipes")
def test_what_lies_there_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "me.mp4")
    (tmp_path / "me-2.mp4").write_text("#EXTM3U\nhttp://127.0.0.1:9/other.ts\n")
    (tmp_path / "me-3.mp4").mkdir()
    stage = Finalize(tmp_path / "me.mp4", task_id="550e8400")
    video = stage.run(rendered(tmp_path), lambda event: None).get(Video)
    assert video.path == tmp_path / "me-4.mp4"


def test_force_replaces_it(tmp_path: Path) -> None:
    (tmp_path / "me.mp4").write_text("old")
    (tmp_path / "me.poster.png").write_text("old")
    done = Finalize(tmp_path / "me.mp4", force=True).run(rendered(tmp_path), lambda event: None)
    assert done.get(Video).path == tmp_path / "me.mp4"
    assert probe(tmp_path / "me.mp4").frame_count == 36
    assert names(tmp_path) == ["me.mp4", "me.poster.png"]


@pytest.mark.parametrize("format", ["mp4", "webm", "mov"])
def test_a_run_that_was_ended_just_after_landing_makes_no_second_copy(
    tmp_path: Path, format: str
) -> None:
    work, target = rendered(tmp_path, format), tmp_path / f"me.{format}"

    def video(task_id: str) -> Video:
        stage = Finalize(target, format=format, task_id=task_id)
        return stage.run(work, lambda event: None).get(Video)

    first = video("550e8400")
    assert video("550e8400") == first
    assert names(tmp_path) == sorted([f"me.{format}", "me.poster.png"])
    assert video("6ba7b810").path == tmp_path / f"me-2.{format}"
    assert video("6ba7b810").path == tmp_path / f"me-2.{format}"
    assert video("").path == tmp_path / f"me-3.{format}"


def test_a_damaged_piece_leaves_the_old_video_in_place(tmp_path: Path) -> None:
    work = rendered(tmp_path)
    piece = work.get(Film).pieces[0]
    Finalize(tmp_path / "me.mp4").run(work, lambda event: None)
    before = (tmp_path / "me.mp4").read_bytes()
    other = rendered(tmp_path / "other").get(Film)
    longer = Film((*other.pieces, piece), 72, FPS, SIZE)
    for film in (longer, Film((piece,), 35, FPS, SIZE), Film((piece,), 36, FPS, (64, 64))):
        with pytest.raises(RenderError):
            Finalize(tmp_path / "me.mp4", force=True).run(work.plus(film), lambda event: None)
    assert (tmp_path / "me.mp4").read_bytes() == before
    assert names(tmp_path) == ["me.mp4", "me.poster.png"]


def test_a_picture_much_longer_than_the_sound_is_no_video(tmp_path: Path) -> None:
    work = rendered(tmp_path)
    said = work.get(Speech)

    def finalized(seconds: float) -> list[str]:
        heard: list[Event] = []
        short = Speech(said.samples[: int(seconds * said.rate)], said.rate, "")
        Finalize(tmp_path / "me.mp4", force=True).run(work.plus(short), heard.append)
        return [event.code for event in heard if isinstance(event, Log)]

    assert finalized(1.405) == []
    assert finalized(1.3) == ["finalize.lengths_differ"]
    with pytest.raises(RenderError) as caught:
        finalized(0.8)
    assert caught.value.code == "finalize.check_failed"


def test_interrupted_joining_leaves_nothing(tmp_path: Path) -> None:
    def interrupt(event: Event) -> None:
        if isinstance(event, StageProgress) and event.done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Finalize(tmp_path / "me.mp4").run(rendered(tmp_path), interrupt)
    assert names(tmp_path) == []


def test_a_folder_that_went_away_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        Finalize(tmp_path / "gone" / "me.mp4").run(rendered(tmp_path), lambda event: None)
    assert caught.value.code == "output.folder_missing"


def test_a_poster_that_cannot_be_written_costs_only_a_line(tmp_path: Path) -> None:
    name = "n" * 245  # leaves room for .mp4, not for .poster.png
    heard: list[Event] = []
    video = Finalize(tmp_path / f"{name}.mp4").run(rendered(tmp_path), heard.append).get(Video)
    assert (video.path.exists(), video.poster, video.metadata["poster"]) == (True, None, "")
    logs = [event for event in heard if isinstance(event, Log)]
    assert [(log.level, log.code) for log in logs] == [("WARNING", "finalize.no_poster")]


def test_a_sudden_full_disk_is_told_with_what_to_do(tmp_path: Path) -> None:
    def full(event: Event) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(Exception, match="No space is left") as caught:
        Finalize(tmp_path / "me.mp4").run(rendered(tmp_path), full)
    assert getattr(caught.value, "exit_code", None) == 3
    assert names(tmp_path) == []
