"""Run the steps in order, say so, and never make again what is already made.

Which steps, and in what order, is `pipeline`'s business. Knows no concrete stage and no screen: a
step is anything with a name and a `run`, a listener is any `Emit`, what was kept from an earlier
run comes back through a `Cache`.
"""

import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from typing import Final, Protocol

from vidgen.device.memory import MemoryPeak, device_errors, give_back, measure_peak
from vidgen.device.prefetch import Network, prefetch, release_if_short
from vidgen.errors import Cancelled, VidgenError
from vidgen.events import Emit, Failed, RunCancelled, StageEnded, StageStarted
from vidgen.signals import is_cancel
from vidgen.stages.base import Stage
from vidgen.work import Notes, Work

RESUME: Final = "`vidgen resume`"  # in the hints of errors

Clock = Callable[[], float]
Meter = Callable[[str], AbstractContextManager[MemoryPeak]]  # of a device's memory
OpenTurn = Callable[[], AbstractContextManager[None]]  # waits for a turn and holds it


class Cache(Protocol):
    """Where finished values outlive the run that made them."""

    def has(self, step: "Step") -> bool:
        """Whether something seems to be kept; `load` tells for sure."""
        ...

    def load(self, step: "Step") -> tuple[object, ...] | None: ...

    def save(self, step: "Step", work: Work) -> None: ...


@dataclass(frozen=True, slots=True)
class Step:
    """A stage with the key of what it will make.

    `key` is a hash of everything the result depends on: the inputs' content, the options, the
    models' hashes, the stage's own version. `keeps` names the values worth keeping under it.
    """

    stage: Stage
    key: str = ""
    keeps: tuple[type, ...] = ()
    networks: tuple[Network, ...] = ()  # loaded ahead, let go when memory is short
    small: tuple[Network, ...] = ()  # quickly loaded by the stage itself, let go after it
    is_elsewhere: bool = False  # another machine works: this one's device is free from here on
    is_drawing: bool = False  # uses all of the device


class NoCache:
    """A cache that keeps nothing."""

    def has(self, step: Step) -> bool:  # noqa: ARG002  # Cache's form
        return False

    def load(self, step: Step) -> tuple[object, ...] | None:  # noqa: ARG002  # Cache's form
        return None

    def save(self, step: Step, work: Work) -> None:
        pass


def run_steps(
    steps: Sequence[Step],
    work: Work,
    emit: Emit,
    cache: Cache | None = None,
    clock: Clock = time.monotonic,
    device: str = "cpu",
    meter: Meter = measure_peak,
    drawing_turn: OpenTurn = nullcontext,
) -> Work:
    """All steps over `work`; answers what they made of it. What a step raises goes through.

    `device` is where networks are loaded, ahead of their use, and whose memory `meter` measures;
    `drawing_turn` is held while a step draws.
    """
    cache = cache or NoCache()
    runner = _StepRunner(emit, cache, clock, device, meter)
    ahead = [network for step in steps if not cache.has(step) for network in step.networks]
    with prefetch(ahead, device):
        for step in steps:
            with drawing_turn() if step.is_drawing else nullcontext():
                work = runner.run(step, work)
    return work


@dataclass(frozen=True, slots=True)
class _StepRunner:
    """What one step is run with."""

    emit: Emit
    cache: Cache
    clock: Clock
    device: str
    meter: Meter

    def run(self, step: Step, work: Work) -> Work:
        name, began = step.stage.name, self.clock()
        self.emit(StageStarted(name))
        kept = self.cache.load(step) if step.keeps else None
        if kept is not None:
            self.emit(StageEnded(name, self.clock() - began, "reused", "run.reused"))
            return work.plus(*kept)
        with self.meter(self.device) as peak, device_errors(self.device):
            work = step.stage.run(work.plus(Notes()), self.emit)
        if step.keeps:
            self.cache.save(step, work)
        notes = work.get(Notes)
        values = {**notes.values, **{name: used for name, used in asdict(peak).items() if used}}
        self.emit(StageEnded(name, self.clock() - began, notes.status, notes.code, values))
        for network in step.networks:
            release_if_short(network, self.device)
        for network in step.small:
            network.release()
        give_back()
        return work


@contextmanager
def run_outcome(emit: Emit, resume_command: Callable[[], str] = str) -> Iterator[None]:
    """Tell the log how the run ended, whatever ended it: watchers must hear of it.

    A Ctrl-C comes out as `Cancelled`; everything else as it was raised. `resume_command` is asked
    at the end for how to go on; "" when there is nothing to go on with.
    """
    try:
        yield
    except BaseException as error:
        if is_cancel(error):
            command = resume_command()
            emit(RunCancelled(command))
            raise _cancel_error(command) from error
        if isinstance(error, VidgenError):
            name_command(error, resume_command())
            emit(_failure(error))
        else:
            emit(_bug(error))
        raise


def _cancel_error(command: str) -> Cancelled:
    if not command:
        return Cancelled("Cancelled.", code="run.cancelled")
    return Cancelled(
        "Cancelled.",
        hint="What was made is kept. Go on with: {command}",
        code="run.cancelled",
        command=command,
    )


def name_command(error: VidgenError, command: str) -> None:
    """Put the words to type where the hint says only `vidgen resume`."""
    if RESUME in error.hint:
        command = command or "vidgen run"  # it ended before there was anything to resume
        error.hint = error.hint.replace(RESUME, f"`{command}`")
        error.details["resume_command"] = command  # for the hint in other languages


def _failure(error: VidgenError) -> Failed:
    return Failed(
        message=error.message,
        error_code=error.code,
        hint=error.hint,
        is_retryable=error.is_retryable,
        retry_count=error.retry_count,
        max_retries=error.max_retries,
        details=error.details,
    )


def _bug(error: BaseException) -> Failed:
    """A bug in the log: what and where, without values that may be private."""
    last = traceback.extract_tb(error.__traceback__)[-1:]
    where = f"{last[0].name}:{last[0].lineno}" if last else ""
    return Failed(
        message=f"Something went wrong inside vidgen ({type(error).__name__}).",
        error_code="bug",
        hint="This is a bug in vidgen, not your doing: report it with what the terminal printed.",
        details={"where": where},
        trace_id=uuid.uuid4().hex[:12],
    )
