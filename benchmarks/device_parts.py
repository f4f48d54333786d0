"""What a device spends its time on, part by part: networks, the drawing's steps, the way down.

Each is repeated alone. For `benchmarks.gpu`, which makes rows of (what, value, unit, remark).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.models import Bench, Row, measure_birefnet, measure_musetalk, measure_yolo
from benchmarks.random_networks import RandomNetworks, Sizes
from tests.support.puppet import asked, cut, speaker
from vidgen.device.batch_graph import BatchGraph
from vidgen.models.catalog import Catalog
from vidgen.renderers.puppet import rig
from vidgen.renderers.puppet.cuda import BATCH, DeviceDrawing

Part = tuple[str, float, str, str]
TIMES: Final = 5


class QuietBench(Bench):
    """Keeps its rows to itself."""

    def tell(self, row: Row) -> None:
        self.rows.append(row)


def network_parts(where: str, sizes: Sizes, folder: Path) -> Iterator[Part]:
    """The networks, whole and apart."""
    bench = QuietBench(where, sizes, everything=True)
    measure_yolo(bench, folder)
    measure_birefnet(bench)
    networks = measure_musetalk(bench)
    for row in bench.rows:
        value, _, unit = row.result.partition(" ")
        with suppress(ValueError):  # "not measured"
            yield row.what, float(value), unit, row.memory
    yield from _apart(networks, sizes, bench.settle)


def _apart(networks: RandomNetworks, sizes: Sizes, settle: Callable[[], None]) -> Iterator[Part]:
    """UNet and VAE, in a batch, each alone and as a recorded graph."""
    import torch

    kind = getattr(torch, networks.precision)
    heard = torch.zeros(BATCH, 50, sizes.whisper["d_model"], device=networks.device, dtype=kind)
    given = torch.zeros(BATCH, 8, 32, 32, device=networks.device, dtype=kind)
    now = torch.zeros(1, dtype=torch.long, device=networks.device)
    drawn = torch.zeros(BATCH, 4, 32, 32, device=networks.device, dtype=kind)

    def unet(heard: Any) -> Any:
        return networks._unet(given, now, encoder_hidden_states=heard).sample

    def vae(drawn: Any) -> Any:
        return networks._decode(drawn).sample

    for name, compute, asked_of in (("UNet", unet, heard), ("VAE's decoder", vae, drawn)):
        with torch.inference_mode():
            speed = BATCH / _seconds(partial(compute, asked_of), settle)
            yield f"{name} alone, batch {BATCH}", speed, "frames/s", "call by call"
            if networks.device.startswith("cuda"):
                graph = BatchGraph(compute, asked_of)
                speed = BATCH / _seconds(partial(graph.play, asked_of), settle)
                yield f"{name} alone, batch {BATCH}", speed, "frames/s", "as a graph"


def drawing_parts(shelf: Catalog, size: tuple[int, int], where: str) -> Iterator[Part]:
    """The steps of the puppet's drawing, for a batch."""
    import torch

    who = speaker(shelf.path("demo_photo"), shelf.path, size[1], width=size[0])
    drawing = DeviceDrawing(
        rig.build(who, cut(who)), asked(*[{"yaw": 2.0, "close": 1.0}] * BATCH), where
    )
    settle = QuietBench(where, None, everything=True).settle  # type: ignore[arg-type]
    with torch.inference_mode():
        numbers = drawing.canvas.upload(drawing.numbers(0, BATCH))
        pose = drawing._pose(numbers)
        fields = drawing.figure.fields(drawing.canvas, pose.weights, pose.turns)
        out = drawing._place(drawing._warp(fields))
        made = drawing.draw_batch("yuv420p", numbers)
        steps: dict[str, Callable[[], Any]] = {
            "the speaker warped": lambda: drawing._warp(fields),
            "made YUV": lambda: drawing._yuv(out),
            "brought down": lambda: drawing._land(made, "yuv420p").wait(),
            "all of a batch, call by call": lambda: drawing.draw_batch("yuv420p", numbers),
            "all of a batch, brought down": lambda: drawing.draw(0, BATCH).wait(),
        }
        for name, step in steps.items():
            yield f"{name}, {where}", BATCH / _seconds(step, settle), "frames/s", f"batch {BATCH}"


def _seconds(once: Callable[[], Any], settle: Callable[[], None]) -> float:
    """The best of some runs after one that does not count."""
    once()
    settle()
    taken = []
    for _ in range(TIMES):
        began = time.perf_counter()
        once()
        settle()
        taken.append(time.perf_counter() - began)
    return min(taken)
