"""Weights of the mouth's networks, read from their files and filled into networks, name by name.

A pickle is read with `weights_only`, and kept once more as half-precision safetensors.
"""

import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from vidgen.errors import SetupError
from vidgen.models.files import not_loadable


def load_config(file: Path) -> dict[str, Any]:
    """A network's shapes as JSON tells them. Raises SetupError for what is no such file."""
    try:
        config = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise not_loadable(file, str(error)) from error
    if not isinstance(config, dict):
        raise not_loadable(file, "no JSON object")
    return {name: value for name, value in config.items() if not name.startswith("_")}


def load_tensors(file: Path, device: str) -> dict[str, Any]:
    """The weights in a safetensors file, on `device`. Raises SetupError."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(file, device=device))
    except (OSError, SafetensorError) as error:
        raise not_loadable(file, str(error)) from error


def load_pickle(file: Path) -> dict[str, Any]:
    """The weights in a pickle, nothing else of which is run. Raises SetupError."""
    import pickle

    import torch

    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:  # torch's own words advise to run it all the same
        raise not_loadable(file, "it holds no weights, or more; nothing in it was run") from error
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise not_loadable(file, str(error).partition("\n")[0]) from error
    if not isinstance(state, dict) or not all(map(torch.is_tensor, state.values())):
        raise not_loadable(file, "no table of weights")
    return state


def fill(make: Callable[[], Any], state: Mapping[str, Any], file: Path) -> Any:
    """A network with exactly these weights. Raises SetupError for one too few or too many.

    It is first made without memory of its own: 3.4 GB need not be there twice.
    """
    import torch

    try:
        with torch.device("meta"):
            network = make()
        network.load_state_dict(state, strict=True, assign=True)
    except (RuntimeError, TypeError, ValueError) as error:
        raise SetupError(
            "The weights in {path} are not those of this network: {reason}.",
            hint="Fetch them again: vidgen models pull {name}",
            code="models.other_network",
            path=str(file),
            name=file.parent.name,
            reason=" ".join(str(error).split())[:200],
        ) from error
    return network


def _stamp(source: Path) -> str:
    found = source.stat()
    return f"{found.st_size} {found.st_mtime_ns}"


def is_copy_of(copy: Path, source: Path) -> bool:
    """Whether the copy was made of just this file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(copy, "pt") as opened:
            return bool((opened.metadata() or {}).get("made_of") == _stamp(source))
    except (OSError, SafetensorError):
        return False


def keep_copy(state: Mapping[str, Any], copy: Path, source: Path) -> None:
    """Half the size, and no pickle. A folder that cannot be written costs the time again."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    whole = {name: value.contiguous() for name, value in state.items()}
    # safetensors raises its own error for a disk that is full or cannot be written.
    with suppress(OSError, SafetensorError), _aside(copy) as part:
        save_file(whole, part, metadata={"made_of": _stamp(source)})
        part.chmod(stat.S_IMODE(source.stat().st_mode))  # it comes readable by its owner only


@contextmanager
def _aside(file: Path) -> Iterator[Path]:
    """A name to write to; it becomes `file` only when all went well."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
