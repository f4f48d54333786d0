"""Follow one run's `events.jsonl`: each line is read and parsed once, whoever watches.

Keeps where every event lies in the file, not the events; who gets them is the hub's business.
"""

import contextlib
import hashlib
import os
from array import array
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any, Final

import orjson

from vidgen.events import TERMINAL, Envelope
from vidgen.files import open_regular
from vidgen.paths import TaskFolder
from vidgen.progress.snapshot import Snapshot
from vidgen.progress.store.reader import percent

READ_BYTES: Final = 256 * 1024  # at a time, so that a long log never holds up the others
MOST_STAGES: Final = 1000  # of different names in one log that are told apart
_OTHER, _LOG, _PROGRESS, _RESOURCE = 0, 1, 2, 3
_KINDS: Final = {"log": _LOG, "progress_update": _PROGRESS, "resource": _RESOURCE}
_REPLACEABLE: Final = _PROGRESS  # kinds from here on: a newer one says all that the older one said


class Change(Enum):
    """What reading on has found."""

    NOTHING = auto()
    GREW = auto()
    MORE = auto()  # grew, and there is still more to read
    REPLACED = auto()  # another log is in its place: every position before is void
    GONE = auto()  # the task was deleted


class Tail:
    """One log, as far as it has been read. `epoch` names this log: a replaced one has another.

    A torn last line waits for its end; a line that is no event, or whose `seq` is not above the
    ones before, is passed over.
    """

    def __init__(self, folder: TaskFolder, read_bytes: int = READ_BYTES) -> None:
        self._read_bytes = read_bytes
        self.folder = folder
        self.task_id = folder.task_id
        self.epoch = ""
        self.snapshot = Snapshot(folder.task_id)
        self.is_reachable: bool | None = None  # the run's machine; None: it is this one
        self._fd = -1
        self._forget()

    def _forget(self) -> None:
        self.close()
        self.epoch = ""
        self.snapshot = Snapshot(self.task_id)
        self._offset = 0  # bytes of the file that are read and understood
        self._last_line = b""
        self._seqs = array("q")
        self._starts = array("Q")
        self._sizes = array("I")  # bytes without the line end
        self._kinds = array("B")
        self._stages = array("H")  # where the run was after each event, as an index of the names
        self._names: list[str] = []
        self._percents = array("f")
        self._request: Mapping[str, Any] = {}
        self.whole_from = 0  # what is between the first event and this one is lost; 0: nothing
        self.resumed_after = 0  # the seq at which an earlier try of the run had ended

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def last_seq(self) -> int:
        return self._seqs[-1] if self._seqs else 0

    @property
    def count(self) -> int:
        return len(self._seqs)

    def pulse(self) -> dict[str, Any]:
        """What a heartbeat says."""
        where = {} if self.is_reachable is None else {"is_reachable": self.is_reachable}
        return self.snapshot.pulse() | where

    @property
    def is_over(self) -> bool:
        """The log's last event is a terminal one (a resumed run goes on behind it)."""
        return self.snapshot.last_type in TERMINAL

    def poll(self) -> Change:
        """Take in what was written since, at most `read_bytes` of it."""
        try:
            found = self.folder.events.stat()
        except (FileNotFoundError, NotADirectoryError):
            return self._on_missing()
        if self._fd >= 0 and not self._is_same(found):
            self._forget()
            self._open()
            self._take()
            return Change.REPLACED
        if self._fd < 0:
            self._open()
        return self._take() if found.st_size != self._offset else Change.NOTHING

    def _open(self) -> None:
        self._fd = open_regular(self.folder.events)

    def _on_missing(self) -> Change:
        had_log = self._fd >= 0
        self._forget()
        if not self.folder.root.is_dir():
            return Change.GONE
        return Change.REPLACED if had_log else Change.NOTHING

    def _is_same(self, found: os.stat_result) -> bool:
        """Whether the file still begins with what was read: it may have been cut and rewritten."""
        opened = os.fstat(self._fd)
        if (opened.st_ino, opened.st_dev) != (found.st_ino, found.st_dev):
            return False
        if found.st_size < self._offset:
            return False
        last = self._last_line
        return not last or _bytes_at(self._fd, len(last), self._starts[-1]) == last

    def _take(self) -> Change:
        block = _bytes_at(self._fd, self._read_bytes, self._offset)
        stop = block.rfind(b"\n") + 1
        before, start = len(self._seqs), self._offset
        for line in block[:stop].split(b"\n"):
            self._add(line, start)
            start += len(line) + 1
        if len(block) == self._read_bytes:
            self._offset += stop or len(block)  # no event is that long: pass over it
            return Change.MORE
        if len(self._seqs) == before:
            return Change.NOTHING
        # Garbage behind the last event may still be moved aside: it is read again.
        self._offset = self._starts[-1] + self._sizes[-1] + 1
        return Change.GREW

    def _add(self, line: bytes, start: int) -> None:
        if not line:
            return
        try:
            event = Envelope.from_wire(line)
        except ValueError:
            return
        if event.seq <= self.last_seq:
            return
        if self.is_over:
            self.resumed_after = self.last_seq
        if not self.epoch:
            self.epoch = epoch_of(self.task_id, event.timestamp)
        if self.count == 1 and event.seq > self.last_seq + 1:
            self.whole_from = event.seq
        self._last_line = line
        self._seqs.append(event.seq)
        self._starts.append(start)
        self._sizes.append(len(line))
        self._kinds.append(_KINDS.get(event.event_type, _OTHER))
        self._note_place(event)
        self.snapshot.take(event)

    def _note_place(self, event: Envelope) -> None:
        stage = "" if event.is_terminal else str(event.data.get("stage", ""))
        if stage not in self._names and len(self._names) < MOST_STAGES:
            self._names.append(stage)
        self._stages.append(self._names.index(stage) if stage in self._names else 0)
        reached = self._percents[-1] if self._percents else 0.0
        self._percents.append(max(reached, min(100.0, percent(event))))

    def stage_at(self, seq: int) -> str:
        """The stage that the run was in after event `seq`; "" before the first, behind an end."""
        place = self.after(seq).start - 1
        return self._names[self._stages[place]] if place >= 0 else ""

    def percent_at(self, seq: int) -> float:
        """How far the run was after event `seq`."""
        place = self.after(seq).start - 1
        return round(self._percents[place], 2) if place >= 0 else 0.0

    @property
    def request(self) -> Mapping[str, Any]:
        """What was asked (request.json); {} while nothing is known. It is never changed."""
        if not self._request:
            with contextlib.suppress(OSError, ValueError):
                found = orjson.loads(self.folder.request.read_bytes())
                self._request = found if isinstance(found, dict) else {}
        return self._request

    def after(self, seq: int) -> range:
        """The places of all events behind `seq`."""
        seqs = self._seqs
        if 0 < seq <= len(seqs) and seqs[seq - 1] == seq:  # nearly always: no gaps
            return range(seq, len(seqs))
        return range(bisect_right(seqs, seq), len(seqs))

    def without_stale(self, places: range) -> list[int]:
        """These places without the snapshots that a newer one makes worthless."""
        kinds = self._kinds
        last = {kinds[place]: place for place in places}
        return [
            place for place in places if kinds[place] < _REPLACEABLE or place == last[kinds[place]]
        ]

    def logs(self, after: int) -> list[int]:
        """The places of the `log` events behind `after`."""
        return [place for place in self.after(after) if self._kinds[place] == _LOG]

    def size(self, places: Sequence[int]) -> int:
        """Bytes of these events."""
        return sum(self._sizes[place] for place in places)

    def seq(self, place: int) -> int:
        return self._seqs[place]

    def lines(self, places: Sequence[int], most_bytes: int) -> list[bytes]:
        """The events' JSON, for at least the first place, then up to `most_bytes`.

        Neighbours are read at once. Raises OSError when the file lost them meanwhile.
        """
        lines: list[bytes] = []
        at = 0
        while at < len(places) and (not lines or most_bytes > 0):
            stop = at + 1
            wanted = self._sizes[places[at]]
            while (
                stop < len(places)
                and places[stop] == places[stop - 1] + 1
                and wanted + self._sizes[places[stop]] <= most_bytes
            ):
                wanted += self._sizes[places[stop]]
                stop += 1
            if lines and wanted > most_bytes:
                break
            lines += self._run(places[at], stop - at)
            most_bytes -= wanted
            at = stop
        return lines

    def _run(self, place: int, count: int) -> list[bytes]:
        first = self._starts[place]
        last = place + count - 1
        wanted = self._starts[last] + self._sizes[last] - first
        block = _bytes_at(self._fd, wanted, first) if self._fd >= 0 else b""
        if len(block) < wanted:
            raise OSError(f"the log of {self.task_id} lost bytes it had")
        return [
            block[self._starts[p] - first : self._starts[p] - first + self._sizes[p]]
            for p in range(place, last + 1)
        ]


def epoch_of(task_id: str, first_timestamp: str) -> str:
    """Eight hex digits that name one log: two logs of a task began at different times."""
    return hashlib.sha256(f"{task_id} {first_timestamp}".encode()).hexdigest()[:8]


def _bytes_at(fd: int, size: int, offset: int) -> bytes:
    os.lseek(fd, offset, os.SEEK_SET)  # Windows has no pread
    return os.read(fd, size)
