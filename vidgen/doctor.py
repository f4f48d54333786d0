"""Look at this machine the way a run will, and say what is there, what is missing, what to do."""

import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final, Literal

from vidgen import paths
from vidgen.device import device
from vidgen.errors import VidgenError
from vidgen.installation import install_command
from vidgen.messages import say, user_language
from vidgen.models import catalog, select
from vidgen.paths import Home
from vidgen.version import __version__

Verdict = Literal["ok", "note", "problem"]
ROOM_BYTES: Final = 1_000_000_000  # less free than this is worth a word
ENCODERS: Final = ("libx264", "aac", "libvpx-vp9", "libopus", "prores_ks")
GPU_PACKAGES: Final = ("torch", "torchvision", "ultralytics", "transformers", "diffusers", "nobg")


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report."""

    subject: str
    verdict: Verdict
    text: str
    advice: str = ""


def run_doctor(home: Home) -> Iterator[Finding]:
    """Everything a run depends on, cheapest first. Never raises for what it finds."""
    yield Finding("vidgen", "ok", f"{__version__} on Python {platform.python_version()}")
    yield Finding("system", "ok", f"{platform.platform()}, {device.cpu_name()}")
    yield from _device()
    yield from _encoders()
    yield from _looked("models", lambda: _models(home))
    yield from _looked("home", lambda: _places(home))
    yield from _looked("disk", lambda: [_disk(home)])
    yield _config()
    yield _terminal()


def _looked(subject: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """What was found, or that looking is forbidden."""
    try:
        yield from look()
    except OSError as error:
        text = f"{error.filename or subject}: {error.strerror or error}"
        yield Finding(subject, "problem", text, _say("permissions"))


def _places(home: Home) -> Iterator[Finding]:
    """Whether a run can write where it must: runs, locks of devices, models."""
    for folder in (home.tasks, home.models):
        here = folder
        while not here.exists():
            here = here.parent
        with tempfile.TemporaryFile(dir=here):
            pass
    yield Finding("home", "ok", _say("writable", path=home.root))


def _device() -> Iterator[Finding]:
    if not device.has_gpu_extra():
        if device.gpu_present():
            advice = _say("install", command=install_command("gpu"))
            yield Finding("device", "note", _say("idle_gpu"), advice)
        else:
            yield Finding("device", "ok", _say("cpu"))
        return
    yield _extra()
    try:
        best = device.resolve_device("auto")
        yield Finding("device", "ok", f"{best}: {device.device_name(best)}")
    except (VidgenError, ImportError, OSError) as error:
        yield Finding("device", "problem", str(error), _say("reinstall_extra"))


def _extra() -> Finding:
    """Half an extra is worth a word: what it lacks, the small models do."""
    text = ", ".join(map(_package_version, GPU_PACKAGES))
    if all(map(device.has_package, GPU_PACKAGES)):
        return Finding("gpu extra", "ok", text)
    return Finding("gpu extra", "note", text, _say("install_all", command=install_command("gpu")))


def _package_version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return _say("package_missing", package=package)


def _encoders() -> Iterator[Finding]:
    try:
        import av
    except ImportError as error:
        yield Finding("encoders", "problem", _say("no_av", reason=error), _say("reinstall_av"))
        return
    there = [name for name in ENCODERS if name in av.codec.codecs_available]
    missing = [name for name in ENCODERS[:2] if name not in there]
    if missing:
        yield Finding(
            "encoders",
            "problem",
            _say("encoders_missing", names=", ".join(missing)),
            _say("reinstall_av"),
        )
    else:
        from vidgen.media.encodings import HARDWARE, answers

        yield Finding("encoders", "ok", ", ".join([*there, *filter(answers, HARDWARE)]))


def _models(home: Home) -> Iterator[Finding]:
    here = catalog.Catalog(home)
    for name in ("embedded", "full", *(("enlarge",) if device.has_package("ncnn") else ())):
        members = [
            model
            for model in catalog.models().values()
            if model.set == name
            and (
                name != "embedded"
                or model.name in (*select.EMBEDDED, select.HEARING, *select.HANDS)
            )
        ]
        if not members:
            continue
        states = {model.name: here.state(model) for model in members}
        ready = [model for model, state in states.items() if state == "ready"]
        wrong = [model for model, state in states.items() if state == "wrong"]
        text = _say("models_ready", ready=len(ready), all=len(states))
        advice = "" if len(ready) == len(states) else _say("fetch", name=name)
        if wrong:
            yield Finding(
                f"models {name}",
                "problem",
                f"{text}; " + _say("models_wrong", names=", ".join(wrong)),
                advice,
            )
        else:
            yield Finding(f"models {name}", "ok" if not advice else "note", text, advice)


def _disk(home: Home) -> Finding:
    folder = home.root
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = _say("free", size=f"{free / 1e9:.1f}", path=home.root)
    if free < ROOM_BYTES:
        return Finding("disk", "problem", text, _say("disk_full"))
    return Finding("disk", "ok", text)


def _config() -> Finding:
    from vidgen.config import in_force
    from vidgen.settings import environment_name

    file = paths.config_path()
    try:
        settings = in_force()
    except VidgenError as error:
        return Finding("settings", "problem", error.message, error.hint)
    lines = [str(file) if Path(file).exists() else _say("no_file", path=file)]
    for name, setting in settings.items():
        source = {"config": "config.toml", "environment": environment_name(name)}
        if setting.source in source:
            lines.append(f"{name} = {setting.value} ({source[setting.source]})")
    others = len(settings) - len(lines) + 1
    lines.append(_say("defaults", count=others))
    return Finding("settings", "ok", "\n".join(lines))


def _terminal() -> Finding:
    size = shutil.get_terminal_size()
    kind = _say("terminal_is") if sys.stderr.isatty() else _say("no_terminal")
    return Finding("terminal", "ok", f"{kind}, {size.columns}×{size.lines}, {_encoding()}")


def _encoding() -> str:
    return (sys.stderr.encoding or "unknown encoding").upper()


def _say(key: str, **values: object) -> str:
    """A sentence of the table `doctor`, in the user's language."""
    return say(f"doctor.{key}", values, user_language())
