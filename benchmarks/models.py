"""How fast the full models are on this machine, without their weights.

The networks are built at full size with random weights: speed does not depend on the values. On a
GPU everything is measured; on a CPU what would take many minutes is left out and said so.

    python -m benchmarks.models [--device auto] [--write docs/performance-models.md]
"""

import argparse
import gc
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from vidgen import catalog, device
from vidgen.device import Peak
from vidgen.media import FilmWriter, encoding_for
from vidgen.renderers.base import Look
from vidgen.renderers.musetalk import MuseTalk
from vidgen.renderers.musetalk.face import BRIDGE, JAW
from vidgen.renderers.musetalk.networks import Files, Networks
from vidgen.stages import yolo
from vidgen.stages.birefnet import BiRefNet, Variant
from vidgen.work import Cutout, Floats, Pixels, Speech, Subject

FRAME = 720  # pixels, both sides, of the framed photo
UNET = {  # musetalkV15/musetalk.json
    "act_fn": "silu",
    "attention_head_dim": 8,
    "block_out_channels": [320, 640, 1280, 1280],
    "center_input_sample": False,
    "cross_attention_dim": 384,
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "downsample_padding": 1,
    "flip_sin_to_cos": True,
    "freq_shift": 0,
    "in_channels": 8,
    "layers_per_block": 2,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-05,
    "norm_num_groups": 32,
    "out_channels": 4,
    "sample_size": 64,
    "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
}
ANCHORS = {
    "BiRefNet general, 1024²": "57.7 ms RTX 4090, 69.4 ms A100 (fp16)",
    "MuseTalk, batch 8": "30 fps V100",
}
GOALS = {"BiRefNet general, 1024²": "≤ 40 ms", "MuseTalk, batch 32": "≥ 200 fps"}


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    what: str
    result: str
    memory: str
    note: str = ""

    def line(self) -> str:
        known = [GOALS.get(self.what, ""), ANCHORS.get(self.what, ""), self.note]
        return f"| {self.what} | {self.result} | {self.memory} | {'; '.join(filter(None, known))} |"


@dataclass(slots=True)
class Bench:
    """The machine that is measured, and what came out."""

    device: str
    rows: list[Row] = field(default_factory=list)

    @property
    def on_gpu(self) -> bool:
        return self.device.startswith("cuda")

    def add(self, what: str, result: str, peak: Peak, note: str = "") -> None:
        gpu = f"{peak.gpu_memory_mb:,.0f} MB on the GPU, " if peak.gpu_memory_mb else ""
        self.rows.append(Row(what, result, f"{gpu}{peak.memory_mb:,.0f} MB", note))
        print(self.rows[-1].line(), flush=True)

    def seconds(self, once: Callable[[], object], times: int, warm: int = 2) -> float:
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


def subject() -> Subject:
    """A face in the middle of the frame, its jaw half an ellipse."""
    points = np.full((468, 3), FRAME / 2, np.float32)
    turn = np.linspace(math.pi, 0, len(JAW))
    points[list(JAW), 0] = FRAME / 2 + 0.17 * FRAME * np.cos(turn)
    points[list(JAW), 1] = 0.5 * FRAME + 0.22 * FRAME * np.sin(turn)
    points[BRIDGE, 1] = 0.5 * FRAME
    box = (int(0.3 * FRAME), int(0.25 * FRAME), int(0.7 * FRAME), int(0.75 * FRAME))
    return Subject(photo(FRAME), points, box, (0, 0, FRAME, FRAME))


def voice(seconds: float) -> Speech:
    samples = np.random.default_rng(1).standard_normal(round(16_000 * seconds))
    return Speech((0.1 * samples).astype(np.float32), 16_000, "")


# --- one network at a time ------------------------------------------------------------------------


def measure_yolo(bench: Bench, folder: Path) -> None:
    for name in ("yolo26n", "yolo26m"):
        with yolo._contained():
            library = yolo._library(folder / "settings")
            library(f"{name}.yaml").save(folder / f"{name}.pt")
        with device.measured(bench.device) as peak:
            finder = yolo.YoloPeople(folder / f"{name}.pt", folder / "settings", bench.device)
            seconds = bench.seconds(partial(finder, photo(FRAME), 0.5), 10)
            finder.release()
        bench.add(f"{name.upper()}, 640²", f"{1000 * seconds:.1f} ms", peak)


class RandomBiRefNet(BiRefNet):
    """Full size, weights of no meaning."""

    def _ready(self, variant: Variant) -> None:
        from nobg.birefnet.modeling_birefnet import BiRefNet as Network
        from nobg.birefnet.modeling_birefnet import BiRefNetConfig

        if self._loaded is None:
            network = Network(BiRefNetConfig(**variant.params)).eval()
            network = network.half() if self.precision == "float16" else network
            self._network = network.to(self.device)
        self._loaded = variant


def measure_birefnet(bench: Bench) -> None:
    lite = catalog.models()["birefnet_lite"].params
    plans: Sequence[tuple[str, Any, int]] = [("lite", lite, 1024), ("general", {}, 1024)]
    if not bench.on_gpu:
        plans = [("lite", lite, 512), *plans]
    for name, params, side in plans:
        with device.measured(bench.device) as peak:
            net = RandomBiRefNet(
                [Variant(name, Path(), params, side)], bench.device, lambda _: None
            )
            times, warm = (10, 3) if bench.on_gpu else (1, 1 if side == 512 else 0)
            once = partial(net.matte, photo(FRAME), (0, 0, FRAME, FRAME))
            net.load()
            seconds = bench.seconds(once, times, warm)
            net.release()
        note = "" if bench.on_gpu else "once" if not warm else ""
        bench.add(f"BiRefNet {name}, {side}²", _duration(seconds), peak, note)


class RandomNetworks(Networks):
    """MuseTalk's three, full size; counts the time that the device spends on faces."""

    busy = 0.0

    def load(self) -> None:
        if self._unet is not None:
            return
        from diffusers import AutoencoderKL, UNet2DConditionModel
        from transformers import WhisperConfig
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        rows = catalog.models()
        self._whisper = self._random(
            lambda: WhisperEncoder(WhisperConfig(**rows["whisper_tiny"].params))
        )
        self._vae = self._random(lambda: AutoencoderKL(**rows["sd_vae"].params))
        self._decode = self._vae.decode
        self._unet = self._random(lambda: UNet2DConditionModel(**UNET))

    def _random(self, make: Callable[[], Any]) -> Any:
        import torch

        with torch.device("meta"):
            network = make()
        dtype = getattr(torch, self.precision)
        network = torch.nn.Module.to(network, dtype)  # diffusers' own `to` warns
        network = network.to_empty(device=self.device).eval().requires_grad_(False)
        for weight in network.parameters():
            weight.normal_(0, 0.02)
        return network

    def drawn(self, latents: Any, tokens: Floats) -> Pixels:
        began = time.perf_counter()  # the call ends with the pixels on the CPU: it waits for all
        made = super().drawn(latents, tokens)
        self.busy += time.perf_counter() - began
        return made


def random_musetalk(where: str, batch: int = 0) -> MuseTalk:
    renderer = MuseTalk(Files(Path(), Path(), Path(), Path()), where, batch=batch)
    renderer.networks = RandomNetworks(renderer.networks.files, where)
    return renderer


def measure_musetalk(bench: Bench) -> RandomNetworks:
    with device.measured(bench.device) as peak:
        networks = RandomNetworks(Files(Path(), Path(), Path(), Path()), bench.device)
        networks.load()
        samples = voice(30).samples
        seconds = bench.seconds(lambda: networks.heard(samples), 3, 1)
    bench.add("Whisper-tiny, 30 s of voice", _duration(seconds), peak)
    square = photo(256)
    for batch in (1, 8, 32) if bench.on_gpu else (1,):
        with device.measured(bench.device) as peak:
            latents = networks.latents(square, square)
            tokens = np.zeros((batch, 50, 384), np.float32)
            once = partial(networks.drawn, latents, tokens)
            seconds = bench.seconds(once, *((10, 3) if bench.on_gpu else (1, 1)))
        bench.add(f"MuseTalk, batch {batch}", f"{batch / seconds:.2f} fps", peak)
    return networks


# --- whole pipelines ------------------------------------------------------------------------------


def measure_whole(bench: Bench, networks: RandomNetworks, seconds: float, folder: Path) -> None:
    """Find, cut out, draw, encode: the stages that compute, as a run has them."""
    with device.measured(bench.device) as peak:
        finder = yolo.YoloPeople(folder / "yolo26n.pt", folder / "settings", bench.device)
        matter = RandomBiRefNet([Variant("general", Path())], bench.device, lambda _: None)
        renderer = random_musetalk(bench.device)
        renderer.networks = networks
        finder.load()
        matter.load()
        began = time.perf_counter()
        finder(photo(FRAME), 0.5)
        who = subject()
        matte = matter.matte(who.frame, who.person)
        cutout = Cutout(who.frame, np.ones_like(matte), who.frame, keeps_photo=True)
        drawing = time.perf_counter()
        frames = _draw(renderer, who, cutout, voice(seconds), folder / "film.mp4")
        took = time.perf_counter() - drawing
        whole = time.perf_counter() - began
    waited = max(0.0, 1 - networks.busy / took)
    note = (
        f"{frames / took:.0f} frames/s drawn and encoded; the GPU waits {waited:.0%} (goal < 15 %)"
    )
    bench.add(f"Whole run, {seconds:.0f} s of voice", f"{whole:.1f} s", peak, note)


def _draw(renderer: MuseTalk, who: Subject, cutout: Cutout, speech: Speech, target: Path) -> int:
    with renderer.perform(who, cutout, speech, Look()) as performance:
        assert isinstance(renderer.networks, RandomNetworks)
        renderer.networks.busy = 0.0  # the measuring before the first frame is none of it
        with FilmWriter(
            target, size=(FRAME, FRAME), fps=Fraction(25), encoding=encoding_for("mp4")
        ) as writer:
            for frames in performance.frames(0, performance.frame_count):
                writer.write(frames)
        return performance.frame_count


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
        "720 × 720, by `python -m benchmarks.models`. Memory is the peak during each line,",
        "of the process, and on a GPU of what torch holds there.",
        "",
        f"Machine: {device.name(bench.device)}, {torch.get_num_threads()} threads. {versions}.",
        "",
        "| what | result | peak memory | goal and others' figures (H200-class goals) |",
        "|---|---|---|---|",
    ]
    tail = [] if bench.on_gpu else ["", *_not_measured(bench)]
    return "\n".join([*head, *(row.line() for row in bench.rows), *tail, ""])


def _not_measured(bench: Bench) -> Iterator[str]:
    yield "**Not measured here, for want of a GPU:** BiRefNet and MuseTalk in half precision,"
    yield "MuseTalk at batch 8 and 32, whole runs of 8 s and 60 s with the share of time that the"
    yield "GPU waits. The same command measures them where there is one."
    speeds = [row for row in bench.rows if row.what.startswith("MuseTalk")]
    if speeds:
        fps = max(float(row.result.split()[0]) for row in speeds)
        yield f"On this CPU a second of voice costs MuseTalk {25 / fps:.0f} s: `--renderer auto`"
        yield "takes the puppet there."


@contextmanager
def _room() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="vidgen-benchmark-") as folder:
        yield Path(folder)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--write", type=Path, help="also write the table into this file")
    chosen = parser.parse_args(arguments)
    bench = Bench(device.resolve(chosen.device))
    with _room() as folder:
        measure_yolo(bench, folder)
        measure_birefnet(bench)
        gc.collect()
        networks = measure_musetalk(bench)
        if bench.on_gpu:
            for seconds in (8.0, 60.0):
                measure_whole(bench, networks, seconds, folder)
    text = report(bench)
    print(text)
    if chosen.write:
        chosen.write.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
