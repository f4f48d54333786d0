"""What is computed for a batch, recorded once and played again: one launch in place of hundreds.

Only a GPU plays. What is recorded must make the same calls whatever the numbers are, in memory
that stays where it is, and ask the device nothing.
"""

import threading
from collections.abc import Callable
from typing import Any, Final

WARM: Final = 2  # times computed before it is recorded: the first makes what all batches share

_RECORDING: Final = threading.Lock()  # to begin one waits for the whole device: not amid another's


class BatchGraph:
    """What `draw` makes of tensors of these shapes."""

    def __init__(self, draw: Callable[..., Any], *asked: Any) -> None:
        """Records on the device of `asked`. Raises RuntimeError where it cannot."""
        import torch

        self._draw = draw  # what it refers to stays where it is
        self._asked = [one.clone() for one in asked]
        stream = torch.cuda.current_stream(asked[0].device)
        # The stream again, for a record that fails leaves its own behind as the thread's.
        with _RECORDING, torch.cuda.device(asked[0].device), torch.cuda.stream(stream):
            beside = torch.cuda.Stream()
            beside.wait_stream(stream)
            with torch.cuda.stream(beside):
                for _ in range(WARM):
                    draw(*self._asked)
            stream.wait_stream(beside)
            torch.cuda.empty_cache()  # a record has memory of its own, as much again
            self._graph, own = torch.cuda.CUDAGraph(), "thread_local"  # other threads may go on
            with torch.cuda.graph(self._graph, stream=beside, capture_error_mode=own):
                self._made = draw(*self._asked)

    def play(self, *asked: Any) -> Any:
        """The same memory each time: it is to be copied before the next is played."""
        for kept, now in zip(self._asked, asked, strict=True):
            kept.copy_(now)
        self._graph.replay()
        return self._made
