"""What a run began with: noted beside its work, so that a resumed run makes the same film.

A resume takes the same models and the same device, although better ones may have come since.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Final

import orjson

from vidgen import catalog, device, request
from vidgen.catalog import Catalog
from vidgen.errors import InputError, VidgenError
from vidgen.events import Emit, Log
from vidgen.files import atomic_write as write_whole
from vidgen.paths import TaskFolder
from vidgen.plan import Plan
from vidgen.request import Recorded, Request

FILE: Final = "plan.json"


def note(task: TaskFolder, chosen: Plan) -> None:
    """Write down what this run uses. Raises OSError."""
    said = {"plan": asdict(chosen), "models": _hashes(chosen)}
    write_whole(task.work / FILE, orjson.dumps(said, option=orjson.OPT_INDENT_2))


def same_as_before(task: TaskFolder, shelf: Catalog, emit: Emit) -> Plan | None:
    """The plan that the run began with; None when there was none, or when it cannot be kept.

    That it cannot is said, because the film is drawn anew then.
    """
    try:
        said = orjson.loads((task.work / FILE).read_bytes())
        before, hashes = Plan(**said["plan"]), dict(said["models"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    changed = _changed(before, hashes, shelf)
    if not changed:
        return before
    emit(Log("WARNING", "run.models_changed", {"names": ", ".join(changed)}))
    return None


def taken_up(task: TaskFolder, recorded: Recorded, emit: Emit) -> Request:
    """What was asked, of the run's own copies. Says what became of the originals.

    Raises InputError when a copy is lost or damaged and the original cannot replace it.
    """
    for name, was in recorded.inputs.items():
        now = request.fingerprint(was.path)
        if request.fingerprint(request.kept_input(task, name, was.path)) != was.sha256:
            if now != was.sha256:
                raise _lost(name, was.path)
            request.keep_input(task, name, was.path)
        elif not now:
            emit(Log("INFO", "run.input_gone", {"name": name, "path": str(was.path)}))
        elif now != was.sha256:
            emit(Log("WARNING", "run.input_changed", {"name": name, "path": str(was.path)}))
    kept = {name: request.kept_input(task, name, was.path) for name, was in recorded.inputs.items()}
    settings = dict(recorded.request.settings)
    if "background" in kept:
        settings["background"] = replace(settings["background"], value=str(kept["background"]))
    return Request(kept["photo"], kept["voice"], recorded.request.output, settings)


def _lost(name: str, path: Path) -> InputError:
    return InputError(
        "The run's copy of the {name} is lost, and {path} is no longer what it was.",
        hint="Start it again with vidgen run.",
        code="resume.no_input",
        name=name,
        path=str(path),
    )


def _hashes(chosen: Plan) -> dict[str, str]:
    """Of every model whose bytes the film depends on."""
    rows = catalog.models()
    names = (*chosen.face_models, *chosen.matte_models, *chosen.render_models)
    return {name: rows[name].sha256 for name in names}


def _changed(before: Plan, hashes: Mapping[str, Any], shelf: Catalog) -> list[str]:
    """Models and devices that are not there any more as they were."""
    rows = catalog.models()
    changed = [
        name
        for name, was in hashes.items()
        if name not in rows or rows[name].sha256 != was or not shelf.ready([name])
    ]
    return changed if _answers(before.device) else [*changed, before.device]


def _answers(where: str) -> bool:
    try:
        return device.resolve(where) == where
    except VidgenError:
        return False
