"""The rendering stage: every frame once, in order; pieces that outlive a crash; honest progress."""

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.fake_renderer import SIZE, FakeRenderer, number_in, shelf
from vidgen.errors import Cancelled, DeviceError, InputError, RenderError
from vidgen.events import Event, Log, Preview, StageProgress
from vidgen.media.colour import frame_to_rgb
from vidgen.media.encodings import Encoding, answers, encoding_for
from vidgen.media.mux import decode_frames
from vidgen.media.segments import Segment, spans
from vidgen.renderers.workers import Workers
from vidgen.settings import preview_shares
from vidgen.stages.render import Render
from vidgen.work import Film, Folder, Frames, MotionOptions, Notes, Speech, Subject, Work

SLOW = MotionOptions(fps=Fraction(10))  # pieces of 20 frames, drawn at once


def render(
    renderer: FakeRenderer, key: str = "k", *, look: MotionOptions = SLOW, format: str = "mp4"
) -> Render:
    clock = iter(range(0, 10_000, 5))
    return Render(renderer, look, key=key, format=format, clock=lambda: float(next(clock)))


def numbers(film: Film) -> list[int]:
    """What is drawn in each frame of each piece."""
    return [
        number_in(frame_to_rgb(frame))
        for piece in film.pieces
        for frame in decode_frames(piece, has_alpha=film.has_alpha)
    ]


def files(work: Work) -> dict[str, bytes]:
    folder = work.get(Folder).work / "render"
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def quiet(event: Event) -> None:
    """An Emit for tests that listen to nothing."""


def test_the_film_is_drawn_in_pieces_of_two_seconds(tmp_path: Path) -> None:
    renderer, work = FakeRenderer(), shelf(tmp_path, 5.06)
    done = render(renderer).run(work, quiet)
    film = done.get(Film)
    folder = tmp_path / "work" / "render"
    assert film == Film(
        pieces=tuple(folder / f"piece-{n:04}.mp4" for n in range(3)),
        frame_count=51,
        fps=Fraction(10),
        size=SIZE,
        has_alpha=False,
        metadata={
            "device": "cpu",
            "batch": 3,
            "renderer": "fake",
            "encoder": "libx264",
            "seed": 0,
        },
    )
    assert numbers(film) == list(range(51))
    assert renderer.drawn == list(range(51))
    assert done.get(Notes) == Notes(
        {
            "device": "cpu",
            "backend": "fake",
            "encoder": "libx264",
            "frames": 51,
            "reused_frames": 0,
            "frames_per_second": 10.2,
            "work": 51,
            "work_unit": "frames",
        },
        "render.done",
        "completed",
    )


@pytest.mark.parametrize(
    ("samples", "rate", "fps", "count"),
    [(16000, 16000, 25, 25), (16001, 16000, 25, 26), (44100, 44100, 30, 30), (4801, 48000, 50, 6)],
)
def test_the_film_covers_the_whole_voice(samples: int, rate: int, fps: int, count: int) -> None:
    speech = Speech(np.zeros(samples, np.float32), rate, "")
    assert speech.frame_count(Fraction(fps)) == count


def test_pieces_follow_one_another_without_a_gap() -> None:
    assert spans(121, Fraction(30)) == (
        Segment(0, 0, 60),
        Segment(1, 60, 120),
        Segment(2, 120, 121),
    )


@pytest.mark.parametrize(
    ("seconds", "step"), [(1, 50), (32, 50), (34, 54), (64, 100), (96, 150), (600, 150)]
)
def test_a_longer_film_has_longer_pieces(seconds: int, step: int) -> None:
    found = spans(25 * seconds, Fraction(25))
    assert {len(span) for span in found[:-1]} <= {step}
    assert found[-1].last == 25 * seconds


def test_a_second_run_draws_nothing(tmp_path: Path) -> None:
    first, second, work = FakeRenderer(), FakeRenderer(), shelf(tmp_path, 2.4)
    made = render(first).run(work, quiet)
    again = render(second).run(work, quiet)
    assert (second.drawn, second.performed) == ([], 0)
    assert again.get(Film) == made.get(Film)
    notes = again.get(Notes)
    assert (notes.status, notes.code, notes.values["work"]) == ("reused", "render.reused", 0)


@pytest.mark.parametrize("failure", [RuntimeError("torn"), KeyboardInterrupt(), Cancelled("x")])
def test_a_broken_run_goes_on_at_the_piece_it_broke_in(
    tmp_path: Path, failure: BaseException
) -> None:
    work = shelf(tmp_path, 5.6)
    with pytest.raises(type(failure)):
        render(FakeRenderer(fails_at=33, failure=failure)).run(work, quiet)
    assert list(files(work)) == ["film.json", "piece-0000.json", "piece-0000.mp4"]
    assert [one.name for one in threading.enumerate() if one.name.startswith("encode")] == []

    renderer, heard = FakeRenderer(), list[Event]()
    done = render(renderer).run(work, heard.append)
    assert renderer.drawn == list(range(20, 56))
    assert numbers(done.get(Film)) == list(range(56))
    progress = [event for event in heard if isinstance(event, StageProgress)]
    assert progress[0] == StageProgress("rendering", 20, 56, "frames")
    assert done.get(Notes).values["reused_frames"] == 20

    whole = render(FakeRenderer()).run(shelf(tmp_path / "other", 5.6), quiet)
    assert files(done) == files(whole)


@pytest.mark.parametrize("key", ["another", ""])
def test_pieces_of_another_film_are_not_taken(tmp_path: Path, key: str) -> None:
    work = shelf(tmp_path, 2.4)
    render(FakeRenderer(), key="").run(work, quiet)
    renderer = FakeRenderer()
    render(renderer, key=key).run(work, quiet)
    assert renderer.drawn == list(range(24))


def test_what_a_shorter_film_does_not_need_is_removed(tmp_path: Path) -> None:
    render(FakeRenderer()).run(shelf(tmp_path, 5), quiet)
    work = shelf(tmp_path, 2.4)
    (work.get(Folder).work / "render" / ".piece-0001.mp4.1-ab.part").touch()
    render(FakeRenderer(), key="other").run(work, quiet)
    assert list(files(work)) == [
        "film.json",
        "piece-0000.json",
        "piece-0000.mp4",
        "piece-0001.json",
        "piece-0001.mp4",
    ]


@pytest.mark.parametrize("damage", ["shortened", "changed", "no note", "half a note", "a list"])
def test_a_damaged_piece_is_drawn_again(tmp_path: Path, damage: str) -> None:
    work = shelf(tmp_path, 2.4)
    made = render(FakeRenderer()).run(work, quiet)
    before = files(work)
    piece = made.get(Film).pieces[0]
    note = piece.with_suffix(".json")
    content = piece.read_bytes()
    if damage == "shortened":
        piece.write_bytes(content[:-1])
    elif damage == "changed":
        piece.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    elif damage == "no note":
        note.unlink()
    else:
        note.write_text({"half a note": '{"key": ', "a list": "[]"}[damage])
    renderer = FakeRenderer()
    render(renderer).run(work, quiet)
    assert renderer.drawn == list(range(20))
    assert files(work) == before


def test_the_note_says_what_the_piece_is(tmp_path: Path) -> None:
    film = render(FakeRenderer(), key="abc").run(shelf(tmp_path, 2.4), quiet).get(Film)
    content = film.pieces[1].read_bytes()
    assert json.loads(film.pieces[1].with_suffix(".json").read_text()) == {
        "key": "abc/libx264",
        "first": 20,
        "count": 4,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def test_progress_counts_frames_up_to_the_last(tmp_path: Path) -> None:
    heard: list[Event] = []
    render(FakeRenderer()).run(shelf(tmp_path, 2.2), heard.append)
    progress = [event for event in heard if isinstance(event, StageProgress)]
    done = [event.done for event in progress]
    assert done == [0, 3, 6, 9, 12, 15, 18, 20, 22]
    assert {(event.stage, event.total, event.unit) for event in progress} == {
        ("rendering", 22, "frames")
    }


def test_what_is_done_before_the_first_frame_is_told_and_counts_no_frame(tmp_path: Path) -> None:
    work = shelf(tmp_path, 2.4)
    with pytest.raises(RuntimeError):
        render(FakeRenderer(fails_at=21)).run(work, quiet)
    heard: list[Event] = []
    render(FakeRenderer(gets_ready=(0.0, 0.58))).run(work, heard.append)
    told = [StageProgress("rendering", 20, 24, "frames")]
    told += [
        StageProgress("rendering", 20, 24, "frames", "render.hearing", {"percent": percent})
        for percent in (0, 50)
    ]
    assert heard[:3] == told


@pytest.mark.parametrize("layout", ["rgb24", "yuv420p", "rgba"])
def test_previews_show_the_film_at_a_quarter_a_half_and_three_quarters(
    tmp_path: Path, layout: str
) -> None:
    heard: list[Event] = []
    transparent = layout == "rgba"
    work = shelf(tmp_path, 4, transparent=transparent)
    format = "webm" if transparent else "mp4"
    render(FakeRenderer(layout), format=format).run(work, heard.append)
    previews = [event for event in heard if isinstance(event, Preview)]
    shown = []
    for preview in previews:
        content = Path(preview.path).read_bytes()
        assert preview == Preview(
            name=preview.name,
            path=str(tmp_path / "previews" / f"{preview.name}.jpg"),
            width=SIZE[0],
            height=SIZE[1],
            sha256=hashlib.sha256(content).hexdigest(),
            bytes=len(content),
        )
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
        assert picture is not None
        shown.append((preview.name, number_in(picture)))
    assert shown == [("rendering-25", 10), ("rendering-50", 20), ("rendering-75", 30)]


@pytest.mark.parametrize(("asked", "names"), [("0, 99", ["0", "99"]), ("none", [])])
def test_previews_are_shown_where_they_are_asked_for(
    tmp_path: Path, asked: str, names: list[str]
) -> None:
    heard: list[Event] = []
    Render(FakeRenderer(), SLOW, preview_at=preview_shares(asked)).run(
        shelf(tmp_path, 4), heard.append
    )
    shown = [event.name for event in heard if isinstance(event, Preview)]
    assert shown == [f"rendering-{name}" for name in names]


def test_a_large_frame_is_shown_small(tmp_path: Path) -> None:
    large = FakeRenderer(size=(1280, 720))
    work = shelf(tmp_path, 0.4)
    subject = np.zeros((720, 1280, 3), np.uint8)
    heard: list[Event] = []
    work = work.plus(replace(work.get(Subject), frame=subject))
    render(large).run(work, heard.append)
    sizes = {(e.width, e.height) for e in heard if isinstance(e, Preview)}
    assert sizes == {(640, 360)}


def test_a_preview_that_cannot_be_saved_costs_only_a_line(tmp_path: Path) -> None:
    (tmp_path / "previews").write_text("a file where the folder should be")
    heard: list[Event] = []
    film = render(FakeRenderer()).run(shelf(tmp_path, 0.8), heard.append).get(Film)
    logs = [event for event in heard if isinstance(event, Log)]
    assert [(log.level, log.code, log.metadata["percent"]) for log in logs] == [
        ("INFO", "render.no_preview", percent) for percent in (25, 50, 75)
    ]
    assert numbers(film) == list(range(8))


@pytest.mark.parametrize("format", ["webm", "mov"])
def test_a_transparent_film_keeps_its_alpha(tmp_path: Path, format: str) -> None:
    work = shelf(tmp_path, 2.2, transparent=True)
    film = render(FakeRenderer("rgba"), format=format).run(work, quiet).get(Film)
    assert (film.has_alpha, numbers(film)) == (True, list(range(22)))
    assert [piece.suffix for piece in film.pieces] == [f".{format}"] * 2


def test_a_transparent_mp4_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    renderer = FakeRenderer("rgba")
    with pytest.raises(InputError) as caught:
        render(renderer).run(shelf(tmp_path, 0.8, transparent=True), quiet)
    assert (caught.value.code, renderer.performed) == ("encode.no_alpha", 0)


@pytest.mark.parametrize("short_by", [1, -1])
def test_a_renderer_that_miscounts_is_found_out(tmp_path: Path, short_by: int) -> None:
    work = shelf(tmp_path, 0.8)
    with pytest.raises(RenderError) as caught:
        render(FakeRenderer(short_by=short_by)).run(work, quiet)
    assert caught.value.code == "render.wrong_count"
    assert list(files(work)) == ["film.json"]


def test_without_a_hardware_encoder_the_processor_encodes_and_says_so(tmp_path: Path) -> None:
    heard: list[Event] = []
    stage = Render(FakeRenderer(), SLOW, hardware=("nvenc",))
    encoder = stage.run(shelf(tmp_path, 0.4), heard.append).get(Film).metadata["encoder"]
    said = [event.code for event in heard if isinstance(event, Log)]
    assert (encoder, said) in [("libx264", ["render.no_hardware_encoder"])] or (
        encoder != "libx264" and said == []
    )


def lost_hardware(format: str, *, transparent: bool, hardware: Sequence[str] = ()) -> Encoding:
    """As if an encoder that is in the wheel, but not in this machine, had answered."""
    chosen = encoding_for(format, transparent=transparent)
    return replace(chosen, codec="h264_qsv", options={}) if hardware else chosen


@pytest.mark.skipif(answers("qsv"), reason="it is there")
def test_a_hardware_encoder_that_is_lost_in_the_middle_costs_no_film(tmp_path: Path) -> None:
    renderer, heard = FakeRenderer(), list[Event]()
    stage = Render(renderer, SLOW, hardware=("qsv",), choose_encoding=lost_hardware, key="k")
    film = stage.run(shelf(tmp_path, 0.4), heard.append).get(Film)
    assert numbers(film) == list(range(4))
    assert film.metadata["encoder"] == "libx264"
    said = [event.code for event in heard if isinstance(event, Log)]
    assert said == ["render.hardware_encoder_lost"]


def render_with(workers: Workers, renderer: FakeRenderer, key: str = "k") -> Render:
    return Render(renderer, SLOW, key=key, workers=workers)


@pytest.mark.parametrize("count", [2, 3])
def test_workers_draw_the_same_film_to_the_byte(tmp_path: Path, count: int) -> None:
    alone = render(FakeRenderer()).run(shelf(tmp_path / "alone", 9.4), quiet)
    renderer, heard = FakeRenderer(), list[Event]()
    with Workers(count) as workers:
        done = render_with(workers, renderer).run(shelf(tmp_path, 9.4), heard.append)
    assert renderer.drawn == []  # not in this process
    assert files(done) == files(alone)
    assert numbers(done.get(Film)) == list(range(94))
    progress = [event.done for event in heard if isinstance(event, StageProgress)]
    assert progress == sorted(progress)
    assert progress[-1] == 94
    previews = {event.name for event in heard if isinstance(event, Preview)}
    assert previews == {"rendering-25", "rendering-50", "rendering-75"}


def test_a_worker_that_is_killed_costs_one_piece(tmp_path: Path) -> None:
    renderer, heard = FakeRenderer(dies_at=33, died=tmp_path / "died"), list[Event]()
    with Workers(2) as workers:
        done = render_with(workers, renderer).run(shelf(tmp_path, 9.4), heard.append)
        assert workers.alive == 1
    assert numbers(done.get(Film)) == list(range(94))
    logs = [event for event in heard if isinstance(event, Log)]
    assert logs == [Log("WARNING", "render.worker_lost", {"workers": 1})]
    progress = [event.done for event in heard if isinstance(event, StageProgress)]
    assert progress == sorted(progress)


def test_a_piece_that_costs_two_workers_is_given_up(tmp_path: Path) -> None:
    work = shelf(tmp_path, 5.6)
    with pytest.raises(DeviceError) as caught, Workers(2) as workers:
        render_with(workers, FakeRenderer(dies_at=33)).run(work, quiet)
    assert caught.value.code == "render.worker_lost_twice"
    resumed = FakeRenderer()
    done = render(resumed).run(work, quiet)
    assert set(resumed.drawn) >= set(range(20, 40))
    assert numbers(done.get(Film)) == list(range(56))


@pytest.mark.parametrize(
    "failure",
    [RuntimeError("torn"), RenderError("Too {little}.", hint="{n}", code="x", little="few", n=3)],
)
def test_what_a_worker_raises_is_raised_here(tmp_path: Path, failure: Exception) -> None:
    renderer = FakeRenderer(fails_at=33, failure=failure)
    with pytest.raises(type(failure)) as caught, Workers(2) as workers:
        render_with(workers, renderer).run(shelf(tmp_path, 5.6), quiet)
    assert str(caught.value) == str(failure)
    assert getattr(caught.value, "hint", "") == getattr(failure, "hint", "")
    assert "In a worker" in caught.value.__notes__[0]


def test_what_cannot_leave_this_process_is_drawn_here(tmp_path: Path) -> None:
    renderer = FakeRenderer(is_portable=False)
    with Workers(2) as workers:
        render_with(workers, renderer).run(shelf(tmp_path, 5.6), quiet)
    assert renderer.drawn == list(range(56))


def render_beside(renderer: FakeRenderer, encoders: int) -> Render:
    return Render(renderer, SLOW, key="k", encoders=encoders)


@pytest.mark.parametrize("encoders", [2, 8])
def test_pieces_encoded_beside_the_drawing_are_the_same(tmp_path: Path, encoders: int) -> None:
    alone = render(FakeRenderer()).run(shelf(tmp_path / "alone", 5.6), quiet)
    renderer = FakeRenderer()
    done = render_beside(renderer, encoders).run(shelf(tmp_path, 5.6), quiet)
    assert renderer.drawn == list(range(56))
    assert files(done) == files(alone)


@pytest.mark.parametrize("failure", [RuntimeError("torn"), KeyboardInterrupt()])
def test_what_is_being_encoded_when_a_run_breaks_is_not_there(
    tmp_path: Path, failure: BaseException
) -> None:
    work = shelf(tmp_path, 5.6)
    with pytest.raises(type(failure)):
        render_beside(FakeRenderer(fails_at=45, failure=failure), 2).run(work, quiet)
    assert list(files(work)) == ["film.json", "piece-0000.json", "piece-0000.mp4"]
    assert [one.name for one in threading.enumerate() if one.name.startswith("encode")] == []


def test_frames_know_how_many_they_are() -> None:
    assert len(Frames(np.zeros((4, 2, 2, 3), np.uint8))) == 4
