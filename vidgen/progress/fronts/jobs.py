"""`ProgressReporter` of system 004 over our own `Reporter`: jobs told from any process.

    reporter = ProgressReporter()
    await reporter.initialize()
    await reporter.report("job_001", "rendering", 0.5, "Half of it")
    await reporter.report_complete("job_001", {"video_url": "https://…"})
    await reporter.close()

Nothing but this machine's store is behind it, so there is nothing to wait for: the methods are
coroutines because that system's are.
"""

from collections.abc import Mapping
from typing import Any, Final

from vidgen.errors import InputError
from vidgen.paths import Home
from vidgen.progress.reporter import Reporter, check_id
from vidgen.progress.serve.dialects import jobs
from vidgen.progress.snapshot import Snapshot
from vidgen.progress.store.reader import iter_events

COMPLETE: Final = "report.complete"  # the code of `Reporter`'s refusal


class ProgressReporter:
    """Reports any number of jobs. A job may be told by several processes, one after another.

    What comes after a job's completion is passed over. `close` lets others go on. Raises
    InputError for a wrong id, and while another process reports the same job.
    """

    def __init__(self, *, home: Home | None = None) -> None:
        self._home = home or Home.default()
        self._open: dict[str, Reporter] = {}

    async def initialize(self) -> None:
        """Make sure that there is a store."""
        self._home.tasks.mkdir(parents=True, exist_ok=True)

    async def report(
        self,
        job_id: str,
        stage: str,
        progress: float,
        message: str,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """How far the job is, 0.0–1.0; the percentage that watchers see never falls."""
        if report := self._job(job_id):
            report.begin(stage, message, metadata)
            report.progress(progress, 1.0, "", message, metadata)

    async def report_error(self, job_id: str, error: str, stage: str = "error") -> None:
        """The job has failed; it may still be tried again."""
        if report := self._job(job_id):
            report.error(error, code="job.failed", stage=stage)
            self._close(job_id)

    async def report_complete(
        self, job_id: str, result: Mapping[str, Any], message: str = "Job completed"
    ) -> None:
        """The job is done; `result` is kept as it is."""
        if report := self._job(job_id):
            report.complete(result, message)
            self._close(job_id)

    async def get_status(self, job_id: str) -> dict[str, Any] | None:
        """What a watcher would be told now; None for a job that nobody has reported."""
        check_id(job_id)
        if job_id in self._open:
            (message,) = jobs.stands(self._open[job_id].get_status(), "")
            return message
        snapshot = Snapshot(job_id)
        for event in iter_events(self._home.task(job_id).events):
            snapshot.take(event)
        return next(iter(jobs.stands(snapshot.to_wire(), "")), None) if snapshot.last_seq else None

    async def close(self) -> None:
        """Let go of every job; one that has not ended may be gone on with elsewhere."""
        for job_id in tuple(self._open):
            self._close(job_id)

    def _job(self, job_id: str) -> Reporter | None:
        """The job's open reporter; None when it is complete."""
        if job_id not in self._open:
            report = Reporter((), task_id=job_id, home=self._home, is_part=True)
            try:
                self._open[job_id] = report.__enter__()
            except InputError as error:
                if error.code != COMPLETE:
                    raise
                return None
        return self._open[job_id]

    def _close(self, job_id: str) -> None:
        self._open.pop(job_id).__exit__(None, None, None)
