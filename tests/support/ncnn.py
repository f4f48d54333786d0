"""Networks of one operation in ncnn's format."""

from pathlib import Path

EACH_FOUR_TIMES = "7767517\n2 2\nInput in 0 1 data\nInterp up 1 1 data output 0=1 1=4.0 2=4.0\n"


def repeats_pixels(folder: Path) -> tuple[Path, Path]:
    """The weights and structure of a network that makes of each pixel 4 × 4."""
    weights, structure = folder / "tiny.bin", folder / "tiny" / "tiny.param"
    weights.write_bytes(b"\0\0\0\0")
    structure.parent.mkdir()
    structure.write_text(EACH_FOUR_TIMES)
    return weights, structure
