"""Shapes, and drawing them as SVG or PNG. Knows nothing of what they show."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal
from xml.sax.saxutils import escape, quoteattr

from vidgen.errors import InputError

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw

SCALE: Final = 2  # PNG pixels per unit: sharp on today's screens
FONTS: Final = "Inter, 'Helvetica Neue', Arial, sans-serif"

Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True, slots=True)
class Box:
    """A filled rectangle with round corners."""

    x: float
    y: float
    width: float
    height: float
    colour: str
    radius: float = 0.0


@dataclass(frozen=True, slots=True)
class Stroke:
    """A straight line."""

    x1: float
    y1: float
    x2: float
    y2: float
    colour: str
    width: float = 1.0


@dataclass(frozen=True, slots=True)
class Dot:
    """A filled circle."""

    x: float
    y: float
    radius: float
    colour: str


@dataclass(frozen=True, slots=True)
class Words:
    """A line of text; `y` is its baseline."""

    x: float
    y: float
    text: str
    size: float
    colour: str
    anchor: Anchor = "start"


Shape = Box | Stroke | Dot | Words


@dataclass(frozen=True, slots=True)
class Picture:
    """Shapes on a ground, in units of one CSS pixel; the first lies lowest."""

    width: int
    height: int
    ground: str
    shapes: Sequence[Shape]

    def save(self, path: Path) -> None:
        """As the ending says, .svg or .png. Raises InputError for others and unwritable paths."""
        ending = path.suffix.lower()
        if ending not in (".svg", ".png"):
            raise InputError(
                "A picture cannot be written as {path}.",
                hint="Use a name that ends in .svg or .png.",
                code="stats.plot_ending",
                path=str(path),
            )
        try:
            if ending == ".svg":
                path.write_text(self.to_svg(), "utf-8")
            else:
                self._save_png(path)
        except OSError as error:
            raise InputError(
                "The picture {path} cannot be written: {reason}.",
                hint="Choose another place.",
                code="stats.plot_unwritable",
                path=str(path),
                reason=error.strerror or str(error),
            ) from error

    def to_svg(self) -> str:
        size = f'width="{self.width}" height="{self.height}"'
        rows = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} '
            f'viewBox="0 0 {self.width} {self.height}" font-family={quoteattr(FONTS)}>',
            f'<rect {size} fill="{self.ground}"/>',
            *map(_svg, self.shapes),
            "</svg>",
        ]
        return "\n".join(rows) + "\n"

    def _save_png(self, path: Path) -> None:
        from PIL import Image, ImageDraw

        # Drawn larger and made smaller: Pillow's circles and lines have rough edges.
        over = SCALE * 2
        image = Image.new("RGB", (self.width * over, self.height * over), self.ground)
        pen = ImageDraw.Draw(image)
        for shape in self.shapes:
            _draw(pen, shape, over)
        small = (self.width * SCALE, self.height * SCALE)
        image.resize(small, Image.Resampling.LANCZOS).save(path, optimize=True)


def _svg(shape: Shape) -> str:
    match shape:
        case Box(x, y, width, height, colour, radius):
            place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
            return f'<rect {place} rx="{radius:g}" fill="{colour}"/>'
        case Stroke(x1, y1, x2, y2, colour, width):
            place = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
            return f'<line {place} stroke="{colour}" stroke-width="{width:g}"/>'
        case Dot(x, y, radius, colour):
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{colour}"/>'
        case Words(x, y, text, size, colour, anchor):
            place = f'x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}"'
            return f'<text {place} fill="{colour}">{escape(text)}</text>'


def _draw(pen: "ImageDraw", shape: Shape, over: int) -> None:
    from PIL import ImageFont

    match shape:
        case Box(x, y, width, height, colour, radius):
            corners = (x * over, y * over, (x + width) * over, (y + height) * over)
            pen.rounded_rectangle(corners, radius * over, fill=colour)
        case Stroke(x1, y1, x2, y2, colour, width):
            line = (x1 * over, y1 * over, x2 * over, y2 * over)
            pen.line(line, fill=colour, width=round(width * over))
        case Dot(x, y, radius, colour):
            pen.circle((x * over, y * over), radius * over, fill=colour)
        case Words(x, y, text, size, colour, anchor):
            font = ImageFont.load_default(size * over)
            side = {"start": "ls", "middle": "ms", "end": "rs"}[anchor]
            pen.text((x * over, y * over), text, font=font, fill=colour, anchor=side)
