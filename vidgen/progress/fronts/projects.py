"""`ProgressService` of system 003 over our own `Reporter`: projects told from any process."""

from collections.abc import Callable
from typing import get_args

from vidgen.errors import InputError
from vidgen.events import Level
from vidgen.paths import Home
from vidgen.progress.fronts.jobs import COMPLETE
from vidgen.progress.reporter import Reporter


class ProgressService:
    """Publish a project's progress. Each call stands for itself, as a Celery task needs it.

    Stages are called as the caller calls them. What comes after a project's completion is passed
    over. Raises InputError for a wrong id, and while another process reports the same project.
    """

    home: Home | None = None  # None: the user's

    @classmethod
    async def publish_progress(
        cls,
        project_id: str,
        status: str,
        progress: int,
        current_stage: str,
        estimated_remaining: int | None = None,
    ) -> None:
        """`status` is the stage, `progress` 0–100, `current_stage` a sentence about it."""

        def publish(report: Reporter) -> None:
            report.begin(status, current_stage)
            left = {"estimated_remaining": estimated_remaining}
            report.progress(progress, 100.0, "", current_stage, left)

        cls._publish(project_id, publish)

    @classmethod
    async def publish_stage_change(
        cls,
        project_id: str,
        previous_stage: str,  # noqa: ARG003  # the log knows it
        current_stage: str,
        progress: int,
    ) -> None:
        """The project has come to another stage."""

        def publish(report: Reporter) -> None:
            report.begin(current_stage)
            report.progress(progress, 100.0)

        cls._publish(project_id, publish)

    @classmethod
    async def publish_log(cls, project_id: str, level: str, message: str) -> None:
        """`level` is INFO, WARNING or ERROR."""
        known: Level = next((word for word in get_args(Level) if word == level.upper()), "INFO")
        cls._publish(project_id, lambda report: report.log(message, known))

    @classmethod
    async def publish_error(
        cls,
        project_id: str,
        error_code: str,
        error_message: str,
        stage: str,
        retry_count: int = 0,
        max_retries: int = 3,
    ) -> None:
        """The project has failed; it may still be tried again."""

        def publish(report: Reporter) -> None:
            report.error(
                error_message,
                code=error_code,
                stage=stage,
                is_retryable=retry_count < max_retries,
                retry_count=retry_count,
                max_retries=max_retries,
            )

        cls._publish(project_id, publish)

    @classmethod
    async def publish_complete(
        cls, project_id: str, status: str, youtube_url: str | None = None
    ) -> None:
        """`status` is COMPLETED or FAILED."""

        def publish(report: Reporter) -> None:
            if status == "COMPLETED":
                report.complete({"status": status, "youtube_url": youtube_url})
            elif report.get_status()["state"] != "failed":  # `publish_error` has said it
                report.error(f"The project has ended as {status}.", code="project.failed")

        cls._publish(project_id, publish)

    @classmethod
    def _publish(cls, project_id: str, publish: Callable[[Reporter], None]) -> None:
        try:
            with Reporter((), task_id=str(project_id), home=cls.home, is_part=True) as report:
                publish(report)
        except InputError as error:
            if error.code != COMPLETE:
                raise
