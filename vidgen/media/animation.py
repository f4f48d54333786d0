"""A film as a moving picture without sound, for chats and pages: GIF and animated WebP.

Both grow fast, so their length and height are limited; their pieces are drawn as a film's are.
"""

import struct
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Final

from vidgen.errors import InputError
from vidgen.media.colour import frame_to_rgb
from vidgen.media.containers import open_container
from vidgen.media.mux import Probe, decode_frames, unreadable
from vidgen.settings import ANIMATIONS
from vidgen.work import Film, Pixels

MOST_SECONDS: Final[Mapping[str, float]] = {"gif": 30.0, "webp": 60.0}
assert set(MOST_SECONDS) == set(ANIMATIONS)
GIF_FPS: Final = Fraction(25, 2)  # a GIF counts hundredths of a second: 8 each
SAMPLES: Final = 8  # frames that a GIF's one palette is made from
_WEBP: Final = {"quality": "80", "compression_level": "2"}
_HAS_XMP: Final = 0x04  # in the flags of a WebP's first chunk
_XMP: Final = (
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF'
    ' xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description'
    ' xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:description>{note}</dc:description>'
    "</rdf:Description></rdf:RDF></x:xmpmeta>"
)

if TYPE_CHECKING:
    from PIL.Image import Image


def check_length(format: str, seconds: float) -> None:
    """Refuse what would make a huge file. Raises InputError."""
    most = MOST_SECONDS.get(format)
    if most is not None and seconds > most:
        raise InputError(
            "A {format} of {seconds:.0f} seconds would be huge: {most:g} are the most.",
            hint="Take a part with --trim 0-{most:g}, or make a film: --format mp4.",
            code="output.animation_long",
            format=format,
            seconds=seconds,
            most=most,
        )


def write_animation(
    film: Film,
    path: Path,
    format: str,
    *,
    note: str = "",
    progress: Callable[[int], None] = lambda _: None,
) -> Probe:
    """Write the film's pictures into the new file `path`; answer what is in it.

    `note` is the file's own. Raises RenderError when the file is not whole afterwards.
    """
    write = _write_gif if format == "gif" else _write_webp
    count, fps = write(film, path, note, progress)
    return _probe(path, format, count, fps, has_alpha=film.has_alpha)


def _pictures(film: Film, progress: Callable[[int], None]) -> Iterator[Pixels]:
    """Every frame as (H, W, 3), or with alpha as (H, W, 4), sRGB."""
    done = 0
    for piece in film.pieces:
        for frame in decode_frames(piece, has_alpha=film.has_alpha):
            yield frame_to_rgb(frame, "rgba" if film.has_alpha else "rgb24")
            done += 1
            progress(done)


def _write_webp(
    film: Film, path: Path, note: str, progress: Callable[[int], None]
) -> tuple[int, Fraction]:
    import av

    with open_container(path, "w", format="webp", options={"loop": "0"}) as container:
        stream = container.add_stream("libwebp_anim", rate=film.fps, options=_WEBP)
        stream.width, stream.height = film.size
        stream.pix_fmt = "yuva420p" if film.has_alpha else "yuv420p"
        for number, pixels in enumerate(_pictures(film, progress)):
            frame = av.VideoFrame.from_ndarray(pixels, "rgba" if film.has_alpha else "rgb24")
            frame.pts, frame.time_base = number, 1 / film.fps
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    _add_note(path, note)
    return film.frame_count, film.fps


def _add_note(path: Path, note: str) -> None:
    """A last chunk of XMP, announced in the first one's flags (WebP container specification)."""
    data = bytearray(path.read_bytes())
    if not note or data[12:16] != b"VP8X":
        return
    data[20] |= _HAS_XMP
    text = _XMP.format(note=escape(note)).encode()
    data += b"XMP " + struct.pack("<I", len(text)) + text + b"\0" * (len(text) % 2)
    data[4:8] = struct.pack("<I", len(data) - 8)
    path.write_bytes(data)


def _write_gif(
    film: Film, path: Path, note: str, progress: Callable[[int], None]
) -> tuple[int, Fraction]:
    wanted = max(1, round(film.frame_count * GIF_FPS / film.fps))
    chosen = {int(number * film.fps / GIF_FPS) for number in range(wanted)}
    palette = _palette(film, chosen)
    frames = (
        _indexed(pixels, palette)
        for number, pixels in enumerate(_pictures(film, progress))
        if number in chosen
    )
    next(frames).save(
        path,
        "GIF",
        save_all=True,
        append_images=frames,
        duration=round(1000 / GIF_FPS),
        loop=0,
        disposal=2 if film.has_alpha else 1,
        comment=note.encode(),
    )
    return len(chosen), GIF_FPS


def _palette(film: Film, chosen: set[int]) -> "Image":
    """255 colours of some frames side by side: one palette for all, or still walls would flicker.

    The last index stays free for what is transparent.
    """
    import numpy as np
    from PIL import Image

    every = max(1, len(chosen) // SAMPLES)
    wanted = set(sorted(chosen)[::every])
    found = [
        pixels[::2, ::2, :3]
        for number, pixels in enumerate(_pictures(film, lambda _: None))
        if number in wanted
    ]
    return Image.fromarray(np.concatenate(found, axis=1)).quantize(255)


def _indexed(pixels: Pixels, palette: "Image") -> "Image":
    from PIL import Image

    made = Image.fromarray(pixels[..., :3]).quantize(palette=palette, dither=Image.Dither.NONE)
    if pixels.shape[2] == 4:
        made.paste(255, mask=Image.fromarray((pixels[..., 3] < 128).astype("uint8") * 255))
        made.info["transparency"] = 255
    return made


def _probe(path: Path, format: str, count: int, fps: Fraction, *, has_alpha: bool) -> Probe:
    from PIL import Image

    with Image.open(path) as picture:
        found, size = getattr(picture, "n_frames", 1), picture.size
    # Pillow and FFmpeg join neighbours that are the same picture.
    if not 0 < found <= count:
        raise unreadable(path)
    seconds = float(count / fps)
    return Probe(size, fps, count, seconds, format, has_alpha, "", 0, 0.0, {})
