"""What stages made is read back as it was, or not at all."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from vidgen.cache import Keys, StageCache, key_of
from vidgen.events import Emit
from vidgen.models.select import ModelChoice
from vidgen.paths import Home
from vidgen.settings import Options
from vidgen.steps import Step
from vidgen.work import Cutout, EyeView, Person, Subject, Work

RNG = np.random.default_rng(0)
SUBJECT = Subject(
    RNG.integers(0, 255, (8, 6, 3), np.uint8),
    RNG.random((468, 3), np.float32),
    (1, 2, 3, 4),
    (0, 0, 6, 8),
    (Person((0, 0, 6, 8), (1, 2, 3, 4), 0.9), Person((0, 0, 2, 2), None, 0.5)),
    0,
)
CUTOUT = Cutout(
    RNG.integers(0, 255, (8, 6, 3), np.uint8), RNG.random((8, 6), np.float32), None, False
)


class Nothing:
    name = "birefnet_removal"

    def run(self, work: Work, emit: Emit) -> Work:
        return work


def step(key: str = "0123456789abcdef-1") -> Step:
    return Step(Nothing(), key, (Subject, Cutout))


def same(left: object, right: object) -> bool:
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, Subject | Cutout | EyeView):
        fields = type(left).__dataclass_fields__
        return type(left) is type(right) and all(
            same(getattr(left, name), getattr(right, name)) for name in fields
        )
    if isinstance(left, np.ndarray):
        return (
            isinstance(right, np.ndarray)
            and left.dtype == right.dtype
            and bool((left == right).all())
        )
    return left == right


@pytest.fixture
def cache(home: Home) -> StageCache:
    return StageCache(home, home.task("one").work)


def file_of(cache: StageCache) -> Path:
    return next(cache.folder.glob("*.npz"))


def test_values_come_back_as_they_were(cache: StageCache) -> None:
    cache.save(step(), Work(SUBJECT, CUTOUT))
    values = cache.load(step())
    assert values is not None
    assert [same(a, b) for a, b in zip(values, (SUBJECT, CUTOUT), strict=True)] == [True, True]


def test_another_run_may_use_them_unless_it_wants_to_be_fresh(
    home: Home, cache: StageCache
) -> None:
    cache.save(step(), Work(SUBJECT, CUTOUT))
    other = home.task("two").work
    assert StageCache(home, other).load(step()) is not None
    assert StageCache(home, other, fresh=True).load(step()) is None


def test_another_key_finds_nothing(cache: StageCache) -> None:
    cache.save(step(), Work(SUBJECT, CUTOUT))
    assert cache.load(step("0123456789abcdef-2")) is None


@pytest.mark.parametrize("damage", ["cut", "changed", "no json", "half a json", "empty"])
def test_what_is_not_whole_is_not_there(cache: StageCache, damage: str) -> None:
    cache.save(step(), Work(SUBJECT, CUTOUT))
    arrays, metadata = file_of(cache), file_of(cache).with_suffix(".json")
    content = arrays.read_bytes()
    match damage:
        case "cut":
            arrays.write_bytes(content[:-1])
        case "changed":
            arrays.write_bytes(content[:200] + bytes([content[200] ^ 1]) + content[201:])
        case "no json":
            metadata.unlink()
        case "half a json":
            metadata.write_bytes(metadata.read_bytes()[:40])
        case "empty":
            arrays.write_bytes(b"")
    assert cache.load(step()) is None


def test_a_key_depends_on_every_part() -> None:
    assert key_of("a", 1, {"x": 1, "y": 2}) == key_of("a", 1, {"y": 2, "x": 1})
    assert len({key_of("a", 1), key_of("a", 2), key_of("a", "1"), key_of("a1")}) == 4


def test_every_part_of_a_value_comes_back(cache: StageCache) -> None:
    upper, lower = RNG.random((2, 9, 2), np.float32)
    eye = EyeView(upper, lower, RNG.random(2, np.float32), 3.5)
    seen = replace(SUBJECT, eyes=(eye, replace(eye, problem="shut")), chosen=1)
    cut = replace(CUTOUT, background=SUBJECT.frame, keeps_photo=True)
    cache.save(step(), Work(seen, cut))
    values = cache.load(step())
    assert values is not None
    assert same(values, (seen, cut))


def test_what_is_kept_is_called_by_its_stage_and_key(cache: StageCache) -> None:
    assert not cache.has(step())
    cache.save(step(), Work(SUBJECT, CUTOUT))
    names = sorted(file.name for file in cache.folder.iterdir())
    assert names == [f"birefnet_removal-0123456789abcdef.{end}" for end in ("json", "npz")]
    assert cache.has(step())
    assert not cache.has(Step(Nothing(), step().key))  # it keeps nothing


@pytest.mark.parametrize("name", ["format", "key", "sha256"])
def test_what_another_version_kept_is_not_there(cache: StageCache, name: str) -> None:
    cache.save(step(), Work(SUBJECT, CUTOUT))
    metadata = file_of(cache).with_suffix(".json")
    about = json.loads(metadata.read_bytes())
    metadata.write_text(json.dumps(about))
    assert cache.load(step()) is not None
    metadata.write_text(json.dumps(about | {name: 0}))
    assert cache.load(step()) is None


def test_another_kind_of_device_has_keys_of_its_own() -> None:
    def keys(device: str) -> Keys:
        return Keys.of(Options(), ModelChoice(device), "photo", "voice")

    assert keys("cuda:0") == keys("cuda:1")
    assert keys("cuda:0").subject == keys("cpu").subject
    assert keys("cuda:0").cutout != keys("cpu").cutout
