"""What each kept value depends on, as hashes: the same key, the same bytes."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from vidgen import __version__, catalog, request, settings
from vidgen.cache import key_of
from vidgen.plan import Plan
from vidgen.settings import Options

# Raised when a stage makes something else of the same inputs: what is kept of it is made again.
VERSIONS: Final = {"detect": 1, "matte": 1, "prosody": 1, "render": 1}


@dataclass(frozen=True, slots=True)
class Keys:
    """One hash for each kept value; each builds on those before it."""

    subject: str
    cutout: str
    film: str

    @classmethod
    def of(cls, options: Options, chosen: Plan, photo: str, voice: str) -> "Keys":
        """`photo` and `voice` are the inputs' own hashes."""

        def key(stage: str, models: Iterable[str], names: str, *parts: object) -> str:
            hashes = {name: catalog.models()[name].sha256 for name in models}
            values = {name: str(getattr(options, name)) for name in names.split()}
            return key_of(__version__, VERSIONS[stage], hashes, values, *parts)

        where = chosen.device.partition(":")[0]  # another kind of device rounds otherwise
        subject = key(
            "detect", chosen.face_models, "person conf_threshold framing height aspect", photo
        )
        cutout = key(
            "matte", chosen.matte_models, "smoothing", subject, _background(options), where
        )
        speech = key("prosody", (), "pitch pitch_range rate loudness", voice)
        film = key(
            "render",
            chosen.render_models,
            "seed mouth head_motion blink brows gaze fps format language",
            cutout,
            speech,
            settings.words(options),
            (chosen.renderer, where),
        )
        return cls(subject, cutout, film)


def _background(options: Options) -> str:
    """The word or colour, or what is in the picture: its name and place do not matter."""
    file = settings.background_file(options)
    return request.fingerprint(file) if file else options.background
