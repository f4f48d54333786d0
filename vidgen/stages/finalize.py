"""Join film and voice into the video, check it, and only then put it in its place.

Draws nothing and encodes no picture; what a file format needs is `media`'s.
"""

from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from vidgen.errors import RenderError, VidgenError
from vidgen.events import Emit, Log, StageProgress
from vidgen.media.animation import write_animation
from vidgen.media.encodings import encoding_for
from vidgen.media.mux import Probe, VoiceAhead, mux_film, notes_of, probe, write_poster
from vidgen.media.output import Output
from vidgen.settings import ANIMATIONS
from vidgen.signals import thread_pool
from vidgen.text import letters
from vidgen.version import __version__
from vidgen.work import Film, Notes, Speech, Video, Work

# A film and its voice may differ by this much before it is an error; more than a frame is said.
_TOLERATED_SECONDS: Final = 0.5


# Looks at the finished file as a viewer would: (file, shelf, emit) → what the run tells of it.
Judge = Callable[[Path, Work, Emit], Mapping[str, Any]]
# What stands in the file of subtitles, and how it ends: (work, emit) → content, "srt" or "vtt"
Subtitles = Callable[[Work, Emit], tuple[str, str]]


class Finalize:
    """Film, Speech → Video, at `target` or, when something is there, at the next free name."""

    name = "finalizing"

    def __init__(
        self,
        target: Path,
        *,
        format: str = "mp4",
        task_id: str = "",
        title: str = "",
        force: bool = False,
        reads: Sequence[Path] = (),
        poster: bool = True,
        judge: Judge | None = None,
        subtitles: Subtitles | None = None,
        voice: VoiceAhead | None = None,
    ) -> None:
        """`force` puts the video in the place of an existing file, but never of one in `reads`,
        the run's inputs; `title` is the file's own title, the name of the file if empty; `judge`
        looks at the file when it is in place; `subtitles` are written beside it; `voice` may have
        been encoded already.
        """
        self.target = target
        self.format = format
        self.task_id = task_id
        self.title = title
        self.force = force
        self.reads = tuple(reads)
        self.poster = poster
        self.judge = judge
        self.subtitles = subtitles
        self.voice = voice

    def run(self, work: Work, emit: Emit) -> Work:
        """Raises RenderError when the result is not what it must be, SetupError for a full disk,
        InputError when the folder is gone; then nothing is left at the output's name.
        """
        film, speech = work.get(Film), work.get(Speech)
        output = Output(self.target.absolute(), self._may_replace, self.reads)
        encoding = encoding_for(self.format, transparent=film.has_alpha)

        def on_progress(done: int) -> None:
            emit(StageProgress(self.name, done, film.frame_count, "frames"))

        with output.writing(self.task_id) as temporary:
            tags = _tags(self.title or output.path.stem, self.task_id)
            if self.format in ANIMATIONS:
                note = tags["comment"]
                found = write_animation(
                    film, temporary, self.format, note=note, progress=on_progress
                )
            else:
                mux_film(
                    film,
                    speech,
                    temporary,
                    encoding,
                    tags=tags,
                    progress=on_progress,
                    voice=self.voice,
                )
                found = probe(temporary)
                _check(found, film, emit)
            size = temporary.stat().st_size
        target = output.path
        if target != output.wanted:
            names = {"name": output.wanted.name, "new_name": target.name}
            emit(Log("INFO", "finalize.renamed", names))
        with thread_pool(1, "poster") as beside:  # a picture takes as long as the look at the film
            drawn = beside.submit(self._poster, film, target, emit)
            more = self._look_back(target, work, emit)
        poster = drawn.result()
        values = {**_values(found, target, poster, size), **more}
        video = Video(target, poster, found.video_seconds, {**film.metadata, **values})
        work_done = {"work": film.frame_count, "work_unit": "frames"}
        return work.plus(video, Notes({**values, **work_done}, "finalize.done"))

    def _look_back(self, target: Path, work: Work, emit: Emit) -> Mapping[str, Any]:
        """What is told of the film in its place."""
        values: dict[str, Any] = {}
        if self.subtitles:
            values |= self._write_subtitles(self.subtitles, target, work, emit)
        if self.judge:
            frames = work.get(Film).frame_count
            emit(StageProgress(self.name, frames, frames, "frames", "finalize.judging"))
            values |= self.judge(target, work, emit)
        return values

    def _write_subtitles(
        self, subtitles: Subtitles, target: Path, work: Work, emit: Emit
    ) -> Mapping[str, Any]:
        """`name.srt` or `name.vtt` beside the video; the run does not fail for want of it."""
        content, ending = subtitles(work, emit)
        if not content:
            return {}
        wanted = target.with_name(f"{target.stem}.{ending}")
        output = Output(wanted, self._may_replace, self.reads)
        try:
            with output.writing(self.task_id) as temporary:
                temporary.write_text(content, "utf-8")
        except VidgenError as error:
            emit(Log("WARNING", "finalize.no_subtitles", {"reason": error.message}))
            return {}
        return {"subtitles": str(output.path)}

    def _may_replace(self, file: Path) -> bool:
        return self.force or self._is_own(file)

    def _is_own(self, file: Path) -> bool:
        """Whether this very run put the file there, and was ended before it could say so."""
        return bool(self.task_id) and any(self.task_id in text for text in notes_of(file))

    def _poster(self, film: Film, target: Path, emit: Emit) -> Path | None:
        """`name.poster.png` beside the video, if wanted; the run does not fail for want of it.

        Not `name.png`: that may well be the photo the video was made from.
        """
        if not self.poster:
            return None
        wanted = target.with_name(f"{target.stem}.poster.png")
        poster = Output(wanted, self._may_replace, self.reads)
        try:
            with poster.writing(self.task_id) as temporary:
                write_poster(film, temporary, _tags(self.title or target.stem, self.task_id))
        except VidgenError as error:
            emit(Log("WARNING", "finalize.no_poster", {"reason": error.message}))
            return None
        return poster.path


def _tags(title: str, task_id: str) -> Mapping[str, str]:
    """What the file says of itself. mov keeps title and comment only."""
    tool = f"vidgen {__version__}"
    task = f" Task {task_id}." if task_id else ""
    note = (
        "Synthetic media: the movements of this face were made by a program from one photo"
        f" and a voice recording ({tool}).{task}"
    )
    tags = {"title": letters(title), "comment": note, "encoding_tool": tool, "description": note}
    return {**tags, "task_id": task_id} if task_id else tags


def _check(found: Probe, film: Film, emit: Emit) -> None:
    """Nothing that is not a whole video of the right length may reach the output's name."""
    apart = abs(found.video_seconds - found.audio_seconds)
    wrong = (
        (found.frame_count, found.size) != (film.frame_count, film.size)
        or not found.audio_codec
        or apart > _TOLERATED_SECONDS
    )
    if wrong:
        raise RenderError(
            "The finished file is not right: {frames} frames of {size} and {apart:.2f} s between"
            " the ends of picture and sound, where {wanted} frames of {wanted_size} were made.",
            hint="Run again with --fresh; if it stays so, please report it.",
            code="finalize.check_failed",
            frames=found.frame_count,
            size="{}x{}".format(*found.size),
            apart=apart,
            wanted=film.frame_count,
            wanted_size="{}x{}".format(*film.size),
        )
    if apart > 1 / film.fps + Fraction(1, 1000):
        emit(Log("WARNING", "finalize.lengths_differ", {"seconds": round(apart, 3)}))


def _values(found: Probe, target: Path, poster: Path | None, size: int) -> dict[str, Any]:
    return {
        "path": str(target),
        "poster": str(poster) if poster else "",
        "bytes": size,
        "width": found.size[0],
        "height": found.size[1],
        "fps": float(found.fps),
        "frames": found.frame_count,
        "video_codec": found.video_codec,
        "audio_codec": found.audio_codec,
        "seconds": round(found.video_seconds, 3),
        "has_alpha": found.has_alpha,
    }
