"""What a person may choose for a run, with where each value came from.

One dataclass field is one option: its name, default, help and limits stand here only; the
command line is made from it (`cli`), and so are the environment names and the config keys.
A flag wins over the environment (`VIDGEN_<NAME>`), that over `config.toml` (`config`), that over
the default.
"""

import errno
import re
from dataclasses import dataclass, field, fields
from math import isfinite
from pathlib import Path
from typing import Any, Final, Literal

from vidgen.errors import InputError
from vidgen.paths import absolute
from vidgen.trim import parse_trim

Source = Literal["flag", "environment", "config", "default"]
ENVIRONMENT_PREFIX: Final = "VIDGEN_"
FREE_RENDERERS: Final = ("auto", "puppet", "musetalk")  # they send nobody a bill
PAID_RENDERERS: Final = ("d-id",)
LEAST_HEIGHT: Final = 256  # pixels
ANIMATIONS: Final = ("gif", "webp")  # moving pictures without sound
FORMATS: Final = ("mp4", "webm", "mov", *ANIMATIONS)
ANIMATION_HEIGHTS: Final = (480, 720)  # pixels, by themselves and at most: their files grow fast
DEFAULT_HOST: Final = "127.0.0.1"  # where a server listens
DEFAULT_PORT: Final = 55433
PRESETS: Final = ("none", "story", "square", "call", "hd")  # `presets` says what they set
MOST_SEED: Final = (1 << 63) - 1  # what JSON's readers hold in one number
MOST_PREVIEWS: Final = 20  # pictures of one film
MOST_WORDS: Final = 1_000_000  # characters of a voice; a day's speech is less


def option(
    default: Any,
    help: str,
    *,
    panel: str = "",
    choices: tuple[str, ...] = (),
    least: float | None = None,
    most: float | None = None,
    flag: str = "",
    metavar: str = "",
    secret: bool = False,
    environment: Literal["hidden", "shown", "none"] = "hidden",
) -> Any:
    """A dataclass field that is also a command-line option (`--its-name`, or `flag`).

    A `metavar` of "" is chosen by the field's type. `environment` says whether
    `VIDGEN_<NAME>` sets it too, and whether `--help` shows that.
    """
    return field(
        default=default,
        metadata={
            "help": help,
            "panel": panel,
            "choices": choices,
            "least": least,
            "most": most,
            "flag": flag,
            "metavar": metavar,
            "secret": secret,
            "environment": environment,
        },
    )


FACE, VOICE, MOTION, CLOUD, PICTURE, RUN = (
    "Who speaks",
    "The voice",
    "How they move",
    "D-ID, when it draws",
    "The picture",
    "The run",
)


@dataclass(frozen=True, slots=True)
class Options:
    """Every choice of `vidgen run`, checked. Times are seconds, pitches semitones."""

    # Who speaks
    person: str = option(
        "auto",
        "Who speaks: auto, largest, left, right, center, or a number, counted from the left.",
        panel=FACE,
        metavar="WHO",
    )
    conf_threshold: float = option(
        0.5, "How sure the detector must be of a face or person.", panel=FACE, least=0.05, most=0.95
    )
    framing: str = option(
        "auto",
        "Keep the whole photo, or crop to head and shoulders; auto crops when the face is small.",
        panel=FACE,
        choices=("auto", "keep", "head"),
    )
    # The voice
    pitch: float = option(0.0, "Shift the voice, semitones.", panel=VOICE, least=-3.0, most=3.0)
    pitch_range: float = option(
        1.0, "Widen or narrow the melody around its median.", panel=VOICE, least=0.7, most=1.4
    )
    rate: float = option(1.0, "Speak faster or slower.", panel=VOICE, least=0.85, most=1.2)
    loudness: str = option(
        "keep", "Loudness to bring the voice to, LUFS, or keep.", panel=VOICE, metavar="keep|LUFS"
    )
    max_seconds: float = option(600.0, "Longest voice to accept.", panel=VOICE, least=1.0)
    trim: str = option(
        "", "Only this part of the voice, like 0:03-0:12.", panel=VOICE, metavar="FROM-TO"
    )
    text: str = option("", "The words of the voice: they sharpen the lips.", panel=VOICE)
    text_file: Path | None = option(None, "A file with the words of the voice.", panel=VOICE)
    language: str = option("en", "The language of the words, as eSpeak names it.", panel=VOICE)
    # How they move
    renderer: str = option(
        "auto",
        "What draws the face.",
        panel=MOTION,
        choices=("auto", "puppet", "musetalk", "d-id"),
    )
    did_key_file: Path | None = option(
        None, "A file with the D-ID key; else DID_API_KEY is used.", panel=CLOUD
    )
    did_auth: str = option(
        "basic",
        "How D-ID wants the key: basic, base64 or bearer.",
        panel=CLOUD,
        choices=("basic", "base64", "bearer"),
        metavar="HOW",
    )
    did_stitch: bool = option(
        True, "Have D-ID return the whole picture, not a square of the face.", panel=CLOUD
    )
    did_keep: bool = option(False, "Leave photo, voice and film at D-ID.", panel=CLOUD)
    seed: int = option(
        -1,
        "Same seed, same film; -1 takes one from photo and voice.",
        panel=MOTION,
        least=-1,
        most=MOST_SEED,
    )
    mouth: float = option(1.0, "How far the mouth opens; 0 is off.", panel=MOTION, least=0, most=2)
    head_motion: float = option(
        1.0, "How much the head moves; 0 is off.", panel=MOTION, least=0, most=2
    )
    blink: float = option(1.0, "How often the eyes blink; 0 is off.", panel=MOTION, least=0, most=2)
    brows: float = option(1.0, "How much the brows move; 0 is off.", panel=MOTION, least=0, most=2)
    gaze: float = option(1.0, "How much the eyes wander; 0 is off.", panel=MOTION, least=0, most=2)
    mood: str = option(
        "neutral",
        "The face that is kept while speaking.",
        panel=MOTION,
        choices=("neutral", "happy", "serious", "sad"),
    )
    expression: float = option(
        1.0, "How strong the mood and the brows are; 0 is off.", panel=MOTION, least=0, most=2
    )
    # The picture
    preset: str = option(
        "none",
        "Shape and size for a story, a square post, a video call or full HD.",
        panel=PICTURE, choices=PRESETS,
    )  # fmt: skip
    background: str = option(
        "keep",
        "What is behind the speaker: keep, blur, transparent, a colour like #1e90ff, or a picture.",
        panel=PICTURE,
        metavar="WHAT",
    )
    smoothing: float = option(
        1.0, "How soft the cut-out's edge is; 0 is off.", panel=PICTURE, least=0, most=3
    )
    height: int = option(
        0,
        "Height of the film, pixels, from 256; 0 takes 512 to 720, as the photo allows.",
        panel=PICTURE,
        least=0,
        most=2160,
    )
    enlarge: bool = option(
        False, "Enlarge a small photo by a network: a minute, and an extra.", panel=PICTURE
    )
    aspect: str = option(
        "keep", "Shape of the film.", panel=PICTURE, choices=("keep", "1:1", "9:16", "16:9", "4:5")
    )
    fps: str = option(
        "25", "Frames per second.", panel=PICTURE, choices=("24", "25", "30", "50", "60")
    )
    subtitles: str = option(
        "none", "Write subtitles beside the film; needs the words.",
        panel=PICTURE, choices=("none", "srt", "vtt"),
    )  # fmt: skip
    format: str = option(
        "mp4",
        "File format; webm and mov keep a transparent background, gif and webp are silent.",
        panel=PICTURE,
        choices=FORMATS,
    )
    poster: bool = option(True, "A picture of the first frame beside the film.", panel=PICTURE)
    encoder: str = option(
        "auto",
        "What encodes H.264; auto is x264, or the GPU's where the GPU draws.",
        panel=PICTURE,
        choices=("auto", "x264", "nvenc", "videotoolbox", "qsv", "amf"),
    )
    # The run
    models: str = option(
        "auto", "Which models to use.", panel=RUN, choices=("auto", "embedded", "full")
    )
    device: str = option("auto", "Where to compute.", panel=RUN, metavar="auto|cpu|cuda:N|mps")
    workers: int = option(
        0,
        "Processes that draw; 0 takes what cores and memory allow, 1 is the run's own.",
        panel=RUN,
        least=0,
        most=256,
    )
    preview_at: str = option(
        "25,50,75",
        "Percent of the film at which watchers get a picture of it; none is none.",
        panel=RUN, metavar="P,P|none",
    )  # fmt: skip
    force: bool = option(False, "Replace the output if it exists.", panel=RUN)
    fresh: bool = option(False, "Use nothing that an earlier run has made.", panel=RUN)


@dataclass(frozen=True, slots=True)
class Setting:
    """One value and where it came from."""

    value: Any
    source: Source


def environment_name(name: str) -> str:
    return ENVIRONMENT_PREFIX + name.upper()


def check(options: Options) -> None:
    """Refuse what the command line's own checks cannot see. Raises InputError."""
    for option in fields(options):
        value = getattr(options, option.name)
        if isinstance(value, float) and not isfinite(value):
            raise InputError(
                "--{name} {value} is no number.",
                hint="Give a number, for example {example}.",
                code="option.no_number",
                name=option.name.replace("_", "-"),
                value=value,
                example=option.default,
            )
    if not re.fullmatch(r"auto|largest|left|right|center|[1-9]\d{0,3}", options.person):
        raise InputError(
            "--person {value} names nobody.",
            hint="Use auto, largest, left, right, center, or a number from 1, left to right.",
            code="option.person",
            value=options.person,
        )
    if 0 < options.height < LEAST_HEIGHT:
        raise InputError(
            "A film {height} pixels high is too small for a face.",
            hint="Use at least {least}, or 0 to let vidgen choose.",
            code="option.height",
            height=options.height,
            least=LEAST_HEIGHT,
        )
    _check_background(options)
    preview_shares(options.preview_at)
    target_lufs(options.loudness)
    parse_trim(options.trim)
    if options.subtitles != "none" and not (options.text or options.text_file):
        raise InputError(
            "Subtitles need the words of the voice.",
            hint="Give them with --text or --text-file, or the whole voice with --say.",
            code="option.subtitles",
        )
    if options.background == "transparent" and options.format == "mp4":
        raise InputError(
            "An mp4 cannot be transparent.",
            hint="Add --format webm for the web, or --format mov for video editors.",
            code="option.transparent_mp4",
        )


def _check_background(options: Options) -> None:
    wanted = options.background
    if wanted.startswith("#") and colour(wanted) is None:
        raise InputError(
            "--background {value} is not a colour.",
            hint="Write it like #1e90ff.",
            code="option.colour",
            value=wanted,
        )
    if background_kind(options) == "image" and background_file(options) is None:
        raise InputError(
            "--background {value} is neither a colour nor a picture that is there.",
            hint="Use keep, blur, transparent, a colour (#20a040, teal), or an image file.",
            code="option.background",
            value=wanted,
        )


def preview_shares(text: str) -> tuple[int, ...]:
    """The percentages at which a picture is shown. Raises InputError."""
    words = [] if text == "none" else text.split(",")
    if len(words) <= MOST_PREVIEWS and all(re.fullmatch(r" *[1-9]?\d *", word) for word in words):
        return tuple(map(int, words))
    raise InputError(
        "--preview-at {value} names no moments of a film.",
        hint="Write percents from 0 to 99 with commas between, at most {most} of them, or none.",
        code="option.preview_at",
        value=text,
        most=MOST_PREVIEWS,
    )


def target_lufs(loudness: str) -> float | None:
    """The loudness to reach, LUFS; None to keep the voice's own. Raises InputError."""
    if loudness == "keep":
        return None
    try:
        lufs = float(loudness)
    except ValueError:
        lufs = float("nan")
    if not isfinite(lufs):
        raise InputError(
            "The loudness {value} is neither keep nor a number of LUFS.",
            hint="Use --loudness keep, or for example --loudness=-16.",
            code="prosody.loudness",
            value=loudness,
        )
    return lufs


def check_language(name: str) -> None:
    """Raises InputError for a language that is not spoken here."""
    from vidgen.messages import LANGUAGES, pick

    if not name.lower().startswith(pick(name)):
        raise InputError(
            "vidgen does not speak {name}.",
            hint="Choose one of: {choices}.",
            code="option.language",
            name=name,
            choices=", ".join(LANGUAGES),
        )


def colour(text: str) -> tuple[int, ...] | None:
    """#rgb, #rrggbb or one of CSS's names as red, green and blue, 0-255; else None."""
    if not text.startswith("#"):
        from PIL import ImageColor  # 0.03 s, so only where a name is given

        named = ImageColor.colormap.get(text.lower(), "")
        return colour(named) if isinstance(named, str) and named else None
    if not re.fullmatch(r"#([0-9a-fA-F]{3}){1,2}", text):
        return None
    digits = text[1:] if len(text) == 7 else "".join(digit * 2 for digit in text[1:])
    return tuple(bytes.fromhex(digits))


def background_kind(options: Options) -> str:
    """keep, blur, transparent, colour or image: what its cost depends on."""
    if options.background in ("keep", "blur", "transparent"):
        return options.background
    is_colour = options.background.startswith("#") or colour(options.background) is not None
    return "colour" if is_colour else "image"


def background_file(options: Options) -> Path | None:
    """The picture to show behind the speaker, where one is named and there."""
    if background_kind(options) != "image":
        return None
    try:
        file = absolute(options.background)
        return file if file.is_file() else None
    except (OSError, ValueError):
        return None


def words(options: Options) -> str:
    """The words of the voice, from the option or its file. Raises InputError."""
    if options.text_file is None:
        return options.text
    try:
        with absolute(options.text_file).open(encoding="utf-8-sig") as file:
            text = file.read(MOST_WORDS + 1)
        if len(text) > MOST_WORDS:
            raise OSError(errno.EFBIG, "it is longer than any voice")
        return text.strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            "The words in {file} cannot be read: {reason}.",
            hint="Give a plain text file in UTF-8.",
            code="config.text_file",
            file=str(options.text_file),
            reason=getattr(error, "strerror", None) or "it is not UTF-8 text",
        ) from error
