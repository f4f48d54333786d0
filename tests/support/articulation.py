"""Does a mouth say what the voice says? Numbers from an opening curve, the sound and the phones.

Knows neither where the opening was measured (a film's pixels, the controls) nor who drew it.
PUPPET (d) says what each number should be.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vidgen.quality.correlation import LoudnessEnvelope, correlate, correlation
from vidgen.speech.espeak import Phone
from vidgen.speech.visemes import is_open_vowel, kind, visemes

Array = NDArray[np.float64]
CLOSED: Final = 0.35  # of the way from the mouth in pauses to the 95th percentile
EDGE: Final = 0.12  # seconds: shorter pauses are not judged


@dataclass(frozen=True, slots=True)
class Articulation:
    """The numbers, NaN where the material does not allow one."""

    r: float  # opening with the envelope in dB, at zero lag
    lag_ms: float  # of the best correlation; positive: the mouth is late
    r_reversed: float
    ratio: float  # (open vowels - pauses) / (bilabials - pauses), means
    auc: float  # an open vowel's mean opening is larger than a bilabial's
    p95: float
    pause_mean: float  # of p95
    pause_sd: float
    bilabials_closed: float  # share that gets below 35 % of p95
    vowels_closed: float  # share of open vowels whose mean stays below
    others_closed: float  # the same for the other vowels and n, l, r, w, j
    bilabials: int
    open_vowels: int

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def judged(
    opening: Array, times: Array, envelope: LoudnessEnvelope, phones: Sequence[Phone] = ()
) -> Articulation:
    """`opening` (N,) at `times` (seconds, even steps) against the voice and its phones."""
    r, lag = correlate(opening, times, envelope)
    p95 = float(np.percentile(opening, 95))
    pauses = _in_pauses(opening, times, envelope)
    labial = [within(opening, times, phone) for phone in phones if kind(phone.ipa) == "bilabial"]
    wide = [within(opening, times, phone) for phone in phones if is_open_vowel(phone.ipa)]
    other = [within(opening, times, phone) for phone in phones if _is_other(phone.ipa)]
    labial_means, wide_means = _means(labial), _means(wide)
    rest = float(pauses.mean()) if len(pauses) else float(opening.min())
    closed = rest + CLOSED * (p95 - rest)
    return Articulation(
        r=r,
        lag_ms=1e3 * lag,
        r_reversed=correlation(opening, times, envelope.backwards()),
        ratio=_ratio(_mean(wide_means) - rest, _mean(labial_means) - rest),
        auc=_auc(wide_means, labial_means),
        p95=p95,
        pause_mean=rest / p95 if p95 > 0 else np.nan,
        pause_sd=float(pauses.std()) if len(pauses) else np.nan,
        bilabials_closed=_share([part.min() < closed for part in labial]),
        vowels_closed=_share([part.mean() < closed for part in wide]),
        others_closed=_share([part.mean() < closed for part in other]),
        bilabials=len(labial),
        open_vowels=len(wide),
    )


def _ratio(wide: float, labial: float) -> float:
    """`wide` over `labial`, 99 at most: bilabials that are as shut as pauses need no more."""
    return float(np.clip(wide / max(1e-9, labial), -99, 99))


def _is_other(ipa: str) -> bool:
    """Sounds during which lips are apart: all but silences, bilabials, f and v, stops, s."""
    first = visemes(ipa)[0][0]
    return first.kind in ("vowel", "glide") or (first.kind == "tongue" and ipa[0] in "nlɹr")


def within(values: Array, times: Array, phone: Phone) -> Array:
    """The frames whose centres lie in the phone, else the nearest one."""
    inside = values[(times >= phone.start) & (times < phone.end)]
    nearest = np.abs(times - (phone.start + phone.end) / 2).argmin()
    return inside if len(inside) else values[[nearest]]


def _in_pauses(opening: Array, times: Array, envelope: LoudnessEnvelope) -> Array:
    """The opening in silences of 0.12 s or more, without each one's first and last frame."""
    found: list[Array] = [np.zeros(0)]
    for start, end in envelope.pauses(EDGE):
        inside = opening[(times >= start) & (times < end)]
        found.append(inside[1:-1])
    return np.concatenate(found)


def _means(parts: list[Array]) -> Array:
    return np.array([part.mean() for part in parts])


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _share(hits: Sequence[bool | np.bool_]) -> float:
    return float(np.array(hits, float).mean()) if hits else float("nan")


def _auc(high: Array, low: Array) -> float:
    """The chance that one of `high` is above one of `low`."""
    if not len(high) or not len(low):
        return float("nan")
    above = (high[:, None] > low[None, :]).mean()
    return float(above + 0.5 * (high[:, None] == low[None, :]).mean())
