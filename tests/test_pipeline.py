"""What a run is made of: where the puppet draws, what encodes, how many processes draw."""

from dataclasses import asdict, fields
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidgen.cache import Keys
from vidgen.device import device, memory
from vidgen.errors import InputError, SetupError
from vidgen.events import Event, Log
from vidgen.media.encodings import HARDWARE
from vidgen.models.catalog import Catalog
from vidgen.models.select import ModelChoice, drawing_device
from vidgen.paths import Home
from vidgen.pipeline import Job, check_did, check_options, look, seed_of
from vidgen.quality import judge
from vidgen.quality.closing_look import ClosingLook
from vidgen.quality.judge import Quality
from vidgen.renderers.workers import Workers
from vidgen.request import Request, default_settings
from vidgen.settings import Options
from vidgen.work import Photo, Speech, Subject, Work


def job(home: Home, chosen: ModelChoice, **options: Any) -> Job:
    settings = default_settings(**options)
    request = Request(Path("ann.jpg"), Path("hello.wav"), Path("film.mp4"), settings)
    return Job(home, home.task("task"), request, chosen, lambda _: None)


def speech(seconds: float) -> Speech:
    return Speech(np.zeros(int(100 * seconds), np.float32), 100, "")


@pytest.mark.parametrize(
    ("renderer", "named", "wanted"),
    [("puppet", "auto", "cpu"), ("puppet", "cuda:0", "cuda:0"), ("musetalk", "auto", "cuda:0")],
)
def test_the_puppet_draws_where_it_is_quicker(renderer: str, named: str, wanted: str) -> None:
    chosen = ModelChoice("cuda:0", renderer=renderer)
    assert drawing_device(Options(device=named), chosen) == wanted


@pytest.mark.parametrize(
    ("seconds", "cores", "free_mb", "count"),
    [
        (34, 16, 64_000, 16),
        (34, 4, 64_000, 4),
        (34, 16, 1_100, 3),
        (34, 16, 300, 0),  # none: the run's own process draws
        (3, 16, 64_000, 0),
    ],
)
def test_as_many_draw_as_cores_and_memory_allow(
    home: Home, monkeypatch: pytest.MonkeyPatch, seconds: int, cores: int, free_mb: int, count: int
) -> None:
    monkeypatch.setattr(device, "usable_cores", lambda: cores)
    monkeypatch.setattr(memory, "free_mb", lambda: free_mb)
    assert job(home, ModelChoice("cpu")).workers(speech(seconds)).count == count


def test_larger_frames_want_more_memory(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "usable_cores", lambda: 16)
    monkeypatch.setattr(memory, "free_mb", lambda: 4_000)
    counts = [
        job(home, ModelChoice("cpu"), height=height).workers(speech(34)).count
        for height in (512, 720, 1080, 2160)
    ]
    assert counts == [14, 11, 7, 2]


def test_only_the_puppet_on_processors_is_shared_out(home: Home) -> None:
    def count(where: str, renderer: str = "puppet", **options: Any) -> int:
        asked = job(home, ModelChoice(where, renderer=renderer), workers=4, **options)
        return asked.workers(speech(34)).count

    assert count("cpu") == 4
    assert count("cuda:0") == 4  # for the networks; drawn on the processor
    assert count("cuda:0", device="cuda:0") == 0
    assert count("cpu", "musetalk") == 0
    assert count("cpu", encoder="nvenc") == 0


# Every option that changes the film, with a value that is not its default, by what it changes.
SUBJECT = {
    "person": "left",
    "conf_threshold": 0.4,
    "framing": "head",
    "height": 512,
    "aspect": "1:1",
    "enlarge": True,
}
CUTOUT = {"smoothing": 0.5, "background": "#123456"}
FILM: dict[str, Any] = {
    "trim": "1-3",
    "pitch": 1.0,
    "pitch_range": 1.2,
    "rate": 1.1,
    "loudness": "-16",
    "text": "mama",
    "language": "de",
    "seed": 7,
    "mouth": 0.7,
    "head_motion": 0.3,
    "blink": 0.4,
    "brows": 0.6,
    "gaze": 0.2,
    "mood": "happy",
    "expression": 0.5,
    "fps": "30",
    "format": "webm",
}
# These change nothing that is kept, or choose the models, which count by themselves.
NEITHER = {
    "max_seconds", "text_file", "renderer", "did_key_file", "did_auth", "did_stitch", "did_keep",
    "models", "device", "force", "fresh", "encoder", "workers", "subtitles",
    "preview_at", "preset", "poster",
}  # fmt: skip


def keys(options: Options) -> Keys:
    return Keys.of(options, ModelChoice("cpu"), "photo", "voice")


def test_every_option_is_one_of_these() -> None:
    named = {*SUBJECT, *CUTOUT, *FILM, *NEITHER}
    assert {option.name for option in fields(Options)} - named == set()


@pytest.mark.parametrize(("name", "value"), [*SUBJECT.items(), *CUTOUT.items(), *FILM.items()])
def test_an_option_changes_the_keys_from_its_stage_on(name: str, value: Any) -> None:
    before, after = keys(Options()), keys(Options(**{name: value}))
    changed = [
        getattr(before, kept) != getattr(after, kept) for kept in ("subject", "cutout", "film")
    ]
    first = 0 if name in SUBJECT else 1 if name in CUTOUT else 2
    assert changed == [number >= first for number in range(3)]


def test_what_is_in_a_picture_behind_changes_the_key(tmp_path: Path) -> None:
    one, other, same = (tmp_path / f"{name}.png" for name in ("one", "other", "same"))
    one.write_bytes(b"beach")
    other.write_bytes(b"forest")
    same.write_bytes(b"beach")
    made = [keys(Options(background=str(file))).cutout for file in (one, other, same)]
    assert made[0] != made[1]
    assert made[0] == made[2]


@pytest.mark.parametrize(
    "name", ["mouth", "head_motion", "blink", "brows", "gaze", "mood", "expression", "language"]
)
def test_an_option_reaches_the_renderer(name: str) -> None:
    moved = look(Options(**{name: FILM[name]}), 7)
    assert getattr(moved, name) == FILM[name]
    assert moved.seed == 7
    assert look(Options(fps="30"), 0).fps == Fraction(30)


@pytest.mark.parametrize("options", [{"language": "klingon"}, {"loudness": "loud"}])
def test_what_only_stages_understand_is_refused_before_them(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        check_options(Options(**options))
    check_options(Options(language="ja", loudness="-16"))


@pytest.mark.parametrize(
    ("encoder", "device_", "used"),
    [("auto", "auto", ()), ("auto", "cuda:0", tuple(HARDWARE)), ("x264", "cuda:0", ()),
     ("nvenc", "cpu", ("nvenc",))],
)  # fmt: skip
def test_which_encoders_may_be_used(
    home: Home, encoder: str, device_: str, used: tuple[str, ...]
) -> None:
    made = job(home, ModelChoice("cuda:0"), encoder=encoder, device=device_)
    assert made._hardware_encoders() == used


def test_without_a_seed_the_inputs_choose() -> None:
    assert [seed_of(Options(seed=seed), "photo", "voice") for seed in (0, 7)] == [0, 7]
    own = seed_of(Options(), "photo", "voice")
    assert own == int(sha256(b"photovoice").hexdigest()[:8], 16)


def test_a_film_that_cannot_be_judged_is_told_and_stays(home: Home) -> None:
    told: list[Event] = []
    made, closing = job(home, ModelChoice("cpu")), ClosingLook(Path("model"))
    found = made._judge(Workers(), closing, Path("none.mp4"), Work(), told.append)
    assert found == {}
    (event,) = told
    assert isinstance(event, Log)
    assert (event.level, event.code) == ("WARNING", "quality.not_judged")


def test_words_that_nobody_can_hear_are_told(home: Home) -> None:
    told: list[Event] = []
    made = job(home, ModelChoice("cpu", ears=""), subtitles="srt")
    assert made._subtitles(Work(speech(1)), told.append) == ("", "srt")
    assert told == [Log("WARNING", "finalize.subtitles_unheard")]


def test_d_id_draws_elsewhere_and_remembers_in_the_home(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DID_API_KEY", "a:key")
    steps = job(home, ModelChoice("cpu", renderer="d-id"))._render_steps("", Workers(), 1, None)
    assert [step.stage.name for step in steps] == ["d_id_upload", "d_id_processing"]
    assert all(step.is_elsewhere for step in steps)


def test_what_d_id_cannot_draw_is_refused_before_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    check_did(Options(), 1e9)
    with pytest.raises(SetupError):
        check_did(Options(renderer="d-id"), 10)
    monkeypatch.setenv("DID_API_KEY", "a:key")
    check_did(Options(renderer="d-id"), 10)
    with pytest.raises(InputError):
        check_did(Options(renderer="d-id"), 1e9)


@pytest.mark.parametrize("seconds", [7, 8])
def test_a_film_of_less_than_four_pieces_is_drawn_alone(
    home: Home, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    monkeypatch.setattr(device, "usable_cores", lambda: 16)
    monkeypatch.setattr(memory, "free_mb", lambda: 64_000)
    made = job(home, ModelChoice("cpu"))
    assert made.workers(speech(seconds - 1)).count == (0 if seconds == 7 else 4)
    slower = job(home, ModelChoice("cpu"), rate=0.5)  # a film twice as long
    assert slower.workers(speech(3)).count == 0
    assert slower.workers(speech(4)).count == 4
    assert job(home, ModelChoice("cpu"), workers=9).workers(speech(seconds)).count == 4


def test_a_worker_takes_memory_by_the_film(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """200 MB, and 160 for each megapixel of the widest shape."""
    monkeypatch.setattr(device, "usable_cores", lambda: 99)
    for height, each in ((720, 347.456), (1080, 531.776), (2160, 1527.104)):
        for free, count in ((3 * each + 1, 3), (3 * each - 1, 2)):
            monkeypatch.setattr(memory, "free_mb", lambda free=free: free)
            made = job(home, ModelChoice("cpu"), height=height)
            assert made.workers(speech(34)).count == count
    monkeypatch.setattr(memory, "free_mb", lambda: 3 * 347.456 + 1)
    assert job(home, ModelChoice("cpu"), height=0).workers(speech(34)).count == 3


@pytest.mark.parametrize(
    ("follows", "codes"), [(True, []), (False, ["quality.not_following"]), (None, [])]
)
def test_a_mouth_that_does_not_follow_is_told(
    home: Home, monkeypatch: pytest.MonkeyPatch, *, follows: bool | None, codes: list[str]
) -> None:
    found, told = Quality(follows, "because"), list[Event]()
    monkeypatch.setattr(judge, "judge", lambda *_, **__: found)
    frame, landmarks = np.zeros((1, 1, 3), np.uint8), np.zeros((468, 3), np.float32)
    subject = Subject(frame, landmarks, (0, 0, 1, 1), (0, 0, 1, 1), (), 0)
    made, closing = job(home, ModelChoice("cpu")), ClosingLook(Path("model"))
    assert made._judge(Workers(), closing, Path("x"), Work(subject), told.append) == {
        "quality": asdict(found)
    }
    assert [event.code for event in told if isinstance(event, Log)] == codes


@pytest.mark.parametrize(
    ("matte", "kind"), [("", "Selfie"), ("isnet", "IsNet"), ("birefnet_lite", "BiRefNet")]
)
def test_who_cuts_out_is_who_was_chosen(
    home: Home, monkeypatch: pytest.MonkeyPatch, matte: str, kind: str
) -> None:
    monkeypatch.setattr(Catalog, "path", lambda _, name: Path(name))
    matter = job(home, ModelChoice("cpu", matte=matte))._matter()
    assert type(matter).__name__ == kind


@pytest.mark.parametrize("persons", ["", "yolo26n"])
def test_persons_are_looked_for_where_a_model_was_chosen(
    home: Home, monkeypatch: pytest.MonkeyPatch, persons: str
) -> None:
    monkeypatch.setattr(Catalog, "path", lambda _, name: Path(name))
    found = job(home, ModelChoice("cpu", persons=persons))._people()
    assert (found is not None) is bool(persons)


def test_what_an_animation_and_a_silent_film_leave_out(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Catalog, "path", lambda _, name: Path(name))
    photo = Photo(Path("ann.jpg"), np.zeros((9, 9, 3), np.uint8), "a")

    def last(**options: Any) -> Any:
        return job(home, ModelChoice("cpu"), **options).steps(photo, speech(1), Workers())[-1].stage

    assert (last(format="gif").judge, last().judge is None) == (None, False)
    assert (last().subtitles, last(subtitles="srt").subtitles is None) == (None, False)


@pytest.mark.parametrize("has_begun", [True, False])
def test_a_voice_is_heard_ahead_unless_drawing_has_begun(home: Home, *, has_begun: bool) -> None:
    made = job(home, ModelChoice("cpu"))
    if has_begun:
        (made.task.work / "render").mkdir(parents=True)
    renderer, networks = made._renderer(speech(1))
    assert len(networks) == (0 if has_begun else 1)
    assert renderer.name == "puppet"
    assert made._renderer(None)[1] == ()
