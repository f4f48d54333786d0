"""A stored run again, through the server: for whoever works on a view of it."""

import os
import tempfile
import threading
from pathlib import Path

from vidgen.paths import Home, TaskFolder
from vidgen.progress.serve.server import OnListening, serve
from vidgen.progress.serve.settings import ServeSettings
from vidgen.progress.store.log import TaskLog
from vidgen.progress.store.reader import check_speed, iter_events, pace
from vidgen.progress.store.runs import find_run


def serve_replay(
    home: Home, task: str, speed: float, rules: ServeSettings, told: OnListening = lambda _: None
) -> None:
    """Serve a store of its own in which the run happens once more; ends like `serve`.

    Raises InputError when there is no such run or the speed is no speed.
    """
    check_speed(speed)
    stored = find_run(home, task)
    with tempfile.TemporaryDirectory(prefix="vidgen-replay-") as folder:
        again = Home(Path(folder)).task(stored.task_id)
        again.root.mkdir(parents=True)
        for name in ("request.json", "previews"):
            if (stored.root / name).exists():
                os.symlink(stored.root / name, again.root / name)  # noqa: PTH211  # reads better
        stopped = threading.Event()
        writer = threading.Thread(target=_write, args=(stored, again, speed, stopped))
        writer.start()
        try:
            serve(Home(Path(folder)), rules, told=told)
        finally:
            stopped.set()
            writer.join()


def _write(stored: TaskFolder, again: TaskFolder, speed: float, stopped: threading.Event) -> None:
    def sleep(seconds: float) -> None:
        stopped.wait(seconds)

    with TaskLog(again) as log:
        for event in pace(iter_events(stored.events), speed, sleep):
            if stopped.is_set():
                return
            log(event)
        stopped.wait()  # a run whose writer is gone counts as interrupted
