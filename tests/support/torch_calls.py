"""What torch is asked to do, call by call: counted, and compared between batches."""

from collections.abc import Callable
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from vidgen.renderers.puppet.cuda import DeviceDrawing

ASKING = ("_local_scalar_dense", "nonzero", "masked_select")  # waits for the device's answer

DOWN = ("cpu", "numpy", "__array__", "tolist", "item", "__bool__", "__float__", "__int__")


def torch_calls(compute: Callable[[], Any]) -> list[str]:
    """Each operation that is dispatched, views too, with what it is given but for the numbers in
    tensors. None of them may ask the device anything."""
    calls = _Calls()
    with calls:
        compute()
    assert not [call for call in calls.made if any(word in call for word in ASKING)]
    made: list[str] = calls.made
    return made


def bytes_each(drawing: DeviceDrawing, draw: Callable[[int], Any]) -> float:
    """The most bytes that each frame of a batch has at once, beside what all share: `draw` draws
    so many with the `drawing`."""
    peaks = []
    for count in (1, 3):
        draw(count)  # what all batches share, and the frames
        with _Memory() as memory:
            drawing.canvas.keep(("frames", count), list)[:1]  # they are there already
            draw(count)
        peaks.append(memory.peak)
    return float(peaks[1] - peaks[0]) / 2


class _Memory(TorchDispatchMode):  # type: ignore[misc]
    """The most bytes of tensors at once, of those that were made meanwhile."""

    def __init__(self) -> None:
        super().__init__()
        self.held: dict[int, tuple[Any, int]] = {}
        self.peak = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        made = function(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            storage = made.untyped_storage()
            self.held[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
        self.held = {key: one for key, one in self.held.items() if not one[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self.held.values()))
        return made


def crossings(compute: Callable[[], Any]) -> tuple[list[str], list[str]]:
    """What is asked to be on a device, and what of it is asked back, number by number or whole."""
    calls = _Crossings()
    with calls:
        compute()
    return calls.up, calls.down


class _Crossings(TorchFunctionMode):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.up: list[str] = []
        self.down: list[str] = []

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name, given = getattr(function, "__name__", ""), kwargs or {}
        where = [*args[1:2], given.get("device")]
        if name == "to" and any(isinstance(one, str | torch.device) for one in where):
            self.up.append(str(tuple(args[0].shape)))
        if name in DOWN:
            self.down.append(name)
        return function(*args, **given)


class _Calls(TorchDispatchMode):  # type: ignore[misc]  # torch is not typed here
    def __init__(self) -> None:
        super().__init__()
        self.made: list[str] = []

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else it loads torch's compiler first, for seconds

    def __torch_dispatch__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.made.append(f"{function}{_outline([*args, kwargs or {}])}")
        return function(*args, **(kwargs or {}))


def _outline(given: Any) -> str:
    """What a call is given but for the numbers in its tensors."""
    if isinstance(given, torch.Tensor):
        return f"{tuple(given.shape)}{given.stride()}{given.dtype}"
    if isinstance(given, list | tuple):
        return str([_outline(one) for one in given])
    if isinstance(given, dict):
        return str({name: _outline(one) for name, one in given.items()})
    return repr(given)
