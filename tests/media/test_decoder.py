"""Decoding on the file's own clock: damage and pauses are silence, names are no protocols."""

import tracemalloc
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile

from tests.support.voices import RATE, level, syllables, write_tracks
from vidgen.errors import InputError
from vidgen.events import Event, Log
from vidgen.media.audio import load_speech
from vidgen.media.decoder import Clock
from vidgen.work import Floats, Speech


def read(path: Path) -> tuple[Speech, dict[str, Log]]:
    said: list[Event] = []
    speech = load_speech(path, max_seconds=60, emit=said.append)
    return speech, {event.code: event for event in said if isinstance(event, Log)}


def part(speech: Speech, start: float, end: float) -> Floats:
    return speech.samples[round(start * speech.rate) : round(end * speech.rate)]


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_speech(path, max_seconds=60)
    return caught.value.code


# Packets that cannot be decoded


def mp3(path: Path, seconds: float = 2.0, seed: int = 0) -> Path:
    return write_tracks(path, [syllables(seconds, 24000, seed=seed)], "libmp3lame", rate=24000)


def test_joined_mp3s_are_heard_to_the_end(tmp_path: Path) -> None:
    first, second = mp3(tmp_path / "a.mp3"), mp3(tmp_path / "b.mp3", seed=1)
    (tmp_path / "j.mp3").write_bytes(first.read_bytes() + second.read_bytes())
    speech, said = read(tmp_path / "j.mp3")
    assert speech.seconds == pytest.approx(4.0, abs=0.15)
    assert level(part(speech, 2.2, 3.8)) > -20
    assert "voice.truncated" not in said


def spoiled(path: Path, share: float, size: int) -> Path:
    """The file with noise of `size` bytes in place of its own, at this share of its length."""
    data = bytearray(path.read_bytes())
    at = int(len(data) * share)
    data[at : at + size] = np.random.default_rng(3).integers(0, 255, size, np.uint8).tobytes()
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("name", "codec"),
    [("v.mp3", "libmp3lame"), ("v.aac", "aac"), ("v.flac", "flac"), ("v.ogg", "libopus")],
)
def test_a_damaged_place_costs_no_more_than_itself(tmp_path: Path, name: str, codec: str) -> None:
    whole = write_tracks(tmp_path / name, [syllables(4.0)], codec)
    speech, said = read(spoiled(whole, 0.5, 1500))
    # mp3 and aac have no stamps: what is skipped in looking for the next frame is gone.
    assert speech.seconds == pytest.approx(4.0, abs=0.25)
    assert level(part(speech, 0.2, 1.6)) > -22
    assert level(part(speech, 2.6, 3.8)) > -22
    assert "voice.truncated" not in said


def test_lost_packets_are_told_in_seconds_and_keep_the_clock(tmp_path: Path) -> None:
    # AMR's frames of comfort noise (type 8) are none that FFmpeg decodes: a second of them.
    voice = np.random.default_rng(1).integers(0, 256, (50, 31), np.uint8)
    spoken = b"".join(b"\x3c" + row.tobytes() for row in voice)
    noise = (b"\x44" + bytes(5)) * 50
    (tmp_path / "v.amr").write_bytes(b"#!AMR\n" + spoken + noise + spoken)
    speech, said = read(tmp_path / "v.amr")
    assert speech.seconds == pytest.approx(3.0, abs=0.03)
    assert not part(speech, 1.1, 1.9).any()
    assert said["voice.lost"].metadata["seconds"] == pytest.approx(1.0, abs=0.03)
    assert "voice.paused" not in said


def test_a_file_of_nothing_but_damage_is_refused(tmp_path: Path) -> None:
    whole = mp3(tmp_path / "v.mp3")
    assert refusal(spoiled(whole, 0.05, whole.stat().st_size)) in {
        "voice.damaged",
        "voice.not_sound",
    }


# Stamps


def test_a_recorders_pause_is_silence(tmp_path: Path) -> None:
    file = write_tracks(
        tmp_path / "v.webm", [syllables(2.0)], "libopus", starts=[(0, 0), (1.0, 3.0)]
    )
    speech, said = read(file)
    assert speech.seconds == pytest.approx(4.0, abs=0.03)
    assert not part(speech, 1.1, 2.9).any()
    assert level(part(speech, 3.1, 3.9)) > -20
    assert said["voice.paused"].metadata["seconds"] == pytest.approx(2.0, abs=0.03)


def test_an_overlap_is_cut(tmp_path: Path) -> None:
    voice = syllables(4.0)
    first = write_tracks(tmp_path / "a.mka", [voice[: 3 * RATE]], "pcm_s16le").read_bytes()
    rest = write_tracks(tmp_path / "b.mka", [voice[3 * RATE :]], "pcm_s16le", starts=[(0, 2.5)])
    segment = first.index(b"\x18\x53\x80\x67") + 4
    open_end = first[:segment] + b"\x01" + b"\xff" * 7 + first[segment + 8 :]
    second = rest.read_bytes()
    (tmp_path / "v.mka").write_bytes(open_end + second[second.index(b"\x1f\x43\xb6\x75") :])
    speech, _ = read(tmp_path / "v.mka")
    assert speech.seconds == pytest.approx(3.5, abs=0.03)
    expected = voice[round(3.6 * RATE) : round(3.9 * RATE)]
    np.testing.assert_allclose(part(speech, 3.1, 3.4), expected, atol=2e-3)


def test_sound_that_begins_after_the_picture_keeps_its_place(tmp_path: Path) -> None:
    file = write_tracks(
        tmp_path / "v.mkv", [syllables(1.0)], "aac", starts=[(0, 0.8)], video_from=0.0
    )
    speech, _ = read(file)
    assert speech.seconds == pytest.approx(1.8, abs=0.05)
    assert not part(speech, 0, 0.7).any()


def test_sound_of_a_cut_out_of_a_stream_begins_at_once(tmp_path: Path) -> None:
    file = write_tracks(tmp_path / "v.mka", [syllables(1.0)], "aac", starts=[(0, 3600.0)])
    assert read(file)[0].seconds == pytest.approx(1.0, abs=0.05)


def test_recordings_joined_with_new_clocks_are_heard_one_after_the_other(tmp_path: Path) -> None:
    both = b""
    for seed in (0, 1):
        both += write_tracks(
            tmp_path / "p.ogg", [syllables(2.0, seed=seed)], "libopus"
        ).read_bytes()
    (tmp_path / "j.ogg").write_bytes(both)
    assert read(tmp_path / "j.ogg")[0].seconds == pytest.approx(4.0, abs=0.1)


def shifts(*stamps: float, jumps: bool = False, seconds: float = 0.02) -> list[float]:
    clock = Clock(None, jumps)
    return [round(clock.place(stamp, seconds), 4) for stamp in stamps]


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        ([0.0, 0.021, 0.04, 0.059, 0.08], [0, 0, 0, 0, 0]),  # rounded to milliseconds
        ([0.0, 0.02, 0.06, 0.08], [0, 0, 0.02, 0]),  # one telephone packet is lost
        ([0.0, 0.045, 0.04, 0.085, 0.08], [0, 0.025, 0, 0, 0]),  # a clock that runs to and fro
        ([5.0, 5.02, 0.0, 0.02], [0, 0, 0, 0]),  # back to the beginning: another recording
        ([9.0, 9.02, 8.9], [0, 0, -0.14]),  # an overlap
    ],
)
def test_only_what_means_something_shifts_the_sound(
    stamps: list[float], expected: list[float]
) -> None:
    assert shifts(*stamps) == expected


def test_a_jump_of_a_format_that_jumps_is_no_pause() -> None:
    assert shifts(0.0, 0.02, 50.0, jumps=True) == [0, 0, 0]
    assert shifts(0.0, 0.02, 50.0) == [0, 0, 49.96]


def test_a_clock_that_drifts_leaves_the_voice_alone() -> None:
    stamps = [number * 0.0202 for number in range(500)]  # a recorder 1 % slow
    assert set(shifts(*stamps)) == {0.0}


# Names and what is no voice


@pytest.mark.parametrize("name", ["10:30 memo.wav", "a:b.wav", "http:voice.wav", "concat:a.wav"])
def test_a_colon_makes_no_protocol(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(tmp_path / name, syllables(1.0), RATE)
    monkeypatch.chdir(tmp_path)
    assert read(Path(name))[0].seconds == pytest.approx(1.0)


def test_a_name_that_is_not_utf8_is_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "v.wav", syllables(1.0), RATE)
    odd = (tmp_path / "v.wav").rename(tmp_path / "caf\udce9.wav")
    assert read(odd)[0].seconds == pytest.approx(1.0)


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{voice}\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile {voice}\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 5004 RTP/AVP 0\n",
    ],
)
def test_a_list_of_other_files_is_no_voice(tmp_path: Path, text: str) -> None:
    voice = mp3(tmp_path / "voice.mp3")
    (tmp_path / "list.m3u8").write_text(text.format(voice=voice))
    assert refusal(tmp_path / "list.m3u8") == "voice.not_sound"


@pytest.mark.parametrize(
    ("old", "new"), [(b"mp4a", b"drms"), (b"mp4a", b"aavd"), (b"M4A ", b"M4P ")]
)
def test_a_voice_with_a_key_is_called_protected(tmp_path: Path, old: bytes, new: bytes) -> None:
    file = write_tracks(tmp_path / "v.m4a", [syllables(1.0)], "aac")
    assert old in file.read_bytes()
    file.write_bytes(file.read_bytes().replace(old, new, 1))
    assert refusal(file) == "voice.protected"


def test_a_rate_of_laboratories_is_brought_down(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "v.wav", syllables(1.0, 192000), 192000)
    speech = read(tmp_path / "v.wav")[0]
    assert speech.rate == 48000
    assert speech.seconds == pytest.approx(1.0, abs=0.002)


@pytest.mark.parametrize(
    ("codec", "layout", "suffix"),
    [
        ("aac", "7.1", ".m4a"),
        ("libopus", "7.1", ".mka"),
        ("pcm_s16le_planar", "7.1", ".nut"),
        ("pcm_s16le_planar", "hexadecagonal", ".nut"),
    ],
)
def test_many_channels_side_by_side_crash_nothing(
    tmp_path: Path, codec: str, layout: str, suffix: str
) -> None:
    """With eight planes PyAV reads past the end of a frame's own list of them."""
    path = tmp_path / f"voice{suffix}"
    tone = np.sin(np.arange(48_000, dtype=np.float32) * 0.05) * 0.3
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=48_000, layout=layout)
        channels = stream.codec_context.layout.nb_channels
        packed = np.ascontiguousarray(np.tile(tone, (channels, 1)).T.reshape(1, -1))
        frame = av.AudioFrame.from_ndarray(packed, "flt", layout)
        frame.sample_rate = 48_000
        resampler = av.AudioResampler(stream.codec_context.format.name, layout, 48_000)
        for made in (*resampler.resample(frame), None):
            container.mux(stream.encode(made))
    speech = load_speech(path, max_seconds=10)
    assert len(speech.samples) / speech.rate == pytest.approx(1.0, abs=0.1)


def test_sound_that_unpacks_to_gigabytes_takes_what_was_allowed(tmp_path: Path) -> None:
    """A FLAC of 78 MB took 6 GB: silence weighs nothing, and channels and rates multiply it."""
    file = tmp_path / "silence.flac"
    block = np.zeros((96_000, 8), np.int16)
    with soundfile.SoundFile(file, "w", 96_000, 8, "PCM_16") as sound:
        for _ in range(20):
            sound.write(block)
    assert file.stat().st_size < 300_000
    tracemalloc.start()
    with pytest.raises(InputError) as refused:
        load_speech(file, max_seconds=2)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.code == "voice.too_long"
    assert most < 16_000_000, "more than the two seconds that were allowed"
