"""Pieces of film: right pictures, right colours, whole or not there; and joined without a seam."""

import subprocess
import sys
import threading
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.support.disk import files_no_larger_than
from tests.support.fake_renderer import SIZE, lag_seconds, number_in, picture, tone
from vidgen.errors import InputError, RenderError, SetupError
from vidgen.media.audio import load_speech
from vidgen.media.barrier import barrier
from vidgen.media.colour import (
    fill_yuv420p,
    frame_to_rgb,
    lab,
    to_lab,
    to_rgb,
    to_yuv420p,
)
from vidgen.media.encoder import QUEUED_BATCHES, FilmWriter
from vidgen.media.encodings import ENCODINGS, HARDWARE, Encoding, answers, encoding_for
from vidgen.media.mux import decode_frames, first_frame, mux_film, probe
from vidgen.media.segments import MOST_SECONDS
from vidgen.work import Film, Frames, Pixels

EVERY = [pytest.param(kind, id=f"{kind[0]}{'-alpha' * kind[1]}") for kind in ENCODINGS]
INDEXED = [kind for kind in ENCODINGS if ENCODINGS[kind].container != "webm"]
Kind = tuple[str, bool]
COUNTS = (9, 5, 1)  # frames of the pieces: shorter than an encoder's look-ahead too


def frames(first: int, count: int, layout: str) -> Frames:
    return Frames(np.stack([picture(first + n, layout) for n in range(count)]), layout)


def write(path: Path, encoding: Encoding, batch: Frames, fps: Fraction = Fraction(25)) -> Path:
    with FilmWriter(path, size=SIZE, fps=fps, encoding=encoding) as writer:
        writer.write(batch)
    return path


def film_of_pieces(folder: Path, kind: Kind, fps: Fraction = Fraction(25)) -> Film:
    encoding = ENCODINGS[kind]
    layout = "rgba" if kind[1] else "rgb24"
    pieces, first = [], 0
    for number, count in enumerate(COUNTS):
        path = folder / f"piece-{number}{encoding.suffix}"
        pieces.append(write(path, encoding, frames(first, count, layout), fps))
        first += count
    return Film(tuple(pieces), first, fps, SIZE, kind[1])


def raw(path: Path, *, has_alpha: bool) -> list[bytes]:
    """Every decoded frame's planes."""
    return [
        b"".join(bytes(plane) for plane in frame.planes)
        for frame in decode_frames(path, has_alpha=has_alpha)
    ]


@pytest.mark.parametrize("kind", EVERY)
def test_a_film_is_tagged_and_shown_in_the_colours_it_was_given(tmp_path: Path, kind: Kind) -> None:
    layout = "rgba" if kind[1] else "rgb24"
    path = write(tmp_path / "piece", ENCODINGS[kind], frames(5, 3, layout))
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        next(container.decode(video=0))
        tags = context.colorspace, context.color_primaries, context.color_trc, context.color_range
    assert [int(tag) for tag in tags] == [1, 1, 1, 1]
    shown = first_frame(path, has_alpha=kind[1])
    difference = np.abs(shown.astype(int) - picture(5, layout))[24:]  # squares ring a little
    assert shown.shape == (SIZE[1], SIZE[0], 4 if kind[1] else 3)
    assert difference.mean((0, 1)).max() < 2.2
    assert number_in(shown) == 5


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("fps", [24, 60])
def test_joined_pieces_hold_every_frame_of_each_in_order(
    tmp_path: Path, kind: Kind, fps: int
) -> None:
    film = film_of_pieces(tmp_path, kind, Fraction(fps))
    target = tmp_path / "film"
    told: list[int] = []
    voice = tone(float(film.frame_count / film.fps))
    mux_film(film, voice, target, ENCODINGS[kind], progress=told.append)
    pictures = raw(target, has_alpha=kind[1])
    assert pictures == [one for p in film.pieces for one in raw(p, has_alpha=kind[1])]
    shown = [
        (float(frame.pts * frame.time_base), number_in(frame_to_rgb(frame)))
        for frame in decode_frames(target, has_alpha=kind[1])
    ]
    is_webm = ENCODINGS[kind].container == "webm"
    tolerance = 0.0006 if is_webm else 1e-9  # its clock ticks in milliseconds
    assert [number for _, number in shown] == list(range(15))
    np.testing.assert_allclose([t for t, _ in shown], np.arange(15) / fps, atol=tolerance)
    assert told == list(range(1, 16))
    found = probe(target)
    assert (found.frame_count, found.fps, found.size) == (15, Fraction(fps), SIZE)
    assert found.has_alpha is kind[1]


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("rate", [8000, 44100])
def test_the_voice_in_the_file_is_where_it_was(tmp_path: Path, kind: Kind, rate: int) -> None:
    film = film_of_pieces(tmp_path, kind, Fraction(12))
    voice = tone(1.21, rate)
    target = tmp_path / f"film{ENCODINGS[kind].suffix}"
    mux_film(film, voice, target, ENCODINGS[kind])
    heard = load_speech(target, max_seconds=60)
    assert abs(lag_seconds(heard, voice)) < 0.0005
    assert heard.rate == 48000
    found = probe(target)
    assert abs(found.audio_seconds - voice.seconds) < 0.002
    assert 0 <= found.video_seconds - found.audio_seconds < 1 / 12


@pytest.mark.parametrize("kind", INDEXED)
def test_the_index_stands_before_the_pictures(tmp_path: Path, kind: Kind) -> None:
    film = film_of_pieces(tmp_path, kind)
    mux_film(film, tone(0.6), tmp_path / "film", ENCODINGS[kind])
    content = (tmp_path / "film").read_bytes()
    assert 0 < content.find(b"moov") < content.find(b"mdat")


def test_pieces_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    film = film_of_pieces(tmp_path, ("mp4", False))
    other = tmp_path / "other.mp4"
    with FilmWriter(
        other, size=(64, 64), fps=Fraction(25), encoding=ENCODINGS["mp4", False]
    ) as writer:
        writer.write(Frames(np.zeros((1, 64, 64, 3), np.uint8)))
    for pieces, count in [
        ((*film.pieces[:2], other), 15),
        (film.pieces[:2], 15),
        (film.pieces, 14),
    ]:
        wrong = Film(pieces, count, film.fps, film.size)
        with pytest.raises(RenderError) as caught:
            mux_film(wrong, tone(0.6), tmp_path / "film", ENCODINGS["mp4", False])
        assert caught.value.code == "encode.piece_unfit"


def test_probing_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no film")
    with pytest.raises(RenderError) as caught:
        probe(tmp_path / "a.mp4")
    assert caught.value.code == "encode.unreadable"


def test_frames_may_come_as_rgb_or_as_video_pixels(tmp_path: Path) -> None:
    encoding = ENCODINGS["mp4", False]
    rgb = write(tmp_path / "a", encoding, frames(0, 4, "rgb24"))
    yuv = write(tmp_path / "b", encoding, frames(0, 4, "yuv420p"))
    assert raw(rgb, has_alpha=False) == raw(yuv, has_alpha=False)


def test_the_same_frames_make_the_same_file(tmp_path: Path) -> None:
    files = [
        write(tmp_path / name, ENCODINGS["mp4", False], frames(0, 40, "rgb24")) for name in "ab"
    ]
    assert files[0].read_bytes() == files[1].read_bytes()


@pytest.mark.parametrize("kind", EVERY)
@pytest.mark.parametrize("size", [(190, 126), (178, 130)])
def test_any_even_size_keeps_its_last_rows(
    tmp_path: Path, kind: Kind, size: tuple[int, int]
) -> None:
    layout = "rgba" if kind[1] else "rgb24"
    path = tmp_path / "a"
    with FilmWriter(path, size=size, fps=Fraction(25), encoding=ENCODINGS[kind]) as writer:
        writer.write(Frames(picture(3, layout, size)[None], layout))
    shown = first_frame(path, has_alpha=kind[1])
    difference = np.abs(shown.astype(int) - picture(3, layout, size))[24:]
    assert shown.shape[:2] == (size[1], size[0])
    assert difference[-4:].mean() < 2.5
    assert difference[:, -2:].mean() < 2.5


def test_conversion_follows_bt_709() -> None:
    colours = np.array(
        [[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8
    )
    # Rounded values of BT.709 limited range.
    expected = [(16, 128, 128), (235, 128, 128), (63, 102, 240), (173, 42, 26), (32, 240, 118)]
    for colour, yuv in zip(colours, expected, strict=True):
        planes = to_yuv420p(np.tile(colour, (4, 8, 1)))  # (6, 8)
        found = planes[0, 0], planes[4, 0], planes[5, 0]
        np.testing.assert_allclose(np.array(found, int), yuv, atol=1)
        np.testing.assert_allclose(
            to_rgb(planes, "yuv420p")[1, 1].astype(int), colour.astype(int), atol=3
        )


def test_a_part_is_converted_as_the_whole_is() -> None:
    rng = np.random.default_rng(0)
    before, after = (rng.integers(0, 256, (300, 40, 3), np.uint8) for _ in range(2))
    found, mixed = to_yuv420p(before), before.copy()
    mixed[3:279, 7:22] = after[3:279, 7:22]
    fill_yuv420p(found, mixed, (7, 3, 22, 279))
    assert np.array_equal(found, to_yuv420p(mixed))


def test_lab_is_opencvs_to_half_a_step() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)
    wanted = cv2.cvtColor(colours.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    np.testing.assert_allclose(lab(colours), wanted, atol=0.5)
    eight = cv2.cvtColor(colours, cv2.COLOR_RGB2LAB).astype(int)
    np.testing.assert_allclose(to_lab(colours), eight, atol=2)


def test_transparent_pixels_show_grey_in_a_preview() -> None:
    pixels: Pixels = np.array([[[200, 100, 0, 255], [200, 100, 0, 0]]], np.uint8)
    assert to_rgb(pixels, "rgba").tolist() == [[[200, 100, 0], [224, 224, 224]]]


def test_mp4_cannot_be_transparent() -> None:
    with pytest.raises(InputError) as caught:
        encoding_for("mp4", transparent=True)
    assert caught.value.code == "encode.no_alpha"
    assert "webm" in caught.value.hint


def test_a_hardware_encoder_is_taken_only_where_one_answers(tmp_path: Path) -> None:
    encoding = encoding_for("mp4", hardware=tuple(HARDWARE))
    assert encoding.codec == next((HARDWARE[name] for name in HARDWARE if answers(name)), "libx264")
    assert encoding_for("mp4").codec == "libx264"
    film = write(tmp_path / "a.mp4", encoding, frames(0, 8, "rgb24"))
    assert [number_in(frame_to_rgb(frame)) for frame in decode_frames(film)] == list(range(8))


@pytest.mark.parametrize(
    "batch",
    [
        Frames(np.zeros((1, 64, 64, 3), np.uint8)),
        Frames(np.zeros((1, SIZE[1], SIZE[0], 4), np.uint8), "rgba"),
    ],
)
def test_wrong_frames_are_a_mistake_of_the_renderer(tmp_path: Path, batch: Frames) -> None:
    with pytest.raises(ValueError, match=r"frame"):
        write(tmp_path / "a.mp4", ENCODINGS["mp4", False], batch)
    assert list(tmp_path.iterdir()) == []


def test_a_failure_of_the_encoder_comes_up_in_the_loop(tmp_path: Path) -> None:
    wrong = Frames(np.zeros((1, 64, 64, 3), np.uint8))
    batches = iter(range(10_000))
    writer = FilmWriter(
        tmp_path / "a.mp4", size=SIZE, fps=Fraction(25), encoding=ENCODINGS["mp4", False]
    )

    def write_all() -> None:
        for _ in batches:
            writer.write(wrong)

    with pytest.raises(ValueError, match="64x64"), writer:
        write_all()
    assert next(batches, None) is not None  # it came up before the last one
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), RuntimeError("torn")])
def test_an_interrupted_piece_leaves_neither_file_nor_thread(
    tmp_path: Path, failure: BaseException
) -> None:
    writer = FilmWriter(
        tmp_path / "a.mp4", size=SIZE, fps=Fraction(25), encoding=ENCODINGS["mp4", False]
    )

    def interrupted() -> None:
        writer.write(frames(0, 30, "rgb24"))
        raise failure

    with pytest.raises(type(failure)), writer:
        interrupted()
    assert list(tmp_path.iterdir()) == []
    assert [thread.name for thread in threading.enumerate() if "encode" in thread.name] == []


def test_a_renderer_that_is_faster_has_to_wait(tmp_path: Path) -> None:
    """The queue is bounded: never more batches alive than it holds, one in work and one given."""
    import weakref

    alive: dict[int, weakref.ref[Pixels]] = {}
    most = 0
    encoding = ENCODINGS["mov", True]  # slow enough that the queue fills
    with FilmWriter(
        tmp_path / "a.mov", size=(640, 360), fps=Fraction(25), encoding=encoding
    ) as writer:
        for number in range(24):
            batch = Frames(np.stack([picture(number, "rgba", (640, 360))] * 2), "rgba")
            alive[number] = weakref.ref(batch.pixels)
            writer.write(batch)
            most = max(most, sum(reference() is not None for reference in alive.values()))
            del batch
    assert QUEUED_BATCHES <= most <= QUEUED_BATCHES + 2


@pytest.mark.parametrize("kind", EVERY)
def test_a_full_disk_is_said_and_cleaned_up(tmp_path: Path, kind: Kind) -> None:
    channels = 4 if kind[1] else 3
    noise = np.random.default_rng(0).integers(0, 256, (12, 128, 192, channels), np.uint8)
    batch = Frames(noise, "rgba" if kind[1] else "rgb24")
    with pytest.raises(SetupError) as caught, files_no_larger_than(30_000):
        write(tmp_path / "a", ENCODINGS[kind], batch)
    assert caught.value.code == "output.disk_full"
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_while_joining_is_an_os_error(tmp_path: Path) -> None:
    film = film_of_pieces(tmp_path, ("mov", False))
    with pytest.raises(OSError, match="large"), files_no_larger_than(20_000):
        mux_film(film, tone(0.6, 48000), tmp_path / "film", ENCODINGS["mov", False])


@pytest.mark.parametrize("size", [(518, 518), (258, 514), (256, 256)])
@pytest.mark.parametrize("layout", ["rgb24", "yuv420p"])
def test_any_even_size_is_kept_to_the_last_row(
    tmp_path: Path, size: tuple[int, int], layout: str
) -> None:
    rgb = np.zeros((size[1], size[0], 3), np.uint8)
    rgb[-2:] = 255
    pixels = rgb if layout == "rgb24" else to_yuv420p(rgb)
    encoding = encoding_for("mp4")
    path = tmp_path / f"piece{encoding.suffix}"
    with FilmWriter(path, size=size, fps=Fraction(25), encoding=encoding) as writer:
        writer.write(Frames(pixels[None], layout))
    found = first_frame(path)
    assert found.shape == (size[1], size[0], 3)
    assert found[-2:].mean() > 200
    assert found[:-8].mean() < 30


def test_no_piece_has_a_whole_picture_within(tmp_path: Path) -> None:
    length = MOST_SECONDS * 60  # frames a second, the most
    pixels = np.full((length, 64, 64, 3), 90, np.uint8)
    path = tmp_path / "piece.mp4"
    encoding = ENCODINGS["mp4", False]
    with FilmWriter(path, size=(64, 64), fps=Fraction(60), encoding=encoding) as writer:
        writer.write(Frames(pixels))
    with av.open(str(path)) as container:
        whole = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert whole == [True] + [False] * (length - 1)


@pytest.mark.parametrize("grain", [0.0, 4.0])
def test_a_still_wall_does_not_jump_where_pieces_meet(tmp_path: Path, grain: float) -> None:
    random = np.random.default_rng(7)
    wall = np.tile(np.linspace(90, 150, 320)[None, :, None], (320, 1, 3))
    wall = (wall + random.normal(0, 1, wall.shape[:2])[..., None] * grain).clip(0, 255)
    pixels = np.repeat(wall.round().astype(np.uint8)[None], 80, 0)
    for number, frame in enumerate(pixels):
        shift = round(12 * np.sin(number / 4))
        frame[120:280, 40 + shift : 160 + shift] = random.integers(60, 200, 3, np.uint8)
    matte = np.zeros((320, 320), np.float32)
    matte[120:280, 28:172] = 1
    shown: list[Pixels] = []
    for first in (0, 40):
        path = tmp_path / f"piece-{first}.mp4"
        with FilmWriter(
            path,
            size=(320, 320),
            fps=Fraction(25),
            encoding=ENCODINGS["mp4", False],
            barrier=barrier(matte, 4),
        ) as writer:
            writer.write(Frames(pixels[first : first + 40]))
        shown += [frame.to_ndarray(format="gray")[:, 224:] for frame in decode_frames(path)]
    jumps = np.abs(np.diff(np.stack(shown).astype(int), axis=0))
    assert jumps[39].max() <= 2  # grey levels
    assert jumps[39].mean() <= 0.005  # without a barrier, 0.1; plainly coded, 0.5 and more


def test_the_library_is_whole_before_a_second_thread_may_ask_for_it(tmp_path: Path) -> None:
    """A worker's first preview imported a part of it while the encoder's thread imported it all."""
    code = """
import sys
from fractions import Fraction
from pathlib import Path
from vidgen.media.encoder import FilmWriter
from vidgen.media.encodings import ENCODINGS
encoding = ENCODINGS["mp4", False]
assert "av" not in sys.modules
writer = FilmWriter(Path(sys.argv[1]), size=(64, 64), fps=Fraction(25), encoding=encoding)
writer._run = lambda temporary: (temporary.touch(), [*iter(writer._queue.get, None)])
with writer:
    print(hasattr(sys.modules.get("av"), "open"))
"""
    said = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "x.mp4"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.stdout == "True\n", said.stderr
