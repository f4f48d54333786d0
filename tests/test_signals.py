"""Signals end a program in order; a second one ends it at once."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import sys, time
from vidgen.signals import graceful_interrupts
try:
    with graceful_interrupts():
        print("ready", flush=True)
        time.sleep(30)
except KeyboardInterrupt:
    print("in order", flush=True)
    {after}
"""


def started(after: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM.format(after=after)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_the_first_signal_ends_in_order(number: signal.Signals) -> None:
    with started("sys.exit(7)") as process:
        process.send_signal(number)
        out, _ = process.communicate(timeout=10)
    assert (process.returncode, out) == (7, "in order\n")


def test_a_second_signal_ends_at_once() -> None:
    clean_up = """
import vidgen.signals
try:
    with graceful_interrupts():
        try:
            print("ready", flush=True)
            time.sleep(30)
        finally:
            print("closing", flush=True)
            time.sleep(30)
except KeyboardInterrupt:
    pass
"""
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import time\nfrom vidgen.signals import graceful_interrupts\n" + clean_up,
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "closing\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130


def test_ctrl_c_while_modules_are_read_ends_as_any_other() -> None:
    slow = """
import sys, time
class Slow:
    def find_spec(self, name, *_):
        if name == "vidgen.cli":
            print("ready", flush=True)
            time.sleep(30)
sys.meta_path.insert(0, Slow())
from vidgen.__main__ import main
main()
"""
    process = subprocess.Popen(
        [sys.executable, "-c", slow], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=10)
    assert (process.returncode, said) == (130, "")
