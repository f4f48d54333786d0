"""How far a watcher had come, as a client sends it back."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from vidgen.progress.fanout.tail import Tail

_EPOCH_SEQ: Final = re.compile(r"([0-9a-f]{8})-([0-9]{1,15})")


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a watcher had come: `epoch → seq`, and the begin of the newest task it knew."""

    places: Mapping[str, int] = field(default_factory=dict)
    newest: str = ""  # RFC 3339; only on the stream of all tasks
    seq: int | None = None  # a bare number: of whatever log there is now

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """`12`, `1a2b3c4d-12`, or the id of a stream of several. Raises ValueError."""
        if re.fullmatch(r"[0-9]{1,15}", text):
            return cls(seq=int(text))
        places, newest = {}, ""
        for part in text.split(","):
            if part.startswith("~") and len(part) < 32:
                newest = part[1:]
            elif found := _EPOCH_SEQ.fullmatch(part):
                places[found[1]] = int(found[2])
            else:
                raise ValueError("not a cursor")
        return cls(places, newest)

    def place(self, tail: Tail) -> int | None:
        """Where this log goes on for the watcher; None when it must start from a snapshot."""
        seq = self.seq if self.seq is not None else self.places.get(tail.epoch)
        if not tail.epoch:
            return 0  # nothing is written yet
        if seq is None or seq > tail.last_seq or 0 < seq < tail.whole_from - 1:
            return None
        return seq
