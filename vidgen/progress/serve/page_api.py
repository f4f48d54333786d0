"""What the page asks for beside the runs: batches, figures, the queue, an end, a removal."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from vidgen.paths import Home
from vidgen.progress.history.stats import statistics
from vidgen.progress.serve.api import answer
from vidgen.progress.serve.index import RunIndex
from vidgen.progress.serve.jobs import Jobs
from vidgen.progress.serve.uploads import main_options

STATS_SECONDS: Final = 60.0  # counting 200 runs takes a second


class PageApi:
    """The handlers. All raise ApiError for what cannot be answered."""

    def __init__(
        self,
        home: Home,
        index: RunIndex,
        jobs: Jobs | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home = home
        self._index = index
        self._jobs = jobs
        self._clock = clock
        self._stats: dict[str, Any] = {}
        self._stats_until = float("-inf")
        self._counting = asyncio.Lock()  # however many ask, one counts

    async def about(self, _: Request) -> Response:
        """What the page may offer: orders, how large, and with which options."""
        jobs = self._jobs
        return answer(
            {
                "accepts_jobs": jobs is not None,
                "upload_bytes": jobs.upload_bytes if jobs else 0,
                "options": main_options() if jobs else [],
            }
        )

    async def batches(self, _: Request) -> Response:
        return answer({"batches": await asyncio.to_thread(self._index.batches)})

    async def stats(self, _: Request) -> Response:
        """The figures, counted anew at most once a minute."""
        async with self._counting:
            if self._clock() >= self._stats_until:
                self._stats = (await asyncio.to_thread(statistics, self._home)).to_json()
                self._stats_until = self._clock() + STATS_SECONDS
        return answer(self._stats)

    async def queue(self, _: Request) -> Response:
        return answer(self._ordered.standing())

    async def cancel(self, request: Request) -> Response:
        return await self._ordered.cancel(request)

    async def delete(self, request: Request) -> Response:
        return await self._ordered.delete(request)

    @property
    def _ordered(self) -> Jobs:
        assert self._jobs is not None  # these paths are served only where orders are taken
        return self._jobs
