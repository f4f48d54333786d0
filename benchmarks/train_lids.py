"""Teach the network that makes drawn lids look like real ones (`lid_net.onnx`).

    python -m benchmarks.train_lids FOLDER [--judge NAMES] [--minutes 3] [--device cuda] [--write]

FOLDER holds pairs as for `benchmarks.shut_eyes`: NAME-open.png and NAME-shut.png, a face and the
same in a blink; a NAME up to its last hyphen is a person. Pairs named in the file NAMES, one a
line, are left out and judge: how far the network's lids, drawn ones and the open eye are off the
real ones (L1, a share of the skin's light). Three U-Nets are taught, so many minutes each, by L1 of
colours and of their gradients and by a network that tells made eyes from real ones (Isola and
others, 2017), with turns, shifts, light, colours and blur by chance. Needs the extra `gpu` and the
package `onnx`, and a GPU. `--write` replaces `lid_net.onnx`, which was taught by a draft of this
script: larger eyes came oftener, the eye's middle counted more, and the three had 3 minutes side by
side.
"""

import argparse
import math
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch as replaced

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.shut_eyes import patch, usable
from vidgen.media.colour import LUMA
from vidgen.renderers.puppet import eyes, lid_net, lighting
from vidgen.renderers.puppet.geometry import FaceGeometry
from vidgen.renderers.puppet.grid import Array
from vidgen.renderers.puppet.lid_net import HEIGHT, SKIN, WIDTH
from vidgen.renderers.puppet.lid_skin import View
from vidgen.work import Pixels

MODEL: Final = Path(lid_net.__file__).with_suffix(".onnx")
CHANNELS: Final = 12, 19, 32, 51  # of the U-Net, at full resolution to an eighth
BATCH: Final = 64
RATE: Final = 2e-3
RATE_OF_ADVERSARY: Final = 4e-4
LESSONS: Final = ((1.0, 0.05), (1.0, 0.15), (0.3, 0.15))  # of each network: weights of its distance
# to the real eye, and of what the adversary says,
FEATURES: Final = 4.0  # and sees
ALONE: Final = 300  # steps before it is asked
GRADIENTS: Final = 2.0
Tensor = Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--judge", type=Path, help="a file of names")
    parser.add_argument("--minutes", type=float, default=3.0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    left_out = set(asked.judge.read_text("utf-8").split()) if asked.judge else set()
    examples = [
        (name, example)
        for name, still, real, face in usable(sorted(asked.folder.glob("*-open.png")))
        for example in examples_of(still, real, face)
    ]
    taught = [(name, one) for name, one in examples if name not in left_out]
    judged = [one for name, one in examples if name in left_out]
    people = [name.rpartition("-")[0] for name, _ in taught]
    print(f"{len(taught)} eyes of {len(set(people))} people; {len(judged)} to judge by")
    eyes_only = [one for _, one in taught]
    nets = [teach(eyes_only, people, lesson, asked.minutes, asked.device) for lesson in LESSONS]
    net = Mean(nets).to(asked.device)
    if judged:
        print(f"off: network {off(net, judged, asked.device)}")
    if asked.write:
        write(net, MODEL)


def examples_of(still: Pixels, real: Pixels, face: FaceGeometry) -> list[Array]:
    """(10, HEIGHT, WIDTH) for each eye: what the network sees, without places, and the real one, as
    shares of the skin's light, less 1."""
    seen: list[tuple[View, Array, Array]] = []

    def keep(view: View, drawn: Array, share: Array) -> Array:
        seen.append((view, drawn, share))
        return np.zeros_like(drawn)

    with replaced.object(lid_net, "find_missing", keep):
        eyes.build(still, face, lighting.measure(still, face))
    found = []
    for view, drawn, share in seen:
        given, level = lid_net.network_input(view, drawn, share)
        true = patch(real, view.eye).transpose(2, 0, 1) / level - 1
        found.append(np.concatenate([given[:7], true]).astype(np.float32))
    return found


class Twice(nn.Module):  # type: ignore[misc]
    """Two convolutions."""

    def __init__(self, given: int, made: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(given, made, 3, padding=1)
        self.second = nn.Conv2d(made, made, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.leaky_relu(self.first(x), 0.1)
        return functional.leaky_relu(self.second(x), 0.1)


class Net(nn.Module):  # type: ignore[misc]
    """(B, 9, HEIGHT, WIDTH), `lid_net.network_input` → (B, 3, HEIGHT, WIDTH), what to add."""

    def __init__(self, channels: Sequence[int] = CHANNELS) -> None:
        super().__init__()
        steps = list(pairwise(channels))
        self.down = nn.ModuleList([Twice(9, channels[0]), *(Twice(*step) for step in steps)])
        self.up = nn.ModuleList([Twice(fine + coarse, fine) for fine, coarse in reversed(steps)])
        self.last = nn.Conv2d(channels[0], 3, 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor) -> Tensor:
        kept = [x := self.down[0](x)]
        for step in self.down[1:]:
            x = step(functional.avg_pool2d(x, 2))
            kept.append(x)
        x = functional.dropout2d(kept.pop(), 0.1, self.training)
        for step in self.up:
            large = functional.interpolate(x, scale_factor=2.0, mode="bilinear")
            x = step(torch.cat([large, kept.pop()], 1))
        return self.last(x)


class Adversary(nn.Module):  # type: ignore[misc]
    """Tells real eyes from made ones, patch by patch, knowing the open one."""

    def __init__(self, wide: int = 48) -> None:
        super().__init__()
        norm = nn.utils.parametrizations.spectral_norm
        self.steps = nn.ModuleList(
            [
                norm(nn.Conv2d(9, wide, 4, 2, 1)),
                norm(nn.Conv2d(wide, 2 * wide, 4, 2, 1)),
                norm(nn.Conv2d(2 * wide, 4 * wide, 4, 1, 1)),
            ]
        )
        self.last = norm(nn.Conv2d(4 * wide, 1, 3, 1, 1))

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        seen = []
        for step in self.steps:
            x = functional.leaky_relu(step(x), 0.2)
            seen.append(x)
        return self.last(x), seen


class Mean(nn.Module):  # type: ignore[misc]
    """What several networks say together."""

    def __init__(self, nets: Sequence[Net]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, x: Tensor) -> Tensor:
        return sum(net(x) for net in self.nets) / len(self.nets)


def teach(
    examples: Sequence[Array],
    people: Sequence[str],
    lesson: tuple[float, float],
    minutes: float,
    device: str,
) -> Net:
    """The network after so many minutes; each person is seen as often as the others."""
    near, fooled = lesson
    often = torch.tensor([1 / people.count(one) for one in people], device=device)
    data = torch.tensor(np.stack(examples), device=device)
    net, adversary = Net().to(device), Adversary().to(device)
    ours = torch.optim.AdamW(net.parameters(), RATE, (0.5, 0.99), weight_decay=0.02)
    theirs = torch.optim.AdamW(
        adversary.parameters(), RATE_OF_ADVERSARY, (0.0, 0.99), weight_decay=1e-3
    )
    mean = torch.optim.swa_utils.AveragedModel(net, avg_fn=lambda old, new, _: old.lerp(new, 0.01))
    began, step, past = time.monotonic(), 0, 0.0
    while past < 1:
        past = (time.monotonic() - began) / (60 * minutes)
        for group in ours.param_groups:
            warm = min(1.0, (step + 1) / 300)
            group["lr"] = RATE * warm * (0.5 + 0.5 * math.cos(math.pi * min(1.0, past))) + 1e-6
        batch = vary(data[torch.multinomial(often, BATCH, replacement=True)])
        made, real = made_by(net, batch), batch[:, 7:]
        loss = near * distance(made, real)
        if step > ALONE:
            share, known = batch[:, 6:7], with_places(batch[:, [0, 1, 2, 6]])
            true = torch.cat([batch[:, 3:6] + share * (real - batch[:, 3:6]), known], 1)
            false = torch.cat([made, known], 1)
            told = adversary(true)[0], adversary(false.detach())[0]
            theirs.zero_grad()
            (functional.relu(1 - told[0]).mean() + functional.relu(1 + told[1]).mean()).backward()
            theirs.step()
            said, seen = adversary(false)
            alike = [
                (one - other.detach()).abs().mean()
                for one, other in zip(seen, adversary(true)[1], strict=True)
            ]
            loss = loss + fooled * (FEATURES * sum(alike) - said.mean())
        ours.zero_grad()
        loss.backward()
        ours.step()
        step += 1
        if step % 10 == 0:
            mean.update_parameters(net)
    print(f"{step} steps")
    return mean.module  # type: ignore[no-any-return]


def with_places(x: Tensor) -> Tensor:
    """`x` and the two planes of places."""
    y, across = torch.meshgrid(
        torch.arange(HEIGHT, device=x.device), torch.arange(WIDTH, device=x.device), indexing="ij"
    )
    places = torch.stack([across + 0.5 - WIDTH / 2, y + 0.5 - lid_net.LEVEL]) / lid_net.PITCH
    return torch.cat([x, places.expand(len(x), -1, -1, -1)], 1)


def made_by(net: nn.Module, batch: Tensor) -> Tensor:
    """The shut eye, drawn and what is added."""
    return batch[:, 3:6] + batch[:, 6:7] * net(with_places(batch[:, :7]))


def distance(made: Tensor, real: Tensor) -> Tensor:
    """L1 of colours and, at three resolutions, of their slopes."""
    rest = made - real
    found = rest.abs().mean()
    for times, weight in ((1, 1.0), (2, 0.5), (4, 0.5)):
        small = functional.avg_pool2d(rest, times)
        across, down = small.diff(dim=3).abs().mean(), small.diff(dim=2).abs().mean()
        found = found + GRADIENTS * weight * (across + down)
    return found


def vary(batch: Tensor) -> Tensor:
    """The same eyes turned, shifted, in other light, colours and focus, anew over their skin's
    light."""
    count, device = len(batch), batch.device

    def chance(*shape: int) -> Tensor:
        return torch.randn(count, *shape, device=device)

    turn, size = chance() * math.radians(3), torch.exp(0.05 * chance())
    matrix = torch.zeros(count, 2, 3, device=device)
    matrix[:, 0, 0] = matrix[:, 1, 1] = torch.cos(turn) / size
    matrix[:, 0, 1] = -torch.sin(turn) / size * HEIGHT / WIDTH
    matrix[:, 1, 0] = torch.sin(turn) / size * WIDTH / HEIGHT
    matrix[:, :, 2] = 0.03 * chance(2)
    grid = functional.affine_grid(matrix, list(batch.shape), align_corners=False)
    moved = functional.grid_sample(batch, grid, padding_mode="reflection", align_corners=False)
    share, pictures = moved[:, 6:7], moved[:, [0, 1, 2, 3, 4, 5, 7, 8, 9]] + 1
    lit = (pictures.clip(0) / 2 + 1e-4) ** torch.exp(0.12 * chance(1, 1, 1))
    lit = lit.unflatten(1, (3, 3)) * torch.exp(0.08 * chance(1, 3, 1, 1))
    places = with_places(share)[:, 1:, None, None]
    lit = lit * torch.exp(0.15 * chance(1, 1, 1, 1) * places[:, 0])
    lit = lit * torch.exp(0.10 * chance(1, 1, 1, 1) * places[:, 1])
    grey = lit.mean(2, keepdim=True)
    colour = (1 + 0.25 * chance(1, 1, 1, 1)).clip(0, 1.6)
    colour = torch.where(torch.rand(count, 1, 1, 1, 1, device=device) < 0.08, 0, colour)
    lit = blurred((grey + colour * (lit - grey)).flatten(1, 2), max(0.0, 0.7 * np.random.randn()))
    luma = torch.tensor(LUMA, device=device).view(1, 3, 1, 1)
    skin = (lit[:, :3] * luma).sum(1)[:, SKIN[0], SKIN[1]].flatten(1).median(1).values
    shown = lit / skin.clip(min=0.02).view(-1, 1, 1, 1) - 1
    return torch.cat([shown[:, :6], share, shown[:, 6:]], 1)


def blurred(pictures: Tensor, sigma: float) -> Tensor:
    if sigma < 0.25:
        return pictures
    at = torch.arange(-3, 4, device=pictures.device)
    kernel = torch.exp(-0.5 * (at / sigma) ** 2)
    kernel = kernel / kernel.sum()
    planes = functional.pad(pictures.flatten(0, 1)[:, None], (3, 3, 3, 3), mode="replicate")
    planes = functional.conv2d(planes, kernel.view(1, 1, 1, 7))
    return functional.conv2d(planes, kernel.view(1, 1, 7, 1)).view_as(pictures)


def off(net: nn.Module, judged: Sequence[Array], device: str) -> str:
    net.eval()
    batch = torch.tensor(np.stack(judged), device=device)
    with torch.no_grad():
        made = made_by(net, batch)
    ways = made, batch[:, 3:6], batch[:, :3]
    error = [float((way - batch[:, 7:]).abs().mean()) for way in ways]
    return "{:.4f}, drawn {:.4f}, open {:.4f}".format(*error)


def write(net: nn.Module, path: Path) -> None:
    asked = torch.zeros(1, 9, HEIGHT, WIDTH)
    torch.onnx.export(net.eval().cpu(), (asked,), path, dynamo=False, opset_version=13)


if __name__ == "__main__":
    main()
