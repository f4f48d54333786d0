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
        yield Finding(subject, "problem", text, "Check its permissions, or set VIDGEN_HOME")


def _places(home: Home) -> Iterator[Finding]:
    """Whether a run can write where it must: runs, locks of devices, models."""
    for folder in (home.tasks, home.models):
        here = folder
        while not here.exists():
            here = here.parent
        with tempfile.TemporaryFile(dir=here):
            pass
    yield Finding("home", "ok", f"{home.root} can be written to")


def _device() -> Iterator[Finding]:
    if not device.has_gpu_extra():
        if device.gpu_present():
            text = "there is an NVIDIA GPU, but the GPU extra is not installed"
            yield Finding("device", "note", text, f"Install it: {install_command('gpu')}")
        else:
            yield Finding("device", "ok", "the CPU (no GPU found, GPU extra not installed)")
        return
    yield _extra()
    try:
        best = device.resolve_device("auto")
        yield Finding("device", "ok", f"{best}: {device.device_name(best)}")
    except (VidgenError, ImportError, OSError) as error:
        yield Finding("device", "problem", str(error), "Reinstall the GPU extra, or --device cpu")


def _extra() -> Finding:
    """Half an extra is worth a word: what it lacks, the small models do."""
    text = ", ".join(map(_package_version, GPU_PACKAGES))
    if all(map(device.has_package, GPU_PACKAGES)):
        return Finding("gpu extra", "ok", text)
    return Finding("gpu extra", "note", text, f"Install all of it: {install_command('gpu')}")


def _package_version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} missing"


def _encoders() -> Iterator[Finding]:
    try:
        import av
    except ImportError as error:
        yield Finding("encoders", "problem", f"PyAV does not load: {error}", "Reinstall: av")
        return
    there = [name for name in ENCODERS if name in av.codec.codecs_available]
    missing = [name for name in ENCODERS[:2] if name not in there]
    if missing:
        yield Finding("encoders", "problem", f"missing: {', '.join(missing)}", "Reinstall: av")
    else:
        from vidgen.media.encodings import HARDWARE, answers

        yield Finding("encoders", "ok", ", ".join([*there, *filter(answers, HARDWARE)]))


def _models(home: Home) -> Iterator[Finding]:
    here = catalog.Catalog(home)
    for name in ("embedded", "full"):
        members = [
            model
            for model in catalog.models().values()
            if model.set == name
            and (name == "full" or model.name in (*select.EMBEDDED, select.HEARING))
        ]
        if not members:
            continue
        states = {model.name: here.state(model) for model in members}
        ready = [model for model, state in states.items() if state == "ready"]
        wrong = [model for model, state in states.items() if state == "wrong"]
        text = f"{len(ready)} of {len(states)} ready"
        advice = "" if len(ready) == len(states) else f"Fetch: vidgen models pull {name}"
        if wrong:
            yield Finding(f"models {name}", "problem", f"{text}; wrong: {', '.join(wrong)}", advice)
        else:
            yield Finding(f"models {name}", "ok" if not advice else "note", text, advice)


def _disk(home: Home) -> Finding:
    folder = home.root
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free at {home.root}"
    if free < ROOM_BYTES:
        return Finding("disk", "problem", text, "Run: vidgen clean. Or set VIDGEN_HOME elsewhere")
    return Finding("disk", "ok", text)


def _config() -> Finding:
    from vidgen.config import in_force
    from vidgen.settings import environment_name

    file = paths.config_path()
    try:
        settings = in_force()
    except VidgenError as error:
        return Finding("settings", "problem", error.message, error.hint)
    lines = [str(file) if Path(file).exists() else f"{file} is not there"]
    for name, setting in settings.items():
        source = {"config": "config.toml", "environment": environment_name(name)}
        if setting.source in source:
            lines.append(f"{name} = {setting.value} ({source[setting.source]})")
    others = len(settings) - len(lines) + 1
    lines.append(f"{others} with their defaults")
    return Finding("settings", "ok", "\n".join(lines))


def _terminal() -> Finding:
    size = shutil.get_terminal_size()
    kind = "a terminal" if sys.stderr.isatty() else "not a terminal: progress will be plain lines"
    return Finding("terminal", "ok", f"{kind}, {size.columns}×{size.lines}, {_encoding()}")


def _encoding() -> str:
    return (sys.stderr.encoding or "unknown encoding").upper()
