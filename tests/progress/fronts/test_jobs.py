"""`ProgressReporter` as its document uses it."""

import asyncio
import subprocess
import sys
from typing import Any

import pytest

from vidgen.errors import InputError
from vidgen.events import Envelope
from vidgen.paths import Home
from vidgen.progress.fronts.jobs import ProgressReporter
from vidgen.progress.store.reader import is_running, iter_events


def events(home: Home, job_id: str) -> list[Envelope]:
    return list(iter_events(home.task(job_id).events))


async def process_video(home: Home, job_id: str, frames: int, *, fails: bool = False) -> Any:
    """The document's first example."""
    reporter = ProgressReporter(home=home)
    await reporter.initialize()
    try:
        await reporter.report(
            job_id=job_id, stage="rendering", progress=0.0, message="Starting video render..."
        )
        for frame in range(frames):
            if fails and frame == frames // 2:
                raise RuntimeError("Out of memory")
            await reporter.report(
                job_id=job_id,
                stage="rendering",
                progress=frame / frames,
                message=f"Rendering frame {frame}/{frames}",
                metadata={"current_frame": frame},
            )
        middle = await reporter.get_status(job_id)
        await reporter.report_complete(
            job_id=job_id,
            result={"video_url": f"https://cdn.example.com/videos/{job_id}.mp4", "frames": frames},
            message="Video rendering completed",
        )
        return middle
    except Exception as error:
        await reporter.report_error(job_id, str(error), stage="rendering")
        return await reporter.get_status(job_id)
    finally:
        await reporter.close()


def test_a_job_from_its_start_to_its_result(home: Home) -> None:
    middle = asyncio.run(process_video(home, "job_12345", 2000))
    assert (middle["status"], middle["stage"]) == ("processing", "rendering")
    told = events(home, "job_12345")
    progress = [event.data["progress"] for event in told]
    assert progress == sorted(progress)
    assert told[-2].data["metadata"]["current_frame"] == 1999
    assert told[-1].data["result"] == {
        "video_url": "https://cdn.example.com/videos/job_12345.mp4",
        "frames": 2000,
    }
    status = asyncio.run(ProgressReporter(home=home).get_status("job_12345"))
    assert status is not None
    assert (status["status"], status["message"]) == ("completed", "Video rendering completed")
    assert not is_running(home.task("job_12345"))


def test_a_job_fails_and_is_tried_again(home: Home) -> None:
    failed = asyncio.run(process_video(home, "1", 10, fails=True))
    assert (failed["status"], failed["error"], failed["stage"]) == (
        "failed",
        "Out of memory",
        "rendering",
    )
    asyncio.run(process_video(home, "1", 10))
    kinds = [event.event_type for event in events(home, "1")]
    assert (kinds.count("error"), kinds.count("complete"), kinds[-1]) == (1, 1, "complete")


WORKER = """
import asyncio, sys
from vidgen.progress.fronts.jobs import ProgressReporter

async def main(part, last):
    reporter = ProgressReporter()
    await reporter.initialize()
    try:
        await reporter.report("celery", "rendering", part / 3, f"Part {part}")
        if last:
            await reporter.report_complete("celery", {"part": part})
    finally:
        await reporter.close()

asyncio.run(main(int(sys.argv[1]), sys.argv[2] == "last"))
"""


def test_one_process_after_another_tells_one_job(home: Home) -> None:
    for part, last in ((0, ""), (1, ""), (2, "last"), (0, ""), (2, "last")):  # and once more
        command = [sys.executable, "-c", WORKER, str(part), last]
        subprocess.run(command, check=True, env={"VIDGEN_HOME": str(home.root), "PATH": ""})
    told = events(home, "celery")
    assert [event.event_type for event in told].count("complete") == 1
    progress = [event.data["progress"] for event in told]
    assert progress == sorted(progress)
    assert progress[-1] == 100.0


def test_what_nobody_reported_and_what_is_wrong(home: Home) -> None:
    async def ask() -> None:
        reporter = ProgressReporter(home=home)
        assert await reporter.get_status("nobody") is None
        with pytest.raises(InputError):
            await reporter.report("../x", "rendering", 0.0, "")

    asyncio.run(ask())
