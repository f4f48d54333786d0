"""Colours told by coding points (ITU-T H.273, "nclx"): find them in a file, bring them to sRGB.

Photos of phones and cameras may be HDR (PQ, HLG) or of wider colours (BT.2020, P3) without a
profile; shown as if they were sRGB they are grey. Decodes no picture.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vidgen.work import Pixels

Linear = NDArray[np.float32]
BT709, UNKNOWN, BT2020, P3_DCI, P3 = 1, 2, 9, 11, 12
PQ, HLG = 16, 18
_SDR_WHITE: Final = 203.0  # cd/m² of what is white on paper (ITU-R BT.2408)
_HLG_PEAK: Final = 1000.0  # cd/m² of the screen that HLG is meant for (ITU-R BT.2100)
_KNEE: Final = 0.75  # of white; brighter light is bent so that all of it fits below 1
_ROWS: Final = 256  # of a picture at a time: floats of 64 megapixels would be 768 MB

# Linear light of the named primaries (white D65) → that of BT.709 and sRGB.
_TO_709: Final[dict[int, NDArray[np.float32]]] = {
    BT2020: np.array(
        [
            [1.660491, -0.587641, -0.072850],
            [-0.124550, 1.132900, -0.008349],
            [-0.018151, -0.100579, 1.118730],
        ],
        np.float32,
    ),
    P3: np.array(
        [
            [1.224940, -0.224940, 0.0],
            [-0.042057, 1.042057, 0.0],
            [-0.019638, -0.078636, 1.098274],
        ],
        np.float32,
    ),
}
_TO_709[P3_DCI] = _TO_709[P3]


@dataclass(frozen=True, slots=True)
class Cicp:
    """What a picture's numbers mean, by the tables of H.273."""

    primaries: int
    transfer: int

    @property
    def is_hdr(self) -> bool:
        return self.transfer in (PQ, HLG)

    @property
    def is_srgb(self) -> bool:
        """Whether nothing has to be done: so it is for what is not known, too."""
        return not self.is_hdr and self.primaries not in _TO_709


def find_cicp(data: bytes) -> Cicp | None:
    """The coding points in a file's bytes: `colr` of AVIF and HEIC, `cICP` of PNG; else None."""
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return _of_png(data)
    if data[4:8] == b"ftyp":
        return _of_heif(data)
    return None


def _of_png(data: bytes) -> Cicp | None:
    at = 8
    while at + 12 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        if kind == b"cICP" and size >= 4:
            return Cicp(data[at + 8], data[at + 9])
        if kind == b"IDAT":
            return None
        at += 12 + size
    return None


def _of_heif(data: bytes) -> Cicp | None:
    """The first `colr` of kind `nclx`: that of the picture itself, of whose tiles it is shared."""
    for meta in _boxes(data, b"meta"):
        for properties in _boxes(meta[4:], b"iprp"):
            for container in _boxes(properties, b"ipco"):
                for colour in _boxes(container, b"colr"):
                    if colour[:4] == b"nclx" and len(colour) >= 8:
                        points = (int.from_bytes(colour[n : n + 2], "big") for n in (4, 6))
                        return Cicp(*points)
    return None


def _boxes(data: bytes, wanted: bytes) -> Iterator[bytes]:
    """The contents of the boxes of this kind (ISO 14496-12), one level deep."""
    at = 0
    while at + 8 <= len(data):
        size, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        size = size or len(data) - at
        if size < head:
            return
        if kind == wanted:
            yield data[at + head : at + size]
        at += size


def to_srgb(rgb: Pixels, points: Cicp) -> Pixels:
    """(H, W, 3) of these coding points as sRGB; HDR brought down to what a screen's white is."""
    out = np.empty_like(rgb)
    table = _linear_table(points.transfer)  # (256,)
    for first in range(0, len(rgb), _ROWS):
        light = table[rgb[first : first + _ROWS]]  # (rows, W, 3)
        if points.transfer == HLG:
            light = _hlg_on_screen(light)
        if points.primaries in _TO_709:
            light = light @ _TO_709[points.primaries].T
        if points.is_hdr:
            light = _tone_mapped(light)
        out[first : first + _ROWS] = _encoded(light)
    return out


def _linear_table(transfer: int) -> Linear:
    """8-bit values → light: 1 is paper white; for HLG the scene's light, 0 to 1."""
    value = np.arange(256, dtype=np.float64) / 255
    if transfer == PQ:  # SMPTE ST 2084
        m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
        power = value ** (1 / m2)
        nits = 10000 * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
        return np.asarray(nits / _SDR_WHITE, np.float32)
    if transfer == HLG:  # ARIB STD-B67
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(value <= 0.5, value**2 / 3, (np.exp((value - c) / a) + b) / 12)
        return np.asarray(light, np.float32)
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return np.asarray(light, np.float32)


def _hlg_on_screen(scene: Linear) -> Linear:
    """BT.2100's OOTF with gamma 1.2, as multiples of paper white."""
    luminance = scene @ np.array([0.2627, 0.6780, 0.0593], np.float32)
    return np.asarray(
        scene * np.maximum(luminance, 1e-6)[..., None] ** 0.2 * (_HLG_PEAK / _SDR_WHITE), np.float32
    )


def _tone_mapped(light: Linear) -> Linear:
    """Unchanged up to the knee, then bent towards 1; by the largest channel, so hues stay."""
    top = np.maximum(light.max(-1, keepdims=True), 1e-6)
    over = np.maximum(top - _KNEE, 0)
    bent = np.minimum(top, _KNEE) + (1 - _KNEE) * over / (over + 1 - _KNEE)
    return np.asarray(light * (bent / top), np.float32)


def _encoded(light: Any) -> Pixels:
    """Linear light, 0 to 1, as sRGB bytes (IEC 61966-2-1)."""
    light = np.clip(light, 0, 1)
    value = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    pixels: Pixels = (value * 255 + 0.5).astype(np.uint8)
    return pixels
