"""Subtitles from words in time: SRT and WebVTT, at a pace that people can read."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from vidgen.speech.phonemes import TimedWord

Format = Literal["srt", "vtt"]
WIDEST: Final = 42  # characters in a line
LINES: Final = 2
PACE: Final = 17  # characters a second, at most, where the voice leaves the time
PAUSE: Final = 0.7  # seconds without a word that begin a new one
ENDS: Final = (".", "!", "?", "…", "。", "！", "？")
LINGER: Final = 1.5  # seconds that one may stay after its last word
GAP: Final = 0.08  # seconds between two


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle, seconds; its lines are parted by newlines."""

    start: float
    end: float
    text: str


def subtitles(words: Sequence[TimedWord], text: str, format: Format) -> str:
    """The file's content for `words`, which say `text`; its spelling and signs are kept."""
    cues = make_cues(restore_spelling(words, text))
    if format == "vtt":
        body = [f"{_clock(c.start, '.')} --> {_clock(c.end, '.')}\n{c.text}\n" for c in cues]
        return "\n".join(["WEBVTT\n", *body])
    return "\n".join(
        f"{number}\n{_clock(c.start, ',')} --> {_clock(c.end, ',')}\n{c.text}\n"
        for number, c in enumerate(cues, 1)
    )


def restore_spelling(words: Sequence[TimedWord], text: str) -> list[TimedWord]:
    """The words as `text` spells them, each with the signs around it and the space after it.

    What is read ("5", ".20") and what is written ("$5.20") meet at spaces; where nothing is
    written between words (Chinese, Japanese) each stands alone.
    """
    found: list[TimedWord] = []
    at = 0
    for word in words:
        place = text.find(word.text, at)
        if place < 0:
            continue
        if found:
            before = found.pop()
            between = text[at:place]
            head, space, tail = between.partition(" ")
            found.append(TimedWord(before.start, before.end, before.text + head + space))
            lead = tail if space else ""
        else:
            lead = text[:place].lstrip()
        found.append(TimedWord(word.start, word.end, lead + word.text))
        at = place + len(word.text)
    if found:
        last = found.pop()
        found.append(TimedWord(last.start, last.end, last.text + text[at:].rstrip()))
    return found


def make_cues(words: Sequence[TimedWord]) -> list[Cue]:
    """`words`, each with the space after it, in cues of two lines at most."""
    groups = list(_groups(words))
    cues: list[Cue] = []
    for number, group in enumerate(groups):
        text = "\n".join(_lines("".join(word.text for word in group).strip()))
        start, said = group[0].start, group[-1].end
        latest = groups[number + 1][0].start - GAP if number + 1 < len(groups) else said + LINGER
        wanted = max(said, start + len(text) / PACE)
        cues.append(Cue(start, max(said, min(wanted, latest, said + LINGER)), text))
    return cues


def _groups(words: Sequence[TimedWord]) -> Iterator[list[TimedWord]]:
    """Words that stand together: up to the end of a sentence, a pause, or what two lines hold."""
    group: list[TimedWord] = []
    for word in words:
        joined = "".join(one.text for one in [*group, word]).strip()
        ends = bool(group) and group[-1].text.rstrip(" \"'”’)»").endswith(ENDS)
        late = bool(group) and word.start - group[-1].end > PAUSE
        if group and (ends or late or len(_lines(joined)) > LINES):
            yield group
            group = []
        group.append(word)
    if group:
        yield group


def _lines(text: str) -> list[str]:
    """`text` in lines of WIDEST characters at most, of even lengths when there are two."""
    if len(text) <= WIDEST:
        return [text]
    spaces = [place for place, sign in enumerate(text) if sign == " "]
    fits = [p for p in spaces if p <= WIDEST and len(text) - p - 1 <= WIDEST]
    if fits:
        cut = min(fits, key=lambda place: abs(len(text) - 2 * place))
        return [text[:cut], text[cut + 1 :]]
    before = [place for place in spaces if place <= WIDEST]
    cut = before[-1] if before else WIDEST
    return [text[:cut], *_lines(text[cut:].lstrip())]


def _clock(seconds: float, point: str) -> str:
    """00:00:01,234"""
    whole = round(1000 * max(0.0, seconds))
    minutes, rest = divmod(whole, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{point}{rest % 1000:03}"
