"""Open a photo file as upright sRGB pixels, or say plainly why it cannot be used.

A large photo is looked at in a reduced copy; `read_part` reads a part of it with all its pixels.
Looks for no faces; that is `vision.faces` and the stage of detection.
"""

import errno
import hashlib
import os
import warnings
from io import BytesIO
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from vidgen.errors import InputError
from vidgen.media.cicp import Cicp, find_cicp, to_srgb
from vidgen.work import Box, Photo, Pixels

if TYPE_CHECKING:
    from PIL import Image

LEAST_SIDE: Final = 160  # pixels
MOST_MEGAPIXELS: Final = 110  # phones write 108 at most, but for a few that write 200
MOST_BYTES: Final = 400_000_000  # 64 megapixels of 16 bits, not compressed
MOST_SCANS: Final = 100  # usual are 10, with the thumbnails of a phone's 30
LONGEST: Final = 4096  # pixels of the copy's longer side; a panorama's may be longer, see `_within`
DRAFT: Final = 3072  # a JPEG may be decoded at 1/2, 1/4, 1/8 as long as this much is left
# Named, because Pillow's list holds formats that start other programs (EPS) or are no photos.
FORMATS: Final = (
    "JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF", "JPEG2000", "PPM",
)  # fmt: skip
BY_NAME: Final = {".tga": ("TGA",)}  # has no mark of its own: many a file of another kind fits
# What Pillow's decoders raise for a file that is cut off or damaged
DAMAGE: Final = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, MemoryError, RuntimeError,
)  # fmt: skip


def open_photo(path: Path, longest: int = LONGEST) -> Photo:
    """The photo in `path`: turned by its EXIF note, alpha over white, 8 bits, sRGB, no HDR.

    `Photo.rgb` is reduced to within `longest`. Raises InputError for what cannot be used: missing,
    a folder, not readable, not a photo, damaged, too small or too large.
    """
    data = _load_bytes(path)
    with _open_image(path, data) as image:
        _check_size(path, image.size)
        _check_scans(path, data)
        full = image.size
        image.draft("RGB" if image.mode != "L" else "L", _within(full, DRAFT * longest // LONGEST))
        _load(path, image)
        points, profile = _colours(image, data)
        small = _eight_bits(image)
    small = small.resize(_within(small.size, longest), _lanczos())
    rgb = _pixels(_upright(small), points, profile)
    if (full[0] < full[1]) != (rgb.shape[1] < rgb.shape[0]):
        full = full[::-1]  # its EXIF note says so
    return Photo(path, rgb, hashlib.sha256(data).hexdigest(), full)


def read_part(photo: Photo, box: Box) -> Pixels:
    """The pixels of a `box` of the whole photo, as it stands after its `turns`.

    Reads the file again when `photo.rgb` is a reduced copy: four bytes a pixel of the whole photo,
    twice where it is turned. Raises InputError as `open_photo` does, and when it has changed.
    """
    if photo.scale == 1:
        return photo.rgb[box[1] : box[3], box[0] : box[2]]
    data = _load_bytes(photo.path)
    if hashlib.sha256(data).hexdigest() != photo.sha256:
        raise _damaged(photo.path, "it changed while it was in use")
    size = photo.full
    for _ in range(photo.turns):  # back, a quarter clockwise each
        left, top, right, bottom = box
        size = size[::-1]
        box = size[0] - bottom, left, size[0] - top, right
    with _open_image(photo.path, data) as image:
        _load(photo.path, image)
        points, profile = _colours(image, data)
        part = _upright(_eight_bits(image)).crop(box)
    return np.ascontiguousarray(np.rot90(_pixels(part, points, profile), photo.turns))


def identify_photo(path: Path) -> tuple[str, tuple[int, int]]:
    """The file's sha256, and its width and height by its head: a quick look before the work.

    Raises InputError as `open_photo` does, but for what only decoding shows.
    """
    data = _load_bytes(path)
    with _open_image(path, data) as image:
        _check_size(path, image.size)
        return hashlib.sha256(data).hexdigest(), image.size


def _load_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
    except FileNotFoundError as error:
        raise InputError(
            "There is no photo {path}.",
            hint="Check the path; the photo comes first, then the voice.",
            code="photo.missing",
            path=str(path),
        ) from error
    except OSError as error:
        if isinstance(error, IsADirectoryError | PermissionError) and path.is_dir():
            raise InputError(
                "{path} is a folder, not a photo.",
                hint="Name one image file in it.",
                code="photo.folder",
                path=str(path),
            ) from error
        raise InputError(
            "The photo {path} cannot be read: {reason}.",
            hint="Check that you may read the file.",
            code="photo.unreadable",
            path=str(path),
            reason=error.strerror or str(error),
        ) from error
    if not data:
        raise InputError(
            "The photo {path} is an empty file.",
            hint="Copy it again, or use another photo.",
            code="photo.empty",
            path=str(path),
        )
    return data


def _open_image(path: Path, data: bytes) -> "Image.Image":
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Size is checked next, with a sentence of our own.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(BytesIO(data), formats=_formats(path))
    except Image.DecompressionBombError as error:
        raise _too_large(path, "more than 170") from error
    except DAMAGE as error:
        raise InputError(
            "{path} is not a photo that can be opened.",
            hint="Use a JPEG, PNG, HEIC, WebP, AVIF or TIFF file; convert others (raw) first.",
            code="photo.not_a_photo",
            path=str(path),
        ) from error


def _formats(path: Path) -> list[str]:
    """Those of `FORMATS` that this Pillow has; HEIF (HEIC, the iPhone's) comes by libheif."""
    import pi_heif
    from PIL import Image

    Image.init()
    pi_heif.register_heif_opener(thumbnails=False)
    wanted = FORMATS + BY_NAME.get(path.suffix.lower(), ())
    return [name for name in wanted if name in Image.OPEN]


def _check_size(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    if min(size) < LEAST_SIDE:
        raise InputError(
            "The photo {path} is too small: {width} × {height} pixels.",
            hint="Each side needs at least {least} pixels, better 720.",
            code="photo.too_small",
            path=str(path),
            width=width,
            height=height,
            least=LEAST_SIDE,
        )
    if width * height > MOST_MEGAPIXELS * 1_000_000:
        raise _too_large(path, f"{ceil(width * height / 1e6)}")


def _check_scans(path: Path, data: bytes) -> None:
    """A progressive JPEG is decoded once for each of its scans: a few KB can cost a minute."""
    scans = data.count(b"\xff\xda") if data[:2] == b"\xff\xd8" else 0
    if scans > MOST_SCANS:
        raise _damaged(path, f"it is written in {scans} layers")


def _load(path: Path, image: "Image.Image") -> None:
    try:
        image.load()
    except DAMAGE as error:
        raise _damaged(path, str(error).rstrip(".")) from error


def _damaged(path: Path, reason: str) -> InputError:
    return InputError(
        "The photo {path} is damaged or cut off: {reason}.",
        hint="Open it in an image viewer and save it again, or use another copy.",
        code="photo.damaged",
        path=str(path),
        reason=reason,
    )


def _too_large(path: Path, megapixels: str) -> InputError:
    return InputError(
        "The photo {path} is too large: {megapixels} megapixels.",
        hint="Scale it down to {most} megapixels or fewer.",
        code="photo.too_large",
        path=str(path),
        megapixels=megapixels,
        most=MOST_MEGAPIXELS,
    )


def _within(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """`size` shrunk, in proportion, so that no side is over `longest`.

    What is wider than 16:9 keeps as many pixels as a picture of that shape would.
    """
    area = longest * longest * 9 / 16
    scale = min(1.0, max(longest / max(size), (area / (size[0] * size[1])) ** 0.5))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _lanczos() -> "Image.Resampling":
    from PIL import Image

    return Image.Resampling.LANCZOS


def _upright(image: "Image.Image") -> "Image.Image":
    from PIL import ImageOps

    return ImageOps.exif_transpose(image)


def _colours(image: "Image.Image", data: bytes) -> tuple[Cicp | None, bytes | None]:
    """What a picture says of its colours: coding points, else a profile.

    A profile says more than coding points do, but none that we can use says HDR.
    """
    points, profile = find_cicp(data), image.info.get("icc_profile")
    if points is not None and not points.is_srgb and (points.is_hdr or not profile):
        return points, None
    return None, profile


def _pixels(image: "Image.Image", points: Cicp | None, profile: bytes | None) -> Pixels:
    """(H, W, 3) in sRGB of an upright picture of 8 bits."""
    rgb: Pixels = np.array(_to_srgb(_over_white(image), profile), np.uint8)
    return rgb if points is None else to_srgb(rgb, points)


def _eight_bits(image: "Image.Image") -> "Image.Image":
    """Modes of more bits brought to 8; palettes to their colours. Keeps EXIF."""
    from PIL import Image

    if image.mode in ("P", "PA"):
        clear = image.mode == "PA" or "transparency" in image.info
        changed = image.convert("RGBA" if clear else "RGB")
    elif image.mode.startswith(("I", "F")):
        changed = Image.fromarray(_scale_grey(np.asarray(image)))
    elif image.mode == "1":
        changed = image.convert("L")
    else:
        return image
    changed.info.update({key: image.info[key] for key in ("exif",) if key in image.info})
    return changed


def _scale_grey(values: "np.ndarray[Any, Any]") -> Pixels:
    """Grey values of a 16-bit, 32-bit or floating picture as 0–255."""
    top = float(np.nanmax(values, initial=0.0))
    white = next((full for full in (1.0, 255.0, 65535.0) if top <= full), top)
    if values.dtype.kind != "f":
        white = max(white, 65535.0 if values.dtype == np.uint16 else 255.0)
    bytes_: Pixels = np.clip(np.nan_to_num(values) * (255.0 / white) + 0.5, 0, 255).astype(np.uint8)
    return bytes_


def _over_white(image: "Image.Image") -> "Image.Image":
    from PIL import Image

    if not image.has_transparency_data:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")


def _to_srgb(image: "Image.Image", profile: bytes | None) -> "Image.Image":
    """By the photo's own colour profile where it has a usable one."""
    from PIL import ImageCms

    if profile and image.mode in ("RGB", "L", "CMYK"):
        try:
            own = ImageCms.ImageCmsProfile(BytesIO(profile))
            srgb = ImageCms.createProfile("sRGB")
            made = ImageCms.profileToProfile(image, own, srgb, outputMode="RGB")
            if made is not None:
                return made
        except (ImageCms.PyCMSError, OSError):
            pass  # a broken profile, or one of another colour space: as if there were none
    return image.convert("RGB")
