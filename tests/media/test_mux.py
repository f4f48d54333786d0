"""Joining film and voice: what was encoded ahead makes the same file."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from vidgen.media.encoder import FilmWriter
from vidgen.media.encodings import encoding_for
from vidgen.media.mux import VoiceAhead, mux_film
from vidgen.work import Film, Frames, Speech

SIZE = (64, 64)
FPS = Fraction(25)


@pytest.mark.parametrize("format", ["mp4", "mov"])
def test_a_voice_encoded_ahead_makes_the_same_file(tmp_path: Path, format: str) -> None:
    encoding = encoding_for(format)
    piece = tmp_path / f"piece{encoding.suffix}"
    with FilmWriter(piece, size=SIZE, fps=FPS, encoding=encoding) as writer:
        writer.write(Frames(np.full((25, 64, 64, 3), 90, np.uint8)))
    film = Film((piece,), 25, FPS, SIZE)
    tone = np.sin(np.arange(16_000, dtype=np.float32) / 20) * np.float32(0.3)
    speech, other = Speech(tone, 16_000, "a"), Speech(tone * np.float32(0.5), 16_000, "b")
    ahead = VoiceAhead(speech, encoding.sound)
    ahead.load()
    made = []
    for name, said, voice in (
        ("plain", speech, None), ("ahead", speech, ahead), ("again", speech, ahead),
        ("other", other, VoiceAhead(speech, encoding.sound)), ("plain other", other, None),
    ):  # fmt: skip
        mux_film(film, said, tmp_path / name, encoding, voice=voice)
        made.append((tmp_path / name).read_bytes())
    plain, used, again, strange, plain_other = made
    assert plain == used == again
    assert strange == plain_other != plain
