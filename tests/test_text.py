"""Text that leaves the program: any path there and back, any value as JSON."""

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vidgen.events import Envelope
from vidgen.files import library_name
from vidgen.text import json_bytes, path_text, text_path


@pytest.mark.parametrize(
    "name", ["a.mp4", "動画 1.mp4", "caf\udce9.mp4", "100%E9.mp4", "\udcff\udcfe", "a b#?.mp4"]
)
@pytest.mark.parametrize("folder", ["/tmp", "/sp ace", "/od\udcd0d"])
def test_every_path_goes_there_and_back(folder: str, name: str) -> None:
    path = Path(folder) / name
    text = path_text(path)
    assert text_path(json.loads(json_bytes({"path": path}))["path"]) == path
    assert text.encode()
    assert text_path(text) == path


@dataclass(frozen=True)
class Result:
    path: Path
    title: str


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"name": "caf\udce9.wav"}, {"name": "caf\ufffd.wav"}),
        ({"path": "/tmp/caf\udce9.wav"}, {"path": "file:///tmp/caf%E9.wav"}),
        ({"seed": 1 << 70}, {"seed": float(1 << 70)}),
        ({1: ("a", {"\udce9"})}, {"1": ["a", ["\ufffd"]]}),
        (Result(Path("/\udcff"), "a"), {"path": "file:///%FF", "title": "a"}),
        ({"share": Fraction(1, 3)}, {"share": "1/3"}),
        (
            {"levels": np.array([1, 2], np.float32), "not": float("nan")},
            {"levels": [1, 2], "not": None},
        ),
    ],
)
def test_no_value_is_refused(value: Any, expected: Any) -> None:
    assert json.loads(json_bytes(value)) == expected


def test_an_event_carries_any_name() -> None:
    data = {"stage": "complete", "progress": 100.0, "video_path": "/tmp/\udce9.mp4"}
    line = Envelope("id", 1, "complete", "2026-01-01T00:00:00.000Z", data).to_wire()
    assert Envelope.from_wire(line).data["video_path"] == "file:///tmp/%E9.mp4"


@pytest.mark.parametrize("name", ["plain.txt", "caf\udce9.txt", "動画.txt"])
@pytest.mark.parametrize("folder", ["plain", "\udcd0dd"])
def test_a_library_can_open_every_file(tmp_path: Path, folder: str, name: str) -> None:
    (tmp_path / folder).mkdir()
    file = tmp_path / folder / name
    file.write_text("content")
    with library_name(file) as told:
        assert Path(told).read_text() == "content"
        assert told.encode()
    new = tmp_path / folder / "new.txt"
    with library_name(new) as told:
        Path(told).write_text("made")
    assert new.read_text() == "made"
