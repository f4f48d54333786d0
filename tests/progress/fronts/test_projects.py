"""`ProgressService` as its document uses it."""

import asyncio

import pytest

from vidgen.paths import Home
from vidgen.progress.fronts.projects import ProgressService
from vidgen.progress.store.reader import iter_events


def test_a_project_is_told_call_by_call(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ProgressService, "home", home)

    async def tell() -> None:
        service = ProgressService
        await service.publish_stage_change("1", "INITIALIZED", "SCRIPT_GENERATING", 5)
        await service.publish_log("1", "INFO", "Writing the script")
        await service.publish_progress("1", "SCRIPT_GENERATING", 20, "The script is there", 600)
        await service.publish_stage_change("1", "SCRIPT_GENERATING", "ASSETS_GENERATING", 25)
        await service.publish_error("1", "STABILITY_AI_ERROR", "Used up", "ASSETS_GENERATING", 2, 3)
        await service.publish_complete("1", "FAILED")
        await service.publish_progress("1", "UPLOADING", 90, "Uploading")
        await service.publish_complete("1", "COMPLETED", "https://youtube.com/watch?v=x")
        await service.publish_complete("1", "COMPLETED", "https://youtube.com/watch?v=y")

    asyncio.run(tell())
    told = list(iter_events(home.task("1").events))
    assert [(event.event_type, event.data["stage"], event.data["progress"]) for event in told] == [
        ("stage_update", "SCRIPT_GENERATING", 0.0),
        ("progress_update", "SCRIPT_GENERATING", 5.0),
        ("log", "SCRIPT_GENERATING", 5.0),
        ("progress_update", "SCRIPT_GENERATING", 20.0),
        ("stage_update", "SCRIPT_GENERATING", 20.0),
        ("stage_update", "ASSETS_GENERATING", 20.0),
        ("progress_update", "ASSETS_GENERATING", 25.0),
        ("error", "failed", -1.0),
        ("stage_update", "UPLOADING", 25.0),
        ("progress_update", "UPLOADING", 90.0),
        ("complete", "complete", 100.0),
    ]
    error = told[7].data
    assert (error["error_code"], error["retry_count"], error["max_retries"]) == (
        "STABILITY_AI_ERROR",
        2,
        3,
    )
    assert told[-1].data["result"]["youtube_url"] == "https://youtube.com/watch?v=x"
