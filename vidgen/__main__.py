"""`python -m vidgen` is `vidgen`."""

from vidgen.cli import main

main()
