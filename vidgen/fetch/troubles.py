"""What can be wrong with any download, as errors that say what to do."""

import shutil
from pathlib import Path

from vidgen.catalog import Model
from vidgen.errors import SetupError


def no_room(folder: Path, needed: int) -> SetupError:
    return SetupError(
        "The models need {needed_mb} MB, but only {free_mb} MB are free at {folder}.",
        hint="Free some space, or set VIDGEN_HOME to a larger disk.",
        code="models.no_space",
        needed_mb=needed // 1_000_000 + 1,
        free_mb=shutil.disk_usage(folder).free // 1_000_000,
        folder=str(folder),
    )


def http_refusal(model: Model, status: int) -> SetupError:
    return SetupError(
        "The server refused {source}: HTTP {status}.",
        hint="The file may have moved: try a newer vidgen. Or look at the proxy settings.",
        code="models.refused",
        source=model.source,
        status=status,
    )


def download_error(model: Model, reason: str) -> SetupError:
    return SetupError(
        "The download of {name} did not succeed: {reason}.",
        hint="Try again: what is here already is kept and taken up.",
        code="models.download_failed",
        is_retryable=True,
        name=model.name,
        reason=reason,
    )
