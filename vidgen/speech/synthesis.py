"""A voice for words: English by `hibari-tts` (the extra `say`), every sound's time known.

The network tells how long it makes each symbol, in steps of 25 ms. Only speaks; other voices and
languages are `espeak`'s business.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from vidgen.errors import InputError, SetupError
from vidgen.installation import install_command
from vidgen.speech.espeak import Phone
from vidgen.work import Floats

RATE: Final = 24_000
STEP: Final = 0.025  # seconds in a duration of 1
# Seconds by which the durations run behind the sound they stand for: shifted by 55 ms, closures and
# vowels agree best with the level of 500-3500 Hz, in twelve texts (r .05 without, .6 with it).
BEHIND: Final = 0.055
SEED: Final = 7  # of the noise in the voice: the same words, the same samples
GAP: Final = 0.12  # seconds of silence between two sentences
DURATIONS: Final = b"/Clip_output_0"  # the graph's value that holds them
SYMBOLS: Final = {
    "I": "aɪ", "W": "aʊ", "A": "eɪ", "O": "oʊ", "Y": "ɔɪ", "Q": "əʊ", "ʤ": "dʒ", "ʧ": "tʃ",
    "T": "ɾ", "ɐ": "ə", "ᵊ": "ə", "ʣ": "dz", "ʦ": "ts",
}  # fmt: skip
STRESSES: Final = "ˈˌ"
LENGTHS: Final = "ːʰʲ"


@dataclass(frozen=True, slots=True)
class Said:
    """TimedPhones as a voice says them; the phones cover it without gaps."""

    samples: Floats
    rate: int
    phones: tuple[Phone, ...]


def say(text: str, language: str = "en", speed: float = 1.0) -> Said:
    """`text` spoken, mono. Raises InputError for another language than English or for nothing to
    say, SetupError without the extra."""
    if language.strip().lower().replace("_", "-").partition("-")[0] not in ("en", "auto"):
        raise InputError(
            "The voice that comes with --say speaks English only, not {language}.",
            hint="Record the words, or speak them with another program, and give that file.",
            code="say.language",
            language=language,
        )
    speaker = _speaker()
    parts: list[Floats] = []
    phones: list[Phone] = []
    start = 0.0
    for spoken in speaker.phonemize(text):
        samples, durations = _sentence(speaker, spoken, speed)
        found = earlier(_phones(spoken, durations, start), BEHIND, start)
        parts += [samples, np.zeros(round(GAP * RATE), np.float32)]
        start += len(samples) / RATE + GAP
        phones += [*found, Phone(found[-1].end, start, "")]
    if not any(phone.ipa for phone in phones):
        raise InputError(
            "There is nothing to say in the words.",
            hint="Give --say some words in Latin letters.",
            code="say.nothing",
        )
    return Said(np.concatenate(parts), RATE, tuple(join_silences(phones)))


def _speaker() -> Any:
    try:
        from hibari import Hibari
    except ImportError as error:
        raise SetupError(
            "A voice for the words needs the extra say, which is not installed.",
            hint="Install it: {command}. Or give a recording.",
            code="say.no_extra",
            command=install_command("say"),
        ) from error
    import onnxruntime

    speaker = Hibari()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # the same sums, every time
    options.log_severity_level = 3
    graph = with_output(Path(speaker.model_path).read_bytes(), DURATIONS)
    speaker.sess = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return speaker


def with_output(model: bytes, name: bytes) -> bytes:
    """An ONNX file that also answers the graph's float value `name`.

    Two messages of one kind, one behind the other, are one message with both lists (protobuf), so
    a graph that holds nothing but this output is put behind the file.
    """
    kind = b"\x0a\x02\x08\x01"  # TypeProto.tensor_type.elem_type = FLOAT
    value = b"\x0a" + bytes([len(name)]) + name + b"\x12" + bytes([len(kind)]) + kind
    graph = b"\x62" + bytes([len(value)]) + value  # GraphProto.output
    return model + b"\x3a" + bytes([len(graph)]) + graph  # ModelProto.graph


def _sentence(speaker: Any, spoken: str, speed: float) -> tuple[Floats, list[float]]:
    """The samples of one sentence, and how many seconds each of its symbols takes, pads too."""
    from hibari import dsp

    feeds = {
        "ids": np.array([speaker.ids(spoken)], np.int64),
        "speed": np.array([speed], np.float32),
    }
    *parts, durations = speaker.sess.run(None, feeds)
    samples = dsp.synth(*(part[0] for part in parts), np.random.default_rng(SEED))
    return np.asarray(samples, np.float32), [STEP * float(d) for d in durations.ravel()]


def _phones(spoken: str, durations: Sequence[float], start: float) -> list[Phone]:
    """The symbols in time. A stress belongs to the sound that it stands before, a length to the
    one behind which it stands, a space between two words half to either."""
    symbols = ["", *spoken, ""]
    at = start
    held = 0.0  # seconds that belong to the sound that comes
    made: list[Phone] = []
    for index, (symbol, seconds) in enumerate(zip(symbols, durations, strict=True)):
        if symbol in STRESSES and symbol:
            held += seconds
            continue
        between = symbol == " " and re.match(r"\w|[ˈˌ]", symbols[index + 1]) is not None
        if (symbol in LENGTHS and symbol) or (between and made and made[-1].ipa):
            mine = seconds if symbol != " " else seconds / 2
            made[-1] = Phone(made[-1].start, at + mine, made[-1].ipa)
            at += mine
            held += seconds - mine
            continue
        ipa = SYMBOLS.get(symbol, symbol) if symbol.isalpha() else ""
        made.append(Phone(at, at + held + seconds, ipa))
        at += held + seconds
        held = 0.0
    return made


def earlier(phones: Iterable[Phone], seconds: float, begin: float) -> list[Phone]:
    """`phones`, which begin at `begin` with a silence, all so many seconds earlier."""
    first, *others = phones
    kept = Phone(begin, max(begin, first.end - seconds), first.ipa)
    return [kept, *(Phone(p.start - seconds, p.end - seconds, p.ipa) for p in others)]


def join_silences(phones: Sequence[Phone]) -> Iterator[Phone]:
    """`phones` with silences that follow one another made one."""
    silence: Phone | None = None
    for phone in phones:
        if not phone.ipa:
            silence = Phone(silence.start if silence else phone.start, phone.end, "")
            continue
        if silence:
            yield silence
        silence = None
        yield phone
    if silence:
        yield silence
