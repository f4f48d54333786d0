"""Several options under one name; whoever sets one of them otherwise has it otherwise."""

from collections.abc import Mapping
from typing import Any, Final

from vidgen.settings import PRESETS, Setting, Source

RANK: Final[Mapping[Source, int]] = {"default": 0, "config": 1, "environment": 2, "flag": 3}
VALUES: Final[Mapping[str, Mapping[str, Any]]] = {
    "story": {"aspect": "9:16", "height": 1280, "framing": "head"},
    "square": {"aspect": "1:1", "height": 1080},
    "call": {"aspect": "16:9", "height": 720, "framing": "head", "background": "blur"},
    "hd": {"aspect": "16:9", "height": 1080},
}
assert set(VALUES) == set(PRESETS) - {"none"}


def apply_preset(settings: Mapping[str, Setting]) -> Mapping[str, Setting]:
    """The settings with the preset's values where nothing that weighs as much says otherwise:
    a flag outweighs a preset of the settings file, and the file no preset that is a flag."""
    preset = settings["preset"]
    return {
        **settings,
        **{
            name: Setting(value, preset.source)
            for name, value in VALUES.get(str(preset.value), {}).items()
            if RANK[settings[name].source] < RANK[preset.source]
        },
    }
