"""The server's own figures in Prometheus' text form (exposition format 0.0.4)."""

import time
from collections import Counter

import psutil

from vidgen.progress.fanout.hub import Hub
from vidgen.progress.serve.limits import ConnectionLimit
from vidgen.version import __version__

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def exposition(hub: Hub, places: ConnectionLimit, began: float) -> str:
    """`began` is the server's start, seconds since 1970."""
    states = Counter(tail.snapshot.state for tail in hub.tails())
    own = psutil.Process()
    spent, resident = own.cpu_times(), own.memory_info().rss
    lines = [
        *_metric("vidgen_info", "gauge", "The version.", [(f'{{version="{__version__}"}}', 1)]),
        *_metric("vidgen_watchers", "gauge", "Open streams.", [("", hub.watcher_count)]),
        *_metric(
            "vidgen_open_logs",
            "gauge",
            "Logs held open, by the state of their task.",
            [(f'{{state="{state}"}}', count) for state, count in sorted(states.items())],
        ),
        *_metric("vidgen_events_read_total", "counter", "Events read.", [("", hub.events_read)]),
        *_metric("vidgen_watchers_cut_total", "counter", "Too slow watchers.", [("", hub.cuts)]),
        *_metric("vidgen_refused_total", "counter", "Streams refused.", [("", places.refused)]),
        *_metric("vidgen_uptime_seconds", "gauge", "Time.", [("", round(time.time() - began, 3))]),
        *_metric(
            "process_cpu_seconds_total",
            "counter",
            "User and system time.",
            [("", round(spent.user + spent.system, 3))],
        ),
        *_metric("process_resident_memory_bytes", "gauge", "Memory.", [("", resident)]),
    ]
    return "\n".join(lines) + "\n"


def _metric(name: str, kind: str, about: str, values: list[tuple[str, float]]) -> list[str]:
    return [
        f"# HELP {name} {about}",
        f"# TYPE {name} {kind}",
        *(f"{name}{labels} {value}" for labels, value in values),
    ]
