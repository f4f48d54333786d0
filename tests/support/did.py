"""A small speaker, a small voice and a clock, for the tests of the D-ID stages."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from tests.support.fake_did import KEY
from vidgen.did.auth import Account, AuthKey, Scheme
from vidgen.did.polling import PastTalks
from vidgen.did.timing import Timing
from vidgen.events import Emit, Event, Log
from vidgen.stages.did import DidProcessing, DidUpload
from vidgen.work import Cutout, Floats, Folder, Photo, Speech, Subject, Work

TASK = "550e8400-e29b-41d4-a716-446655440000"
SECONDS = 1.6


@dataclass
class Clock:
    """Time that passes only when somebody sleeps."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def patience(self, **more: Any) -> Timing:
        patience = Timing(
            timeout=20.0,  # nothing waits for it but faults that stall, with one of their own
            connect_timeout=20.0,
            clock=lambda: self.now,
            wall=lambda: time.time() + self.now,
            sleep=self.sleep,
            chance=lambda: 0.5,
        )
        return replace(patience, **more)


def subject(size: tuple[int, int] = (256, 320)) -> Subject:
    """size: width, height."""
    W, H = size
    rows, columns = np.mgrid[0:H, 0:W]
    frame = np.stack([rows % 256, columns % 256, (rows + columns) % 256], -1).astype(np.uint8)
    box = (W // 4, H // 4, W * 3 // 4, H * 3 // 4)
    return Subject(frame, np.zeros((468, 3), np.float32), box, box)


def cutout(of: Subject, **more: Any) -> Cutout:
    """The left half is the speaker, the right half a grey background."""
    matte: Floats = np.zeros(of.frame.shape[:2], np.float32)
    matte[:, : of.frame.shape[1] // 2] = 1
    whole = Cutout(of.frame, matte, np.full_like(of.frame, 90))
    return replace(whole, **more)


def speech(seconds: float = SECONDS, rate: int = 24_000) -> Speech:
    times = np.arange(round(seconds * rate)) / rate
    return Speech((0.3 * np.sin(2 * np.pi * 220 * times)).astype(np.float32), rate, "0" * 64)


def shelf(folder: Path, seconds: float = SECONDS) -> Work:
    speaker = subject()
    work = folder / TASK / "work"
    work.mkdir(parents=True, exist_ok=True)
    photo = Photo(folder / "ann.jpg", speaker.frame, "a" * 64)
    folders = Folder(work, folder / TASK / "previews")
    return Work(photo, speaker, cutout(speaker), speech(seconds), folders)


def account(url: str, scheme: Scheme = "basic", key: str = KEY, **more: Any) -> Account:
    return Account(AuthKey(key, scheme), url, **more)


def film_by(
    who: Account, work: Work, emit: Emit, patience: Timing, past: PastTalks | None = None
) -> Work:
    """Both stages, one after the other."""
    work = DidUpload(who, TASK, patience).run(work, emit)
    return DidProcessing(who, patience, past or PastTalks()).run(work, emit)


@dataclass
class Heard:
    """An emit that keeps everything."""

    events: list[Event] = field(default_factory=list)
    told: Callable[[Event], None] = lambda _: None

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self.told(event)

    @property
    def codes(self) -> list[str]:
        """Of the log, in order."""
        return [event.code for event in self.events if isinstance(event, Log)]
