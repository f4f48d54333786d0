"""Downloads, from a real local server that also misbehaves."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.mirror import Mirror, serving
from tests.support.serving import wait_until
from vidgen.errors import SetupError
from vidgen.files import sha256_of
from vidgen.installation import install_command
from vidgen.models import catalog, download, files, huggingface, pull, wheels
from vidgen.models.catalog import Catalog, Model
from vidgen.models.download import HttpTiming
from vidgen.paths import Home

BYTES = bytes(range(256)) * 1024  # 256 KiB
PATH = "/weights/tiny.pt"
HASTE = HttpTiming(connect=2.0, read=0.3, pause=0.01, tries=3)


@pytest.fixture
def mirror() -> Iterator[Mirror]:
    with serving(Mirror({PATH: BYTES})) as served:
        yield served


@pytest.fixture
def model(mirror: Mirror) -> Model:
    return Model(
        name="tiny",
        stage="yolo_detection",
        set="full",
        source=mirror.url + PATH,
        sha256=hashlib.sha256(BYTES).hexdigest(),
        bytes=len(BYTES),
        licence="MIT",
        homepage="https://example.invalid",
    )


def refusal(shelf: Catalog, model: Model) -> SetupError:
    with pytest.raises(SetupError) as told:
        download.fetch(shelf, [model], lambda *_: None, HASTE)
    return told.value


# --- https ----------------------------------------------------------------------------------------


def test_a_file_is_fetched_once(home: Home, model: Model, mirror: Mirror) -> None:
    shelf = Catalog(home)
    assert pull.ensure(shelf, [model]) == [model]
    assert pull.ensure(shelf, [model]) == []
    assert shelf.file(model).read_bytes() == BYTES
    assert sorted(entry.name for entry in shelf.file(model).parent.iterdir()) == [
        ".tiny.pt.sha256",
        "tiny.pt",
    ]
    assert mirror.asked == [(PATH, "")]


def test_a_fetched_file_is_read_once_and_then_believed(
    home: Home, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another reading of 3.4 GB would cost the first run half a minute."""
    read: list[Path] = []
    real = sha256_of

    def noted(file: Path) -> str:
        read.append(file)
        return real(file)

    for module in (catalog, files):
        monkeypatch.setattr(module, "sha256_of", noted)
    shelf = Catalog(home)
    pull.ensure(shelf, [model])
    assert shelf.state(model) == "ready"
    assert len(read) == 1
    assert shelf.verify(model) == "ready"
    assert len(read) == 2


def test_progress_ends_at_the_whole_and_never_falls(
    home: Home, model: Model, mirror: Mirror
) -> None:
    mirror.pause = 0.02
    told: list[tuple[int, int]] = []
    pull.ensure(Catalog(home), [model], lambda _, done, total: told.append((done, total)))
    assert len(told) >= 3
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert {total for _, total in told} == {len(BYTES)}
    assert told[-1] == (len(BYTES), len(BYTES))


def test_a_redirect_is_followed(home: Home, model: Model, mirror: Mirror) -> None:
    mirror.redirects["/old.pt"] = mirror.url + PATH
    moved = replace(model, source=mirror.url + "/old.pt")
    pull.ensure(Catalog(home), [moved])
    assert Catalog(home).file(moved).read_bytes() == BYTES


def test_a_circle_of_redirects_ends(home: Home, model: Model, mirror: Mirror) -> None:
    mirror.redirects |= {"/a": "/b", "/b": "/a"}
    error = refusal(Catalog(home), replace(model, source=mirror.url + "/a"))
    assert error.code == "models.download_failed"


def test_why_a_server_cannot_be_reached_is_told_without_the_systems_number(
    home: Home, model: Model
) -> None:
    gone = replace(model, source="http://127.0.0.1:9/tiny.pt")
    assert refusal(Catalog(home), gone).details["reason"] == "Connection refused"


def test_cut_connections_are_taken_up_where_they_ended(
    home: Home, model: Model, mirror: Mirror
) -> None:
    mirror.cuts = [100_000, 50_000, 0, 0]
    download.fetch(Catalog(home), [model], lambda *_: None, HASTE)
    assert Catalog(home).file(model).read_bytes() == BYTES
    starts = [int(asked.removeprefix("bytes=").rstrip("-") or 0) for _, asked in mirror.asked]
    assert starts[0] == 0
    assert 0 < starts[1] <= 100_000
    assert starts[1] < starts[2] <= 150_000
    assert starts[2] == starts[3] == starts[4]


def test_a_later_run_takes_up_what_an_ended_one_left(
    home: Home, model: Model, mirror: Mirror
) -> None:
    mirror.cuts = [100_000, 0, 0, 0]
    error = refusal(Catalog(home), model)
    assert (error.code, error.is_retryable) == ("models.download_failed", True)
    assert error.retry_count == error.max_retries > 0
    left = files.part_file(Catalog(home), model).stat().st_size
    assert left > 0
    mirror.asked.clear()
    pull.ensure(Catalog(home), [model])
    assert mirror.asked == [(PATH, f"bytes={left}-")]
    assert Catalog(home).file(model).read_bytes() == BYTES


def test_a_file_that_changed_meanwhile_begins_anew(
    home: Home, model: Model, mirror: Mirror
) -> None:
    mirror.files[PATH] = BYTES[::-1]
    mirror.cuts = [100_000, 0, 0, 0]
    refusal(Catalog(home), model)
    mirror.files[PATH] = BYTES
    pull.ensure(Catalog(home), [model])
    assert Catalog(home).file(model).read_bytes() == BYTES


def test_a_server_without_ranges_begins_anew(home: Home, model: Model, mirror: Mirror) -> None:
    mirror.ranges = False
    mirror.cuts = [100_000]
    download.fetch(Catalog(home), [model], lambda *_: None, HASTE)
    assert Catalog(home).file(model).read_bytes() == BYTES


def test_a_part_without_a_note_is_not_trusted(home: Home, model: Model, mirror: Mirror) -> None:
    part = files.part_file(Catalog(home), model)
    part.parent.mkdir(parents=True)
    part.write_bytes(b"of something else")
    pull.ensure(Catalog(home), [model])
    assert mirror.asked == [(PATH, "")]
    assert Catalog(home).file(model).read_bytes() == BYTES


def test_a_whole_part_needs_no_more_bytes(home: Home, model: Model, mirror: Mirror) -> None:
    part = files.part_file(Catalog(home), model)
    part.parent.mkdir(parents=True)
    part.write_bytes(BYTES)
    note = json.dumps({"validator": mirror.etag(PATH)})
    part.with_name(".tiny.pt.part.json").write_text(note, "utf-8")
    pull.ensure(Catalog(home), [model])
    assert mirror.asked == [(PATH, f"bytes={len(BYTES)}-")]
    assert Catalog(home).file(model).read_bytes() == BYTES


def test_a_server_that_tells_no_length_and_ends_early_is_asked_again(
    home: Home, model: Model, mirror: Mirror
) -> None:
    mirror.lengths = False
    mirror.cuts = [100_000]
    download.fetch(Catalog(home), [model], lambda *_: None, HASTE)
    assert Catalog(home).file(model).read_bytes() == BYTES
    assert len(mirror.asked) == 2


def test_a_silent_server_is_given_up(home: Home, model: Model, mirror: Mirror) -> None:
    mirror.hold = 1.0  # longer than Patience.read
    error = refusal(Catalog(home), replace(model, bytes=0))
    assert error.code == "models.download_failed"
    assert error.is_retryable


def test_a_busy_server_is_asked_again(home: Home, model: Model, mirror: Mirror) -> None:
    mirror.statuses = [503, 429]
    download.fetch(Catalog(home), [model], lambda *_: None, HASTE)
    assert Catalog(home).file(model).read_bytes() == BYTES


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_final(home: Home, model: Model, mirror: Mirror, status: int) -> None:
    mirror.statuses = [status]
    error = refusal(Catalog(home), model)
    assert (error.code, error.details["status"]) == ("models.refused", status)
    assert len(mirror.asked) == 1


def test_no_server_at_all_is_told(home: Home, model: Model) -> None:
    nowhere = replace(model, source="http://127.0.0.1:9/tiny.pt")
    error = refusal(Catalog(home), nowhere)
    assert error.code == "models.download_failed"
    assert error.is_retryable


def test_a_wrong_hash_is_kept_aside(home: Home, model: Model, mirror: Mirror) -> None:
    mirror.files[PATH] = BYTES[::-1]
    shelf = Catalog(home)
    error = refusal(shelf, model)
    assert error.code == "models.wrong_hash"
    assert Path(error.details["aside"]).read_bytes() == BYTES[::-1]
    assert shelf.state(model) == "missing"


def test_a_wrong_size_is_told_before_the_body_is_read(
    home: Home, model: Model, mirror: Mirror
) -> None:
    mirror.files[PATH] = b"<html>Please log in</html>"
    error = refusal(Catalog(home), model)
    assert (error.code, error.details["offered"]) == ("models.wrong_size", 26)


def test_an_unknown_hash_is_fixed_by_the_first_download(
    home: Home, model: Model, mirror: Mirror
) -> None:
    unknown, shelf = replace(model, sha256="", bytes=0), Catalog(home)
    pull.ensure(shelf, [unknown])
    assert shelf.lock_hash(unknown) == model.sha256
    shelf.file(unknown).unlink()
    mirror.files[PATH] = BYTES[::-1]
    assert refusal(shelf, unknown).code == "models.wrong_hash"


def test_no_space_is_said_before_the_first_byte(home: Home, model: Model, mirror: Mirror) -> None:
    with pytest.raises(SetupError) as told:
        pull.ensure(Catalog(home), [replace(model, bytes=10**15)])
    assert told.value.code == "models.no_space"
    assert mirror.asked == []


def test_what_is_here_of_a_file_needs_no_more_space(
    home: Home, model: Model, mirror: Mirror, disks: dict[Path, int]
) -> None:
    shelf = Catalog(home)
    mirror.cuts = [200_000, 0, 0, 0]
    refusal(shelf, model)
    left = len(BYTES) - files.part_file(shelf, model).stat().st_size
    disks[home.models] = files.SPARE_BYTES + left - 1
    assert refusal_of_all(shelf, [model]).details["needed_mb"] == 1
    disks[home.models] += 1
    pull.ensure(shelf, [model])
    assert shelf.state(model) == "ready"


@pytest.fixture
def disks(monkeypatch: pytest.MonkeyPatch) -> dict[Path, int]:
    """A disk of its own for each folder that a test names here: free bytes."""
    free: dict[Path, int] = {}

    def disk_of(folder: Path) -> Path | None:
        return next((disk for disk in free if folder.is_relative_to(disk)), None)

    real = shutil.disk_usage

    def usage(folder: Path) -> Any:
        disk = disk_of(Path(folder))
        return real(folder) if disk is None else real(folder)._replace(free=free[disk])

    monkeypatch.setattr(shutil, "disk_usage", usage)
    monkeypatch.setattr(files, "disk_of", disk_of)
    return free


def refusal_of_all(shelf: Catalog, wanted: list[Model]) -> SetupError:
    with pytest.raises(SetupError) as told:
        pull.ensure(shelf, wanted)
    return told.value


def test_a_source_of_no_known_kind_is_told(home: Home, model: Model) -> None:
    with pytest.raises(SetupError) as told:
        pull.ensure(Catalog(home), [replace(model, source="ftp://example.invalid/x")])
    assert told.value.code == "models.unknown_source"


def test_a_proxy_of_the_usual_variables_is_used(
    home: Home, model: Model, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror.files["http://weights.invalid/tiny.pt"] = BYTES  # how a proxy is asked
    monkeypatch.setenv("http_proxy", mirror.url)
    behind = replace(model, source="http://weights.invalid/tiny.pt")
    pull.ensure(Catalog(home), [behind])
    assert mirror.asked == [("http://weights.invalid/tiny.pt", "")]


def test_two_threads_download_once_and_the_waiting_one_is_told(
    home: Home, model: Model, mirror: Mirror
) -> None:
    mirror.pause = 0.05
    shelf, told = Catalog(home), [list[int](), list[int]()]
    threads = [
        threading.Thread(
            target=pull.ensure,
            args=(shelf, [model], lambda _, done, __, heard=heard: heard.append(done)),
        )
        for heard in told
    ]
    for thread in threads:
        thread.start()
        wait_until(lambda: bool(told[0]))  # it is at work
    for thread in threads:
        thread.join()
    assert mirror.asked == [(PATH, "")]
    assert told[1][0] < len(BYTES)


def test_two_processes_download_once(home: Home, model: Model, mirror: Mirror) -> None:
    mirror.pause = 0.05
    rows = home.root / "rows.toml"
    rows.write_text(
        f'[models.tiny]\nstage = ""\nset = "full"\nsource = "{model.source}"\n'
        f'sha256 = "{model.sha256}"\nbytes = {model.bytes}\nlicence = "MIT"\nhomepage = "x"\n',
        "utf-8",
    )
    program = (
        "from vidgen.models import catalog, pull; from vidgen.paths import Home;"
        "print(pull.pull(catalog.Catalog(Home.default()), 'tiny')[0].fetched)"
    )
    environment = os.environ | {"VIDGEN_MODELS_FILE": str(rows), "VIDGEN_HOME": str(home.root)}
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = sorted(run.communicate(timeout=60)[0].strip() for run in runs)
    assert said == ["False", "True"]
    assert mirror.asked == [(PATH, "")]


def test_pull_tells_what_was_here_already(
    home: Home, model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.toml"
    rows.write_text(
        f'[models.tiny]\nstage = ""\nset = "toys"\nsource = "{model.source}"\n'
        f'sha256 = "{model.sha256}"\nbytes = 0\nlicence = "MIT"\nhomepage = "x"\n',
        "utf-8",
    )
    monkeypatch.setenv("VIDGEN_MODELS_FILE", str(rows))
    shelf = Catalog(home)
    row = catalog.models()["tiny"]
    file = shelf.file(row)
    assert pull.pull(shelf, "toys") == (pull.PullResult(row, True, file),)
    assert pull.pull(shelf, "tiny") == (pull.PullResult(row, False, file),)


def test_one_that_cannot_be_had_does_not_keep_the_others_away(
    home: Home, model: Model, mirror: Mirror, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.toml"
    row = (
        '[models.{name}]\nstage = ""\nset = "toys"\nsource = "{source}"\n'
        f'sha256 = "{model.sha256}"\nbytes = 0\nlicence = "MIT"\nhomepage = "x"\n'
    )
    gone = row.format(name="gone", source=f"{mirror.url}/not/there")
    rows.write_text(gone + row.format(name="tiny", source=model.source), "utf-8")
    monkeypatch.setenv("VIDGEN_MODELS_FILE", str(rows))
    shelf = Catalog(home)
    with pytest.raises(SetupError) as told:
        pull.pull(shelf, "toys")
    assert (told.value.code, told.value.details["names"]) == ("models.some_missing", "gone")
    assert shelf.ready(["tiny"])
    with pytest.raises(SetupError) as alone:
        pull.pull(shelf, "gone")
    assert alone.value.code != "models.some_missing"


# --- hf -------------------------------------------------------------------------------------------

REVISION = "0" * 40
HUB_PATH = f"/owner/name/resolve/{REVISION}/folder/tiny.safetensors"


@pytest.fixture
def hub_model(
    mirror: Mirror, model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Model:
    constants: Any = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_ENDPOINT", mirror.url)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    mirror.files = {HUB_PATH: BYTES}
    return replace(model, source=f"hf:owner/name@{REVISION}/folder/tiny.safetensors")


def test_an_address_is_read_from_the_source(model: Model) -> None:
    row = replace(model, source="hf:owner/name@abc/folder/tiny.pth")
    assert huggingface.HuggingfaceAddress.of(row) == huggingface.HuggingfaceAddress(
        "owner/name", "abc", "folder/tiny.pth"
    )


@pytest.mark.gpu
def test_a_hub_file_is_fetched_once_and_shared_with_the_cache(
    home: Home, hub_model: Model, mirror: Mirror
) -> None:
    shelf, told = Catalog(home), list[int]()
    pull.ensure(shelf, [hub_model], lambda _, done, __: told.append(done))
    file = shelf.file(hub_model)
    assert file.read_bytes() == BYTES
    assert file.stat().st_nlink == 2
    assert told[-1] == len(BYTES)
    shelf_of_another_home = Catalog(Home(home.root / "other"))
    pull.ensure(shelf_of_another_home, [hub_model])
    assert shelf_of_another_home.state(hub_model) == "ready"
    assert len(mirror.asked) == 1


@pytest.mark.gpu
def test_the_hubs_cache_needs_the_space_and_not_our_folder(
    home: Home, hub_model: Model, mirror: Mirror, disks: dict[Path, int], tmp_path: Path
) -> None:
    shelf, cache = Catalog(home), tmp_path / "hub"
    two = [hub_model, replace(hub_model, name="other", source=f"hf:owner/name@{REVISION}/other")]
    disks |= {home.models: 0, cache: files.SPARE_BYTES + 2 * len(BYTES) - 1}
    error = refusal_of_all(shelf, two)  # room for one, not for both
    assert (error.code, error.details["folder"]) == ("models.no_space", str(cache))
    assert mirror.asked == []
    disks[cache] += 1
    mirror.files[f"/owner/name/resolve/{REVISION}/other"] = BYTES
    pull.ensure(shelf, two)
    disks[cache] = 0  # both are in the cache: another home needs none
    pull.ensure(Catalog(Home(home.root / "another")), two)


def test_without_the_extra_nothing_is_fetched_at_all(
    home: Home, model: Model, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(huggingface, "find_spec", lambda _: None)
    hub_row = replace(model, name="other", source=f"hf:owner/name@{REVISION}/other")
    error = refusal_of_all(Catalog(home), [model, hub_row])
    assert error.code == "models.fetch_no_extra"
    assert error.hint == f"Install it: {install_command('gpu')}"
    assert mirror.asked == []


@pytest.mark.gpu
def test_who_waits_for_a_hub_file_is_told_how_far_it_is(
    home: Home, hub_model: Model, mirror: Mirror
) -> None:
    mirror.pause = 0.05
    shelf, told = Catalog(home), [list[int](), list[int]()]
    threads = [
        threading.Thread(
            target=pull.ensure,
            args=(shelf, [hub_model], lambda _, done, __, heard=heard: heard.append(done)),
        )
        for heard in told
    ]
    for thread in threads:
        thread.start()
        wait_until(lambda: bool(told[0]))  # it is at work
    for thread in threads:
        thread.join()
    assert len(mirror.asked) == 1
    assert any(0 < done < len(BYTES) for done in told[1])


@pytest.mark.gpu
def test_a_cut_hub_download_is_taken_up(home: Home, hub_model: Model, mirror: Mirror) -> None:
    mirror.cuts = [100_000]
    pull.ensure(Catalog(home), [hub_model])
    assert Catalog(home).file(hub_model).read_bytes() == BYTES
    assert len(mirror.asked) == 2


@pytest.mark.gpu
@pytest.mark.parametrize("validators", [True, False])
def test_a_later_run_takes_up_a_hub_download_that_an_ended_one_left(
    home: Home, hub_model: Model, mirror: Mirror, tmp_path: Path, validators: bool
) -> None:
    shelf, mirror.validators = Catalog(home), validators

    def interrupt(_: Model, done: int, __: int) -> None:
        if done > 100_000:
            raise KeyboardInterrupt

    mirror.pause = 0.02
    with pytest.raises(KeyboardInterrupt):
        pull.ensure(shelf, [hub_model], interrupt)
    left = huggingface.bytes_so_far(hub_model)
    assert 100_000 < left < len(BYTES)
    assert huggingface.bytes_to_come(hub_model) == len(BYTES) - left
    mirror.asked.clear()
    pull.ensure(shelf, [hub_model])
    assert mirror.asked == [(HUB_PATH, f"bytes={left}-")]
    assert shelf.file(hub_model).read_bytes() == BYTES
    assert [file.name for file in (tmp_path / "hub").rglob("*part*")] == []


@pytest.mark.gpu
def test_two_homes_with_one_cache_download_once(
    home: Home, hub_model: Model, mirror: Mirror
) -> None:
    mirror.pause = 0.02
    shelves = [Catalog(home), Catalog(Home(home.root / "another"))]
    threads = [threading.Thread(target=pull.ensure, args=(one, [hub_model])) for one in shelves]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [shelf.state(hub_model) for shelf in shelves] == ["ready", "ready"]
    assert mirror.asked == [(HUB_PATH, "")]


@pytest.mark.gpu
def test_the_hubs_token_is_for_the_hub_alone(
    home: Home, hub_model: Model, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with serving(Mirror({"/stored": BYTES})) as store:
        mirror.redirects[HUB_PATH] = store.url + "/stored"
        pull.ensure(Catalog(home), [hub_model])
        assert mirror.tokens == ["Bearer hf_secret"]
        assert store.tokens == [""]


@pytest.mark.gpu
def test_offline_only_the_cache_is_asked(
    home: Home, hub_model: Model, mirror: Mirror, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SetupError) as told:
        pull.ensure(Catalog(home), [hub_model])
    assert told.value.code == "models.offline"
    assert mirror.asked == []


@pytest.mark.gpu
def test_a_hub_file_that_is_not_there_is_told(home: Home, hub_model: Model) -> None:
    gone = replace(hub_model, source=f"hf:owner/name@{REVISION}/gone.safetensors")
    with pytest.raises(SetupError) as told:
        pull.ensure(Catalog(home), [gone])
    assert (told.value.code, told.value.details["status"]) == ("models.refused", 404)


@pytest.mark.gpu
def test_a_hub_that_does_not_answer_is_told(
    home: Home, hub_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(time, "sleep", lambda _: None)  # the library waits 23 s between its tries
    with pytest.raises(SetupError) as told:
        pull.ensure(Catalog(home), [hub_model])
    assert told.value.code == "models.download_failed"
    assert told.value.is_retryable


@pytest.mark.gpu
def test_a_wrong_hub_file_is_forgotten_so_that_the_next_try_may_do(
    home: Home, hub_model: Model, mirror: Mirror
) -> None:
    shelf = Catalog(home)
    mirror.files[HUB_PATH] = BYTES[::-1]
    with pytest.raises(SetupError) as told:
        pull.ensure(shelf, [hub_model])
    assert told.value.code == "models.wrong_hash"
    mirror.files[HUB_PATH] = BYTES
    pull.ensure(shelf, [hub_model])
    assert shelf.file(hub_model).read_bytes() == BYTES


# --- wheel ----------------------------------------------------------------------------------------


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of wheels that pip uses instead of any index."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    with zipfile.ZipFile(folder / "toy-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("toy/a.bin", BYTES)
        archive.writestr("toy/b.bin", BYTES[::-1])
        archive.writestr(
            "toy-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n"
        )
        archive.writestr("toy-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr("toy-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    toy = catalog.Wheel("toy==1.0", ("any",), "3.11", 2 * len(BYTES))
    for module in (pull, wheels):
        monkeypatch.setattr(module, "find_wheel", lambda _: toy)
    return folder


def test_one_wheel_gives_all_its_members(home: Home, model: Model, index: Path) -> None:
    a = replace(model, name="a", source="wheel:toy==1.0/toy/a.bin")
    b = replace(
        model,
        name="b",
        source="wheel:toy==1.0/toy/b.bin",
        sha256=hashlib.sha256(BYTES[::-1]).hexdigest(),
    )
    shelf = Catalog(home)
    assert pull.ensure(shelf, [a, b]) == [a, b]
    assert shelf.file(b).read_bytes() == BYTES[::-1]
    assert sorted(entry.name for entry in home.models.iterdir() if entry.is_dir()) == ["a", "b"]


def test_folders_that_pip_takes_away_meanwhile_are_no_trouble(tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(BYTES)
    stop = threading.Event()

    def come_and_go() -> None:
        while not stop.is_set():
            for number in range(20):
                (tmp_path / f"tracker-{number}").mkdir()
            for number in range(20):
                (tmp_path / f"tracker-{number}").rmdir()

    pip = threading.Thread(target=come_and_go)
    pip.start()
    try:
        seen = {wheels.fetched_bytes(tmp_path) for _ in range(300)}
    finally:
        stop.set()
        pip.join()
    assert len(BYTES) in seen
    assert seen <= {0, len(BYTES)}


def test_a_wheel_that_pip_cannot_find_is_told(home: Home, model: Model, index: Path) -> None:
    (index / "toy-1.0-py3-none-any.whl").unlink()
    with pytest.raises(SetupError) as told:
        pull.ensure(Catalog(home), [replace(model, source="wheel:toy==1.0/toy/a.bin")])
    assert told.value.code == "models.pip_failed"
    assert "toy==1.0" in told.value.message


def test_why_pip_fetched_nothing_is_told() -> None:
    last = "ERROR: No matching distribution found for toy==1.0\n"
    broken = (
        "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError("
        "'<pip.Connection object at 0x7f>: Failed to establish a new connection: [Errno 111] "
        "Connection refused')': /simple/toy/\n"
    )
    assert wheels.reason_in(last) == "No matching distribution found for toy==1.0"
    assert wheels.reason_in(broken + last) == (
        "NewConnectionError('Failed to establish a new connection: [Errno 111] Connection refused')"
    )
    assert wheels.reason_in("Killed\n") == "Killed"
    assert wheels.reason_in("") == "no reason given"
