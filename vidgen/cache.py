"""What stages made, kept in a task's work folder so that no run makes it twice.

One `.npz` of arrays with a small JSON beside it that says from what it was made. Knows the
values of `work`, not the stages; a file that is not whole counts as not there.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from vidgen import settings
from vidgen.files import atomic_write
from vidgen.inputs import fingerprint
from vidgen.models import catalog
from vidgen.models.select import ENLARGER, ModelChoice, drawing_device
from vidgen.paths import Home
from vidgen.settings import Options
from vidgen.steps import Step
from vidgen.version import __version__
from vidgen.work import Cutout, EyeView, Person, Subject, Work

FORMAT: Final = 2
# Raised when a stage makes something else of the same inputs: what is kept of it is made again.
VERSIONS: Final = {"detect": 11, "matte": 2, "prosody": 2, "render": 27}


def key_of(*parts: object) -> str:
    """One hash of everything given: strings, numbers, None, and lists or dicts of them."""
    text = orjson.dumps(parts, option=orjson.OPT_SORT_KEYS | orjson.OPT_SERIALIZE_NUMPY)
    return hashlib.sha256(text).hexdigest()


@dataclass(frozen=True, slots=True)
class Keys:
    """What each kept value depends on, as hashes: the same key, the same bytes.

    One hash for each kept value; each builds on those before it.
    """

    subject: str
    cutout: str
    film: str

    @classmethod
    def of(cls, options: Options, chosen: ModelChoice, photo: str, voice: str) -> "Keys":
        """`photo` and `voice` are the inputs' own hashes."""

        def key(stage: str, models: Iterable[str], names: str, *parts: object) -> str:
            hashes = {name: catalog.models()[name].sha256 for name in models}
            values = {name: str(getattr(options, name)) for name in names.split()}
            return key_of(__version__, VERSIONS[stage], hashes, values, *parts)

        where = chosen.device.partition(":")[0]  # another kind of device rounds otherwise
        faces = chosen.face_models + (ENLARGER if options.enlarge else ())
        choices = "person conf_threshold framing height aspect"
        subject = key("detect", faces, choices, photo)
        cutout = key(
            "matte", chosen.matte_models, "smoothing", subject, _background(options), where
        )
        speech = key("prosody", (), "trim pitch pitch_range rate loudness", voice)
        film = key(
            "render",
            chosen.render_models,
            "seed mouth head_motion blink brows gaze mood expression fps format language",
            cutout,
            speech,
            settings.words(options),
            (chosen.renderer, drawing_device(options, chosen).partition(":")[0]),
        )
        return cls(subject, cutout, film)


def _background(options: Options) -> str:
    """The word or colour, or what is in the picture: its name and place do not matter."""
    file = settings.background_file(options)
    return fingerprint(file) if file else options.background


@dataclass(frozen=True, slots=True)
class StageCache:
    """Keeps in one task's work folder; looks there first, then in the other tasks' folders."""

    home: Home
    folder: Path
    fresh: bool = False  # True: use nothing that another run made

    def has(self, step: Step) -> bool:
        return bool(step.keeps) and any(file.exists() for file in self._candidates(step))

    def load(self, step: Step) -> tuple[object, ...] | None:
        for arrays in self._candidates(step):
            values = _read(arrays, step)
            if values is not None:
                return values
        return None

    def save(self, step: Step, work: Work) -> None:
        import io

        import numpy as np

        arrays: dict[str, Any] = {}
        plain: dict[str, Any] = {}
        for kind in step.keeps:
            value_arrays, value_plain = _TO_PARTS[kind](work.get(kind))
            arrays |= {f"{kind.__name__}.{name}": array for name, array in value_arrays.items()}
            plain[kind.__name__] = value_plain
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        content = buffer.getvalue()
        file = self.folder / _file_name(step)
        atomic_write(file, content)
        metadata = {
            "format": FORMAT,
            "stage": step.stage.name,
            "key": step.key,
            "sha256": hashlib.sha256(content).hexdigest(),
            "values": plain,
        }
        atomic_write(
            file.with_suffix(".json"), orjson.dumps(metadata, option=orjson.OPT_SERIALIZE_NUMPY)
        )

    def _candidates(self, step: Step) -> list[Path]:
        name = _file_name(step)
        own = [self.folder / name]
        return own if self.fresh else own + sorted(self.home.tasks.glob(f"*/work/{name}"))


def _file_name(step: Step) -> str:
    return f"{step.stage.name}-{step.key[:16]}.npz"


def _read(file: Path, step: Step) -> tuple[object, ...] | None:
    """The kept values, or None when anything about them is not as it was written."""
    import io

    import numpy as np

    try:
        metadata = orjson.loads(file.with_suffix(".json").read_bytes())
        content = file.read_bytes()
        if (metadata["format"], metadata["key"]) != (FORMAT, step.key):
            return None
        if metadata["sha256"] != hashlib.sha256(content).hexdigest():
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return tuple(
                _FROM_PARTS[kind](
                    {
                        name.partition(".")[2]: arrays[name]
                        for name in arrays.files
                        if name.startswith(f"{kind.__name__}.")
                    },
                    metadata["values"][kind.__name__],
                )
                for kind in step.keeps
            )
    except (OSError, ValueError, KeyError, TypeError):
        return None


Parts = tuple[Mapping[str, Any], Mapping[str, Any]]  # arrays, the rest


def _subject_parts(value: Subject) -> Parts:
    people = [{"box": p.box, "face": p.face, "score": p.score} for p in value.people]
    eyes = [
        {name: getattr(eye, name) for name in ("upper", "lower", "centre", "radius", "problem")}
        for eye in value.eyes
    ]
    plain = {"face": value.face, "person": value.person, "people": people, "chosen": value.chosen}
    return {"frame": value.frame, "landmarks": value.landmarks}, plain | {"eyes": eyes}


def _subject(arrays: Mapping[str, Any], plain: Mapping[str, Any]) -> Subject:
    people = tuple(
        Person(tuple(p["box"]), tuple(p["face"]) if p["face"] else None, p["score"])
        for p in plain["people"]
    )
    return Subject(
        arrays["frame"],
        arrays["landmarks"],
        tuple(plain["face"]),
        tuple(plain["person"]),
        people,
        plain["chosen"],
        tuple(_eye(eye) for eye in plain["eyes"]),
    )


def _eye(plain: Mapping[str, Any]) -> EyeView:
    import numpy as np

    upper, lower, centre = (
        np.array(plain[name], np.float32) for name in ("upper", "lower", "centre")
    )
    return EyeView(upper, lower, centre, plain["radius"], plain["problem"])


def _cutout_parts(value: Cutout) -> Parts:
    arrays = {"foreground": value.foreground, "matte": value.matte}
    if value.background is not None:
        arrays["background"] = value.background
    return arrays, {"keeps_photo": value.keeps_photo}


def _cutout(arrays: Mapping[str, Any], plain: Mapping[str, Any]) -> Cutout:
    return Cutout(
        arrays["foreground"], arrays["matte"], arrays.get("background"), plain["keeps_photo"]
    )


_TO_PARTS: Final[Mapping[type, Any]] = {Subject: _subject_parts, Cutout: _cutout_parts}
_FROM_PARTS: Final[Mapping[type, Any]] = {Subject: _subject, Cutout: _cutout}
