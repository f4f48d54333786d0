"""`--say`: words without a voice get one first; the run of them is a run like any other."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from vidgen.request import Request


@contextmanager
def with_voice(request: Request, text: str) -> Iterator[Request]:
    """`request` with a voice that says `text`, for the time of its run; as it is without text.

    Raises SetupError without the extra `say`, InputError for a language that it does not speak.
    """
    if not text:
        yield request
        return
    with tempfile.TemporaryDirectory(prefix="vidgen-say-") as folder:
        file = Path(folder) / request.voice.name
        yield replace(request, voice=write_voice(text, request.options.language, file))


def write_voice(text: str, language: str, file: Path) -> Path:
    """Speak `text` into `file`, WAV, and answer it."""
    import soundfile

    from vidgen.speech.synthesis import say

    said = say(text, language)
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, said.samples, said.rate)
    return file
