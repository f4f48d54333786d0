"""The order of one video at D-ID, kept on disk so that it is never placed twice.

Written before a create is sent and again once its id is known; every write is whole or not
at all. Knows no HTTP.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from vidgen.errors import SetupError
from vidgen.files import atomic_write
from vidgen.renderers.did.wire import Uploaded

FILE: Final = "did.json"
VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Result:
    """The film that D-ID made, in the work folder."""

    file: str  # its name
    sha256: str


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked of D-ID for one video, and how far it came. Times are unix seconds."""

    task_id: str
    content: str  # sha256 of picture, voice and configuration
    attempt: int = 1  # more only after D-ID failed an earlier talk
    picture: Uploaded | None = None
    voice: Uploaded | None = None
    sent_at: float | None = None  # a create may be with D-ID since then
    talk_id: str = ""
    failed: str = ""  # the error's code, when D-ID gave this talk up
    result: Result | None = None
    is_cleaned: bool = False  # nothing is left at D-ID

    @property
    def user_data(self) -> str:
        """What finds the talk again in D-ID's list; no other order has the same."""
        return f"vidgen:{self.task_id}:{self.content[:32]}:{self.attempt}"

    @property
    def name(self) -> str:
        return f"vidgen-{self.task_id[:8]}-{self.content[:8]}-{self.attempt}"

    def attempt_of(self, user_data: str, name: str) -> int:
        """Which attempt at this video a listed talk is; 0 for a talk of something else."""
        for given, own in ((user_data, self.user_data), (name, self.name)):
            stem = own.removesuffix(str(self.attempt))
            number = given.removeprefix(stem)
            if given.startswith(stem) and number.isdecimal():
                return int(number)
        return 0

    def again(self) -> "Order":
        """The same video, ordered once more."""
        return replace(self, attempt=self.attempt + 1, sent_at=None, talk_id="", failed="")


class OrderBook:
    """The one order of a run, in the run's own folder.

    Not in its work folder: who clears that to make room must not pay a second time.
    """

    def __init__(self, task: Path) -> None:
        self.file = task / FILE

    def open(self, task_id: str, content: str) -> tuple[Order, Order | None]:
        """The order for this content, and the one of other content that it replaces, if any.

        A file that cannot be read counts as an order that may have been sent: D-ID's list
        of talks must be asked, which the same task and content make possible.
        """
        fresh = Order(task_id, content)
        try:
            saved = _order(json.loads(self.file.read_bytes()))
        except FileNotFoundError:
            return fresh, None
        except (OSError, ValueError, TypeError, KeyError):
            return replace(fresh, sent_at=0.0), None
        if saved.content == content and saved.task_id == task_id:
            return saved, None
        return fresh, saved

    def save(self, order: Order) -> Order:
        """Put the order on disk, so that neither a kill nor a power cut loses it."""
        content = json.dumps({"version": VERSION, **asdict(order)}, indent=1).encode()
        try:
            atomic_write(self.file, content)
        except OSError as error:
            raise SetupError(
                "The note about the order at D-ID cannot be written: {reason}.",
                hint="Make room on the disk, then `vidgen resume`: nothing is ordered twice.",
                code="did.note",
                is_retryable=True,
                reason=error.strerror or type(error).__name__,
            ) from error
        return order


def _order(value: Mapping[str, Any]) -> Order:
    if value["version"] != VERSION:
        raise ValueError("another version's order")
    given = {name: value[name] for name in Order.__slots__ if name in value}
    for name, kind in (("picture", Uploaded), ("voice", Uploaded), ("result", Result)):
        if given.get(name) is not None:
            given[name] = kind(**given[name])
    return Order(**given)
