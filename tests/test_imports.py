"""What is imported when: a fast start, and a base that needs nothing of the GPU extra."""

import subprocess
import sys

import pytest

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
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
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


def test_the_server_imports_no_stage_and_nothing_heavy() -> None:
    loaded = modules_after("import vidgen.progress.serve.server")
    assert loaded & HEAVY == set()
    assert {name for name in loaded if name.startswith(("vidgen.stages", "vidgen.renderers"))} == (
        set()
    )
