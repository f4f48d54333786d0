"""sRGB pixels to BT.709 video pixels and back. Knows no codec.

Numbers: ITU-R BT.709-6, limited range ("video levels": luma 16-235, chroma 16-240).
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from vidgen.work import Box, Floats, Pixels

_KR, _KG, _KB = 0.2126, 0.7152, 0.0722
LUMA: Final = np.array([_KR, _KG, _KB], np.float32)  # of a colour (…, 3): `@ LUMA`, same range
# Columns X, Y, Z; rows R, G, B. Their sums are white's (D65).
SRGB_TO_XYZ: Final[NDArray[np.float32]] = np.array(
    [[0.412453, 0.212671, 0.019334], [0.35758, 0.71516, 0.119193], [0.180423, 0.072169, 0.950227]],
    np.float32,
)
ROOTS_TO_LAB: Final[NDArray[np.float32]] = np.array(
    [[0, 500, 0], [116, -500, 200], [0, 0, -200]], np.float32
)
BAND: Final = 128  # rows converted at a time: they stay in the processor's cache
_LUMA, _CHROMA = 219 / 255, 224 / 255

# Rows Y, Cb, Cr; columns R, G, B and the offset; 8-bit values in, 8-bit values out.
RGB_TO_YUV: Final[NDArray[np.float32]] = np.array(
    [
        [_KR * _LUMA, _KG * _LUMA, _KB * _LUMA, 16],
        [
            -_KR / (2 - 2 * _KB) * _CHROMA,
            -_KG / (2 - 2 * _KB) * _CHROMA,
            0.5 * _CHROMA,
            128,
        ],
        [
            0.5 * _CHROMA,
            -_KG / (2 - 2 * _KR) * _CHROMA,
            -_KB / (2 - 2 * _KR) * _CHROMA,
            128,
        ],
    ],
    np.float32,
)


def to_yuv420p(rgb: Pixels) -> Pixels:
    """(H, W, 3) sRGB, H and W even → (H * 3 / 2, W): the Y plane, then Cb, then Cr.

    swscale does the same in twice the time or more, and rounds chroma worse (largest error 1.9
    levels instead of 1.0): OpenCV's 3x3 transform is vectorised.
    """
    H, W = rgb.shape[:2]
    out: Pixels = np.empty((H * 3 // 2, W), np.uint8)
    fill_yuv420p(out, rgb, (0, 0, W, H))
    return out


def fill_yuv420p(out: Pixels, rgb: Pixels, box: Box) -> None:
    """What `to_yuv420p` makes of `rgb`, into `out` where `box` is; its edges go to even pixels."""
    import cv2

    H, W = rgb.shape[:2]
    left, top, right, bottom = box[0] & ~1, box[1] & ~1, box[2] + 1 & ~1, box[3] + 1 & ~1
    cb, cr = out[H:].reshape(2, H // 2, W // 2)
    room = np.empty((2, BAND, right - left), np.uint8)
    for y in range(top, bottom, BAND):
        rows, columns = slice(y, min(y + BAND, bottom)), slice(left, right)
        luma, high = out[rows, columns], room[:, : rows.stop - y]
        full = cv2.transform(rgb[rows, columns], RGB_TO_YUV)  # (h, w, 3)
        cv2.split(full, [luma, *high])
        for values, plane in zip(high, (cb, cr), strict=True):
            half = plane[rows.start // 2 : rows.stop // 2, left // 2 : right // 2]
            cv2.resize(values, half.shape[::-1], dst=half, interpolation=cv2.INTER_AREA)


def redness(rgb: NDArray[Any]) -> NDArray[Any]:
    """How much more red than green colours (…, 3), 0–255, have: (…), a share of all three."""
    return np.asarray((rgb[..., 0] - rgb[..., 1]) / np.maximum(30.0, rgb.sum(-1)))


def to_lab(rgb: Pixels) -> Pixels:
    """`lab` in 8 bits: L times 2.55, a and b plus 128."""
    values = lab(rgb) * np.array([2.55, 1, 1]) + (0, 128, 128)
    return np.asarray(np.clip(values + 0.5, 0, 255).astype(np.uint8))


def lab(rgb: Pixels) -> Floats:
    """sRGB (…, 3) → CIE L*a*b* (…, 3), L from 0 to 100.

    OpenCV's own first makes a table of a third of a million entries, which takes .13 s.
    """
    levels = np.arange(256) / 255
    linear = np.where(levels > 0.04045, ((levels + 0.055) / 1.055) ** 2.4, levels / 12.92)
    xyz = linear.astype(np.float32)[rgb.reshape(-1, 3)] @ (SRGB_TO_XYZ / SRGB_TO_XYZ.sum(0))
    roots = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.asarray((roots @ ROOTS_TO_LAB - (16, 0, 0)).reshape(rgb.shape), np.float32)


def video_frame(pixels: Pixels, layout: str, stored: str) -> Any:
    """One item of `Frames.pixels` as an av.VideoFrame in the pixel layout `stored`.

    An opaque film may be given "rgb24" or "yuv420p", a transparent one "rgba"; anything else is
    a renderer's mistake and raises ValueError.
    """
    import av

    if (layout, stored) == ("yuv420p", "yuv420p"):
        return _opaque(np.ascontiguousarray(pixels))
    if (layout, stored) == ("rgb24", "yuv420p"):
        return _opaque(to_yuv420p(pixels))
    if (layout, stored) == ("rgba", "yuva420p"):
        return _with_alpha(pixels)
    if (layout, stored) == ("rgba", "yuva444p10le"):
        source = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgba")
        return source.reformat(
            format=stored, dst_colorspace="ITU709", dst_color_range="MPEG", threads=1
        )
    raise ValueError(f"frames in {layout} cannot be stored as {stored}")


def _opaque(yuv: Pixels) -> Any:
    """(H * 3 / 2, W) → an av.VideoFrame in yuv420p."""
    import av

    H, W = yuv.shape[0] * 2 // 3, yuv.shape[1]
    if H % 4 == 0:
        return av.VideoFrame.from_numpy_buffer(yuv, format="yuv420p")
    # PyAV takes a buffer's height for a multiple of 4 and would cut the film by two rows.
    frame = av.VideoFrame(W, H, "yuv420p")
    _fill(frame, (yuv[:H], *yuv[H:].reshape(2, H // 2, W // 2)))
    return frame


def _fill(frame: Any, planes: Sequence[Pixels]) -> None:
    for plane, values in zip(frame.planes, planes, strict=True):
        rows: Pixels = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
        rows[: values.shape[0], : values.shape[1]] = values


def _with_alpha(rgba: Pixels) -> Any:
    """(H, W, 4) → an av.VideoFrame in yuva420p."""
    import av

    H, W = rgba.shape[:2]
    yuv = to_yuv420p(np.ascontiguousarray(rgba[..., :3]))
    frame = av.VideoFrame(W, H, "yuva420p")
    _fill(frame, (yuv[:H], *yuv[H:].reshape(2, H // 2, W // 2), rgba[..., 3]))
    return frame


def to_rgb(pixels: Pixels, layout: str) -> Pixels:
    """One item of `Frames.pixels` as (H, W, 3) sRGB; what is transparent shows light grey."""
    if layout == "rgb24":
        return pixels
    if layout == "rgba":
        alpha = pixels[..., 3:].astype(np.uint16)  # (H, W, 1)
        over: Pixels = ((pixels[..., :3] * alpha + 224 * (255 - alpha)) // 255).astype(np.uint8)
        return over

    return frame_to_rgb(_opaque(np.ascontiguousarray(pixels)))


def frame_to_rgb(frame: Any, layout: str = "rgb24") -> Pixels:
    """An av.VideoFrame of ours (BT.709, limited) as (H, W, 3) or, for "rgba", (H, W, 4) sRGB."""
    from av.video.reformatter import ColorRange, Colorspace, Interpolation

    # swscale's quick paths spoil the last two columns of some widths with alpha (178, 194, …).
    exact = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    shown = frame.reformat(
        format=layout,
        src_colorspace=Colorspace.ITU709,
        src_color_range=ColorRange.MPEG,
        dst_color_range=ColorRange.JPEG,
        interpolation=exact,
        threads=1,
    )
    pixels: Pixels = shown.to_ndarray()
    return pixels
