"""How the head, the lids, the brows and the eyes move while somebody speaks: curves from a seed.

Same voice, same options, same curves. Knows the voice only through `MouthCurves`, and no pixels.
Numbers: PUPPET (b)11; blinks log-normal after Bentivoglio 1997, but one in 3.6 s, not the 26 a
minute of somebody in a talk, and what follows there; glances: mostly at the viewer, with quick
small moves away and back.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np

from vidgen.speech.curves import RATE, Array, ease, resample_curve, smooth
from vidgen.speech.mouth_curves import MouthCurves
from vidgen.work import Floats, MotionOptions

AT_VIEWER: Final = 0.68  # share of the moves that come back to the viewer
LARGE: Final = 0.14  # of the eye's half width; from here on a blink goes well with it


@dataclass(frozen=True, slots=True)
class Glance:
    """The eyes go to (x, y), of the eye's half width and half height, and stay there."""

    start: float  # seconds
    takes: float  # seconds
    x: float
    y: float
    is_large: bool


def glances(seconds: float, seed: int) -> tuple[Glance, ...]:
    """Moves every 0.5–4 s; the last of them is back at the viewer before the end."""
    rng = np.random.default_rng([seed, 5])
    plan: list[Glance] = []
    x = y = 0.0
    now = float(rng.uniform(0.6, 1.6))
    while now < seconds - 0.6:
        to_x, to_y, holds = _target(rng)
        takes = 0.04 + 0.02 * min(1.0, abs(to_x - x) / 0.3)
        large = abs(to_x - x) >= LARGE
        plan.append(Glance(round(now, 3), round(takes, 3), to_x, to_y, large))
        x, y = to_x, to_y
        now += holds
    if abs(x) + abs(y) > 0.04 and seconds > 1.2:
        plan.append(Glance(round(seconds - 0.5, 3), 0.05, 0.0, 0.0, False))
    return tuple(plan)


def _target(rng: np.random.Generator) -> tuple[float, float, float]:
    """x, y and how long to stay, seconds: long on the viewer, short elsewhere."""
    tremor = rng.normal(0, 0.015, 2)
    side, height = rng.choice([-1.0, 1.0]) * rng.uniform(0.08, 0.24), rng.uniform(-0.12, 0.10)
    hold = float(np.clip(1.1 * np.exp(0.6 * rng.standard_normal()), 0.5, 4.0))
    if rng.random() < AT_VIEWER:
        return float(tremor[0]), float(tremor[1]), hold
    return float(side + tremor[0]), float(height + tremor[1]), min(hold, 1.2)


def gaze_curves(plan: Sequence[Glance], count: int) -> tuple[Array, Array]:
    """x and y at 100 Hz, each (count,)."""
    time = np.arange(count) / RATE
    x, y = np.zeros(count), np.zeros(count)
    at_x = at_y = 0.0
    for glance in plan:
        share = ease(np.clip((time - glance.start) / glance.takes, 0, 1))
        x += (glance.x - at_x) * share
        y += (glance.y - at_y) * share
        at_x, at_y = glance.x, glance.y
    return x, y


CLOSE, SHUT, OPEN = 0.08, 0.08, 0.18  # seconds; 50 ms shut is missed by 25 frames a second
LENGTH: Final = CLOSE + SHUT + OPEN
FIRST: Final = 0.4  # no blink before: the film should begin with open eyes
MEDIAN, SIGMA, SHORTEST, LONGEST = 3.8, 0.36, 0.9, 6.5  # seconds between blinks, log-normal
PARTIAL: Final = (0.14, 0.62, 0.67)  # share of blinks that do not quite cover the eye
# (`eyelids.COVERED`), and how far they go
DOUBLES, DOUBLE_GAP = 0.10, 0.38
TO_PAUSE, PAUSE_REACH = 0.7, 0.7  # share moved to a pause, and from how far (seconds)
LAG, LESS = 0.004, 0.985  # seconds by which one eye is late (.010 is seen), its share of the way


def blink_times(
    seconds: float,
    pauses: Sequence[tuple[float, float]],
    glances: Sequence[Glance],
    seed: int,
    scale: float,
) -> tuple[float, ...]:
    """When each blink begins, seconds, ascending; `scale` is how often, 1 the usual, 0 never."""
    if scale <= 0:
        return ()
    rng = np.random.default_rng([seed, 2])
    wanted: list[float] = []
    now = rng.uniform(FIRST, 2.0)
    while now < seconds:
        wanted.append(_nudge(now, pauses, glances, rng))
        if rng.random() < DOUBLES:
            wanted.append(wanted[-1] + DOUBLE_GAP)
        now = max(now, wanted[-1]) + _wait(rng) / scale
    return _space_out(wanted, seconds)


def _wait(rng: np.random.Generator) -> float:
    return float(np.clip(MEDIAN * np.exp(SIGMA * rng.standard_normal()), SHORTEST, LONGEST))


def _nudge(
    time: float,
    pauses: Sequence[tuple[float, float]],
    glances: Sequence[Glance],
    rng: np.random.Generator,
) -> float:
    """`time`, or (often) a pause or else a large glance near it: people blink there."""
    wants_pause = rng.random() < TO_PAUSE
    large = [glance.start - 0.04 for glance in glances if glance.is_large]
    starts = [start for start, _ in pauses] if wants_pause else []
    for places in (starts, large):
        near = [place for place in places if abs(place - time) < PAUSE_REACH]
        if near:
            return min(near, key=lambda place: abs(place - time))
    return time


def _space_out(wanted: list[float], seconds: float) -> tuple[float, ...]:
    """Those that fit: not too early, finished at the end, none inside another."""
    kept: list[float] = []
    for time in sorted(wanted):
        fits = time >= FIRST and time + LENGTH <= seconds
        if fits and (not kept or time - kept[-1] >= LENGTH + 0.02):
            kept.append(round(time, 3))
    return tuple(kept)


def lid_curve(blinks: Sequence[float], count: int, gaze_y: Array, seed: int) -> Array:
    """Lids 0..1 at 100 Hz, some blinks only nearly shut; between blinks they follow a lowered
    gaze a little."""
    lids = np.clip(0.19 * gaze_y, 0, 0.09)
    rng = np.random.default_rng([seed, 6])
    for start in blinks:
        depth = rng.uniform(*PARTIAL[1:]) if rng.random() < PARTIAL[0] else 1.0
        low = max(0, int(start * RATE))
        high = min(count, int((start + LENGTH) * RATE) + 2)
        time = np.arange(low, high) / RATE - start
        lids[low:high] = np.maximum(lids[low:high], depth * _blink(time))
    return lids


def _blink(time: Array) -> Array:
    """One blink from 0 s on: a quick ease in, shut, a slower ease out."""
    down = np.clip(time / CLOSE, 0, 1)
    up = np.clip((time - CLOSE - SHUT) / OPEN, 0, 1)
    return np.asarray(down**1.5 * (3 - down) / 2 * (1 - up) ** 2 * (1 + 2 * up))


CURVES: Final = (
    "yaw",
    "pitch",
    "roll",
    "tx",
    "ty",
    "breath",
    "lids",
    "lids_right",
    "brows",
    "gaze_x",
    "gaze_y",
)
LIMITS: Final = {"yaw": 6.0, "pitch": 4.5, "roll": 3.0}  # degrees; more tears a flat photo
SPEED_LIMIT: Final = 11.5  # degrees per second, any axis
SHIFT: Final = 0.016  # Hf: the head's shift at most
SWAYS: Final = {"yaw": 2.4, "roll": 1.3, "pitch": 1.3, "tx": 0.010, "ty": 0.006}
TURNS: Final = {"yaw": 3.4, "pitch": 1.3, "roll": 1.4}  # degrees: new posture at a phrase's start
USUAL: Final = {"yaw": 2.5, "pitch": 2.0, "roll": 1.15}  # degrees, SD before the limits bend it
FITTED: Final = (0.6, 2.2)  # a film's own SD is brought nearer to the usual one by so much at most
PITCH_PER_SEMITONE: Final = -0.34  # degrees: a rising voice lifts the chin
NOD: Final = 2.4  # degrees
PHRASE: Final = (2.2, 4.5)  # seconds: the longest that anybody speaks in one posture
SETTLE: Final = (0.6, 1.0)  # seconds to leave the photo's pose, and to come back to it


@dataclass(frozen=True, slots=True)
class Motion:
    """Curves at 100 Hz, each (N,) float32, N = ceil(seconds * 100) + 1, sample k at k / 100 s."""

    yaw: Floats  # degrees; the nose goes right in the picture
    pitch: Floats  # degrees; the chin goes down
    roll: Floats  # degrees; clockwise in the picture
    tx: Floats  # face heights, right
    ty: Floats  # face heights, down
    breath: Floats  # 0 out – 1 in
    lids: Floats  # 0 as in the photo – 1 shut; the picture's left eye
    lids_right: Floats  # the other's, a little later and not quite as far
    brows: Floats  # 0 as in the photo – 1 raised
    gaze_x: Floats  # of the eye's half width, right in the picture
    gaze_y: Floats  # of the eye's half height, down
    blinks: tuple[float, ...]  # seconds at which a lid begins to close

    def sample(self, fps: Fraction, first: int, last: int) -> dict[str, Floats]:
        """The curves at the centres of frames first..last-1, each (last - first,)."""
        return {
            name: resample_curve(getattr(self, name), RATE, fps, first, last) for name in CURVES
        }


def motion(controls: MouthCurves, look: MotionOptions, seconds: float) -> Motion:
    """The motion for `seconds` of this voice. Scales of `look` at 0 leave their curves at 0."""
    count = int(np.ceil(round(seconds * RATE, 6))) + 1
    loud, f0 = _fit_length(controls.loud, count), _fit_length(controls.f0, count)
    plan = glances(seconds, look.seed) if look.gaze > 0 else ()
    blinks = blink_times(seconds, controls.pauses, plan, look.seed, look.blink)
    head = _head(loud, f0, controls.pauses, look)
    gaze_x, gaze_y = _gaze(plan, head, look.gaze, count)
    lids = lid_curve(blinks, count, gaze_y, look.seed)
    first = np.random.default_rng([look.seed, 7]).random() < 0.5
    time = np.arange(count)
    later = LESS * np.interp(time - LAG * RATE, time, lids)
    return Motion(
        **{name: curve.astype(np.float32) for name, curve in head.items()},
        breath=_breath(controls.pauses, seconds, look).astype(np.float32),
        lids=(lids if first else later).astype(np.float32),
        lids_right=(later if first else lids).astype(np.float32),
        brows=_brows(f0, loud, look).astype(np.float32),
        gaze_x=gaze_x.astype(np.float32),
        gaze_y=gaze_y.astype(np.float32),
        blinks=blinks,
    )


def _fit_length(curve: Floats, count: int) -> Array:
    """`curve` cut, or continued with zeros, to `count` samples."""
    fitted = np.zeros(count)
    shared = min(count, len(curve))
    fitted[:shared] = curve[:shared]
    return fitted


def _head(
    loud: Array, f0: Array, pauses: tuple[tuple[float, float], ...], look: MotionOptions
) -> dict[str, Array]:
    """yaw, pitch, roll in degrees, tx, ty in face heights."""
    rng = np.random.default_rng([look.seed, 1])
    count = len(loud)
    energy = 0.30 + 0.70 * smooth((loud > 0.08).astype(np.float64), 0.45 * RATE)  # listeners rest
    head = {name: size * energy * _sway(rng, count) for name, size in SWAYS.items()}
    starts = _phrases(rng, loud, pauses)
    for name, size in TURNS.items():
        head[name] += _postures(rng, starts, count, size)
    head["pitch"] += PITCH_PER_SEMITONE * np.clip(smooth(f0, 0.12 * RATE), -6, 6)
    head["pitch"] += NOD * _nods(rng, loud, f0)
    settle = _settling(count)
    for name, limit in LIMITS.items():
        lively = _usual(head[name], USUAL[name])
        head[name] = _slow_down(limit * np.tanh(look.head_motion * lively / limit)) * settle
    for name in ("tx", "ty"):
        head[name] = SHIFT * np.tanh(look.head_motion * settle * head[name] / SHIFT)
    return head


def _usual(curve: Array, spread: float) -> Array:
    """`curve` with a spread nearer to the usual one: no film is wooden, none restless."""
    own = float(curve.std())
    return curve * float(np.clip(spread / max(own, 1e-6), *FITTED)) if own > 0.05 else curve


def _phrases(
    rng: np.random.Generator, loud: Array, pauses: tuple[tuple[float, float], ...]
) -> list[float]:
    """Seconds at which a new posture is taken: where phrases begin, and at the quietest moment of
    a phrase that goes on for long."""
    seconds = len(loud) / RATE
    level = smooth(loud, 0.08 * RATE)
    starts = [end - 0.12 for start, end in pauses if end - start >= 0.18 and end < seconds]
    made, now = [], 0.0
    for start in [*starts, seconds]:
        while start - now > PHRASE[1]:
            low, high = (int((now + after) * RATE) for after in PHRASE)
            now = (low + int(np.argmin(level[low:high] + 0.05 * rng.random(high - low)))) / RATE
            made.append(now)
        if start < seconds and start - now > 0.8:
            made.append(start)
            now = start
    return made


def _sway(rng: np.random.Generator, count: int) -> Array:
    """Three slow sines of 2.6–8.3 s, within about -1..1."""
    time = np.arange(count) / RATE
    periods = np.array([rng.uniform(5.6, 8.3), rng.uniform(3.8, 5.6), rng.uniform(2.6, 3.8)])
    weights = np.array([0.5, 0.3, 0.2])
    phases = rng.uniform(0, 2 * np.pi, 3)
    waves = np.sin(2 * np.pi * time[:, None] / periods + phases)  # (N, 3)
    return np.asarray(waves @ weights)


def _nods(rng: np.random.Generator, loud: Array, f0: Array) -> Array:
    """Nods on accents, where the voice is loud and high: down in 0.2 s, back in 0.4 s, at most one
    in 0.7 s."""
    level = smooth(loud, 0.10 * RATE) + 0.05 * np.clip(smooth(f0, 0.08 * RATE), -4, 6)
    peaks = np.flatnonzero((level[1:-1] > level[:-2]) & (level[1:-1] >= level[2:])) + 1
    nods = np.zeros(len(loud))
    last = -RATE
    for peak in peaks[level[peaks] > 0.55]:
        strength = rng.uniform(0.35, 1.0)
        if peak - last < 0.7 * RATE or rng.random() > 0.6:
            continue
        last = int(peak)
        nods += strength * _nod(np.arange(len(loud)) / RATE - peak / RATE)
    return nods


def _nod(time: Array) -> Array:
    """One nod about its lowest point at 0 s, 0..1."""
    down = ease(np.clip((time + 0.22) / 0.22, 0, 1))
    back = ease(np.clip(time / 0.42, 0, 1))
    return np.asarray(down - back)


def _postures(rng: np.random.Generator, starts: list[float], count: int, size: float) -> Array:
    """A new resting place, slowly taken, at each phrase (Hadar 1984); never twice the same side
    by more than a third."""
    place = np.zeros(count)
    before = rng.uniform(-size, size)
    place[:] = 0.6 * before
    for start in starts:
        target = rng.uniform(-size, size)
        if target * before > 0 and abs(target) > size / 3:
            target = -target
        place[int(start * RATE) :] = before = target
    return smooth(place, 0.32 * RATE)


def _settling(count: int) -> Array:
    """0 in the photo's pose at both ends, 1 between."""
    time = np.arange(count) / RATE
    left = time[-1] - time
    away, back = SETTLE
    return np.asarray(ease(np.clip(time / away, 0, 1)) * ease(np.clip(left / back, 0, 1)))


def _slow_down(curve: Array) -> Array:
    """`curve`, smoothed no more than it takes to stay under the speed limit."""
    width = 0.03 * RATE
    slow = smooth(curve, width)
    while len(slow) > 1 and np.abs(np.diff(slow)).max() * RATE > SPEED_LIMIT:
        width *= 1.3
        slow = smooth(curve, width)
    return slow


def _breath(pauses: tuple[tuple[float, float], ...], seconds: float, look: MotionOptions) -> Array:
    """1.2 s in, 0.5 s held, 1.0 s out, 1.5 s still; a pause of the voice draws the next one in."""
    count = int(np.ceil(round(seconds * RATE, 6))) + 1
    rng = np.random.default_rng([look.seed, 4])
    time = np.arange(count) / RATE
    curve = np.zeros(count)
    if look.head_motion <= 0:
        return curve
    start = rng.uniform(0.2, 1.0)
    while start < seconds:
        pace = rng.uniform(0.85, 1.15)
        rise = ease(np.clip((time - start) / (1.2 * pace), 0, 1))
        fall = ease(np.clip((time - start - 1.7 * pace) / pace, 0, 1))
        curve += rise - fall
        start = _snap_to_pause(start + 4.2 * pace, pauses)
    return curve


def _snap_to_pause(start: float, pauses: tuple[tuple[float, float], ...]) -> float:
    """`start`, or the beginning of a pause within 0.8 s of it."""
    near = [begin for begin, end in pauses if end - begin > 0.2 and abs(begin - start) < 0.8]
    return min(near, key=lambda begin: abs(begin - start)) if near else start


def _brows(f0: Array, loud: Array, look: MotionOptions) -> Array:
    """Raised when the pitch rises above the speaker's median, a little on every stress."""
    rng = np.random.default_rng([look.seed, 3])
    slow = smooth(f0, 0.15 * RATE)
    rise = np.diff(smooth(f0, 0.20 * RATE), prepend=f0[:1]) * RATE  # semitones a second
    lifted = np.clip((slow - 0.8) / 4, 0, 1) * 0.6 + np.clip(rise / 16, 0, 1) * 0.5
    drift = 0.12 * (0.5 + 0.5 * _sway(rng, len(f0))) * (0.3 + 0.7 * smooth(loud, 0.35 * RATE))
    brows = smooth(np.clip(lifted, 0, 1), 0.08 * RATE) + drift
    return np.asarray(np.clip(look.brows * look.expression * brows * _settling(len(f0)), 0, 1))


def _gaze(
    plan: tuple[Glance, ...], head: dict[str, Array], scale: float, count: int
) -> tuple[Array, Array]:
    """The glances, and the eyes' counter-turn that keeps them on the viewer as the head turns."""
    if scale <= 0:
        return np.zeros(count), np.zeros(count)
    x, y = gaze_curves(plan, count)
    # 12 mm from the eye's centre to the iris, 15 mm half width, 5 mm half height: mm per degree
    x = x - 0.21 / 15 * head["yaw"]
    y = y - 0.21 / 5 * head["pitch"] * 0.5
    return np.clip(scale * x, -0.5, 0.5), np.clip(scale * y, -0.5, 0.5)
