"""A film that is made on another machine, as this one keeps it: its log, its pictures, its file."""

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from vidgen.engines.base import Ended, EngineEvent, Order, Outcome, Room, Told
from vidgen.errors import VidgenError
from vidgen.events import Envelope, RunCancelled
from vidgen.files import atomic_write, identity, make_private
from vidgen.media.output import Output
from vidgen.paths import Home
from vidgen.progress.broadcast import Broadcast
from vidgen.progress.store.log import TaskLog
from vidgen.progress.store.reader import percent
from vidgen.request import record


class RemoteFilm:
    """Writes what comes into the store of this machine. One at a time for a task."""

    def __init__(self, order: Order, home: Home) -> None:
        self.order, self.room = order, Room()
        self._task = home.task(order.task_id)
        self._stack = contextlib.ExitStack()
        self._log = self._stack.enter_context(TaskLog(self._task))
        if not self._task.request.is_file():
            record(self._task, order.request)
        self._most = self._log.progress
        make_private(self._task.work)
        self._folder = Path(tempfile.mkdtemp(dir=self._task.work))
        self._film = self._folder / order.request.output.name
        self._end: Envelope | None = None

    def take(self, kind: str, value: Any, more: Any) -> Iterator[EngineEvent]:
        """What a `FilmNode` says of it."""
        if kind == "told":
            for line, picture in value:
                yield from self._tell(Envelope.from_wire(line), picture)
        elif kind == "film":
            with self._film.open("ab") as file:
                file.write(value)
        elif kind == "ended":
            for name, content in more.items():
                (self._folder / Path(name).name).write_bytes(content)
            yield from self._finish(value)

    def _tell(self, event: Envelope, picture: bytes | None) -> Iterator[EngineEvent]:
        self.room.note(event)
        if event.event_type == "complete":
            self._end = event  # true here when the film is here
        else:
            yield Told(self._write(self._localise(event, picture)))

    def _finish(self, outcome: Outcome) -> Iterator[EngineEvent]:
        try:
            if outcome.video and self._end:
                path = self._place(self._film)
                for file in sorted(self._folder.iterdir()):
                    self._place(file)
                outcome = replace(outcome, video=path)
                data = {"video_path": str(path), "video_file": list(identity(path))}
                end = replace(self._end, data={**self._end.data, **data})
                yield Told(self._write(end))
        except VidgenError as error:  # no room, no right to write here
            outcome = Outcome.of_error(error)
        yield Ended(self.order, outcome)

    def _place(self, file: Path) -> Path:
        """Bring a file to where the film is wanted, over nothing that is somebody's."""
        request = self.order.request
        target = request.output.with_name(file.name).absolute()
        target.parent.mkdir(parents=True, exist_ok=True)
        force = request.options.force
        output = Output(target, lambda _: force, tuple(request.files.values()))
        with output.writing(self.order.task_id) as temporary:
            shutil.move(file, temporary)
        return output.path

    def _localise(self, event: Envelope, picture: bytes | None) -> Envelope:
        """The event with its picture, if it has one, in this store."""
        if picture is None:
            return event
        kept = self._task.previews / Path(str(event.data["path"])).name
        atomic_write(kept, picture)
        return replace(event, data={**event.data, "path": str(kept)})

    def _write(self, event: Envelope) -> Envelope:
        """Into the log, as the next of it: a film that was begun again elsewhere goes on here."""
        self._most = max(self._most, percent(event))
        data = dict(event.data)
        if percent(event) >= 0:
            data["progress"] = self._most
        event = replace(event, seq=self._log.next_seq, data=data)
        self._log(event)
        return event

    def cancel(self) -> None:
        """The batch was ended: so is the run."""
        last = self._log.last
        if last is None or not last.is_terminal:
            emit = Broadcast(self._task.task_id, log=self._log, floor=self._most)
            emit(RunCancelled(f"vidgen resume {self._task.task_id[:8]}"))
        self.close()

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
        self._stack.close()
