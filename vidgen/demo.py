"""The demo's inputs: a public-domain portrait, and a voice made on the spot by Praat's eSpeak."""

from pathlib import Path
from typing import Final

from vidgen import fetch
from vidgen.catalog import Catalog, Told, models

TEXT: Final = (
    "Hello! I am a photograph, and a moment ago I could not speak. "
    "Now I move my lips, I blink, and I look at you. "
    "Nothing of this has left your own machine."
)
VOICE: Final = ("English (Great Britain)", "Female1")  # as Praat names them


def photo(shelf: Catalog, told: Told) -> Path:
    """The portrait, fetched when it is not here. Raises SetupError when it cannot be had."""
    model = models()["demo_photo"]
    fetch.ensure(shelf, [model], told)
    return shelf.path("demo_photo")


def voice(file: Path, text: str = TEXT) -> Path:
    """Speak `text` into `file`, 44.1 kHz mono WAV, and answer it."""
    import parselmouth

    synthesizer = parselmouth.praat.call("Create SpeechSynthesizer", *VOICE)
    sound = parselmouth.praat.call(synthesizer, "To Sound", text, "no")
    if not isinstance(sound, parselmouth.Sound):  # some versions answer (TextGrid, Sound)
        sound = next(item for item in sound if isinstance(item, parselmouth.Sound))
    file.parent.mkdir(parents=True, exist_ok=True)
    sound.save(str(file), parselmouth.SoundFileFormat.WAV)
    return file
