"""What a stage is."""

from typing import Protocol

from vidgen.events import Emit
from vidgen.work import Work


class Stage(Protocol):
    """One step of a run: takes what it needs from `work`, adds what it made."""

    @property
    def name(self) -> str: ...

    def run(self, work: Work, emit: Emit) -> Work: ...
