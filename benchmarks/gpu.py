"""What a GPU and many cores do to the program, in one command of a few minutes.

    python -m benchmarks.gpu [--device cuda:0] [--seconds 34] [--small] [--json FILE]

Whole commands on the processor and the device, drawing and encoding by 1, 2, 4 … worker processes,
drawing alone on the device and its steps, the networks and their parts, the time to the first
frame, Ctrl-C at several moments, two runs at once, and the device with little memory left. Needs
the embedded models and no network: MuseTalk's weights, and the others', are random, and `--small`
ones measure nothing. Without a device its rows are left out, without the extra `gpu` those of the
networks; `--device cpu --small --seconds 4` tries the script itself.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import starmap
from pathlib import Path
from typing import Any, Final

from benchmarks import device_parts, drawing, random_networks, whole
from benchmarks.random_files import ROWS
from benchmarks.random_networks import Sizes
from tests.support.puppet import cut, speaker
from vidgen.device import device
from vidgen.errors import VidgenError
from vidgen.events import Event, StageProgress
from vidgen.models import catalog, pull
from vidgen.models.catalog import OWN_ROWS, Catalog
from vidgen.models.select import MUSETALK
from vidgen.paths import Home
from vidgen.renderers.puppet.renderer import PuppetRenderer
from vidgen.renderers.workers import Workers
from vidgen.stages.render import Render
from vidgen.work import Folder, MotionOptions, Work

SIZE: Final = (1280, 720)
FLAGS: Final = ("--height", "720", "--aspect", "16:9")
MOMENTS: Final = (0.5, 1.5, 3.0, 5.0)  # seconds after the start, at which Ctrl-C comes
LEFT_GB: Final = (5.0, 1.5)
GIVE_UP: Final = 30.0  # seconds
NETWORKS: Final = ("torch", "diffusers", "transformers", "ultralytics", "nobg")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure."""

    what: str
    value: float
    unit: str
    remark: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--seconds", type=float, default=34.0, help="of voice")
    parser.add_argument("--small", action="store_true", help="tiny networks: tries this script")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    shelf = Catalog(Home.default())
    pull.ensure(shelf, [*catalog.find_models("embedded"), *catalog.find_models("demo")])
    where = _present(options.device)
    print(f"{device.cpu_name()}\n")
    print("| what | value | unit | remark |\n|---|---|---|---|")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        voice = Path(folder) / "voice.wav"
        whole.speak(voice, options.seconds)
        sizes = random_networks.small() if options.small else random_networks.full()
        for row in measure(shelf, voice, where, options.seconds, sizes):
            rows.append(row)
            print(f"| {row.what} | {row.value:.2f} | {row.unit} | {row.remark} |", flush=True)
    print(f"\nDevice: {device.device_name(where) if where else 'none'}")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1), "utf-8")


def _present(wanted: str) -> str:
    """The device, or "" where it does not answer."""
    try:
        return device.resolve_device(wanted)
    except VidgenError:
        return ""


def measure(shelf: Catalog, voice: Path, where: str, seconds: float, sizes: Sizes) -> Iterator[Row]:
    """Everything: whole commands, then their parts."""
    for place in dict.fromkeys(filter(None, ["cpu", where])):
        yield from whole_commands(shelf, voice, ["--device", place], f"puppet, {place}")
        yield first_frame(shelf, voice, place)
        yield from interrupted(shelf, voice, place)
    if where and all(map(device.has_package, NETWORKS)):
        yield from musetalk(shelf, voice, where, sizes)
    # From here on this process grows, and so would what is told of its children's memory.
    yield from drawn_by_workers(shelf, seconds)
    if not where:
        return
    yield two_at_once(shelf, voice, where)
    for left in LEFT_GB if where.startswith("cuda") else ():
        with little_memory(where, left):
            rows = whole_commands(shelf, voice, ["--device", where], f"{where}, {left} GB left")
            yield next(rows)
    if not all(map(device.has_package, NETWORKS)):
        return
    yield drawn_on_device(shelf, where)
    yield from starmap(Row, device_parts.drawing_parts(shelf, SIZE, where))
    with tempfile.TemporaryDirectory() as folder:
        yield from starmap(Row, device_parts.network_parts(where, sizes, Path(folder)))


def musetalk(shelf: Catalog, voice: Path, where: str, sizes: Sizes) -> Iterator[Row]:
    """Whole commands with random weights. The first one also keeps them at half the size."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder))
        home.models.mkdir()
        for kept in shelf.home.models.iterdir():
            if kept.is_dir() and kept.name not in MUSETALK:
                (home.models / kept.name).symlink_to(kept)
        small = ["--small"] * (sizes == random_networks.small())
        command = [sys.executable, "-m", "benchmarks.random_files", folder, *small]
        subprocess.run(command, check=True)
        os.environ[OWN_ROWS] = str(home.models / ROWS)
        try:
            flags = ["--renderer", "musetalk", "--device", where]
            for turn in ("first", "second"):
                name = f"musetalk, {where}, {turn}"
                yield from whole_commands(Catalog(home), voice, flags, name)
            yield first_frame(Catalog(home), voice, where, "musetalk")
            yield from interrupted(Catalog(home), voice, where, "musetalk")
        finally:
            del os.environ[OWN_ROWS]


def drawn_by_workers(shelf: Catalog, seconds: float) -> Iterator[Row]:
    """Frames a second, drawn and encoded, with 1, 2, 4 … processes."""
    speaking = speaker(shelf.path("demo_photo"), shelf.path, SIZE[1], width=SIZE[0])
    said = drawing.lengthen(seconds)
    count, alone = 1, 0.0
    while count <= device.usable_cores():
        moments: list[tuple[float, float]] = []

        def heard(event: Event, moments: list[tuple[float, float]] = moments) -> None:
            if isinstance(event, StageProgress):
                moments.append((time.perf_counter(), event.done))

        with tempfile.TemporaryDirectory() as folder, Workers(count) as workers:
            work = Work(
                speaking, cut(speaking), said, Folder(Path(folder), Path(folder) / "previews")
            )
            Render(PuppetRenderer(), MotionOptions(), workers=workers).run(work, heard)
        (began, before), (ended, after) = moments[1], moments[-1]
        speed = (after - before) / (ended - began)
        alone = alone or speed
        who_draws = "this process's threads" if count == 1 else f"{count} processes"
        yield Row(
            f"drawn and encoded by {who_draws}", speed, "frames/s", f"{speed / alone:.1f} times one"
        )
        count *= 2


def drawn_on_device(shelf: Catalog, where: str) -> Row:
    """The drawing alone, by `benchmarks.drawing`."""
    cells = drawing.row(shelf, SIZE, where, 400).split("|")
    return Row(f"drawn on {where}", float(cells[2]), "frames/s", "not encoded")


def whole_commands(shelf: Catalog, voice: Path, flags: Sequence[str], name: str) -> Iterator[Row]:
    run = whole.ran(shelf, voice, [*FLAGS, *flags])
    yield Row(f"whole run, {name}", run.command, "s", f"{run.processor:.0f} s of processor")
    yield Row(f"memory, {name}", run.megabytes, "MB", "the largest process")


@contextmanager
def started(
    shelf: Catalog, voice: Path, where: str, renderer: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """A run that tells its events, in a home of its own."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "models").symlink_to(shelf.home.models)
        command = [sys.executable, "-m", "vidgen", "run", str(shelf.path("demo_photo")), str(voice)]
        command += ["-o", f"{folder}/film.mp4", "--models", "embedded", "--device", where]
        with subprocess.Popen(
            [*command, *FLAGS, "--renderer", renderer, "--progress", "rawjson"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "VIDGEN_HOME": folder},
        ) as process:
            try:
                yield process
            finally:
                process.kill()


def first_frame(shelf: Catalog, voice: Path, where: str, renderer: str = "puppet") -> Row:
    """From the command to the first frame that is drawn."""
    began = time.monotonic()
    with started(shelf, voice, where, renderer) as process:
        assert process.stdout is not None
        for line in process.stdout:
            data: dict[str, Any] = json.loads(line)["data"]
            if data.get("stage") == "rendering" and data.get("done", 0) > 0:
                break
        return Row(f"first frame, {renderer}, {where}", time.monotonic() - began, "s")


def interrupted(shelf: Catalog, voice: Path, where: str, renderer: str = "puppet") -> Iterator[Row]:
    """From Ctrl-C to the end, at several moments."""
    for moment in MOMENTS:
        with started(shelf, voice, where, renderer) as process:
            time.sleep(moment)
            process.send_signal(signal.SIGINT)
            began = time.monotonic()
            process.communicate(timeout=GIVE_UP)
            remark = f"exit code {process.returncode}"
            what = f"Ctrl-C after {moment} s, {renderer}, {where}"
            yield Row(what, time.monotonic() - began, "s", remark)


def two_at_once(shelf: Catalog, voice: Path, where: str) -> Row:
    """Two runs on one device: while one draws, the other waits for its turn."""
    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            pool.submit(whole.ran, shelf, voice, [*FLAGS, "--device", where])
    return Row(f"two runs at once, {where}", time.monotonic() - began, "s")


@contextmanager
def little_memory(where: str, left: float) -> Iterator[None]:
    """Hold the device's memory but for `left` GB."""
    import torch

    free, _ = torch.cuda.mem_get_info(where)
    held = torch.empty(max(0, int(free - left * 1e9)), dtype=torch.uint8, device=where)
    try:
        yield
    finally:
        del held
        torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
