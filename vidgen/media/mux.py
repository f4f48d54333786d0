"""Join the pieces of a film and the voice into one file, and look into such files.

Copies pictures packet by packet; only the voice is encoded here. Moves no file into place.
"""

import threading
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

from vidgen.errors import RenderError
from vidgen.media.colour import frame_to_rgb
from vidgen.media.containers import open_container
from vidgen.media.encodings import Encoding, Sound
from vidgen.settings import ANIMATIONS
from vidgen.work import Film, Pixels, Speech

_BLOCK_SECONDS: Final = 0.1  # of voice at a time: sound and pictures stay close in the file


def mux_film(
    film: Film,
    speech: Speech,
    path: Path,
    encoding: Encoding,
    *,
    tags: Mapping[str, str] | None = None,
    progress: Callable[[int], None] | None = None,
    voice: "VoiceAhead | None" = None,
) -> None:
    """Write the film's pieces and the voice into the new file `path`, in `encoding`'s container.

    Pictures are copied, so pieces must be of one encoder with one set of settings. The voice
    begins exactly with the first frame. `tags` are the file's own notes (title, comment, …);
    `progress` hears how many frames are written; `voice` may have encoded the voice already.
    Raises RenderError when pieces do not fit.
    """

    options = {} if encoding.container == "webm" else {"movflags": "+faststart"}
    with ExitStack() as stack:
        out = stack.enter_context(
            open_container(path, "w", format=encoding.container, options=options)
        )
        first = stack.enter_context(open_container(film.pieces[0]))
        out.metadata.update(tags or {})
        video = _video_stream(out, first.streams.video[0], film, encoding)
        sound = _sound_stream(out, encoding)
        voice = voice or VoiceAhead(speech, encoding.sound)
        packets = voice.packets(speech, encoding.sound, sound)
        said = next(packets, None)
        tick = said.time_base * film.fps if said is not None else 0  # frames in one of the voice's
        for number, packet in enumerate(_film_packets(film, video)):
            while said is not None and said.dts * tick <= packet.dts:
                out.mux(said)
                said = next(packets, None)
            out.mux(packet)
            if progress:
                progress(number + 1)
        if said is not None:
            out.mux([said, *packets])


def _video_stream(out: Any, source: Any, film: Film, encoding: Encoding) -> Any:
    """A stream like that of the pieces. PyAV leaves two things out that players need."""
    video = out.add_stream_from_template(source)
    video.time_base = 1 / film.fps
    if encoding.container == "webm" and film.has_alpha:
        video.metadata["alpha_mode"] = "1"  # or browsers show no transparency
    if encoding.container == "mov":
        # By the tag a player knows ProRes 4444 from ProRes 422, which has no alpha.
        video.codec_context.codec_tag = source.codec_context.codec_tag
    return video


def _film_packets(film: Film, video: Any) -> Iterator[Any]:
    """The packets of all pieces in decoding order, on one clock that ticks once a frame.

    Each piece's own clock is only asked for the order of its frames: containers round times
    (webm to milliseconds), the film must not. A frame is decoded `delay` ticks before it is shown.
    """

    header: bytes | None = None
    first = decoded = delay = 0
    frame = 1 / film.fps
    for number, piece in enumerate(film.pieces):
        with open_container(piece, unseen=number > 0) as container:
            source = container.streams.video[0]
            if number == 0:
                header = source.codec_context.extradata
                delay = source.codec_context.reorder_depth
            elif source.codec_context.extradata != header:
                raise _unfit(piece)
            tick = source.time_base * film.fps
            count = 0
            for packet in container.demux(source):
                if packet.pts is None:  # the end's empty packet
                    continue
                shown = first + round(packet.pts * tick)
                packet.stream = video
                packet.time_base = frame
                packet.pts, packet.dts, packet.duration = shown, decoded - delay, 1
                if not packet.dts <= packet.pts < film.frame_count:
                    raise _unfit(piece)
                yield packet
                decoded += 1
                count += 1
        first += count
    if first != film.frame_count:
        raise _unfit(film.pieces[-1])


def _unfit(piece: Path) -> RenderError:
    return RenderError(
        "A piece of the film is damaged or does not fit the others: {name}.",
        hint="Run again with --fresh to draw the film anew.",
        code="encode.piece_unfit",
        name=piece.name,
    )


def _sound_stream(out: Any, encoding: Encoding) -> Any:
    sound = encoding.sound
    stream = out.add_stream(
        sound.codec, rate=sound.rate, layout="mono", options=dict(sound.options)
    )
    _set_up(stream.codec_context, sound)
    return stream


def _set_up(encoder: Any, sound: Sound) -> None:
    encoder.format = sound.sample_format
    if sound.bit_rate:
        encoder.bit_rate = sound.bit_rate


class VoiceAhead:
    """The packets of one voice, encoded before they are asked for: a `Network` to `prefetch`.

    Safe to call from several threads; another voice than `speech` is encoded when asked for.
    """

    def __init__(self, speech: Speech, sound: Sound) -> None:
        self._asked = speech, sound
        self._packets: Iterable[Any] | None = None
        self._lock = threading.Lock()

    def load(self) -> None:
        with self._lock:
            if self._packets is None:
                self._packets = list(_voice_packets(*self._asked))

    def release(self) -> None:
        self._packets = None

    def packets(self, speech: Speech, sound: Sound, stream: Any) -> Iterator[Any]:
        """Those of `speech` for `stream`; what was encoded ahead can be had once."""
        with self._lock:
            ahead, self._packets = self._packets, None
        if ahead is None or speech is not self._asked[0] or sound != self._asked[1]:
            ahead = _voice_packets(speech, sound)
        for packet in ahead:
            packet.stream = stream
            yield packet


def _voice_packets(speech: Speech, sound: Sound) -> Iterator[Any]:
    """The voice, encoded block by block.

    The first frame says that it starts at 0: the encoder then counts its own start-up samples
    below 0 and the file tells players to skip them. Without it AAC is 1024 samples late.
    """
    import av
    import numpy as np

    encoder: Any = av.CodecContext.create(sound.codec, "w")
    _set_up(encoder, sound)
    encoder.sample_rate, encoder.layout = sound.rate, "mono"
    encoder.time_base, encoder.options = Fraction(1, sound.rate), dict(sound.options)
    block = max(1, int(speech.rate * _BLOCK_SECONDS))
    for start in range(0, len(speech.samples), block):
        samples = np.ascontiguousarray(speech.samples[None, start : start + block], np.float32)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate, frame.pts = speech.rate, start
        frame.time_base = Fraction(1, speech.rate)
        yield from encoder.encode(frame)
    yield from encoder.encode(None)


@dataclass(frozen=True, slots=True)
class Probe:
    """What a video file holds. Seconds are those of the streams, not of the file."""

    size: tuple[int, int]  # width, height
    fps: Fraction
    frame_count: int
    video_seconds: float
    video_codec: str
    has_alpha: bool
    audio_codec: str  # empty when there is no sound
    audio_rate: int
    audio_seconds: float
    tags: Mapping[str, str]


def unreadable(path: Path) -> RenderError:
    """A film that was just written cannot be read."""
    return RenderError(
        "The file {name} is not a film that can be read.",
        hint="Run again; if it stays so, please report it.",
        code="encode.unreadable",
        name=path.name,
    )


def probe(path: Path) -> Probe:
    """Look at every packet of a video file, decoding none.

    Raises RenderError when it cannot be read or holds no pictures.
    """
    import av

    try:
        with open_container(path) as container:
            return _probe_container(container)
    except (av.error.FFmpegError, OSError, IndexError) as error:
        raise unreadable(path) from error


def _probe_container(container: Any) -> Probe:
    video = container.streams.video[0]
    audio = container.streams.audio[0] if container.streams.audio else None
    frames, heard = 0, Fraction(0)
    for packet in container.demux([video, audio] if audio else [video]):
        if packet.pts is None:
            continue
        if packet.stream_index == video.index:
            frames += 1
        else:
            heard = max(heard, (packet.pts + (packet.duration or 0)) * packet.time_base)
    fps = video.average_rate
    return Probe(
        size=(video.codec_context.width, video.codec_context.height),
        fps=fps,
        frame_count=frames,
        video_seconds=float(frames / fps),
        video_codec=video.codec_context.codec.canonical_name,
        has_alpha="yuva" in (video.codec_context.pix_fmt or "") or _has_alpha_mode(video),
        audio_codec=audio.codec_context.codec.canonical_name if audio else "",
        audio_rate=audio.codec_context.sample_rate if audio else 0,
        audio_seconds=float(heard),
        tags=dict(container.metadata),
    )


def _has_alpha_mode(video: Any) -> bool:
    """VP9 in webm keeps its alpha beside the pictures and says so in the track."""
    tags = {key.lower(): value for key, value in video.metadata.items()}
    return tags.get("alpha_mode") == "1"


def first_frame(path: Path, *, has_alpha: bool = False) -> Pixels:
    """The first picture of a film as (H, W, 3) sRGB, or with alpha as (H, W, 4)."""
    frame = next(decode_frames(path, has_alpha=has_alpha))
    return frame_to_rgb(frame, "rgba" if has_alpha else "rgb24")


def decode_frames(path: Path, *, has_alpha: bool = False) -> Iterator[Any]:
    """The pictures of a film in order, as av.VideoFrames.

    FFmpeg's own VP9 decoder drops alpha, so with `has_alpha` libvpx is asked.
    """
    import av

    with open_container(path, unseen=True) as container:
        video = container.streams.video[0]
        if not (has_alpha and video.codec_context.codec.canonical_name == "vp9"):
            yield from container.decode(video)
            return
        decoder = av.CodecContext.create("libvpx-vp9", "r")
        for packet in container.demux(video):
            for frame in decoder.decode(packet if packet.size else None):
                frame.time_base = video.time_base
                yield frame


def write_poster(film: Film, path: Path, tags: Mapping[str, str] | None = None) -> None:
    """Write the film's first frame, where the eyes are open, as a PNG file with these notes."""
    from PIL import Image, PngImagePlugin

    notes = PngImagePlugin.PngInfo()
    for name, text in (tags or {}).items():
        notes.add_itxt(name.capitalize(), text)
    picture = Image.fromarray(first_frame(film.pieces[0], has_alpha=film.has_alpha))
    # Only runs are looked for: a quarter of the time, and of a photo the file gets no larger.
    picture.save(path, "PNG", pnginfo=notes, compress_level=1, compress_type=zlib.Z_RLE)


def notes_of(path: Path) -> tuple[str, ...]:
    """What a film or poster of ours says of itself; nothing when the file is something else."""
    import av
    from PIL import Image

    if not path.is_file():  # opening a pipe would wait for ever
        return ()
    try:
        if path.suffix == ".png":
            with Image.open(path) as picture:
                return tuple(text for text in picture.info.values() if isinstance(text, str))
        if path.suffix.removeprefix(".") in ANIMATIONS:
            with Image.open(path) as picture:
                said = (picture.info.get(name) for name in ("comment", "xmp"))
                return tuple(text.decode("utf-8", "replace") for text in said if text)
        # By its name: a text called .mp4 might be a playlist, and FFmpeg would follow it.
        with open_container(path, format=path.suffix.removeprefix(".")) as container:
            return tuple(container.metadata.values())
    except (av.error.FFmpegError, OSError, ValueError, SyntaxError):  # Pillow's for a bad PNG
        return ()
