"""The puppet: one photo speaks, with no network but the landmarks'. The renderer's front door.

`controls` and `motion` read the voice, `plan` turns them into weights, `figure` holds what is
worked out once for a speaker, `loop` and `cuda` draw.
"""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vidgen.renderers.base import Look
from vidgen.work import Cutout, Frames, Speech, Subject


@dataclass(frozen=True, slots=True)
class Puppet:
    """A `Renderer` that warps the photo itself: real time on two cores, no weights."""

    device: str = "cpu"
    name: str = "puppet"

    @contextmanager
    def perform(
        self, subject: Subject, cutout: Cutout, speech: Speech, look: Look
    ) -> Iterator["Act"]:
        from vidgen.renderers.puppet import figure, plan
        from vidgen.renderers.puppet.controls import controls
        from vidgen.renderers.puppet.motion import motion

        mouth = controls(speech, look)
        head = motion(mouth, look, speech.seconds)
        made = figure.build(subject, cutout)
        count = plan.frame_count(speech, look.fps)
        wanted = plan.plan(made.face, mouth, head, look, count)
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        metadata = {
            "renderer": self.name,
            "device": self.device,
            "seed": look.seed,
            "blinks": len(head.blinks),
            "closures_from": mouth.source,
        }
        with ThreadPoolExecutor(max(1, min(cores or 1, 4)), thread_name_prefix="puppet") as pool:
            yield Act(made, wanted, pool, metadata)


@dataclass(frozen=True, slots=True)
class Act:
    """A `Performance` of the puppet."""

    figure: Any
    plan: Any
    workers: ThreadPoolExecutor
    metadata: Mapping[str, Any]

    @property
    def frame_count(self) -> int:
        return len(self.plan)

    def frames(self, first: int, last: int) -> Iterator[Frames]:
        from vidgen.renderers.puppet import loop

        yield from loop.frames(self.figure, self.plan, first, last, self.workers, 3)
