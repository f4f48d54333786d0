"""A batch in a terminal and in a pipe, cell for cell."""

import io
from typing import Any

import pytest

from vidgen.events import Envelope
from vidgen.progress.batch import BatchProgress, Film
from vidgen.progress.forecast.batch import BatchForecast, FilmSize
from vidgen.progress.views.batch import PlainBatch, QuietBatch, RawBatch
from vidgen.progress.views.layout import ASCII, Viewport
from vidgen.progress.views.live_batch import film_over, lay_out_batch
from vidgen.progress.views.text import line_len


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def batch(clock: Clock, view: Any = None, count: int = 4) -> BatchProgress:
    """Four films on one place: the first is there already."""
    films = [Film(n, n + 1, f"id-{n}", f"film{n}.mp4") for n in range(1, count + 1)]
    films[0].state = "skipped"
    sizes = [FilmSize(film.task_id, 5.0) for film in films]
    return BatchProgress("nightly", films, BatchForecast(sizes, [], 1), view or QuietBatch(), clock)


def drawing(task_id: str, percent: float) -> Envelope:
    data = {"stage": "rendering", "progress": percent, "message": "", "stage_progress": 0.5}
    return Envelope(task_id, 1, "progress_update", "2026-11-26T12:00:00.000Z", data)


def play(progress: BatchProgress, clock: Clock) -> None:
    """One is made in 8 s, one fails, one is being drawn since 4 s."""
    progress.begin("id-2", "1")
    clock.seconds = 8.0
    done = progress.films["id-2"]
    done.state, done.took_seconds, done.video = "complete", 8.0, "/films/film2.mp4"
    progress.end(done, is_whole=True)
    progress.begin("id-3", "1")
    clock.seconds = 9.0
    failed = progress.films["id-3"]
    failed.state, failed.message, failed.hint = "failed", "No face was found.", "Use another photo."
    failed.message_code = "detect.no_face"
    progress.end(failed, is_whole=False)
    progress.begin("id-4", "1")
    clock.seconds = 13.0
    progress.tell(drawing("id-4", 70.0))


def test_films_that_overlap_at_one_place_take_their_turns(clock: Clock) -> None:
    progress = batch(clock)
    progress.begin("id-2", "1")
    clock.seconds = 6.0
    progress.begin("id-3", "1")
    clock.seconds = 8.0
    progress.films["id-2"].state = "complete"
    progress.end(progress.films["id-2"], is_whole=True)
    assert progress.remaining() == pytest.approx(8.0 + 8.0)  # two more, from now on
    clock.seconds = 10.0
    progress.begin("id-4", "1")
    assert progress.remaining() == pytest.approx(6.0 + 8.0)
    clock.seconds = 12.0
    progress.films["id-3"].state = "complete"
    progress.end(progress.films["id-3"], is_whole=True)  # it had its place for 4 s, not for 6
    assert progress.remaining() == pytest.approx(4.0)  # the first taught more than it was worth


def text(lines: Any) -> list[str]:
    return ["".join(span.text for span in line) for line in lines]


def test_the_picture_of_a_batch(clock: Clock) -> None:
    progress = batch(clock)
    play(progress, clock)
    lines = text(lay_out_batch(progress, Viewport(80, 24, ASCII), 0.0))
    assert lines[1].split() == ["vidgen", "nightly", "4", "films"]
    assert lines[3].startswith("  > film4.mp4  Drawing the frames")
    assert lines[3].endswith("########### ----  70 %  0:04".replace(" ----", "-----"))
    assert lines[5].lstrip().startswith("92 %  ####")
    assert "about 4 s, until" in lines[5]
    assert lines[6] == "  1 done - 1 there before - 1 failed - 0:13 so far"


@pytest.mark.parametrize("language", ["en", "ja", "zh"])
@pytest.mark.parametrize("width", [20, 59, 60, 80, 200])
@pytest.mark.parametrize("height", [1, 3, 10, 16, 24])
def test_it_fits_every_window(clock: Clock, language: str, width: int, height: int) -> None:
    progress = batch(clock, count=40)
    play(progress, clock)
    for number in range(5, 40):
        progress.begin(f"id-{number}", "1")
    lines = lay_out_batch(progress, Viewport(width, height, language=language), 0.0)
    assert len(lines) <= max(2, height - 1)
    assert max(map(line_len, lines)) < max(width, 9)


def test_a_film_that_is_over_stays_above(clock: Clock) -> None:
    progress = batch(clock)
    play(progress, clock)
    page = Viewport(60, 24, ASCII)
    done, failed = progress.films["id-2"], progress.films["id-3"]
    assert text(film_over(done, "complete", page))[0].split() == ["+", "film2.mp4", "8.0", "s"]
    assert text(film_over(failed, "failed", page)) == [
        "x film3.mp4: failed: No face was found.",
        "  Use another photo.",
    ]
    assert text(film_over(done, "lost", page))[0].startswith("! film2.mp4: its worker was ended")


def test_a_pipe_gets_lines(clock: Clock) -> None:
    stream = io.StringIO()
    play(batch(clock, PlainBatch(stream)), clock)
    assert stream.getvalue().splitlines() == [
        "[0:00] 4 films, 1 there already, 3 to make, 1 of 4",
        "[0:00] 2/4 film2.mp4: started",
        "[0:08] 2/4 film2.mp4: done (8.0 s), 2 of 4, about 16 s: /films/film2.mp4",
        "[0:08] 3/4 film3.mp4: started",
        "[0:09] 3/4 film3.mp4: failed, 3 of 4, about 8 s: No face was found.",
        "[0:09] 3/4 film3.mp4: Use another photo.",
        "[0:09] 4/4 film4.mp4: started",
    ]


def test_rawjson_is_the_events_of_all_films(clock: Clock) -> None:
    stream = io.BytesIO()
    play(batch(clock, RawBatch(stream)), clock)
    assert [Envelope.from_wire(line).task_id for line in stream.getvalue().splitlines()] == ["id-4"]


class Closed(io.StringIO):
    def write(self, _: str) -> int:
        raise OSError("closed")


def test_a_stream_that_is_gone_ends_no_batch(clock: Clock) -> None:
    progress = batch(clock, PlainBatch(Closed()))
    play(progress, clock)
    assert progress.counts["complete"] == 1
