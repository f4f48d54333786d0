"""The fake D-ID by hand: `python -m tests.support.fake_did`, a switch for all that it can do."""

import argparse
import signal
import sys
import time
from pathlib import Path

from tests.support import fake_did
from tests.support.fake_did import KEY, FakeDid
from tests.support.fake_did_wire import FAULTS


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.support.fake_did", description=fake_did.__doc__
    )
    parser.add_argument("--port", type=int, default=8400)
    parser.add_argument("--key", default=KEY)
    parser.add_argument("--credits", type=float, default=20)
    parser.add_argument("--store", type=Path, help="keep the ledger here")
    parser.add_argument("--seconds", type=float, default=20, help="until a talk is over")
    parser.add_argument("--outcome", choices=("done", "error", "rejected"), default="done")
    parser.add_argument("--error", help="the kind of what such a talk says, e.g. FaceError")
    parser.add_argument("--odd-status", default="", help="told before `started`")
    parser.add_argument("--no-stitch", dest="may_stitch", action="store_false")
    parser.add_argument("--expired-links", type=int, default=0)
    parser.add_argument("--hidden", type=int, default=0, help="looks at which a new talk is 404")
    parser.add_argument("--unlisted", type=int, default=0)
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar="'POST /talks=504-accepted:2'",
        help=f"which requests fail, how and how often: {', '.join(FAULTS)}",
    )
    given = vars(parser.parse_args())
    faults, kind = given.pop("fault"), given.pop("error")
    given["error"] = {"kind": kind, "description": "as the switch says"} if kind else None
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs ignore Ctrl-C
        signal.signal(number, signal.default_int_handler)
    with FakeDid(**given) as fake:
        for fault in faults:
            request, _, how = fault.partition("=")
            name, _, times = how.partition(":")
            fake.fail(request, name, int(times or 1))
        sys.stdout.write(f"DID_BASE_URL={fake.url} DID_API_KEY={fake.key}\n")
        sys.stdout.flush()
        try:
            while True:
                time.sleep(1)
        except KeyboardInterrupt:
            sys.stdout.write(f"{len(fake.talks)} talks, {fake.charged:g} credits charged\n")
