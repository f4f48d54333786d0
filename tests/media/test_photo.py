"""Photos of every kind become the same pixels, or a plain refusal. All are drawn here."""

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from vidgen.errors import InputError
from vidgen.media.photo import LONGEST, MOST_BYTES, identify_photo, open_photo, read_part

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


@pytest.fixture
def quarters() -> Image.Image:
    """240 × 200: red, green over blue, white, so that a turn shows."""
    image = Image.new("RGB", (240, 200))
    for place, colour in zip(
        ((0, 0), (120, 0), (0, 100), (120, 100)), (RED, GREEN, BLUE, WHITE), strict=True
    ):
        image.paste(colour, (*place, place[0] + 120, place[1] + 100))
    return image


Save = Callable[..., Path]


@pytest.fixture
def save(tmp_path: Path) -> Save:
    def saved(image: Image.Image, name: str, **options: Any) -> Path:
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return saved


def corners(path: Path) -> list[tuple[int, ...]]:
    """The colours of the four quarters' middles, row by row."""
    rgb = open_photo(path).rgb
    height, width = rgb.shape[:2]
    places = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return [tuple(int(value) for value in rgb[place]) for place in places]


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_photo(path)
    assert str(path) in caught.value.message
    assert caught.value.hint
    return caught.value.code


def near(found: list[tuple[int, ...]], wanted: list[tuple[int, ...]], most: int) -> bool:
    return bool(np.abs(np.array(found) - np.array(wanted)).max() <= most)


@pytest.mark.parametrize(
    "name", ["a.png", "a.bmp", "a.tiff", "a.webp", "a.gif", "a.ppm", "a.tga", "a.jpg", "a.avif"]
)
def test_a_photo_of_any_format_gives_its_colours(
    quarters: Image.Image, save: Save, name: str
) -> None:
    options = {"lossless": True} if name.endswith("webp") else {}
    assert near(corners(save(quarters, name, **options)), [RED, GREEN, BLUE, WHITE], 8)


def test_the_hash_is_of_the_files_bytes(quarters: Image.Image, save: Save) -> None:
    import hashlib

    path = save(quarters, "a.png")
    assert open_photo(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("orientation", "wanted"),
    [
        (1, [RED, GREEN, BLUE, WHITE]),
        (2, [GREEN, RED, WHITE, BLUE]),
        (3, [WHITE, BLUE, GREEN, RED]),
        (4, [BLUE, WHITE, RED, GREEN]),
        (5, [RED, BLUE, GREEN, WHITE]),
        (6, [BLUE, RED, WHITE, GREEN]),
        (7, [WHITE, GREEN, BLUE, RED]),
        (8, [GREEN, WHITE, RED, BLUE]),
    ],
)
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tiff"])
def test_exif_turns_the_photo_upright(
    quarters: Image.Image,
    save: Save,
    name: str,
    orientation: int,
    wanted: list[tuple[int, ...]],
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(quarters, name, exif=exif)
    assert near(corners(path), wanted, 8)
    assert open_photo(path).rgb.shape[:2] == ((200, 240) if orientation < 5 else (240, 200))


def test_what_is_clear_shows_white(quarters: Image.Image, save: Save) -> None:
    quarters.putalpha(Image.new("L", quarters.size, 0))
    quarters.paste((255, 0, 0, 255), (0, 0, 120, 100))
    quarters.paste((0, 0, 0, 128), (120, 0, 240, 100))
    assert near(corners(save(quarters, "a.png")), [RED, (127, 127, 127), WHITE, WHITE], 1)


def test_a_clear_colour_of_a_palette_shows_white(quarters: Image.Image, save: Save) -> None:
    palette = quarters.quantize(4)
    blue = palette.getpixel((10, 190))
    assert corners(save(palette, "a.png", transparency=blue)) == [RED, GREEN, WHITE, WHITE]


def test_grey_with_alpha_shows_over_white(save: Save) -> None:
    image = Image.new("LA", (200, 200), (0, 0))
    image.paste((100, 255), (0, 0, 100, 100))
    assert corners(save(image, "a.png")) == [(100, 100, 100), WHITE, WHITE, WHITE]


@pytest.mark.parametrize(
    ("mode", "value", "grey"), [("L", 90, 90), ("1", 1, 255), ("I;16", 257 * 90, 90), ("F", 90, 90)]
)
def test_grey_of_any_depth(save: Save, mode: str, value: int, grey: int) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((200, 200), value, np.uint16))
    elif mode == "F":
        image = Image.fromarray(np.full((200, 200), value, np.float32))
    else:
        image = Image.new(mode, (200, 200), value)
    assert corners(save(image, "a.tiff")) == [(grey,) * 3] * 4


def test_a_16_bit_png_keeps_its_tone(save: Save) -> None:
    ramp = np.linspace(0, 65535, 200, dtype=np.uint16)[None].repeat(200, 0)
    rgb = open_photo(save(Image.fromarray(ramp), "a.png")).rgb
    assert np.abs(rgb[100, :, 1].astype(float) - np.linspace(0, 255, 200)).max() <= 1


def test_cmyk_becomes_rgb(save: Save) -> None:
    image = Image.new("CMYK", (200, 200), (0, 255, 255, 0))
    assert near(corners(save(image, "a.jpg", quality=95)), [RED] * 4, 8)


def test_a_colour_profile_is_followed(quarters: Image.Image, save: Save) -> None:
    swapped = _profile_with_red_and_green_swapped()
    path = save(quarters, "a.png", icc_profile=swapped)
    assert near(corners(path)[2:], [BLUE, WHITE], 12)
    assert near(corners(path)[:2], [GREEN, RED], 12)


def _profile_with_red_and_green_swapped() -> bytes:
    """sRGB with its red and green columns' tags exchanged."""
    data = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return data.replace(b"rXYZ", b"?XYZ").replace(b"gXYZ", b"rXYZ").replace(b"?XYZ", b"gXYZ")


def test_a_broken_colour_profile_does_no_harm(quarters: Image.Image, save: Save) -> None:
    path = save(quarters, "a.png", icc_profile=b"no profile at all")
    assert corners(path) == [RED, GREEN, BLUE, WHITE]


def test_a_moving_picture_gives_its_first_frame(quarters: Image.Image, save: Save) -> None:
    other = Image.new("RGB", quarters.size, "black")
    path = save(quarters, "a.webp", save_all=True, append_images=[other], lossless=True)
    assert corners(path) == [RED, GREEN, BLUE, WHITE]


def test_40_megapixels_are_scaled_down(save: Save) -> None:
    path = save(Image.new("RGB", (7300, 5480), RED), "a.jpg")
    rgb = open_photo(path).rgb
    assert (max(rgb.shape) <= LONGEST, min(rgb.shape[:2]) > 2000) == (True, True)
    assert abs(rgb.shape[1] / rgb.shape[0] - 7300 / 5480) < 0.01


def test_the_smallest_photo_is_taken(save: Save) -> None:
    assert open_photo(save(Image.new("RGB", (160, 160)), "a.png")).rgb.shape == (160, 160, 3)


# Refusals


def test_too_small(save: Save) -> None:
    assert refusal(save(Image.new("RGB", (400, 159)), "a.png")) == "photo.too_small"


@pytest.mark.parametrize("size", [(11001, 10001), (20000, 10000)])
def test_too_large(save: Save, size: tuple[int, int]) -> None:
    assert refusal(save(Image.new("1", size), "a.png")) == "photo.too_large"


def test_the_largest_photos_of_phones_are_taken(save: Save) -> None:
    for size in ((9280, 6944), (12000, 9000)):
        assert identify_photo(save(Image.new("1", size), "a.png"))[1] == size


def test_how_large_is_too_large_is_told_rounded_up(save: Save) -> None:
    with pytest.raises(InputError, match="too large: 111 megapixels"):
        identify_photo(save(Image.new("1", (11001, 10001)), "a.png"))


def test_an_empty_photo_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    assert refusal(tmp_path / "a.jpg") == "photo.empty"


def test_a_picture_of_another_kind_is_no_targa(quarters: Image.Image, save: Save) -> None:
    """An icon's head fits that of a TGA file, which has no mark of its own."""
    assert refusal(save(quarters, "a.ico")) == "photo.not_a_photo"


def test_cut_off(save: Save) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (300, 300, 3), np.uint8)
    for name in ("a.jpg", "a.png", "a.webp", "a.gif", "a.tiff", "a.avif"):
        path = save(Image.fromarray(noise), name)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        assert refusal(path) in {"photo.damaged", "photo.not_a_photo"}, name


def test_a_cut_off_jpeg_is_called_damaged(save: Save) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (300, 300, 3), np.uint8)
    path = save(Image.fromarray(noise), "a.jpg")
    path.write_bytes(path.read_bytes()[:-2000])
    assert refusal(path) == "photo.damaged"


def test_a_fake_jpeg(tmp_path: Path) -> None:
    fakes = {
        "text.jpg": b"I am no photo.",
        "head.jpg": b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(200),
        "page.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 200 200\n",
    }
    for name, content in fakes.items():
        (tmp_path / name).write_bytes(content)
        assert refusal(tmp_path / name) in {"photo.not_a_photo", "photo.damaged"}, name


def test_damage_in_the_middle_is_never_a_crash(quarters: Image.Image, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    outcomes = set()
    for kind in ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP"):
        buffer = BytesIO()
        quarters.save(buffer, kind)
        for _ in range(25):
            data = bytearray(buffer.getvalue())
            for place in rng.integers(0, len(data), 6):
                data[place] = rng.integers(0, 256)
            (tmp_path / "damaged").write_bytes(data)
            outcomes.add(outcome(tmp_path / "damaged"))
    assert outcomes <= {"opened", *(f"photo.{why}" for why in REASONS)}
    assert {"opened", "photo.damaged", "photo.not_a_photo"} <= outcomes


REASONS = ("damaged", "not_a_photo", "too_small", "too_large")


def outcome(path: Path) -> str:
    try:
        open_photo(path)
    except InputError as error:
        return error.code
    return "opened"


def test_missing(tmp_path: Path) -> None:
    assert refusal(tmp_path / "none.jpg") == "photo.missing"


def test_a_folder(tmp_path: Path) -> None:
    assert refusal(tmp_path) == "photo.folder"


def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    assert refusal(tmp_path / ("long" * 100)) == "photo.unreadable"


def test_a_jpeg_of_a_thousand_layers_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """318 KB of such a file took 32 s."""
    whole = BytesIO()
    Image.new("RGB", (400, 400), "gray").save(whole, "JPEG", progressive=True)
    data = whole.getvalue()
    last = data.rindex(b"\xff\xda")
    file = tmp_path / "layers.jpg"
    file.write_bytes(data[:last] + data[last:-2] * 1000 + data[-2:])
    with pytest.raises(InputError) as refused:
        open_photo(file)
    assert refused.value.code == "photo.damaged"
    file.write_bytes(data)
    assert open_photo(file).rgb.shape == (400, 400, 3)


@pytest.fixture
def large() -> Image.Image:
    """440 × 260, read with a longest side of 400: each pixel tells its place, to 2 pixels."""
    y, x = np.mgrid[:260, :440]
    return Image.fromarray(np.stack([x // 2, y // 2, 0 * x], -1).astype(np.uint8))


def test_a_part_of_a_large_photo_has_all_its_pixels(large: Image.Image, save: Save) -> None:
    photo = open_photo(save(large, "a.bmp"), 400)
    assert (photo.rgb.shape, photo.size) == ((236, 400, 3), (440, 260))
    assert photo.scale == pytest.approx(1.1)
    part = read_part(photo, (400, 100, 420, 110))
    assert (part == np.array(large)[100:110, 400:420]).all()


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_part_of_a_turned_photo_is_turned(large: Image.Image, save: Save, turns: int) -> None:
    photo = open_photo(save(large, "a.bmp"), 400).turned(turns)
    part = read_part(photo, (30, 150, 42, 153))
    assert (part == np.rot90(np.array(large), turns)[150:153, 30:42]).all()
    assert photo.size == ((260, 440) if turns % 2 else (440, 260))


def test_a_part_follows_the_exif_note_the_alpha_and_the_profile(
    large: Image.Image, save: Save
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    profile = _profile_with_red_and_green_swapped()
    photo = open_photo(save(large, "a.png", exif=exif, icc_profile=profile), 400)
    assert photo.size == (260, 440)
    part = read_part(photo, (10, 400, 14, 405))
    wanted = np.rot90(np.array(large)[..., [1, 0, 2]], -1)[400:405, 10:14]
    assert np.abs(part.astype(int) - wanted).max() <= 2
    seen = Image.new("RGBA", (440, 260), (10, 20, 30, 0))
    clear = open_photo(save(seen, "b.png"), 400)
    assert (read_part(clear, (400, 100, 410, 110)) == 255).all()


def test_a_part_of_a_changed_photo_is_refused(large: Image.Image, save: Save) -> None:
    photo = open_photo(save(large, "a.bmp"), 400)
    save(large.rotate(180), "a.bmp")
    with pytest.raises(InputError) as caught:
        read_part(photo, (0, 0, 10, 10))
    assert caught.value.code == "photo.damaged"


def test_a_panorama_keeps_its_pixels(save: Save) -> None:
    photo = open_photo(save(Image.new("RGB", (12000, 400)), "a.bmp"))
    assert photo.rgb.shape == (400, 12000, 3)


def test_a_file_of_gigabytes_is_no_photo(tmp_path: Path) -> None:
    file = tmp_path / "huge.jpg"
    with file.open("wb") as sparse:
        sparse.truncate(MOST_BYTES + 1)
    assert refusal(file) == "photo.unreadable"
