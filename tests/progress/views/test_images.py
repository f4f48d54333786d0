"""Pictures in a terminal: which way they go, what is sent, and where they stand."""

import base64
import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from rich.color import ColorSystem

from tests.progress.views.test_live import Clock, Script, Still, Window, _everything, text
from vidgen.progress.views.images import InlineImage, choose_protocol, fit, inline_image
from vidgen.progress.views.layout import lay_out
from vidgen.progress.views.terminal import Abilities

TRUE = ColorSystem.TRUECOLOR
COLOURFUL = Abilities(TRUE, unicode=True, links=False, title=False, taskbar=False)
RED, BLUE, NONE = (255, 0, 0, 255), (0, 0, 255, 255), (9, 9, 9, 0)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def script(clock: Clock) -> Script:
    return Script(clock)


def painted(path: Path, *rows: list[tuple[int, int, int, int]]) -> Path:
    picture = Image.new("RGBA", (len(rows[0]), len(rows)))
    for y, row in enumerate(rows):
        for x, pixel in enumerate(row):
            picture.putpixel((x, y), pixel)
    picture.save(path)
    return path


@pytest.fixture
def halves(tmp_path: Path) -> Path:
    """60 × 40: red above, the right of it transparent; blue below."""
    upper = [RED] * 30 + [NONE] * 30
    return painted(tmp_path / "cutout.png", *([upper] * 20 + [[BLUE] * 60] * 20))


# --- which way


@pytest.mark.parametrize(
    ("environ", "auto", "inline"),
    [
        ({"TERM": "xterm-kitty"}, "kitty", "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "ghostty"}, "kitty", "kitty"),
        ({"TERM_PROGRAM": "iTerm.app"}, "iterm", "iterm"),
        ({"TERM_PROGRAM": "WezTerm"}, "iterm", "iterm"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "iterm", "iterm"),
        ({"TERM": "foot"}, "sixel", "sixel"),
        ({"KONSOLE_VERSION": "220400"}, "sixel", "sixel"),
        ({"KONSOLE_VERSION": "211200"}, None, "blocks"),
        ({"TERM": "xterm-256color"}, None, "blocks"),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/t"}, None, "blocks"),
        ({"TERM": "tmux-256color", "LC_TERMINAL": "iTerm2"}, None, "blocks"),
        ({"TERM_PROGRAM": "WezTerm", "STY": "1.x"}, None, "blocks"),
    ],
)
def test_auto_shows_pictures_only_where_they_are_known_to_be_understood(
    environ: dict[str, str], auto: str | None, inline: str
) -> None:
    assert choose_protocol("auto", COLOURFUL, (9, 18), environ) == auto
    assert choose_protocol("inline", COLOURFUL, (9, 18), environ) == inline
    assert choose_protocol("link", COLOURFUL, (9, 18), environ) is None
    assert choose_protocol("off", COLOURFUL, (9, 18), environ) is None


def test_sixels_need_to_know_the_size_of_a_cell() -> None:
    assert choose_protocol("auto", COLOURFUL, None, {"TERM": "foot"}) is None
    assert choose_protocol("inline", COLOURFUL, None, {"TERM": "foot"}) == "blocks"


@pytest.mark.parametrize(
    ("colours", "is_unicode"), [(None, True), (ColorSystem.STANDARD, True), (TRUE, False)]
)
def test_blocks_need_many_colours_and_unicode(
    colours: ColorSystem | None, is_unicode: bool
) -> None:
    can = Abilities(colours, unicode=is_unicode, links=False, title=False, taskbar=False)
    assert choose_protocol("inline", can, (9, 18), {"TERM": "xterm"}) is None


@pytest.mark.parametrize(
    ("size", "most", "cell", "expected"),
    [
        ((640, 640), (60, 10), (10, 20), (20, 10)),
        ((640, 640), (60, 10), (1, 2), (20, 10)),
        ((1280, 720), (60, 10), (10, 20), (36, 10)),
        ((1280, 720), (20, 10), (10, 20), (20, 6)),
        ((10, 1000), (60, 10), (10, 20), (1, 10)),
    ],
)
def test_a_picture_is_as_large_as_there_is_room(
    size: tuple[int, int], most: tuple[int, int], cell: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert fit(size, most, cell) == expected


# --- what is sent


def test_half_blocks_are_two_pixels_and_nothing_where_the_picture_is_clear(tmp_path: Path) -> None:
    path = painted(tmp_path / "a.png", [RED, RED, NONE, NONE], [BLUE, NONE, BLUE, NONE])
    picture = inline_image(path, "blocks", (4, 1), None, TRUE)
    assert picture == InlineImage(
        4,
        (
            "\x1b[38;2;255;0;0;48;2;0;0;255m▀\x1b[0m"
            "\x1b[38;2;255;0;0m▀\x1b[0m"
            "\x1b[38;2;0;0;255m▄\x1b[0m ",
        ),
    )


def corners(picture: Image.Image) -> list[tuple[int, ...]]:
    """Above left, above right, below left: a little inside, where no edge is blurred."""
    W, H = picture.size
    found = [picture.convert("RGBA").getpixel(at) for at in ((3, 3), (W - 4, 3), (3, H - 4))]
    return [pixel if isinstance(pixel, tuple) and pixel[3] else NONE for pixel in found]


def test_kitty_gets_a_png_in_blocks_and_must_not_answer(halves: Path) -> None:
    picture = inline_image(halves, "kitty", (30, 10), (9, 18), TRUE)
    assert picture is not None
    assert (picture.columns, picture.rows) == (30, (" " * 30,) * 10)
    blocks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", picture.data)
    assert "".join(f"\x1b_G{keys};{block}\x1b\\" for keys, block in blocks) == picture.data
    assert blocks[0][0] == f"a=T,f=100,t=d,q=2,C=1,c=30,r=10,m={int(len(blocks) > 1)}"
    assert all("q=2" in keys and len(block) <= 4096 for keys, block in blocks)
    assert [keys[-1] for keys, _ in blocks] == ["1"] * (len(blocks) - 1) + ["0"]
    sent = Image.open(io.BytesIO(base64.b64decode("".join(block for _, block in blocks))))
    assert (sent.format, sent.size) == ("PNG", (270, 180))
    assert corners(sent) == [RED, NONE, BLUE]


def test_a_large_picture_needs_more_than_one_block(tmp_path: Path) -> None:
    noise = Image.frombytes("RGB", (200, 200), os.urandom(120_000))
    noise.save(tmp_path / "noise.png")
    picture = inline_image(tmp_path / "noise.png", "kitty", (30, 10), (9, 18), TRUE)
    assert picture is not None
    assert picture.data.count("m=1;") > 5
    assert picture.data.count("m=0;") == 1


def test_iterm_gets_a_file_of_so_many_cells(halves: Path) -> None:
    picture = inline_image(halves, "iterm", (30, 10), (9, 18), TRUE)
    assert picture is not None
    found = re.fullmatch(
        r"\x1b\]1337;File=inline=1;size=(\d+);width=30;height=10;preserveAspectRatio=0;"
        r"doNotMoveCursor=1:(.*)\a",
        picture.data,
    )
    assert found is not None
    content = base64.b64decode(found[2])
    assert len(content) == int(found[1])
    assert corners(Image.open(io.BytesIO(content))) == [RED, NONE, BLUE]


def unsixeled(data: str) -> Image.Image:
    """What a sixel terminal draws on a clear screen (DEC STD 070)."""
    found = re.fullmatch(r'\x1bP0;1;0q"1;1;(\d+);(\d+)(.*)\x1b\\', data)
    assert found is not None
    picture = Image.new("RGBA", (int(found[1]), int(found[2])), NONE)
    inks: dict[int, tuple[int, ...]] = {}
    ink = x = y = 0
    for token in re.findall(r"#\d+;2;\d+;\d+;\d+|#\d+|!\d+.|.", found[3]):
        if token == "$":
            x = 0
        elif token == "-":
            x, y = 0, y + 6
        elif token.startswith("#"):
            ink, *shares = (int(part) for part in token[1:].split(";"))
            if shares:
                inks[ink] = tuple(round(share * 2.55) for share in shares[1:])
        else:
            times, sign = (int(token[1:-1]), token[-1]) if token[0] == "!" else (1, token)
            for bit in range(6):
                if ord(sign) - 63 >> bit & 1:
                    for at in range(x, x + times):
                        picture.putpixel((at, y + bit), (*inks[ink], 255))
            x += times
    return picture


def test_sixels_draw_the_picture_and_leave_alone_what_is_clear(halves: Path) -> None:
    picture = inline_image(halves, "sixel", (30, 10), (9, 19), TRUE)
    assert picture is not None
    sent = unsixeled(picture.data)
    assert sent.size == (270, 168)  # whole bands of six within nine rows of 19
    assert corners(sent) == [RED, NONE, BLUE]
    assert len(picture.data) < 30_000


def test_sixels_keep_the_colours_of_a_photo(demo_photo: Path, tmp_path: Path) -> None:
    small = Image.open(demo_photo).convert("RGB").resize((160, 160))
    small.save(tmp_path / "photo.png")
    picture = inline_image(tmp_path / "photo.png", "sixel", (40, 10), (8, 16), TRUE)
    assert picture is not None
    sent = unsixeled(picture.data).convert("RGB")
    assert sent.size == (160, 156)
    pairs = zip(sent.tobytes(), small.crop((0, 0, 160, 156)).tobytes(), strict=True)
    apart = [abs(a - b) for a, b in pairs]
    assert sum(apart) / len(apart) < 8


# --- what is no picture


def _fifo(path: Path) -> None:
    os.mkfifo(path)


BROKEN: dict[str, Any] = {
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("no picture at all"),
    "cut off": lambda path: path.write_bytes(_png()[:-2000]),
    "garbled": lambda path: path.write_bytes(_png()[:60] + b"x" * 200 + _png()[260:]),
    "gif": lambda path: Image.new("RGB", (9, 9)).save(path, "GIF"),
    "enormous": lambda path: Image.new("1", (30_000, 30_000)).save(path, "PNG"),
    "pipe": _fifo,
}


def _png() -> bytes:
    file = io.BytesIO()
    Image.frombytes("RGB", (60, 60), os.urandom(10_800)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize("kind", BROKEN)
def test_what_is_no_picture_is_not_shown(tmp_path: Path, kind: str) -> None:
    if kind == "pipe" and not hasattr(os, "mkfifo"):
        pytest.skip("Windows has no pipes among its files")
    path = tmp_path / "cutout.png"
    BROKEN[kind](path)
    assert inline_image(path, "blocks", (30, 10), None, TRUE) is None


# --- in the live view


class Drawn(Window):
    """A window that shows a large P where the data of a kitty picture begins."""

    def write(self, s: str, /) -> int:
        super().write(re.sub(r"\x1b_Ga=T.*?m=0;[^\x1b]*\x1b\\", "P", s, flags=re.DOTALL))
        return len(s)


def preview(script: Script, path: Path, name: str = "cutout") -> Any:
    return script(7.1, "preview", name=name, path=str(path), progress=69.0)


def looking(window: Window, clock: Clock, wanted: str, term: str = "xterm") -> Still:
    environ, size = {"TERM": term}, window.size
    return Still(window, preview=wanted, environ=environ, can=COLOURFUL, size=size, clock=clock)


@pytest.mark.parametrize("term", ["xterm", "xterm-kitty"])
def test_a_picture_stands_above_the_run_and_both_fit_the_window(
    script: Script, clock: Clock, halves: Path, term: str
) -> None:
    window = Drawn(80, 24)
    with looking(window, clock, "inline", term) as live:
        for event in script.until_drawing():
            live(event)
        live(preview(script, halves))
        live._frame()
        clock.seconds += 1  # the picture stays while the run goes on
        live._frame()
        rows = window.shown()
        run = text(lay_out(live._state, live._page(), clock()))
    assert rows[11 : 11 + len(run)] == run
    assert window.scrolled == 0
    first, last = ("▀" * 15, "▀" * 30) if term == "xterm" else ("P", "")
    assert rows[0] == ""
    assert (rows[1][2:34].rstrip(), rows[10].strip()) == (first, last)
    assert rows[1].endswith("  Cut-out")
    assert rows[2].endswith("  cutout.png")


def test_picture_after_picture_scrolls_and_leaves_the_run_whole(
    script: Script, clock: Clock, halves: Path
) -> None:
    window = Drawn(80, 24)
    with looking(window, clock, "inline") as live:
        for event in script.until_drawing():
            live(event)
        for name in ("cutout", "rendering-25", "rendering-50", "rendering-75"):
            live(preview(script, halves, name))
            live._frame()
            run = text(lay_out(live._state, live._page(), clock()))
            assert "\n".join(run) in "\n".join(window.shown())
    everything = "\n".join(_everything(window))
    for said in ("Cut-out", "Frame at 25 %", "Frame at 50 %", "Frame at 75 %"):
        assert everything.count(said) == 1


@pytest.mark.parametrize("size", [(40, 10), (80, 10), (40, 24), (80, 16)])
def test_a_small_window_has_no_room_for_pictures(
    script: Script, clock: Clock, halves: Path, size: tuple[int, int]
) -> None:
    window = Window(*size)
    with looking(window, clock, "inline") as live:
        for event in script.until_drawing():
            live(event)
        live(preview(script, halves))
        live._frame()
        assert "▀" not in "".join(window.shown())
        run = "\n".join(text(lay_out(live._state, live._page(), clock())))
        assert run in "\n".join(window.shown())


def test_a_broken_picture_becomes_a_link(script: Script, clock: Clock, tmp_path: Path) -> None:
    window = Window()
    with looking(window, clock, "inline") as live:
        for event in script.until_drawing():
            live(event)
        live(preview(script, tmp_path / "x.png"))
        live._frame()
        assert window.shown()[0].startswith("  Preview  ")
        assert window.shown()[0].endswith("x.png")


@pytest.mark.parametrize(("wanted", "times"), [("link", 1), ("auto", 1), ("off", 0)])
def test_a_link_or_nothing(
    script: Script, clock: Clock, halves: Path, wanted: str, times: int
) -> None:
    window = Window()
    with looking(window, clock, wanted) as live:
        for event in [*script.until_drawing(), preview(script, halves)]:
            live(event)
        live._frame()
        shown_rows = [row for row in window.shown() if "cutout.png" in row]
    assert len(shown_rows) == times
    assert "▀" not in window.raw


def test_a_preview_s_name_cannot_steer_the_terminal(
    script: Script, clock: Clock, halves: Path
) -> None:
    evil = halves.rename(halves.with_name("\x1b]0;pwned\x07.png"))
    window = Window()
    with looking(window, clock, "inline") as live:
        live(preview(script, evil, name="\x1b[2J"))
        live._frame()
    assert "▀" in window.raw
    assert "\x1b]0" not in window.raw
    assert "\x1b[2J" not in window.raw


def test_without_pictures_nothing_is_loaded_for_them() -> None:
    code = (
        "import io, sys; from vidgen.progress.views.live import Live\n"
        "with Live(io.StringIO(), preview='auto'): pass\n"
        "print('PIL' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "False\n"
