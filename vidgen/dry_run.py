"""A run looked at before it is made: every check, the plan, the expected time, one frame.

Writes nothing but that frame, into the system's folder for temporary files.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vidgen import run
from vidgen.events import Event, Log
from vidgen.models import select
from vidgen.models.catalog import Catalog
from vidgen.paths import Home, TaskFolder, absolute
from vidgen.pipeline import Job
from vidgen.progress.forecast.model import TimeModel
from vidgen.progress.forecast.past_runs import past_runs
from vidgen.request import Request, record

if TYPE_CHECKING:
    from vidgen.work import Pixels


@dataclass(frozen=True, slots=True)
class FilmPlan:
    """What a run would make. `size` and `preview` are unknown until the small models are here."""

    output: Path
    seconds: float  # of the film
    fps: float
    size: tuple[int, int] | None  # width, height
    plan: Mapping[str, Any]  # the models and the device
    expected_seconds: float | None  # of the run; None before the first of its kind
    preview: Path | None
    notes: tuple[Log, ...]  # what a run would say of the inputs


def plan_film(home: Home, wanted: Request) -> FilmPlan:
    """Raises what the run itself would raise before it draws."""
    heard: list[Event] = []
    with tempfile.TemporaryDirectory(prefix="vidgen-") as folder:
        task = TaskFolder(Path(folder))
        wanted = record(task, wanted)
        photo, speech = run.open_inputs(wanted, heard.append)
        here = Catalog(home)
        chosen = select.select_models(here, wanted.options, heard.append)
        job = Job(home, task, wanted, chosen, heard.append)
        about = run.describe(job, photo, speech)
        frame = job.sketch(photo, speech) if here.ready(select.EMBEDDED) else None
    known = TimeModel(past_runs(home))
    expected = known.run_seconds(about)
    return FilmPlan(
        absolute(wanted.output),
        round(speech.seconds / wanted.options.rate, 2),
        float(Fraction(wanted.options.fps)),
        (frame.shape[1], frame.shape[0]) if frame is not None else None,
        chosen.metadata(),
        round(expected * known.typical_ratio, 1) if expected else None,
        _save(frame) if frame is not None else None,
        tuple(event for event in heard if isinstance(event, Log)),
    )


def _save(frame: "Pixels") -> Path:
    from PIL import Image

    with tempfile.NamedTemporaryFile(prefix="vidgen-", suffix=".png", delete=False) as file:
        Image.fromarray(frame).save(file, "PNG")
    return Path(file.name)
