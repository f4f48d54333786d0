"""A server keeps its store small: what `vidgen clean` does, again and again."""

import asyncio
import logging

from vidgen.config import keeping
from vidgen.errors import VidgenError
from vidgen.paths import Home
from vidgen.progress.store.cleanup import clean

logger = logging.getLogger(__name__)


async def clean_forever(home: Home, every: float) -> None:
    """Every so many seconds, with the ages of the settings; what goes wrong is logged."""
    while True:
        await asyncio.sleep(every)
        try:
            days, hours = keeping("keep_history_days"), keeping("keep_work_hours")
            await asyncio.to_thread(clean, home, days, hours)
        except (OSError, VidgenError) as error:
            logger.error("cleaning: %s", error)
