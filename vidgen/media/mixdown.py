"""Which track and which channels of a recording are the voice. Decodes nothing.

A voice comes out as loud as in its own channel: channels are chosen, not averaged, because half
of a stereo recording may be silent, inverted or late. Levels are dB of 50-ms windows, full scale 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vidgen.media.levels import WINDOW_SECONDS, is_silent, is_steady
from vidgen.work import Floats

_QUIETEST: Final = -120.0  # dB
_LOUDER: Final = 6.0  # dB by which a channel leads where somebody speaks into it alone
_ACTIVE: Final = 30.0  # dB under the loud parts: where somebody speaks at all
_OWN_SHARE: Final = 0.03  # of the active time; less is crosstalk
_CENTRE: Final = 20.0  # dB; films put their speech into the centre under louder music
_LONG: Final = 4  # windows at once: longer than an echo between two microphones
_SIGN: Final = 0.5  # correlation from which two channels carry the same sound


@dataclass(slots=True)
class Survey:
    """What each channel does all along a track; grown block by block."""

    names: tuple[str, ...] = ()  # of the channels, FFmpeg's ("FL", "FC", "LFE", …)
    _rest: Floats | None = None
    _covariances: list[NDArray[np.float64]] = field(default_factory=list)

    def add(self, block: Floats, rate: int) -> None:
        """(channels, n); what is not a number counts as silence."""
        block = np.nan_to_num(block, nan=0.0, posinf=0.0, neginf=0.0)
        if self._rest is not None:
            block = np.concatenate([self._rest, block], 1)
        width = max(1, int(rate * WINDOW_SECONDS))
        count = block.shape[1] // width
        self._rest = block[:, count * width :]
        windows = block[:, : count * width].reshape(len(block), count, width).astype(np.float64)
        windows -= windows.mean(2, keepdims=True)
        self._covariances.append(np.einsum("cmw,dmw->mcd", windows, windows) / width)

    @property
    def covariances(self) -> NDArray[np.float64]:
        """(windows, channels, channels)."""
        return np.concatenate(self._covariances) if self._covariances else np.zeros((0, 1, 1))

    @property
    def levels(self) -> NDArray[np.float64]:
        """(windows, channels) dB."""
        return _decibels(np.diagonal(self.covariances, axis1=1, axis2=2))

    @property
    def loudest(self) -> NDArray[np.float64]:
        """(windows,) dB of the loudest channel."""
        levels = self.levels
        return levels.max(1) if len(levels) else levels[:, 0]

    @property
    def pauses(self) -> float:
        """The share of windows under a quarter of the mean level: 0.3 and more in speech.

        The "low-energy frames" of Scheirer and Slaney (1997), who tell speech from music by them.
        """
        level = 10 ** (self.loudest / 20)
        return float((level < 0.25 * level.mean()).mean()) if len(level) else 0.0


def _decibels(power: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (_QUIETEST / 10))))


def choose_track(
    surveys: Sequence[Survey], defaults: Sequence[bool], asides: Sequence[bool]
) -> int:
    """The number of the track to take: the file's default one if it speaks, else one that does.

    `asides` are tracks that comment or describe: taken only when nothing else speaks.
    """
    numbers = range(len(surveys))
    heard = [n for n in numbers if not is_silent(surveys[n].loudest)] or list(numbers)
    speaking = [n for n in heard if not is_steady(surveys[n].loudest)] or heard
    told = [n for n in speaking if defaults[n]]
    if told and not all(defaults):
        return told[0]
    ordinary = [n for n in speaking if not asides[n]] or speaking
    return max(ordinary, key=lambda n: (round(surveys[n].pauses, 1), -n))


def mix_weights(survey: Survey) -> Floats:
    """(channels,) factors whose sum of channels is the voice, at its own level."""
    levels = survey.levels
    weights = np.zeros(levels.shape[1], np.float32)
    if not len(levels) or levels.shape[1] == 1:
        weights[0] = 1
        return weights
    loud = np.percentile(levels, 95, axis=0)
    speaks = np.array([not is_steady(channel) for channel in levels.T])
    centre = _centre(survey.names)
    if centre is not None and speaks[centre] and loud[centre] > loud.max() - _CENTRE:
        weights[centre] = 1
        return weights
    possible = np.where(speaks, loud, _QUIETEST) if speaks.any() else loud
    if "LFE" in survey.names:
        possible[survey.names.index("LFE")] = 2 * _QUIETEST
    main = int(np.argmax(possible))
    weights[main] = 1
    for channel in np.flatnonzero(possible > max(_QUIETEST, loud.max() - _ACTIVE)):
        if channel != main and _speaks_alone(levels, main, int(channel)):
            weights[channel] = _sign(survey.covariances, main, int(channel))
    return weights * np.float32(_own_level(survey.covariances, weights))


def _centre(names: Sequence[str]) -> int | None:
    return names.index("FC") if "FC" in names and len(names) > 2 else None


def _speaks_alone(levels: NDArray[np.float64], main: int, other: int) -> bool:
    """Whether somebody is heard in `other` who is not in `main`: an interview's second voice."""
    whole = len(levels) // _LONG * _LONG
    if not whole:
        return False
    power = (10 ** (levels[:whole] / 10)).reshape(-1, _LONG, levels.shape[1]).mean(1)
    long = _decibels(power)
    both = np.maximum(long[:, main], long[:, other])
    active = both > np.percentile(both, 95) - _ACTIVE
    alone = active & (long[:, other] > long[:, main] + _LOUDER)
    return bool(alone.sum() > _OWN_SHARE * active.sum())


def _sign(covariances: NDArray[np.float64], main: int, other: int) -> float:
    """-1 where the two channels are one sound with opposite polarity."""
    total = covariances.sum(0)
    scale = np.sqrt(total[main, main] * total[other, other]) or 1.0
    return -1.0 if total[main, other] / scale < -_SIGN else 1.0


def _own_level(covariances: NDArray[np.float64], weights: Floats) -> float:
    """The factor that keeps a sum as loud as the loudest of its channels, window by window."""
    used = np.flatnonzero(weights)
    if len(used) < 2:
        return 1.0
    mixed = np.einsum("mcd,c,d->m", covariances, weights, weights).sum()
    single = np.diagonal(covariances, axis1=1, axis2=2)[:, used].max(1).sum()
    return float(np.clip(np.sqrt(single / max(mixed, 1e-12)), 0.5, 1.0))
