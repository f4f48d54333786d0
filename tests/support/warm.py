"""A warm process that forks a child for each `vidgen` command: no imports to wait for, all to kill.

Starting Python and importing what a run needs costs seconds, a fork some milliseconds; in the
child the command line runs from its beginning to its end as it does in a process of its own.
With `is_quick` nothing is looked at and numbered gradients are drawn: a run takes a tenth of a
second, and its log, its copies, pieces, film and resuming are the real ones.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn

from tests.support.cli import Ran, environment
from vidgen.paths import Home

WARM: Final = ("vidgen.run", "cv2", "av", "scipy.signal", "parselmouth", "PIL.Image", "soundfile",
               "vidgen.stages.detect", "vidgen.stages.finalize", "vidgen.stages.matte",
               "vidgen.stages.prosody", "vidgen.stages.render", "vidgen.quality.judge",
               "vidgen.renderers.puppet.cpu", "vidgen.renderers.puppet.renderer",
               "vidgen.progress.views.choose", "vidgen.speech.hearing",
               "tests.support.fake_renderer")  # fmt: skip


NO_STREAMS: Final[Mapping[int, str]] = {}
NO_VARIABLES: Final[Mapping[str, str]] = {}


@dataclass
class Child:
    """One command that runs; its outputs are in files."""

    pid: int
    out: Path
    err: Path
    driver: "Warm"
    status: int | None = None

    def kill(self, number: int = signal.SIGKILL) -> None:
        """The command and what it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def wait(self) -> Ran:
        """Its end, as a shell sees it."""
        if self.status is None:
            self.status = self.driver.ask({"wait": self.pid})
        text = [
            file.read_bytes().decode("utf-8", "surrogateescape") for file in (self.out, self.err)
        ]
        return Ran(self.status, *text)


class Warm:
    """The warm process, seen from a test; a context manager. `folder` takes the outputs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0

    def __enter__(self) -> "Warm":
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.warm"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            text=True,
        )
        self.ask({"wait": 0})  # until it is warm
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    def ask(self, order: Mapping[str, Any]) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def start(
        self,
        home: Home,
        *arguments: object,
        cwd: Path | None = None,
        is_quick: bool = False,
        streams: Mapping[int, str] = NO_STREAMS,
        ignores: Sequence[int] = (),
        environ: Mapping[str, str] = NO_VARIABLES,
    ) -> Child:
        """Begin `vidgen` with these arguments. `streams` are files in the place of usual ones, ""
        for one that is closed; `ignores` are signals that it does not hear, as under nohup;
        `environ` is added to its environment.
        """
        self._count += 1
        out, err = (self._folder / f"{self._count}.{name}" for name in ("out", "err"))
        out.touch()
        err.touch()
        order = {
            "arguments": [str(argument) for argument in arguments],
            "environment": environment(home, **environ),
            "cwd": str(cwd or self._folder),
            "streams": list(({0: os.devnull, 1: str(out), 2: str(err)} | dict(streams)).values()),
            "is_quick": is_quick,
            "ignores": list(ignores),
        }
        return Child(self.ask(order), out, err, self)

    def run(self, home: Home, *arguments: object, **how: Any) -> Ran:
        """The same to its end."""
        return self.start(home, *arguments, **how).wait()


def serve() -> None:
    """Fork a child for every order until the input ends; answer its pid, or its exit code."""
    warm_up()
    for line in sys.stdin:
        order = json.loads(line)
        answer = 0
        if order.get("wait"):
            _, status = os.waitpid(order["wait"], 0)
            answer = os.waitstatus_to_exitcode(status)
        elif "wait" not in order:
            answer = os.fork()
            if answer == 0:
                obey(order)
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def warm_up() -> None:
    """Import what a run needs, for all the forks of this process."""
    import importlib

    for name in WARM:
        importlib.import_module(name)


def obey(order: Mapping[str, Any]) -> NoReturn:
    """Be the command that `Warm.start` describes, in a process of its own."""
    code: object = 1
    try:
        os.setsid()
        for number, file in enumerate(order["streams"]):
            _put_stream(number, file)
        for number in order["ignores"]:
            signal.signal(number, signal.SIG_IGN)
        os.chdir(order["cwd"])
        os.environ.clear()
        os.environ.update(order["environment"])
        if order["is_quick"]:
            _draw_gradients()
        from vidgen.cli import main

        main(order["arguments"])
        code = 0
    except SystemExit as left:
        code = left.code
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))


def _put_stream(number: int, file: str) -> None:
    os.close(number)
    if file:
        flags = os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        opened = os.open(file, flags, 0o600)
        if opened != number:
            os.dup2(opened, number)
            os.close(opened)


def _draw_gradients() -> None:
    """From now on, in this process, a run's steps cost nothing."""
    from tests.support.fake_renderer import FakeRenderer, shelf
    from vidgen import run
    from vidgen.cache import Keys
    from vidgen.events import Emit
    from vidgen.pipeline import Job, look
    from vidgen.stages.finalize import Finalize
    from vidgen.stages.prosody import Prosody
    from vidgen.stages.render import Render
    from vidgen.steps import Step
    from vidgen.work import Cutout, Photo, Speech, Subject, Work

    @dataclass
    class Take:
        """A stage that finds what was there before."""

        name: str
        kind: type

        def run(self, work: Work, emit: Emit) -> Work:
            return work.plus(shelf(Path(), 0.1).get(self.kind))

    class QuickJob(Job):
        def steps(self, photo: Photo, speech: Speech, workers: object) -> list[Step]:
            keys = Keys.of(self.options, self.plan, photo.sha256, speech.sha256)
            return [
                Step(Take("yolo_detection", Subject), keys.subject, (Subject,)),
                Step(Take("birefnet_removal", Cutout), keys.cutout, (Cutout,)),
                Step(Prosody(self.options)),
                Step(Render(FakeRenderer(), look(self.options, 3), key=keys.film)),
                Step(Finalize(self.request.output, task_id=self.task.task_id)),
            ]

    vars(run)["Job"] = QuickJob


if __name__ == "__main__":
    serve()
