"""The network that hears phones: its file, how voices are cut, what it says of known ones."""

import struct
from collections.abc import Callable
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.support.speakers import Voice, voice, with_noise
from vidgen.errors import SetupError
from vidgen.speech import recognizer
from vidgen.speech.espeak import Phone
from vidgen.speech.features import listen
from vidgen.speech.recognizer import LONGEST, STRIDE, Recognizer, open_recognizer
from vidgen.speech.spikes import hear_phones
from vidgen.speech.tokens import BLANK, BOUNDARY, TOKENS
from vidgen.speech.visemes import kind
from vidgen.work import Floats

RATE = 16_000
known = cache(voice)


@pytest.fixture
def hears(model_path: Callable[[str], Path]) -> Recognizer:
    return open_recognizer(model_path("phone_recognizer"))


def noise(seconds: float, size: float = 0.1) -> Floats:
    rng = np.random.default_rng(3)
    return np.asarray(size * rng.standard_normal(int(seconds * RATE)), np.float32)


def test_tokens_are_the_networks() -> None:
    assert len(set(TOKENS)) == len(TOKENS) == 191
    assert (BOUNDARY, BLANK) == (189, 190)
    assert [TOKENS[n] for n in (7, 35, 52, 103, 188)] == ["a", "p", "we", "ɫ", "꜔"]


@pytest.mark.parametrize(
    "content",
    [b"", b"something else", b"HAMAPK\x01\x02" + struct.pack("<I", 3) + b"\x05\x00mel"],
    ids=["empty", "another file", "cut off"],
)
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "asr_waveform.hama"
    file.write_bytes(content)
    with pytest.raises(SetupError) as caught:
        open_recognizer(file)
    assert caught.value.code == "speech.weights"


@pytest.mark.parametrize("seconds", [0.0, 3.0, 25.0, 26.0, 70.0, 131.0])
@pytest.mark.parametrize("pauses", [True, False])
def test_pieces_are_used_without_gaps(seconds: float, pauses: bool) -> None:
    sound = noise(seconds)
    if pauses:
        for start in range(4, int(seconds), 7):
            sound[start * RATE : start * RATE + RATE // 2] = 0
    count = -(-len(sound) // STRIDE)
    pieces = list(recognizer._pieces(sound, count))
    assert pieces[0].begin == 0
    assert pieces[-1].end == count
    assert all(one.end == two.begin for one, two in pairwise(pieces))
    assert all(piece.last - piece.first <= LONGEST for piece in pieces)
    assert all(piece.first <= piece.begin <= piece.end <= piece.last for piece in pieces)
    if pauses:  # nothing is heard twice when there is silence to cut in
        assert all(piece.first == piece.begin for piece in pieces)


@pytest.mark.models
def test_what_is_heard_of_a_known_voice(hears: Recognizer) -> None:
    made = known("en-gb", "Male2")
    samples = made.speech.samples
    for sent, least in ((samples, 0.8), (with_noise(samples, 15), 0.7)):
        phones = hear_phones(hears(sent), listen(sent, RATE))
        assert share_found(made, phones_of(phones, "bilabial")) >= least
        assert all(one.end <= two.start + 1e-9 for one, two in pairwise(phones))


def phones_of(phones: tuple[Phone, ...], name: str) -> list[float]:
    return [(phone.start + phone.end) / 2 for phone in phones if kind(phone.ipa) == name]


def share_found(made: Voice, heard: list[float]) -> float:
    """How many of the voice's p, b and m are among those heard, within 60 ms."""
    real = [p for p in made.phones if kind(p.ipa) == "bilabial"]
    hits = [any(abs((p.start + p.end) / 2 - at) < 0.06 for at in heard) for p in real]
    return float(np.mean(hits))


@pytest.mark.models
def test_a_voice_cut_in_a_pause_is_heard_as_its_parts(hears: Recognizer) -> None:
    first, second = known("en-gb", "Male2").speech.samples, known("it", "Michael").speech.samples
    gap = np.zeros(RATE, np.float32)
    together = np.concatenate([first[: 16 * RATE], gap, second[: 12 * RATE]])
    heard = hears(together)
    assert heard.shape == (len(together) // STRIDE, 191)
    assert np.array_equal(heard, hears(together))
    cut = next(recognizer._pieces(together, len(heard))).last
    assert np.array_equal(heard[:cut], hears(together[: cut * STRIDE]))
    assert np.array_equal(heard[cut:], hears(together[cut * STRIDE :]))


@pytest.mark.models
@pytest.mark.parametrize(
    "sound",
    [np.zeros(0), np.zeros(100), np.zeros(2 * RATE), np.ones(2 * RATE)],
    ids=["nothing", "6 ms", "silence", "DC"],
)
def test_where_nobody_speaks_no_phone_is_heard(hears: Recognizer, sound: Floats) -> None:
    sent = sound.astype(np.float32)
    assert hear_phones(hears(sent), listen(sent, RATE)) == ()
