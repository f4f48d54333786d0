"""Which vidgen this is: one number for the package, its files and its answers."""

__version__ = "0.1.0"
