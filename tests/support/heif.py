"""HEIC files as telephones write them (ISO 23008-12), put together box by box."""

from collections.abc import Sequence
from fractions import Fraction
from io import BytesIO
from typing import Any

import av
import numpy as np

from vidgen.work import Pixels


def box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return (8 + len(content)).to_bytes(4, "big") + kind + content


def full(kind: bytes, *parts: bytes, version: int = 0) -> bytes:
    return box(kind, bytes([version, 0, 0, 0]), *parts)


def number(value: int, size: int = 2) -> bytes:
    return value.to_bytes(size, "big")


def hevc(rgb: Pixels) -> tuple[bytes, bytes]:
    """(the hvcC box, the picture's NAL units) of one (H, W, 3), full range, BT.709's matrix."""
    file = BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("libx265", rate=1)
        stream.height, stream.width = rgb.shape[:2]
        stream.pix_fmt = "yuv444p"
        stream.options = {"x265-params": "log-level=none:qp=8:range=full:colormatrix=bt709"}
        stream.codec_context.color_range = 2
        frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
        frame = frame.reformat(format="yuv444p", dst_colorspace="ITU709", dst_color_range="JPEG")
        frame.pts, frame.time_base = 0, Fraction(1, 1)
        for packet in (*stream.encode(frame), *stream.encode(None)):
            packet.pts = packet.dts = 0  # x265 leaves them out now and then
            container.mux(packet)
    data = file.getvalue()
    at = data.index(b"hvcC") - 4
    config = data[at : at + int.from_bytes(data[at : at + 4], "big")]
    media = data.index(b"mdat") - 4
    return config, data[media + 8 : media + int.from_bytes(data[media : media + 4], "big")]


def nclx(primaries: int, transfer: int) -> bytes:
    return box(b"colr", b"nclx", number(primaries), number(transfer), number(1), b"\x80")


def icc(profile: bytes) -> bytes:
    return box(b"colr", b"prof", profile)


def heic(
    rgb: Pixels, *, colour: bytes = b"", turns: int = 0, tiles: tuple[int, int] = (1, 1)
) -> bytes:
    """A HEIC file of (H, W, 3); `turns` quarters anticlockwise are told, not made.

    With `tiles` (rows, columns) it is a grid of pictures, as those of telephones are.
    """
    rows, columns = tiles
    H, W = rgb.shape[0] // rows, rgb.shape[1] // columns
    parts = [
        hevc(np.ascontiguousarray(rgb[H * r : H * r + H, W * c : W * c + W]))
        for r in range(rows)
        for c in range(columns)
    ]
    turned = box(b"irot", bytes([turns])) if turns else b""
    properties = [parts[0][0], _extent(W, H), colour, turned]
    items = [(b"hvc1", data) for _, data in parts]
    links = [[0, 1, 2]] * len(items)
    references = b""
    if len(items) > 1:
        size = number(rgb.shape[1]) + number(rgb.shape[0])
        items.append((b"grid", bytes([0, 0, rows - 1, columns - 1]) + size))
        properties.append(_extent(rgb.shape[1], rgb.shape[0]))
        links = [*links, [4, 2, 3]]
        tiles_of = b"".join(number(n + 1) for n in range(len(parts)))
        references = full(b"iref", box(b"dimg", number(len(items)), number(len(parts)), tiles_of))
    else:
        links = [[0, 1, 2, 3]]
    return _file(items, properties, links, references)


def _extent(width: int, height: int) -> bytes:
    return full(b"ispe", number(width, 4), number(height, 4))


def _file(
    items: Sequence[tuple[bytes, bytes]],
    properties: Sequence[bytes],
    links: Sequence[Sequence[int]],
    references: bytes,
) -> bytes:
    """The last item is the picture; `links` are each item's places in `properties`."""
    kept = [n for n, made in enumerate(properties) if made]
    place = {n: kept.index(n) + 1 for n in kept}
    associations = b""
    for item, wanted in enumerate(links, 1):
        there = [place[n] for n in wanted if n in place]
        associations += number(item) + bytes([len(there), *there])
    infos = b"".join(
        full(b"infe", number(n), number(0), kind, b"\0", version=2)
        for n, (kind, _) in enumerate(items, 1)
    )
    start = box(b"ftyp", b"heic", number(0, 4), b"mif1heic")

    def meta(base: int) -> bytes:
        places, at = b"", base
        for item, (_, data) in enumerate(items, 1):
            places += number(item) + number(0) + number(1) + number(at, 4) + number(len(data), 4)
            at += len(data)
        return full(
            b"meta",
            full(b"hdlr", number(0, 4), b"pict", bytes(12), b"\0"),
            full(b"pitm", number(len(items))),
            full(b"iloc", b"\x44\x00", number(len(items)), places),
            full(b"iinf", number(len(items)), infos),
            references,
            box(
                b"iprp",
                box(b"ipco", *(properties[n] for n in kept)),
                full(b"ipma", number(len(items), 4), associations),
            ),
        )

    base = len(start) + len(meta(0)) + 8
    return start + meta(base) + box(b"mdat", *(data for _, data in items))
