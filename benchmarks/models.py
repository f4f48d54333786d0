"""How fast the full models are on this machine, without their weights.

On a GPU everything is measured. On a CPU what would take many minutes is left out and said so,
unless `--everything` asks for it. `--small` takes networks of a few thousand weights: it measures
nothing, it tries every path of this script.

    python -m benchmarks.models [--device auto] [--write docs/performance-models.md]
"""

import argparse
import gc
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.random_networks import (
    OvalBiRefNet,
    RandomBiRefNet,
    RandomNetworks,
    Sizes,
    full,
    random_musetalk,
    small,
)
from vidgen.device import device
from vidgen.device import memory as memory_module
from vidgen.device.memory import MemoryPeak
from vidgen.errors import VidgenError
from vidgen.events import Event, StageEnded
from vidgen.media.photo import open_photo
from vidgen.models import catalog, pull
from vidgen.models.catalog import Catalog
from vidgen.models.select import FACES
from vidgen.paths import Home
from vidgen.renderers.puppet.renderer import PuppetRenderer
from vidgen.settings import Options
from vidgen.stages.detect import Detect
from vidgen.stages.matte import Matte
from vidgen.stages.prosody import Prosody
from vidgen.stages.render import Render
from vidgen.steps import Step, run_steps
from vidgen.vision import yolo
from vidgen.vision.birefnet import Variant
from vidgen.vision.faces import FaceDetector, LandmarkNet
from vidgen.work import Film, Folder, MotionOptions, Pixels, Speech, Work

FRAME: Final = 720  # pixels, both sides, of the framed photo
ANCHORS: Final = {
    "BiRefNet general, 1024²": "57.7 ms RTX 4090, 69.4 ms A100 (fp16)",
    "MuseTalk, batch 8": "30 frames/s V100",
}
GOALS: Final = {"BiRefNet general, 1024²": "≤ 40 ms", "MuseTalk, batch 32": "≥ 200 frames/s"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    result: str
    memory: str
    note: str = ""

    def line(self) -> str:
        known = [self.note, ANCHORS.get(self.what, "")]
        goal = GOALS.get(self.what, "")
        notes = "; ".join(filter(None, known))
        return f"| {self.what} | {self.result} | {self.memory} | {goal} | {notes} |"


@dataclass(slots=True)
class Bench:
    """The machine that is measured, how thoroughly, and what came out."""

    device: str
    sizes: Sizes
    everything: bool  # also what takes a CPU many minutes
    rows: list[Row] = field(default_factory=list)

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    def add(self, what: str, result: str, peak: MemoryPeak, note: str = "") -> None:
        gpu = f"{peak.gpu_memory_mb:,.0f} MB on the GPU, " if peak.gpu_memory_mb else ""
        self.tell(Row(what, result, f"{gpu}{peak.memory_mb:,.0f} MB", note))

    def lacks(self, what: str, why: str) -> None:
        self.tell(Row(what, "not measured", "", why))

    def tell(self, row: Row) -> None:
        self.rows.append(row)
        print(row.line(), flush=True)

    def seconds(self, once: Callable[[], object], times: int, warm: int) -> float:
        """The best of some runs after a few that do not count: others may use the machine, too."""
        for _ in range(warm):
            once()
        self.settle()
        taken = []
        for _ in range(times):
            began = time.perf_counter()
            once()
            self.settle()
            taken.append(time.perf_counter() - began)
        return min(taken)

    def settle(self) -> None:
        if self.on_gpu:
            import torch

            torch.cuda.synchronize(self.device)


def photo(side: int) -> Pixels:
    """A soft picture: noise would be no harder for a network, but harder for an encoder."""
    rows, columns = np.mgrid[0:side, 0:side] / side
    waves = [np.sin(9 * rows + k) * np.cos(7 * columns - k) for k in range(3)]
    return np.asarray(127 + 100 * np.stack(waves, 2), np.uint8)


def voice(seconds: float) -> Speech:
    """Vowel-like pulses, three a second: the mouth moves all the time."""
    moments = np.arange(round(16_000 * seconds)) / 16_000
    tone = sum(np.sin(2 * np.pi * 120 * k * moments) / k for k in range(1, 20))
    samples = 0.1 * np.clip(np.sin(2 * np.pi * 3 * moments), 0, 1) * tone
    return Speech(samples.astype(np.float32), 16_000, "")


# --- one network at a time ------------------------------------------------------------------------


def measure_yolo(bench: Bench, folder: Path) -> None:
    for name in bench.sizes.yolo:
        with yolo._restore_globals():
            library = yolo._library(folder / "settings")
            library(f"{name}.yaml").save(folder / f"{name}.pt")
        with memory_module.measure_peak(bench.device) as peak:
            finder = yolo.YoloPeople(folder / f"{name}.pt", folder / "settings", bench.device)
            seconds = bench.seconds(partial(finder, photo(FRAME), 0.5), 10, 2)
            finder.release()
        bench.add(f"{name.upper()}, 640²", f"{1000 * seconds:.1f} ms", peak)


def measure_birefnet(bench: Bench) -> None:
    sizes = bench.sizes
    plans = [("lite", sizes.lite, sizes.side), ("general", sizes.general, sizes.side)]
    if not bench.on_gpu:
        plans = [("lite", sizes.lite, sizes.side // 2), *plans]
    for name, params, side in plans:
        with memory_module.measure_peak(bench.device) as peak:
            net = RandomBiRefNet(
                [Variant(name, Path(), params, side)], bench.device, lambda _: None
            )
            times, warm = (10, 3) if bench.on_gpu else (3, 1)
            net.load()
            once = partial(net.matte, photo(FRAME), (0, 0, FRAME, FRAME))
            seconds = bench.seconds(once, times, warm)
            net.release()
        bench.add(f"BiRefNet {name}, {side}²", _duration(seconds), peak)


def measure_musetalk(bench: Bench) -> RandomNetworks:
    with memory_module.measure_peak(bench.device) as peak:
        networks = RandomNetworks(bench.sizes, bench.device)
        networks.load()
        samples = voice(30).samples
        seconds = bench.seconds(lambda: networks.hear(samples), 3, 1)
    bench.add("Whisper-tiny, 30 s of voice", _duration(seconds), peak)
    latents, width = networks.latents(photo(256), photo(256)), bench.sizes.whisper["d_model"]
    for batch in (1, 8, 32):
        what = f"MuseTalk, batch {batch}"
        if batch > 1 and not bench.everything:
            bench.lacks(what, "takes a CPU minutes")
            continue
        with memory_module.measure_peak(bench.device) as peak:
            tokens = np.zeros((batch, 50, width), np.float32)
            once = partial(networks.draw, latents, tokens)
            seconds = bench.seconds(once, *((10, 3) if bench.on_gpu else (1, 1)))
        bench.add(what, f"{batch / seconds:.2f} frames/s", peak)
    return networks


# --- whole runs -----------------------------------------------------------------------------------


def measure_whole(bench: Bench, networks: RandomNetworks, folder: Path) -> None:
    """The stages of a run, as `vidgen run` has them, on the demo photo."""
    for seconds in bench.sizes.voices:
        what = f"Whole run, {seconds:g} s of voice"
        if not bench.everything:
            bench.lacks(what, "takes a CPU hours")
            continue
        try:
            _one_whole_run(bench, what, networks, seconds, folder / f"{seconds:g}")
        except VidgenError as error:
            bench.lacks(what, f"{error.message} {error.hint}")


def _one_whole_run(
    bench: Bench, what: str, networks: RandomNetworks, seconds: float, folder: Path
) -> None:
    shelf = Catalog(Home.default())
    pull.ensure(shelf, [catalog.models()[name] for name in (*FACES, "demo_photo")])
    for kept in (folder, folder / "previews"):
        kept.mkdir()
    networks.busy = 0.0
    told: dict[str, float] = {}
    given = open_photo(shelf.path("demo_photo")), voice(seconds)
    work = Work(*given, Folder(folder, folder / "previews"))
    steps = _steps(bench, shelf, networks, folder)

    def listen(event: Event) -> None:
        if isinstance(event, StageEnded):
            told[event.stage] = event.duration_seconds

    with memory_module.measure_peak(bench.device) as peak:
        began = time.perf_counter()
        work = run_steps(steps, work, listen, device=bench.device)
        whole = time.perf_counter() - began
    drawing = told["rendering"]
    speed = work.get(Film).frame_count / drawing
    waits = max(0.0, 1 - networks.busy / drawing)
    note = f"{speed:.0f} frames/s drawn and encoded; the GPU waits {waits:.0%} (goal < 15 %)"
    bench.add(what, f"{whole:.1f} s", peak, note)


def _steps(bench: Bench, shelf: Catalog, networks: RandomNetworks, folder: Path) -> list[Step]:
    options = Options(height=FRAME)
    people = yolo.YoloPeople(folder.parent / "yolo26n.pt", folder.parent / "settings", bench.device)
    matter = OvalBiRefNet(
        [Variant("general", Path(), bench.sizes.general, bench.sizes.side)],
        bench.device,
        lambda _: None,
    )
    talker = random_musetalk(networks)
    faces = FaceDetector(shelf.path("centerface")), LandmarkNet(shelf.path("face_landmark"))
    puppet = PuppetRenderer(bench.device, name="musetalk", face=talker)
    return [
        Step(Detect(*faces, options, people), networks=(people,)),
        Step(Matte(matter, options), networks=(matter,)),
        Step(Prosody(options)),
        Step(Render(puppet, MotionOptions()), networks=(talker,)),
    ]


# --- telling --------------------------------------------------------------------------------------


def _duration(seconds: float) -> str:
    return f"{1000 * seconds:.1f} ms" if seconds < 2 else f"{seconds:.1f} s"


def report(bench: Bench) -> str:
    import torch

    packages = ("torch", "ultralytics", "nobg", "diffusers", "transformers")
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    head = [
        "# The full models' speed",
        "",
        "Full-size networks with random weights (the values do not matter for speed), one photo of",
        "720 × 720, by `python -m benchmarks.models`. Memory is the peak during each line, of the",
        "process, with the networks of the lines above, and on a GPU of what torch holds there.",
        "",
        f"Machine: {device.device_name(bench.device)}, {torch.get_num_threads()} threads. "
        f"{versions}.",
        "",
        "| what | result | peak memory | goal (H200-class GPU) | notes, others' figures |",
        "|---|---|---|---|---|",
    ]
    tail = [] if bench.on_gpu else ["", *_not_measured(bench)]
    return "\n".join([*head, *(row.line() for row in bench.rows), *tail, ""])


def _not_measured(bench: Bench) -> Iterator[str]:
    yield "**No GPU was there: nothing in half precision is measured**, and none of the goals is"
    yield "proven. The same command measures everything where there is a GPU."
    speeds = [row for row in bench.rows if row.what == "MuseTalk, batch 1"]
    if speeds:
        fps = float(speeds[0].result.split()[0])
        yield f"On this CPU a second of voice costs MuseTalk {25 / fps:.0f} s: `--renderer auto`"
        yield "takes the puppet there."


def main(arguments: Sequence[str] | None = None) -> Bench:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--everything", action="store_true", help="on a CPU, too: takes hours")
    parser.add_argument("--small", action="store_true", help="tiny networks: tries this script")
    parser.add_argument("--write", type=Path, help="also write the table into this file")
    chosen = parser.parse_args(arguments)
    if chosen.small and chosen.write:
        parser.error("tiny networks measure nothing: not --write with --small")
    where = device.resolve_device(chosen.device)
    everything = chosen.everything or where.startswith("cuda")
    bench = Bench(where, small() if chosen.small else full(), everything)
    with tempfile.TemporaryDirectory(prefix="vidgen-benchmark-") as name:
        folder = Path(name)
        measure_yolo(bench, folder)
        measure_birefnet(bench)
        gc.collect()
        networks = measure_musetalk(bench)
        measure_whole(bench, networks, folder)
    text = report(bench)
    print(text)
    if chosen.write:
        chosen.write.write_text(text, "utf-8")
    return bench


if __name__ == "__main__":
    main()
