"""HDR, wide colours and HEIC become the sRGB that a person expects, upright."""

from io import BytesIO
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.support.heif import heic, icc, nclx
from vidgen.media.cicp import Cicp, find_cicp, to_srgb
from vidgen.media.photo import open_photo
from vidgen.work import Pixels

COLOURS = ((200, 80, 70), (110, 160, 90), (70, 90, 190), (210, 210, 205))
GREY, SKIN = (128, 128, 128), (196, 145, 120)


def quarters() -> Pixels:
    """(200, 240, 3): red, green over blue, white."""
    rgb = np.empty((200, 240, 3), np.uint8)
    for n, colour in enumerate(COLOURS):
        rgb[100 * (n // 2) : 100 * (n // 2) + 100, 120 * (n % 2) : 120 * (n % 2) + 120] = colour
    return rgb


def corners(rgb: Pixels) -> list[list[int]]:
    H, W = rgb.shape[:2]
    return [rgb[y, x].tolist() for y in (H // 4, 3 * H // 4) for x in (W // 4, 3 * W // 4)]


def open_bytes(folder: Path, name: str, data: bytes) -> Pixels:
    (folder / name).write_bytes(data)
    return open_photo(folder / name).rgb


@pytest.mark.parametrize("tiles", [(1, 1), (2, 2)])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_a_telephones_heic_is_read_upright(
    tmp_path: Path, tiles: tuple[int, int], turns: int
) -> None:
    rgb = quarters()
    stored = np.ascontiguousarray(np.rot90(rgb, -turns))
    found = open_bytes(tmp_path, "IMG_1.HEIC", heic(stored, turns=turns, tiles=tiles))
    assert found.shape == rgb.shape
    assert np.abs(np.subtract(corners(found), COLOURS)).max() <= 4


def pq(rgb: Pixels) -> Pixels:
    """sRGB as PQ in BT.2020, white at 203 cd/m²: what an HDR export of a plain photo is."""
    value = rgb.astype(float) / 255
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    to_2020 = [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
    power = np.clip(light @ np.transpose(to_2020) * 203 / 10000, 0, 1) ** 0.1593017578125
    code = ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375
    return np.asarray(np.round(code * 255), np.uint8)


def hlg(rgb: Pixels) -> Pixels:
    """Greys only: the same for HLG, white at 203 of 1000 cd/m²."""
    value = rgb.astype(float) / 255
    light = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    scene = (light * 0.203) ** (1 / 1.2)
    code = np.where(
        scene <= 1 / 12,
        np.sqrt(3 * scene),
        0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073,
    )
    return np.asarray(np.round(code * 255), np.uint8)


@pytest.mark.parametrize("colour", [*COLOURS[:3], GREY, SKIN])
def test_pq_comes_back_as_it_was(colour: tuple[int, int, int]) -> None:
    rgb = np.full((2, 2, 3), colour, np.uint8)
    assert np.abs(to_srgb(pq(rgb), Cicp(9, 16)).astype(int) - rgb).max() <= 6


@pytest.mark.parametrize("grey", [30, 90, 128, 200])
def test_hlg_comes_back_as_it_was(grey: int) -> None:
    rgb = np.full((2, 2, 3), grey, np.uint8)
    assert np.abs(to_srgb(hlg(rgb), Cicp(9, 18)).astype(int) - rgb).max() <= 3


def test_brighter_light_than_white_is_bent_and_keeps_its_order() -> None:
    codes = np.arange(140, 256, dtype=np.uint8)
    shown = to_srgb(np.repeat(codes[:, None, None], 3, 2), Cicp(9, 16))[:, 0, 0].astype(int)
    assert (np.diff(shown) >= 0).all()
    assert 240 < shown[-1] <= 255
    assert shown[np.searchsorted(codes, 160)] < 252  # twice as bright as white keeps its drawing


def avif(rgb: Pixels, points: Cicp) -> bytes:
    file = BytesIO()
    Image.fromarray(rgb).save(file, "AVIF", quality=95, subsampling="4:4:4")
    data = file.getvalue()
    at = data.index(b"nclx") + 4
    told = points.primaries.to_bytes(2, "big") + points.transfer.to_bytes(2, "big")
    return data[:at] + told + data[at + 4 :]


def test_an_hdr_avif_is_not_grey(tmp_path: Path) -> None:
    found = open_bytes(tmp_path, "hdr.avif", avif(pq(quarters()), Cicp(9, 16)))
    assert np.abs(np.subtract(corners(found), COLOURS)).max() <= 10


def test_an_hdr_heic_is_not_grey(tmp_path: Path) -> None:
    found = open_bytes(tmp_path, "hdr.heic", heic(pq(quarters()), colour=nclx(9, 16)))
    assert np.abs(np.subtract(corners(found), COLOURS)).max() <= 10


def test_an_hdr_png_is_not_grey(tmp_path: Path) -> None:
    file = BytesIO()
    Image.fromarray(pq(quarters())).save(file, "PNG")
    data = file.getvalue()
    chunk = b"cICP" + bytes([9, 16, 0, 1])
    chunk = (4).to_bytes(4, "big") + chunk + crc32(chunk).to_bytes(4, "big")
    found = open_bytes(tmp_path, "hdr.png", data[:33] + chunk + data[33:])
    assert np.abs(np.subtract(corners(found), COLOURS)).max() <= 6


def test_the_wide_colours_of_a_screen_are_brought_in(tmp_path: Path) -> None:
    # sRGB's (200, 100, 80), written down in Display P3.
    wide = np.full((200, 240, 3), (187, 104, 84), np.uint8)
    found = open_bytes(tmp_path, "p3.heic", heic(wide, colour=nclx(12, 13)))
    assert np.abs(found[100, 120].astype(int) - (200, 100, 80)).max() <= 5


def test_a_profile_says_more_than_points_without_hdr(tmp_path: Path) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    found = open_bytes(tmp_path, "p.heic", heic(quarters(), colour=icc(profile) + nclx(12, 13)))
    assert np.abs(np.subtract(corners(found), COLOURS)).max() <= 4


@pytest.mark.parametrize("size", range(0, 120, 7))
def test_half_a_file_has_no_points_and_no_traceback(size: int) -> None:
    data = heic(quarters(), colour=nclx(9, 16))
    assert find_cicp(data[:size]) in (None, Cicp(9, 16))
