"""The demo: a public-domain portrait, a voice made on the spot, and their run."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from vidgen.events import Emit, Sink
from vidgen.models import pull
from vidgen.models.catalog import Catalog, OnProgress, models
from vidgen.paths import Home
from vidgen.request import Request, build_request
from vidgen.run import Result, download_progress, start
from vidgen.settings import Setting

TEXT: Final = (
    "Hello! I am a photograph, and a moment ago I could not speak. "
    "Now I move my lips, I blink, and I look at you. "
    "Nothing of this has left your own machine."
)
VOICE: Final = ("English (Great Britain)", "Female1")  # as Praat names them


def make_demo(
    home: Home, output: Path | str | None, given: Mapping[str, Setting], views: Sequence[Sink]
) -> Result:
    """Make the demo's film: a run like any other, of inputs that are made ready in it."""

    def ask(emit: Emit) -> Request:
        picture = demo_photo(Catalog(home), download_progress(emit))
        speech = demo_voice(home.models / "demo_photo" / "voice.wav")
        words = {"text": Setting(TEXT, "default")}
        return build_request(picture, speech, output, {**given, **words}, name="demo")

    return start(home, ask, views)


def demo_photo(here: Catalog, on_progress: OnProgress) -> Path:
    """The portrait, fetched when it is not here. Raises SetupError when it cannot be had."""
    model = models()["demo_photo"]
    pull.ensure(here, [model], on_progress)
    return here.path("demo_photo")


def demo_voice(file: Path, text: str = TEXT) -> Path:
    """Speak `text` into `file`, mono WAV, and answer it: by the extra `say`, else by eSpeak."""
    if find_spec("hibari") is not None:
        from vidgen.say import write_voice

        return write_voice(text, "en", file)
    import parselmouth

    synthesizer = parselmouth.praat.call("Create SpeechSynthesizer", *VOICE)
    sound = parselmouth.praat.call(synthesizer, "To Sound", text, "no")
    if not isinstance(sound, parselmouth.Sound):  # some versions answer (TextGrid, Sound)
        sound = next(item for item in sound if isinstance(item, parselmouth.Sound))
    file.parent.mkdir(parents=True, exist_ok=True)
    sound.save(str(file), parselmouth.SoundFileFormat.WAV)
    return file
