"""`vidgen`, also as `python -m vidgen`: a Ctrl-C while modules are read ends it as any other."""

import os
import signal
from typing import Final

INTERRUPTED: Final = 130


def main() -> None:
    """The command line. Nothing of vidgen is imported before the signal is heard."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # else somebody wished it ignored
        signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    from vidgen import cli

    signal.signal(signal.SIGINT, usual)
    cli.main()


if __name__ == "__main__":
    main()
