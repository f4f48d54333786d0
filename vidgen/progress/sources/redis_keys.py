"""Where runs lie in Redis or Valkey, for those who publish and those who read. Needs no client.

vidgen:run:{id}      stream: `seq`, `epoch`, `event`; its own ids are `<seq>-0`, so that no event
                     is in it twice, whoever publishes
vidgen:about:{id}    hash: title, batch_id, host, epoch, first (the first event)
vidgen:alive:{id}    there while somebody writes the run
vidgen:runs          sorted set: id by the time of its last event
vidgen:news          stream: `id` of a run that has something new
job_progress:{id}    channel, and job_status:{id}, key: the words of other systems' services
"""

import re
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any, Final
from urllib.parse import urlsplit

from vidgen.errors import InputError, SetupError

RUNS: Final = "vidgen:runs"
NEWS: Final = "vidgen:news"
KEEP_SECONDS: Final = 24 * 3600
ALIVE_SECONDS: Final = 30  # how long a run counts as alive after its publisher's last sign
MOST_EVENTS: Final = 10_000  # of a run, about
SCHEMES: Final = ("redis", "rediss", "valkey", "valkeys", "unix")


def stream_key(task_id: str) -> str:
    return f"vidgen:run:{task_id}"


def about_key(task_id: str) -> str:
    return f"vidgen:about:{task_id}"


def alive_key(task_id: str) -> str:
    return f"vidgen:alive:{task_id}"


def is_redis(url: str) -> bool:
    return urlsplit(url).scheme in SCHEMES


def host_of(url: str) -> str:
    """The server in an address, without a password."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] or parts.path


def connect(make: Callable[[Any], Any], url: str) -> Any:
    """A client of `redis` for the address; `make` is given the package's `Redis` class maker.

    Raises SetupError without the extra, InputError for what is no address.
    """
    if find_spec("redis") is None:
        raise SetupError(
            "Redis cannot be spoken to: its client is not installed.",
            hint="pip install 'vidgen-portrait[redis]'",
            code="sources.no_redis",
        )
    plain = re.sub(r"^valkey(s?):", r"redis\1:", url)
    try:
        if not is_redis(url):
            raise ValueError
        return make(plain)
    except ValueError as error:
        raise InputError(
            "{url} is no address of a Redis.",
            hint="It looks like redis://host:6379.",
            code="sources.redis_address",
            url=host_of(url) or url,
        ) from error
