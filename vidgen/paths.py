"""Where vidgen keeps things. Knows no format of any of them."""

import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs


@dataclass(frozen=True, slots=True)
class Home:
    """`$VIDGEN_HOME`, else the platform's folder for user data (DESIGN §4)."""

    root: Path

    @classmethod
    def default(cls) -> "Home":
        named = os.environ.get("VIDGEN_HOME")
        return cls(Path(named).expanduser() if named else platformdirs.user_data_path("vidgen"))

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
    def work(self) -> Path:
        return self.root / "work"

    @property
    def previews(self) -> Path:
        return self.root / "previews"


def config_path() -> Path:
    """`$VIDGEN_CONFIG`, else config.toml in the platform's folder for user settings."""
    named = os.environ.get("VIDGEN_CONFIG")
    if named:
        return Path(named).expanduser()
    return platformdirs.user_config_path("vidgen") / "config.toml"
