"""A network that is read when it is first needed, and can be let go."""

from functools import cached_property
from typing import Any


class LazyNet:
    """`_net` is the network, read by who is one."""

    @cached_property
    def _net(self) -> Any:
        raise NotImplementedError

    def load(self) -> None:
        """Read the model now rather than at the first picture. Raises what reading it does."""
        _ = self._net

    def release(self) -> None:
        """Forget the model; the next picture reads it again."""
        self.__dict__.pop("_net", None)
