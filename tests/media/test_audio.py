"""Reading voices: every format to the same samples, every bad file to its own sentence."""

import hashlib
import tracemalloc
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from tests.support.fake_renderer import lag_seconds, tone
from vidgen.errors import InputError
from vidgen.events import Event, Log
from vidgen.media.audio import flaws, load_speech
from vidgen.work import Floats, Speech


def encoded(path: Path, codec: str, layout: str, speech: Speech) -> Path:
    """The voice written by FFmpeg with a correct clock."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=speech.rate, layout="mono")
        stream.codec_context.format = layout  # type: ignore[union-attr]
        frame = av.AudioFrame.from_ndarray(speech.samples[None], format="fltp", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = speech.rate, 0, Fraction(1, speech.rate)
        container.mux(stream.encode(frame))  # type: ignore[union-attr, arg-type]
        container.mux(stream.encode(None))  # type: ignore[union-attr]
    return path


def wav(path: Path, samples: Floats, rate: int = 16000, subtype: str = "FLOAT") -> Path:
    soundfile.write(path, samples, rate, subtype)
    return path


def codes(path: Path) -> list[str]:
    """The notices that reading the file gives."""
    said: list[Event] = []
    load_speech(path, max_seconds=60, emit=said.append)
    return [event.code for event in said if isinstance(event, Log)]


def refusal(path: Path, max_seconds: float = 60) -> str:
    with pytest.raises(InputError) as caught:
        load_speech(path, max_seconds=max_seconds)
    return caught.value.code


@pytest.mark.parametrize(
    ("name", "codec", "layout"),
    [
        ("v.wav", "pcm_s16le", "s16"),
        ("v.flac", "flac", "s16"),
        ("v.mp3", "libmp3lame", "fltp"),
        ("v.m4a", "aac", "fltp"),
        ("v.ogg", "libopus", "flt"),
        ("v.webm", "libopus", "flt"),
        ("v.mka", "aac", "fltp"),
    ],
)
def test_every_format_gives_the_same_voice_at_the_same_time(
    tmp_path: Path, name: str, codec: str, layout: str
) -> None:
    said = tone(1.5, 48000)
    heard = load_speech(encoded(tmp_path / name, codec, layout, said), max_seconds=60)
    assert heard.rate == 48000
    assert abs(heard.seconds - said.seconds) < 0.0215  # AAC fills its last packet
    assert lag_seconds(heard, said) == 0


@pytest.mark.parametrize("rate", [8000, 44100, 96000])
def test_the_rate_is_kept_and_stereo_becomes_its_louder_channel(tmp_path: Path, rate: int) -> None:
    said = tone(1.0, rate).samples
    file = wav(tmp_path / "v.wav", np.stack([said, said * 0.5], 1), rate)
    heard = load_speech(file, max_seconds=60, text="hello")
    assert (heard.rate, heard.text) == (rate, "hello")
    assert heard.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    np.testing.assert_array_equal(heard.samples, said)


def test_16_bit_samples_are_exact(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-32768, 32767, 16000).astype(np.int16)
    soundfile.write(tmp_path / "v.wav", values, 16000, "PCM_16")
    heard = load_speech(tmp_path / "v.wav", max_seconds=60)
    np.testing.assert_array_equal(heard.samples, values.astype(np.float32) / 32768)


def test_a_voice_that_mixing_cancels_is_taken_from_its_first_channel(tmp_path: Path) -> None:
    said = tone(1.0).samples
    heard = load_speech(wav(tmp_path / "v.wav", np.stack([said, -said], 1)), max_seconds=60)
    np.testing.assert_array_equal(heard.samples, said)


def test_telephone_amr_is_read(tmp_path: Path) -> None:
    # 50 frames of 12.2 kbit/s; their bits are noise, which decodes to noise.
    body = np.random.default_rng(1).integers(0, 256, (50, 31), np.uint8)
    frames = b"".join(b"\x3c" + row.tobytes() for row in body)
    (tmp_path / "v.amr").write_bytes(b"#!AMR\n" + frames)
    heard = load_speech(tmp_path / "v.amr", max_seconds=60)
    assert (heard.rate, heard.seconds) == (8000, 1.0)
    assert "voice.telephone" in codes(tmp_path / "v.amr")


def test_a_clean_voice_gets_no_notice(tmp_path: Path) -> None:
    assert codes(wav(tmp_path / "v.wav", tone(1.0).samples)) == []


def loud(samples: Floats) -> Floats:
    return np.clip(samples * 6, -1, 1)


def holed(samples: Floats) -> Floats:
    samples = samples.copy()
    samples[100:110] = np.nan
    samples[200] = np.inf
    return samples


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (loud, "voice.clipped"),
        (holed, "voice.not_finite"),
        (lambda samples: samples * 8, "voice.scaled"),
        (lambda samples: samples[:9000], "voice.cut_off"),
    ],
)
def test_what_is_odd_is_said_and_the_voice_stays_usable(
    tmp_path: Path, change: Callable[[Floats], Floats], code: str
) -> None:
    file = wav(tmp_path / "v.wav", change(tone(1.0).samples))
    assert codes(file) == [code]
    samples = load_speech(file, max_seconds=60).samples
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() <= 1


@pytest.mark.parametrize(
    ("name", "codec", "layout"),
    [("v.flac", "flac", "s16"), ("v.wav", "pcm_s16le", "s16")],
)
def test_a_file_that_breaks_off_is_used_as_far_as_it_goes(
    tmp_path: Path, name: str, codec: str, layout: str
) -> None:
    whole = encoded(tmp_path / name, codec, layout, tone(2.0)).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    assert "voice.truncated" in codes(tmp_path / name)
    assert 0.7 < load_speech(tmp_path / name, max_seconds=60).seconds < 1.4
    (tmp_path / name).write_bytes(whole[: len(whole) // 20])
    assert refusal(tmp_path / name) in {"voice.damaged", "voice.not_sound"}


def test_an_m4a_without_its_index_is_said_to_be_cut_off(tmp_path: Path) -> None:
    """As a download that stopped and a telephone that died leave it."""
    file = tmp_path / "v.m4a"
    whole = encoded(file, "aac", "fltp", tone(2.0)).read_bytes()
    sound = whole.index(b"mdat") - 4
    for start in (whole[: len(whole) // 2], whole[:sound] + bytes(4) + whole[sound + 4 :][:2000]):
        file.write_bytes(start)
        assert refusal(file) == "voice.cut_short"
    for other in (whole[:sound], b"\0\0\0\x08ftyp" * 5000, whole[:4] + b"junk" + whole[8:2000]):
        file.write_bytes(other)
        assert refusal(file) == "voice.not_sound"


def test_what_is_not_a_voice_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("these are words, not sound\n" * 50)
    (tmp_path / "empty.wav").touch()
    locked = wav(tmp_path / "silent.wav", np.zeros(16000, np.float32))
    hum = wav(tmp_path / "faint.wav", np.sin(np.arange(16000) * 0.1) * 1e-3)
    offset = wav(tmp_path / "offset.wav", np.full(16000, 0.4, np.float32))
    nan = wav(tmp_path / "nan.wav", np.full(16000, np.nan, np.float32))
    blip = wav(tmp_path / "blip.wav", tone(0.25).samples)
    assert {
        "text": refusal(tmp_path / "text.wav"),
        "empty": refusal(tmp_path / "empty.wav"),
        "missing": refusal(tmp_path / "missing.wav"),
        "folder": refusal(tmp_path),
        "silent": refusal(locked),
        "faint": refusal(hum),
        "only an offset": refusal(offset),
        "only NaN": refusal(nan),
        "short": refusal(blip),
    } == {
        "text": "voice.not_sound",
        "empty": "voice.empty",
        "missing": "voice.missing",
        "folder": "voice.is_folder",
        "silent": "voice.silent",
        "faint": "voice.silent",
        "only an offset": "voice.silent",
        "only NaN": "voice.silent",
        "short": "voice.too_short",
    }


def test_a_film_without_sound_has_no_track(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "v.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode(None))
    assert refusal(tmp_path / "v.mp4") == "voice.no_track"


def test_a_long_voice_is_refused_and_one_of_just_the_limit_is_not(tmp_path: Path) -> None:
    file = wav(tmp_path / "v.wav", tone(2.0).samples)
    assert refusal(file, max_seconds=1.999) == "voice.too_long"
    assert load_speech(file, max_seconds=2.0).seconds == 2.0


def test_a_day_of_sound_is_refused_without_reading_it_all(tmp_path: Path) -> None:
    file = wav(tmp_path / "v.wav", np.tile(tone(1.0).samples, 120), subtype="PCM_16")
    tracemalloc.start()
    try:
        assert refusal(file, max_seconds=1) == "voice.too_long"
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1_000_000  # 120 s would be 7.7 MB


def test_a_whisper_at_the_end_is_no_cut() -> None:
    assert flaws(tone(1.0)) == ()
