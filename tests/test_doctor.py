"""What `vidgen doctor` says of the extra for GPUs and of the models."""

import pytest

from vidgen.device import device
from vidgen.doctor import Finding, run_doctor
from vidgen.installation import install_command
from vidgen.messages import LANGUAGES, say
from vidgen.models import catalog
from vidgen.paths import Home


def findings(home: Home) -> dict[str, Finding]:
    return {finding.subject: finding for finding in run_doctor(home)}


@pytest.mark.parametrize("missing", ["", "ultralytics"])
def test_half_an_extra_is_told(home: Home, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    monkeypatch.setattr(device, "has_package", lambda package: package != missing)
    monkeypatch.setattr(device, "resolve_device", lambda _: "cpu")
    told = findings(home)["gpu extra"]
    if missing:
        assert told.verdict == "note"
        assert told.advice == f"Install all of it: {install_command('gpu')}"
    else:
        assert (told.verdict, told.advice) == ("ok", "")


def test_without_the_extra_a_gpu_is_a_note(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "has_package", lambda _: False)
    for is_there, verdict in ((True, "note"), (False, "ok")):
        monkeypatch.setattr(device, "gpu_present", lambda is_there=is_there: is_there)
        assert findings(home)["device"].verdict == verdict


def test_models_are_counted_and_wrong_ones_named(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = {"birefnet": "wrong", "yolo26n": "ready"}
    monkeypatch.setattr(catalog.Catalog, "state", lambda _, row: states.get(row.name, "missing"))
    told = findings(home)
    assert told["models embedded"] == Finding(
        "models embedded", "note", "0 of 8 ready", "Fetch: vidgen models pull embedded"
    )
    assert told["models full"] == Finding(
        "models full",
        "problem",
        "1 of 7 ready; wrong: birefnet",
        "Fetch: vidgen models pull full",
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_findings_are_told_in_every_language(
    home: Home, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIDGEN_LANG", language)
    told = findings(home)
    assert told["home"].text == say("doctor.writable", {"path": home.root}, language)
    assert "{" not in " ".join(finding.text + finding.advice for finding in told.values())
