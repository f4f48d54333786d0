"""Open a film or sound file by a path of any bytes. Knows nothing of what is in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vidgen.files import library_name


@contextmanager
def open_container(path: Path, mode: str = "r", **options: Any) -> Iterator[Any]:
    """`av.open` for a file of ours. Raises what it raises."""
    import av

    opened: Any = av.open  # its overloads know no mode that is a variable
    with library_name(path) as name, opened(name, mode, **options) as container:
        yield container
