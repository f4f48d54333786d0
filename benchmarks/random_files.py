"""MuseTalk's files with numbers of no meaning, for whole commands: `vidgen run` cannot tell.

    python -m benchmarks.random_files HOME [--small]

They lie in the home's folder of models, and `$VIDGEN_MODELS_FILE` must be `random.toml` in it.
"""

import argparse
import json
import shutil
from pathlib import Path
from typing import Final

from benchmarks.random_networks import Shape, Sizes, full, small
from tests.support.tiny_musetalk import write_files
from vidgen.files import sha256_of
from vidgen.models import catalog
from vidgen.models.select import MUSETALK
from vidgen.paths import Home

ROWS: Final = "random.toml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("home", type=Path)
    parser.add_argument("--small", action="store_true", help="a few thousand weights")
    options = parser.parse_args()
    install(Home(options.home), small() if options.small else full())


def install(home: Home, sizes: Sizes) -> None:
    """Write them into `home`."""
    (home.models / "made").mkdir(parents=True)
    made = write_files(home.models / "made", sizes.unet, sizes.vae, sizes.whisper)
    files = made.unet, made.unet_config, made.vae, made.whisper
    shapes: tuple[Shape, ...] = ({}, {}, sizes.vae, sizes.whisper)
    rows = [
        _row(home, name, file, dict(shape))
        for name, file, shape in zip(MUSETALK, files, shapes, strict=True)
    ]
    (home.models / ROWS).write_text("\n".join(rows), "utf-8")


def _row(home: Home, name: str, file: Path, params: dict[str, object]) -> str:
    row = catalog.models()[name]
    folder = home.models / name
    folder.mkdir()
    place = Path(shutil.move(file, folder / file.name))
    catalog.seal(place, digest := sha256_of(place))
    values = {
        "stage": row.stage,
        "set": row.set,
        "source": f"https://example.invalid/{file.name}",
        "sha256": digest,
        "bytes": place.stat().st_size,
        "licence": "none",
        "homepage": "https://example.invalid",
    }
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    lines += [f"params.{key} = {json.dumps(value)}" for key, value in params.items()]
    return "\n".join([f"[models.{name}]", *lines, ""])


if __name__ == "__main__":
    main()
