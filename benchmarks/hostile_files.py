"""Some 150 files that nobody should be hurt by: photos, voices and job files of strangers.

Each is made here, in a folder; nothing is sent anywhere. `KINDS` says how each one is used.
"""

import io
import os
import pickle
import random
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from PIL import Image

Put = Callable[[str, bytes], Path]  # a file of that name and content
TEXTS: Final = {
    "empty": b"",
    "byte": b"\xff",
    "words": b"hello " * 100,
    "html": b"<html><img src=http://127.0.0.1:9/x></html>",
    "svg": b'<?xml version="1.0"?><!DOCTYPE s [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    b'<svg xmlns="http://www.w3.org/2000/svg"><text>&x;</text></svg>',
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) (r) file\n",
    "pdf": b"%PDF-1.7\n1 0 obj<</Type/Catalog/OpenAction<</S/Launch/F(/bin/sh)>>>>endobj",
    "pickle": pickle.dumps({"a": 1}),
    "zeros": bytes(100_000),
    "script": b"#!/bin/sh\ntouch touched\n",
}
LISTS: Final = {
    "m3u8": b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n/etc/passwd\n#EXT-X-ENDLIST\n",
    "ffconcat": b"ffconcat version 1.0\nfile '/etc/passwd'\n",
    "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 9 RTP/AVP 0\n",
    "mpd": b'<?xml version="1.0"?><MPD><Period><AdaptationSet><Representation><BaseURL>'
    b"file:///etc/passwd</BaseURL></Representation></AdaptationSet></Period></MPD>",
    "pls": b"[playlist]\nFile1=/etc/passwd\nNumberOfEntries=1\n",
    "xspf": b"<playlist><trackList><track><location>file:///etc/passwd</location></track></trackList>",
    "cue": b'FILE "/etc/passwd" WAVE\n  TRACK 01 AUDIO\n',
    "asx": b'<asx version="3.0"><entry><ref href="http://127.0.0.1:9/x"/></entry></asx>',
}
MAGICS: Final = {
    "png": b"\x89PNG\r\n\x1a\n", "jpg": b"\xff\xd8\xff\xe0", "gif": b"GIF89a", "bmp": b"BM",
    "webp": b"RIFF\x00\x10\x00\x00WEBPVP8 ", "tiff": b"II*\x00\x08\x00\x00\x00", "psd": b"8BPS",
    "avif": b"\x00\x00\x00\x1cftypavif", "heic": b"\x00\x00\x00\x18ftypheic", "ico": b"\0\0\1\0",
    "jp2": b"\x00\x00\x00\x0cjP  \r\n\x87\n", "exr": b"\x76\x2f\x31\x01", "qoi": b"qoif",
}  # fmt: skip
SOUNDS: Final = {
    "wav": b"RIFF\xff\xff\xff\xffWAVEfmt ", "mp3": b"ID3\x04\0\0\x7f\x7f\x7f\x7f", "flac": b"fLaC",
    "ogg": b"OggS\0\2", "m4a": b"\0\0\0\x20ftypM4A ", "webm": b"\x1aE\xdf\xa3", "amr": b"#!AMR\n",
    "aac": b"\xff\xf1\x50\x80", "aiff": b"FORM\xff\xff\xff\xffAIFF", "au": b".snd\0\0\0\x18",
    "wma": b"0&\xb2u\x8ef\xcf\x11", "caf": b"caff\0\1\0\0",
}  # fmt: skip
FORMATS: Final = {"jpg": "jpeg", "png": "png", "tiff": "tiff", "webp": "webp"}
ENCODINGS: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "plain": ("jpeg", {}), "progressive": ("jpeg", {"progressive": True}),
    "lossy": ("webp", {}), "lossless": ("webp", {"lossless": True}), "avif": ("avif", {}),
    "palette": ("gif", {}), "raw": ("bmp", {}), "lzw": ("tiff", {"compression": "tiff_lzw"}),
    "deflated": ("tiff", {"compression": "tiff_deflate"}), "jp2": ("jpeg2000", {}),
    "png": ("png", {}),
}  # fmt: skip
NAMES: Final = (
    b"\x1b]0;owned\x07.jpg", b"{0.__class__}.jpg", b"%n%s.jpg", b"a\nb.jpg", b"caf\xe9.jpg",
    b"concat:a.jpg", "\u202egpj.exe.jpg".encode(), b"$(touch touched).jpg",
)  # fmt: skip


def photos(put: Put, good: Path, dice: random.Random) -> Iterator[Path]:
    """A hundred pictures; `good` is one with a face, of which damaged copies are made."""
    whole = good.read_bytes()
    for name, content in TEXTS.items():
        yield put(f"{name}.jpg", content)
    for suffix, magic in MAGICS.items():
        yield put(f"magic.{suffix}", magic + dice.randbytes(5000))
    yield put("bomb.png", _png(60_000, 60_000, b""))
    yield put("wide.png", _png(2**31 - 1, 1, b""))
    yield put("none.png", _png(0, 0, b""))
    yield put("rows.png", _png(8000, 8000, zlib.compress(bytes(1 << 27), 9)))
    yield put("text.png", _png(8, 8, zlib.compress(bytes(200)), _text_bomb()))
    yield put("many.gif", _gif(20_000))
    for part in (0.05, 0.5, 0.99):
        yield put(f"cut-{part}.jpg", whole[: int(len(whole) * part)])
    for number in range(8):
        yield put(f"hurt-{number}.jpg", hurt(whole, dice, 2 ** (number + 2)))
    for odd in NAMES:
        yield put(os.fsdecode(odd), b"no picture")
    with Image.open(good) as picture:
        yield from _damaged(put, picture.convert("RGB"), dice)
        yield from _strange(put, picture.convert("RGB"))


def _damaged(put: Put, picture: Image.Image, dice: random.Random) -> Iterator[Path]:
    """The same picture by every encoder, its body damaged: only the decoder can find out."""
    for name, (suffix, options) in ENCODINGS.items():
        stream = io.BytesIO()
        picture.save(stream, suffix, **options)
        whole = stream.getvalue()
        head = len(whole) // 8
        for count in (1, 30):
            body = hurt(whole[head:], dice, count)
            yield put(f"{name}-{count}.{suffix}", whole[:head] + body)
        yield put(f"{name}-cut.{suffix}", whole[: len(whole) * 2 // 3])


def _strange(put: Put, picture: Image.Image) -> Iterator[Path]:
    """Whole pictures that lie about themselves, or are far more than they look."""
    small = picture.resize((64, 64))
    strange: Mapping[str, tuple[Image.Image, Mapping[str, Any]]] = {
        "turned.jpg": (picture, {"exif": _orientation(99)}),
        "exif.jpg": (picture, {"exif": b"Exif\0\0" + b"II*\0\x08\0\0\0\xff\xff" + bytes(60000)}),
        "profile.jpg": (picture, {"icc_profile": bytes(range(256)) * 200}),
        "profile.png": (picture, {"icc_profile": b"\0\0\x02\x0cADBE" + bytes(500)}),
        "dots.jpg": (picture, {"dpi": (65535, 1)}),
        "cmyk.jpg": (picture.convert("CMYK"), {}),
        "bits.png": (picture.convert("1"), {}),
        "grey.tiff": (picture.convert("I"), {}),
        "float.tiff": (picture.convert("F"), {}),
        "clear.png": (picture.convert("RGBA").point(lambda _: 0), {}),
        "frames.webp": (small, {"save_all": True, "append_images": [small] * 2000}),
        "frames.png": (small, {"save_all": True, "append_images": [small] * 2000}),
        "pages.tiff": (small, {"save_all": True, "append_images": [small] * 2000}),
        "long.jpg": (picture.resize((65000, 4)), {}),
    }
    for name, (image, options) in strange.items():
        stream = io.BytesIO()
        image.save(stream, FORMATS[name.rpartition(".")[2]], **options)
        yield put(name, stream.getvalue())
    stream = io.BytesIO()
    picture.resize((4000, 4000)).save(stream, "jpeg", progressive=True)
    whole = stream.getvalue()
    last = whole.rindex(b"\xff\xda")
    yield put("scans.jpg", whole[:last] + whole[last:-2] * 300 + whole[-2:])


def _orientation(value: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = value
    return exif


def voices(put: Put, good: Path, dice: random.Random) -> Iterator[Path]:
    """Fifty-some sounds; `good` is a voice, a WAV of 16 bits."""
    whole = good.read_bytes()
    for name in ("empty", "byte", "html", "pickle", "zeros", "script"):
        yield put(f"{name}.wav", TEXTS[name])
    for suffix, content in LISTS.items():
        yield put(f"list.{suffix}", content)
        yield put(f"list-{suffix}.mp3", content)
    for suffix, magic in SOUNDS.items():
        yield put(f"magic.{suffix}", magic + dice.randbytes(5000))
    for rate, channels, bits in ((0, 1, 16), (2**32 - 1, 1, 16), (8000, 0, 16), (8000, 65535, 16),
                                 (8000, 1, 0), (8000, 2, 65535), (1, 1, 8)):  # fmt: skip
        yield put(f"wav-{rate}-{channels}-{bits}.wav", _wav(rate, channels, bits, bytes(4000)))
    yield put("nan.wav", _wav(8000, 1, 32, struct.pack("<f", float("nan")) * 9000, 3))
    yield put("loud.wav", _wav(8000, 1, 32, struct.pack("<f", 3e38) * 9000, 3))
    yield put("day.wav", _wav(8000, 1, 16, bytes(8000 * 2 * 3600)))
    for part in (0.001, 0.5):
        yield put(f"cut-{part}.wav", whole[: int(len(whole) * part)])
    for number in range(6):
        yield put(f"hurt-{number}.wav", hurt(whole, dice, 2 ** (number + 2)))


def hurt(content: bytes, dice: random.Random, count: int) -> bytes:
    """With so many bytes changed by chance, the first of them near the head."""
    changed = bytearray(content)
    for place in [dice.randrange(64), *(dice.randrange(len(changed)) for _ in range(count))]:
        changed[place] = dice.randrange(256)
    return bytes(changed)


def _chunk(kind: bytes, content: bytes) -> bytes:
    checked = kind + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def _png(width: int, height: int, pixels: bytes, more: bytes = b"") -> bytes:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        MAGICS["png"]
        + _chunk(b"IHDR", head)
        + more
        + _chunk(b"IDAT", pixels)
        + _chunk(b"IEND", b"")
    )


def _text_bomb() -> bytes:
    """Compressed words of 256 MB in a picture of 8 x 8."""
    return _chunk(b"zTXt", b"words\0\0" + zlib.compress(bytes(1 << 28), 9))


def _gif(frames: int) -> bytes:
    one = b"\x21\xf9\x04\0\0\0\0\0\x2c\0\0\0\0\1\0\1\0\0\2\2\x44\1\0"
    return b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff" + one * frames + b";"


def _wav(rate: int, channels: int, bits: int, samples: bytes, kind: int = 1) -> bytes:
    block = channels * bits // 8
    head = struct.pack("<HHIIHH", kind, channels & 0xFFFF, rate & 0xFFFFFFFF,
                       rate * block & 0xFFFFFFFF, block & 0xFFFF, bits & 0xFFFF)  # fmt: skip
    body = b"fmt \x10\0\0\0" + head + b"data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WAVE" + body
