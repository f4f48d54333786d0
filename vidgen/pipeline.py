"""Run the steps in order, say so, and never make again what is already made.

Knows no concrete stage and no screen: a step is anything with a name and a `run`, a listener is
any `Emit`, and what was kept from an earlier run comes back through a `Keeper`.
"""

import time
import traceback
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from vidgen.errors import Cancelled, VidgenError
from vidgen.events import Emit, Failed, RunCancelled, StageEnded, StageStarted
from vidgen.stages.base import Stage
from vidgen.work import Notes, Work

Clock = Callable[[], float]


class Keeper(Protocol):
    """Where finished values outlive the run that made them."""

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


class Forgetful:
    """A keeper that keeps nothing."""

    def load(self, step: Step) -> tuple[object, ...] | None:  # noqa: ARG002  # Keeper's form
        return None

    def save(self, step: Step, work: Work) -> None:
        pass


def run(
    steps: Sequence[Step],
    work: Work,
    emit: Emit,
    keeper: Keeper | None = None,
    clock: Clock = time.monotonic,
) -> Work:
    """All steps over `work`; answers the last shelf. What a step raises goes through."""
    keeper = keeper or Forgetful()
    for step in steps:
        work = _run_step(step, work, emit, keeper, clock)
    return work


def _run_step(step: Step, work: Work, emit: Emit, keeper: Keeper, clock: Clock) -> Work:
    name = step.stage.name
    began = clock()
    emit(StageStarted(name))
    kept = keeper.load(step) if step.keeps else None
    if kept is not None:
        emit(StageEnded(name, clock() - began, "reused", "run.reused"))
        return work.plus(*kept)
    work = step.stage.run(work.plus(Notes()), emit)
    if step.keeps:
        keeper.save(step, work)
    notes = work.get(Notes)
    emit(StageEnded(name, clock() - began, notes.status, notes.code, notes.values))
    return work


@contextmanager
def concluded(emit: Emit, resume_command: Callable[[], str] = str) -> Iterator[None]:
    """Tell the log how the run ended, whatever ended it: watchers must hear of it.

    A Ctrl-C comes out as `Cancelled`; everything else as it was raised. `resume_command` is asked
    at the end for how to go on; "" when there is nothing to go on with.
    """
    try:
        yield
    except (KeyboardInterrupt, Cancelled) as error:
        command = resume_command()
        emit(RunCancelled(command))
        raise _cancelled(command) from error
    except VidgenError as error:
        emit(_failed(error))
        raise
    except BaseException as error:
        emit(_bug(error))
        raise


def _cancelled(command: str) -> Cancelled:
    if not command:
        return Cancelled("Cancelled.", code="run.cancelled")
    return Cancelled(
        "Cancelled.",
        hint="What was made is kept. Go on with: {command}",
        code="run.cancelled",
        command=command,
    )


def _failed(error: VidgenError) -> Failed:
    return Failed(
        message=error.message,
        error_code=error.code,
        hint=error.hint,
        is_retryable=error.is_retryable,
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
