"""Where vidgen keeps things. Knows no format of any of them."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import platformdirs

from vidgen.errors import InputError, SetupError


def absolute(path: Path | str) -> Path:
    """From the root on, with `~` filled in. Raises InputError for a user that is not known."""
    try:
        return Path(path).expanduser().absolute()
    except RuntimeError as error:
        raise InputError(
            "{path} begins with the folder of a user who is not known here.",
            hint="Write the folder's whole path instead of ~.",
            code="paths.no_user",
            path=str(path),
        ) from error


JOB_FILE: Final = "job.json"  # in a task's folder: an order that waits for its run
UPLOAD_FOLDER: Final = "upload"  # beside it: what was sent with the order


@dataclass(frozen=True, slots=True)
class Home:
    """`$VIDGEN_HOME`, else the platform's folder for user data (DESIGN §4)."""

    root: Path

    @classmethod
    def default(cls) -> "Home":
        named = os.environ.get("VIDGEN_HOME")
        root = absolute(named) if named else platformdirs.user_data_path("vidgen")
        if not root.is_absolute():  # no HOME, and nobody of this number in the system's list
            raise SetupError(
                "This user has no home folder in which vidgen could keep its runs.",
                hint="Name one: VIDGEN_HOME=/some/folder.",
                code="paths.no_home",
            )
        return cls(root)

    @property
    def tasks(self) -> Path:
        return self.root / "tasks"

    @property
    def models(self) -> Path:
        return self.root / "models"

    def task(self, task_id: str) -> "TaskFolder":
        return TaskFolder(self.tasks / task_id)

    def device_lock(self, device_id: str) -> Path:
        return self.models / f"device-{device_id.replace(':', '-')}.lock"


@dataclass(frozen=True, slots=True)
class TaskFolder:
    """One run's folder; its name is the task id."""

    root: Path

    @property
    def task_id(self) -> str:
        return self.root.name

    @property
    def request(self) -> Path:
        return self.root / "request.json"

    @property
    def events(self) -> Path:
        return self.root / "events.jsonl"

    @property
    def lock(self) -> Path:
        return self.root / "writer.lock"

    @property
    def cancellable(self) -> Path:
        """There while the run listens for a request to end; taking it away is the request."""
        return self.root / "cancellable"

    @property
    def between(self) -> Path:
        """There while no process reports the run, and another one will."""
        return self.root / "between"

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def previews(self) -> Path:
        return self.root / "previews"


def config_path() -> Path:
    """`$VIDGEN_CONFIG`, else config.toml in the platform's folder for user settings."""
    named = os.environ.get("VIDGEN_CONFIG")
    if named:
        return absolute(named)
    return platformdirs.user_config_path("vidgen") / "config.toml"
