"""Pieces on disk: only what is whole and of this very film is taken over."""

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from vidgen.media.segments import Segment, Segments, spans

WANTED = (Segment(0, 0, 50), Segment(1, 50, 80))


@pytest.fixture
def pieces(tmp_path: Path) -> Segments:
    """Both pieces of a film, whole."""
    pieces = Segments(tmp_path / "render", "key", ".mp4")
    assert pieces.missing(WANTED) == WANTED
    for span in WANTED:
        pieces.path(span).write_bytes(b"frames %d" % span.index)
        pieces.seal(span)
    pieces.save_metadata({"encoder": "x264"})
    return pieces


def names(pieces: Segments) -> list[str]:
    return sorted(path.name for path in pieces.folder.iterdir())


@pytest.mark.parametrize(
    ("count", "fps", "lengths"),
    [
        (1, Fraction(25), [1]),
        (50, Fraction(25), [50]),
        (51, Fraction(25), [50, 1]),
        (800, Fraction(25), [50] * 16),
        (810, Fraction(25), [51] * 15 + [45]),
        (25 * 96, Fraction(25), [150] * 16),
        (25 * 97, Fraction(25), [150] * 16 + [25]),
        (100, Fraction(30_000, 1001), [60, 40]),
    ],
)
def test_pieces_are_of_two_to_six_seconds(count: int, fps: Fraction, lengths: list[int]) -> None:
    made = spans(count, fps)
    assert [len(span) for span in made] == lengths
    assert [span.index for span in made] == list(range(len(lengths)))
    assert [0, *(span.last for span in made)] == [*(span.first for span in made), count]


def test_whole_pieces_are_taken_over(pieces: Segments) -> None:
    assert pieces.missing(WANTED) == ()
    both = [f"piece-000{n}.{suffix}" for n in (0, 1) for suffix in ("json", "mp4")]
    assert names(pieces) == ["film.json", *both]
    assert pieces.metadata() == {"encoder": "x264"}


def shorten(file: Path) -> None:
    file.write_bytes(b"frame")


def change(file: Path) -> None:
    file.write_bytes(b"frames 9")


def remove(file: Path) -> None:
    file.unlink()


def unseal(file: Path) -> None:
    file.with_suffix(".json").unlink()


def damage(file: Path) -> None:
    file.with_suffix(".json").write_text("{")


def list_instead(file: Path) -> None:
    file.with_suffix(".json").write_text("[]")


def other_frames(file: Path) -> None:
    note = file.with_suffix(".json")
    note.write_text(json.dumps(json.loads(note.read_text()) | {"count": 49}))


@pytest.mark.parametrize(
    "hurt", [shorten, change, remove, unseal, damage, list_instead, other_frames]
)
def test_a_piece_that_is_not_whole_is_drawn_again(
    pieces: Segments, hurt: Callable[[Path], None]
) -> None:
    hurt(pieces.path(WANTED[0]))
    assert pieces.missing(WANTED) == WANTED[:1]
    assert names(pieces) == ["film.json", "piece-0001.json", "piece-0001.mp4"]


@pytest.mark.parametrize("key", ["other", ""])
def test_nothing_of_another_film_is_taken_over(pieces: Segments, key: str) -> None:
    other = Segments(pieces.folder, key, ".mp4")
    assert other.missing(WANTED) == WANTED
    assert names(other) == []
    assert other.metadata() == {}


def test_without_a_key_nothing_is_recognised(tmp_path: Path) -> None:
    pieces = Segments(tmp_path, "", ".mp4")
    pieces.path(WANTED[0]).write_bytes(b"frames")
    pieces.seal(WANTED[0])
    assert pieces.missing(WANTED) == WANTED


def test_what_a_killed_run_left_goes_and_what_is_not_ours_stays(pieces: Segments) -> None:
    for name in (".piece-0000.mp4.x.part", ".film.json.x.part", "piece-0009.mp4", "notes.txt"):
        (pieces.folder / name).write_text("half")
    assert pieces.missing(WANTED) == ()
    assert "notes.txt" in names(pieces)
    assert len(names(pieces)) == 6
