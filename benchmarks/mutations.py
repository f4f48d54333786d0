"""Small faults put into the core modules, one at a time: do the modules' own tests notice?

    python -m benchmarks.mutations --count 50 --seed 1 --seen EARLIER.log

Each fault is drawn by chance: a comparison or a sign turned, a number one larger, an `and` for an
`or`, a `not` or a call left out. It is put into a copy of the repository, and the tests that stand
beside the module's name here are run. What survives is printed; some of it changes nothing that
anybody could notice. What an earlier draw has printed is not drawn again.
"""

import argparse
import ast
import os
import random
import re
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import av  # noqa: F401  # heavy, and not ours: loaded once for all
import cv2  # noqa: F401
import httpx  # noqa: F401
import pytest
import scipy.signal  # noqa: F401
import uvicorn  # noqa: F401

ROOT: Final = Path(__file__).parents[1]
COPIED: Final = ("vidgen", "tests", "benchmarks", "models.toml", "pyproject.toml")
_LOADED: Final = "pytest.PytestAssertRewriteWarning"  # of plugins that a fork has already
TIMEOUT: Final = 240  # seconds; a fault that hangs is noticed too
# module -> the tests that must notice
_STORE: Final = "tests/progress/store"
_LOG: Final = " ".join(
    [*(f"{_STORE}/test_{name}.py" for name in ("log", "reader", "runs")), "-k 'not kills'"]
)
_DID: Final = (
    "tests/did/test_waiting.py tests/did/test_parts.py "
    "-k 'not by_hand and not importing and not picture and not a_voice and not long_voice'"
)
_SERVE: Final = "tests/progress/serve"
_AUTH: Final = f"{_SERVE}/test_access.py {_SERVE}/test_auth.py -k 'not printed and not log'"
_PRIVACY: Final = f"{_STORE}/test_privacy.py -k 'not user'"
TESTS: Final = {
    "steps.py": "tests/test_steps.py tests/test_pipeline.py",
    "cache.py": "tests/test_cache.py tests/test_pipeline.py",
    "pipeline.py": "tests/test_pipeline.py",
    "files.py": f"tests/test_files.py tests/media/test_output.py {_PRIVACY}",
    "inputs.py": "tests/test_inputs.py -k 'not slip and not way_round and not refused_voice'",
    "events.py": "tests/test_events.py tests/progress/test_broadcast.py -k 'not read_back'",
    "progress/broadcast.py": "tests/progress/test_broadcast.py",
    "progress/wire.py": "tests/progress/test_wire.py tests/progress/test_broadcast.py",
    "progress/store/log.py": _LOG,
    "progress/store/reader.py": _LOG,
    "progress/store/runs.py": _LOG,
    "progress/store/lock.py": f"{_STORE}/test_cancel.py {_LOG}",
    "progress/serve/auth.py": _AUTH,
    "progress/serve/connections.py": f"{_SERVE}/test_connections.py -k 'not descriptors'",
    "media/mixdown.py": "tests/media/test_channels.py tests/media/test_mixdown.py",
    "media/loudness.py": "tests/stages/test_prosody.py tests/media/test_mixdown.py",
    "media/output.py": "tests/media/test_output.py",
    "media/segments.py": "tests/media/test_segments.py",
    "did/orders.py": _DID,
    "did/timing.py": _DID,
    "did/polling.py": _DID,
}
_SAID: Final = re.compile(r"^(?:caught  |SURVIVED) (.+?):\d+: (.+)$", re.MULTILINE)
TURNED: Final[dict[type[ast.AST], type[ast.AST]]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.And: ast.Or, ast.Or: ast.And, ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div,
    ast.Div: ast.Mult,
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """One place of a module, and what becomes of it."""

    module: str
    line: int
    text: str
    source: str  # of the whole module


def draw_fault(module: str, dice: random.Random) -> Fault:
    """Some fault that can be put into the module."""
    tree = ast.parse((ROOT / "vidgen" / module).read_text("utf-8"))
    node, turn = dice.choice(list(_places(tree)))
    before = ast.unparse(node)
    turn()
    text = f"{before}  →  {ast.unparse(node) if not isinstance(node, ast.Expr) else 'pass'}"
    return Fault(module, getattr(node, "lineno", 0), text, ast.unparse(tree))


def draw(wanted: argparse.Namespace) -> list[Fault]:
    """As many as are wanted, the modules in turn, and none that was seen before."""
    dice = random.Random(wanted.seed)
    modules = wanted.modules.split(",")
    seen = {said for log in wanted.seen for said in _SAID.findall(log.read_text("utf-8"))}
    drawn: list[Fault] = []
    while len(drawn) < wanted.count:
        fault = draw_fault(modules[len(drawn) % len(modules)], dice)
        if (fault.module, fault.text) not in seen:
            seen.add((fault.module, fault.text))
            drawn.append(fault)
    return drawn


def _places(tree: ast.AST) -> Iterator[tuple[ast.AST, "Turn"]]:
    for node in _code(tree):
        match node:
            case ast.Compare(ops=[op]) if type(op) in TURNED:
                yield node, Turn(node, "ops", [TURNED[type(op)]()])
            case ast.BoolOp(op=op):
                yield node, Turn(node, "op", TURNED[type(op)]())
            case ast.BinOp(op=op) if type(op) in TURNED:
                yield node, Turn(node, "op", TURNED[type(op)]())
            case ast.UnaryOp(op=ast.Not()):
                yield node, Turn(node, "op", ast.UAdd())
            case ast.Constant(value=bool(value)):
                yield node, Turn(node, "value", not value)
            case ast.Constant(value=int(value) | float(value)):
                yield node, Turn(node, "value", value + 1)
            case ast.Expr(value=ast.Call()):
                yield node, Turn(node, "value", ast.Constant(None))


def _code(node: ast.AST) -> Iterator[ast.AST]:
    """Everything that runs here: no annotations, nothing for another system, and not what stands
    for a flag that it has not."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list"):
            continue
        if isinstance(node, ast.If) and name in ("test", "body") and _is_elsewhere(node.test):
            continue
        if name == "args" and ast.unparse(node).startswith("getattr(os, 'O_"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child
                yield from _code(child)


def _is_elsewhere(test: ast.expr) -> bool:
    return ast.unparse(test) in ("sys.platform == 'win32'", "sys.platform != 'linux'")


@dataclass(frozen=True)
class Turn:
    """Put `value` into a field of a node."""

    node: ast.AST
    name: str
    value: object

    def __call__(self) -> None:
        setattr(self.node, self.name, self.value)


def is_noticed(folder: Path, fault: Fault | None, tests: str) -> bool:
    """Whether the tests fail in the copy with this fault, or with none.

    They run in a fork, which has the heavy libraries already, and nothing of vidgen.
    """
    file = folder / "vidgen" / fault.module if fault else None
    before = file.read_bytes() if file else b""
    if file and fault:
        file.write_text(fault.source, "utf-8")
    pid = os.fork()
    if pid == 0:
        signal.alarm(TIMEOUT)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        os.chdir(folder)
        sys.path[:] = [str(folder), *(place for place in sys.path if Path(place) != ROOT)]
        os.environ["PYTHONPATH"] = str(folder)
        quietly = ["-x", "-q", "-p", "no:cacheprovider", "-W", f"ignore::{_LOADED}"]
        os._exit(int(pytest.main([*quietly, *shlex.split(tests)])))
    _, status = os.waitpid(pid, 0)
    if file:
        file.write_bytes(before)
    return status != 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--modules", default=",".join(TESTS))
    parser.add_argument("--seen", type=Path, nargs="*", default=[], help="what earlier draws said")
    wanted = parser.parse_args()
    drawn = draw(wanted)
    caught = 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
        whole: dict[str, bool] = {}  # whether tests pass where nothing is wrong
        for fault in drawn:
            tests = TESTS[fault.module]
            if tests not in whole:
                whole[tests] = not is_noticed(folder, None, tests)
            if not whole[tests]:
                raise SystemExit(f"fails without any fault: {tests}")
            noticed = is_noticed(folder, fault, TESTS[fault.module])
            caught += noticed
            what = "caught  " if noticed else "SURVIVED"
            print(f"{what} {fault.module}:{fault.line}: {fault.text}", flush=True)
    print(f"\n{caught} of {len(drawn)} caught")


if __name__ == "__main__":
    main()
