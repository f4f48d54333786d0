"""Pictures between the lines of a terminal: by kitty's, iTerm2's or the sixel protocol, else in
half blocks.

What a terminal understands is judged by its environment. It is never asked: its answer would
come among the keys somebody types. (The library textual-image asks while it is imported.)
Where the pictures stand, and what is said beside them, is the live view's business.
"""

import base64
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from rich.color import Color, ColorSystem
from rich.style import Style

from vidgen.progress.views.terminal import ESC, Abilities

if TYPE_CHECKING:
    from PIL import Image

CHOICES: Final = ("auto", "inline", "link", "off")
ImageProtocol = Literal["kitty", "iterm", "sixel", "blocks"]
Cell = tuple[int, int]  # width and height of a character in pixels

USUAL_CELL: Final = (10, 20)
LARGEST_FILE: Final = 16_000_000  # bytes; a preview has less than a hundredth
LARGEST_SIDE: Final = 4096  # pixels
KITTY_BLOCK: Final = 4096  # bytes of base64 in one escape, its protocol's limit
SIXEL_COLOURS: Final = 128
NOTHING: Final = 255  # the palette's index of transparent pixels


@dataclass(frozen=True, slots=True)
class InlineImage:
    """A picture as `rows` of text, each `columns` cells wide, to be written one below another.

    In a protocol the rows are empty, and `data` draws the picture at the cursor.
    """

    columns: int
    rows: tuple[str, ...]
    data: str = ""

    def overlay(self, left: int) -> str:
        """What draws it `left` cells from the left, written when the last row has been.

        Over rows that are there already, so that no terminal has to scroll for a picture.
        """
        if not self.data:
            return ""
        up = f"{ESC}[{len(self.rows) - 1}A" if len(self.rows) > 1 else ""
        return f"{ESC}7{up}\r" + (f"{ESC}[{left}C" if left else "") + f"{self.data}{ESC}8"


def choose_protocol(
    wanted: str, can: Abilities, cell: Cell | None, environ: Mapping[str, str]
) -> ImageProtocol | None:
    """How to show pictures for `--preview`; None where a link must do."""
    if wanted not in ("auto", "inline"):
        return None
    known = _detect(environ)
    if known and (known != "sixel" or cell):  # sixels of an unknown size would run over the rows
        return known
    has_shades = can.colours in (ColorSystem.EIGHT_BIT, ColorSystem.TRUECOLOR)
    return "blocks" if wanted == "inline" and can.unicode and has_shades else None


def _detect(environ: Mapping[str, str]) -> ImageProtocol | None:
    """The protocol that this terminal surely has. What tmux and the like pass on is unsure."""
    term, program = environ.get("TERM", ""), environ.get("TERM_PROGRAM", "")
    between = any(environ.get(name) for name in ("TMUX", "STY", "ZELLIJ"))
    if between or term.startswith(("screen", "tmux")):
        return None
    if term in ("xterm-kitty", "xterm-ghostty") or program == "ghostty":
        return "kitty"
    if program in ("iTerm.app", "WezTerm", "mintty") or environ.get("LC_TERMINAL") == "iTerm2":
        return "iterm"
    konsole = environ.get("KONSOLE_VERSION", "")
    if term.startswith(("foot", "mlterm", "contour")) or (
        konsole.isdigit() and int(konsole) >= 220400
    ):
        return "sixel"
    return None


def inline_image(
    path: Path,
    way: ImageProtocol,
    most: tuple[int, int],
    cell: Cell | None,
    colours: ColorSystem | None,
) -> InlineImage | None:
    """The picture in at most so many (columns, rows); None when there is no picture in the file."""
    try:
        width, height = _size(path)
        grid = (1, 2) if way == "blocks" else cell or USUAL_CELL
        columns, rows = fit((width, height), most, grid)
        picture = _open_image(path, (columns * grid[0], rows * grid[1]))
        if way == "blocks":
            return InlineImage(columns, tuple(_blocks(picture, colours)))
        data = {"kitty": _kitty, "iterm": _iterm, "sixel": _sixel}[way](picture, columns, rows)
    except Exception:  # whatever a damaged file does to a decoder, the run is worth more
        return None
    return InlineImage(columns, (" " * columns,) * rows, data)


def fit(size: tuple[int, int], most: tuple[int, int], cell: Cell) -> tuple[int, int]:
    """Columns and rows for (width, height) pixels, as large as `most` (columns, rows) allows."""
    width, height = size[0] / cell[0], size[1] / cell[1]
    scale = min(most[0] / width, most[1] / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def _size(path: Path) -> tuple[int, int]:
    """Raises OSError or ValueError for what is no file or no picture of a sane size."""
    from PIL import Image

    if not path.is_file() or path.stat().st_size > LARGEST_FILE:
        raise ValueError("not a preview")
    with Image.open(path, formats=("PNG", "JPEG")) as picture:
        if max(picture.size) > LARGEST_SIDE:
            raise ValueError("too large for a preview")
        return picture.size


def _open_image(path: Path, size: tuple[int, int]) -> "Image.Image":
    """The picture as RGBA of this size in pixels."""
    from PIL import Image

    with Image.open(path, formats=("PNG", "JPEG")) as picture:
        # Premultiplied while it is made smaller: hidden colours must not bleed over the edge.
        premultiplied = picture.convert("RGBA").convert("RGBa")
        return premultiplied.resize(size, Image.Resampling.BICUBIC).convert("RGBA")


def _png(picture: "Image.Image") -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=1)
    return file.getvalue()


def _kitty(picture: "Image.Image", columns: int, rows: int) -> str:
    """sw.kovidgoyal.net/kitty/graphics-protocol; q=2: it must not answer, C=1: nor scroll."""
    data = base64.b64encode(_png(picture)).decode()
    blocks = [data[at : at + KITTY_BLOCK] for at in range(0, len(data), KITTY_BLOCK)]
    first = f"a=T,f=100,t=d,q=2,C=1,c={columns},r={rows},"
    return "".join(
        f"{ESC}_G{first if not at else 'q=2,'}m={int(at < len(blocks) - 1)};{block}{ESC}\\"
        for at, block in enumerate(blocks)
    )


def _iterm(picture: "Image.Image", columns: int, rows: int) -> str:
    """iterm2.com/documentation-images.html"""
    content = _png(picture)
    place = f"width={columns};height={rows};preserveAspectRatio=0;doNotMoveCursor=1"
    data = base64.b64encode(content).decode()
    return f"{ESC}]1337;File=inline=1;size={len(content)};{place}:{data}\a"


def _sixel(picture: "Image.Image", _columns: int, _rows: int) -> str:
    """DEC STD 070, chapter 5: bands of six rows, one pass for each colour in a band."""
    width, height = picture.width, max(6, picture.height // 6 * 6)  # no band below the last row
    picture = picture.crop((0, 0, width, height))
    reduced = picture.convert("RGB").quantize(SIXEL_COLOURS)
    palette = reduced.getpalette() or []
    reduced.paste(NOTHING, (0, 0), picture.getchannel("A").point(lambda a: 255 * (a < 128)))
    data = reduced.tobytes()
    inks = "".join(
        "#{};2;{};{};{}".format(ink, *(value * 100 // 255 for value in palette[3 * ink :][:3]))
        for ink in sorted(set(data) - {NOTHING})
    )
    rows = [data[at * width : (at + 1) * width] for at in range(height)]
    bands = (b"$".join(_passes(rows[top : top + 6])) for top in range(0, height, 6))
    body = b"-".join(bands).decode()
    return f'{ESC}P0;1;0q"1;1;{width};{height}{inks}{body}{ESC}\\'  # 1: the rest is left as it is


_SIGNS: Final = bytes(range(63, 127)) + bytes(192)  # six bits -> their sign


def _passes(rows: list[bytes]) -> Iterator[bytes]:
    """One band of up to six rows of palette indices, a pass for each colour."""
    width = len(rows[0])
    for ink in sorted(set(b"".join(rows)) - {NOTHING}):
        bits = 0  # the whole row as one number: its bytes never carry over
        for bit, row in enumerate(rows):
            table = bytes(ink) + bytes([1 << bit]) + bytes(255 - ink)
            bits |= int.from_bytes(row.translate(table))
        signs = bits.to_bytes(width).translate(_SIGNS)
        yield b"#%d" % ink + re.sub(
            rb"(.)\1{3,}", lambda run: b"!%d%c" % (len(run[0]), run[0][0]), signs
        )


def _blocks(picture: "Image.Image", colours: ColorSystem | None) -> Iterator[str]:
    """Two pixels in each cell: the upper is the sign's colour, the lower its background."""
    data, row = picture.tobytes(), 4 * picture.width
    for top in range(0, len(data), 2 * row):
        cells = range(top, top + row, 4)
        yield "".join(_block(data[at:][:4], data[at + row :][:4], colours) for at in cells)


def _block(upper: bytes, lower: bytes, colours: ColorSystem | None) -> str:
    """`upper` and `lower` are RGBA."""
    inks = [Color.from_rgb(*pixel[:3]) if pixel[3] >= 128 else None for pixel in (upper, lower)]
    if inks == [None, None]:
        return " "
    sign, style = "▀", Style(color=inks[0], bgcolor=inks[1])
    if inks[0] is None:
        sign, style = "▄", Style(color=inks[1])
    return style.render(sign, color_system=colours)
