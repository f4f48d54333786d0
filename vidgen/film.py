"""Films made from Python: one call, a value that says where the film is. Prints nothing."""

import base64
import html
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from vidgen.config import check_option
from vidgen.events import Sink
from vidgen.paths import Home
from vidgen.request import Request, build_request, default_settings
from vidgen.run import create

EMBEDDED_BYTES: Final = 32_000_000  # larger films are linked in a notebook, not put into it


@dataclass(frozen=True, slots=True)
class Film:
    """A film that is in its place."""

    path: Path
    poster: Path | None
    seconds: float
    metadata: Mapping[str, Any] = field(default_factory=dict)
    task_id: str = ""  # of the run that made it: `vidgen history TASK`

    def _repr_html_(self) -> str:
        """The film itself, for notebooks."""
        if self.path.stat().st_size > EMBEDDED_BYTES:
            uri = self.path.resolve().as_uri()
            return f'<a href="{html.escape(uri)}">{html.escape(str(self.path))}</a>'
        content = base64.b64encode(self.path.read_bytes()).decode()
        if self.path.suffix in (".gif", ".webp"):
            return f'<img width="480" src="data:image/{self.path.suffix[1:]};base64,{content}">'
        kind = {".webm": "video/webm", ".mov": "video/quicktime"}.get(self.path.suffix, "video/mp4")
        return f'<video controls width="480" src="data:{kind};base64,{content}"></video>'


def make(
    photo: str | os.PathLike[str],
    voice: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str] | None = None,
    on_event: Sink | None = None,
    home: str | os.PathLike[str] | None = None,
    **options: Any,
) -> Film:
    """Make the film of `photo` saying `voice`, as `vidgen run` does, and answer it.

    `options` are those of `vidgen run`, with _ for -: `height=1080, background="blur"`. The
    settings file and the environment are not asked for them. `on_event` gets every
    `vidgen.events.Envelope` as it happens, in the thread that makes the film; `home` is where
    runs and models are kept. May be called in any thread, and in several at once.

    Raises VidgenError, which says what is wrong and what to do; the run stays in the store and
    can be resumed.
    """
    wanted = _request(Path(photo), Path(voice), Path(output) if output else None, options)
    where = Home(Path(home)) if home else Home.default()
    done = create(where, wanted, [on_event] if on_event else [])
    return Film(done.video, done.poster, done.seconds, done.metadata, done.task_id)


def _request(
    photo: Path, voice: Path, output: Path | None, options: Mapping[str, object]
) -> Request:
    plain = {
        name: os.fspath(value) if isinstance(value, os.PathLike) else value
        for name, value in options.items()
    }
    for name, value in plain.items():
        check_option(name, value)
    defaults = default_settings()
    texts = [name for name in plain if isinstance(defaults[name].value, str)]
    plain |= {name: str(plain[name]) for name in texts}  # fps=25 is meant as well as "25"
    return build_request(photo, voice, output, default_settings(**plain))
