"""Measurements: run one with `python -m benchmarks.<name>`. No part of the package."""
