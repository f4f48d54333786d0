"""Pieces that are looked at when they are finished tell what the finished film would."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.support.fake_renderer import tone
from tests.support.puppet import speaker
from vidgen.media.encoder import FilmWriter
from vidgen.media.encodings import encoding_for
from vidgen.media.mux import mux_film
from vidgen.media.segments import spans
from vidgen.quality.closing_look import ClosingLook, SeenWindow, windows
from vidgen.quality.judge import TrackWindow, judge
from vidgen.quality.tracking import Tracking
from vidgen.work import Film, Frames

FPS = Fraction(10)  # pieces of 20 frames
FRAMES = 24  # that are looked at: 6 in each of four windows


def test_a_short_film_is_looked_at_as_a_whole_and_a_long_one_in_four_parts() -> None:
    assert windows(7.8, 25.0) == [(0.0, 150)]
    assert windows(10.0, 25.0) == [(1.0, 37), (3.0, 37), (5.5, 37), (8.0, 37)]


def test_a_window_that_does_not_fit_into_a_piece_is_left_to_the_end() -> None:
    pieces = {span: Path(str(span.index)) for span in spans(105, FPS)}
    closing = ClosingLook(Path("model"), frames=100)
    assert closing.tasks(pieces, FPS, (0, 0, 1, 1)) == {}


@pytest.mark.models
def test_pieces_tell_what_the_film_would(
    demo_photo: Path, model_path: Callable[[str], Path], tmp_path: Path
) -> None:
    """A head that moves a pixel a frame, so that no two windows are alike."""
    subject, encoding = speaker(demo_photo, model_path, 192), encoding_for("mp4")
    height, width = subject.frame.shape[:2]
    pieces = {span: tmp_path / f"{span.index}.mp4" for span in spans(105, FPS)}
    for span, path in pieces.items():
        with FilmWriter(path, size=(width, height), fps=FPS, encoding=encoding) as writer:
            moved = [
                np.roll(subject.frame, number // 4, 1) for number in range(span.first, span.last)
            ]
            writer.write(Frames(np.stack(moved)))
    film = tmp_path / "film.mp4"
    mux_film(Film(tuple(pieces.values()), 105, FPS, (width, height)), tone(10.5), film, encoding)

    model = model_path("face_landmark")
    closing = ClosingLook(model, FRAMES)
    tasks = closing.tasks(pieces, FPS, subject.face)
    assert [span.index for span in tasks] == [0, 1, 2, 4]
    for task in tasks.values():
        task(None, closing.seen.append)
    for seen, (start, frames) in zip(closing.seen, windows(10.5, 10.0, FRAMES), strict=True):
        found: list[tuple[int, Tracking]] = []
        box = tuple(map(float, subject.face))
        TrackWindow(seen.index, film, model, start, frames, box)(None, found.append)
        ((index, wanted),) = found
        assert index == seen.index
        for name in ("times", "opening", "width", "eyes"):
            told = getattr(seen.in_film(film), name)
            np.testing.assert_allclose(told, getattr(wanted, name), atol=1e-6, err_msg=name)

    def refuse(tasks: object, hear: object) -> None:  # RunTasks' form
        assert tasks == []

    assert judge(film, model, frames=FRAMES, seen=closing.seen, run=refuse).frames == 24


def test_a_piece_that_cannot_be_seen_is_not_told(tmp_path: Path) -> None:
    pieces = dict.fromkeys(spans(105, FPS), tmp_path / "none.mp4")
    tasks = ClosingLook(Path("model"), FRAMES).tasks(pieces, FPS, (0, 0, 1, 1))
    said: list[SeenWindow] = []
    for task in tasks.values():
        task(None, said.append)
    assert (len(tasks), said) == (4, [])
