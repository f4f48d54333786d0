"""What is imported when: a fast start, and a base that needs nothing of the GPU extra."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import unwatched

HEAVY = {"torch", "cv2", "av", "numpy", "parselmouth", "ultralytics", "transformers", "PIL"}
GPU_EXTRA = (
    "torch",
    "torchvision",
    "ultralytics",
    "transformers",
    "diffusers",
    "nobg",
    "huggingface_hub",
    "safetensors",
)


def modules_after(code: str) -> set[str]:
    """The modules loaded by a fresh interpreter that ran `code`."""
    script = f"import sys\n{code}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=unwatched(os.environ),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import vidgen.cli",
        "import vidgen.cli, contextlib\nwith contextlib.suppress(SystemExit):\n"
        "    vidgen.cli.main(['--help'])",
        "import vidgen.cli, vidgen.progress.store.runs, vidgen.progress.history.timeline",
        "import vidgen.cli, vidgen.progress.views.live, vidgen.progress.views.plain",
    ],
)
def test_help_and_history_import_nothing_heavy(code: str) -> None:
    assert modules_after(code) & HEAVY == set()


def test_help_loads_no_ciphers() -> None:
    """`hashlib` brings OpenSSL along."""
    assert "_hashlib" not in modules_after("import vidgen.cli")


def test_tests_stand_on_their_own() -> None:
    """Only the benchmarks' own test imports them; no test sets a constant of the package."""
    patch = re.compile(r'setattr\(\s*("vidgen[\w.]*\.[A-Z_]{3,}"|\w+, "[A-Z_]{3,}")')
    foreign = {'constants, "HF_HUB_CACHE"'}  # huggingface_hub's
    for file in Path(__file__).parent.rglob("*.py"):
        text = file.read_text("utf-8")
        if file.name != "test_benchmarks.py":
            assert not re.search(r"^\s*(from|import) benchmarks", text, re.MULTILINE), file
        assert set(patch.findall(text)) <= foreign, file


def test_the_server_imports_no_stage_and_nothing_heavy() -> None:
    loaded = modules_after("import vidgen.progress.serve.server")
    assert loaded & HEAVY == set()
    assert {name for name in loaded if name.startswith(("vidgen.stages", "vidgen.renderers"))} == (
        set()
    )
