"""The child that `subprocess` starts: serve what the first line of stdin says, until stdin ends."""

import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from vidgen.errors import InputError, SetupError
from vidgen.paths import Home
from vidgen.progress.serve.app import App
from vidgen.progress.serve.server import Listening, serve
from vidgen.progress.serve.settings import ServeSettings
from vidgen.progress.serve.sharing import find_server


def main() -> None:
    wanted = json.loads(sys.stdin.buffer.readline())
    home = Home(Path(wanted["home"]))
    rules = ServeSettings(host=wanted["host"], port=wanted["port"], token=wanted["token"])

    def told(listening: Listening) -> None:
        _answer(asdict(listening))

    def until(app: App) -> None:
        sys.stdin.buffer.read()  # ends with the parent, however that ends
        app.visits.await_end()

    try:
        try:
            serve(home, rules, told=told, until=until)
        except SetupError as error:
            if error.code != "page.port_taken":
                raise
            if url := find_server(home, rules.port):
                _answer(asdict(Listening(url, "")))
                sys.stdin.buffer.read()
                return

            def told_moved(listening: Listening) -> None:
                told(replace(listening, taken=rules.port))

            serve(home, replace(rules, port=0), told=told_moved, until=until)
    except (InputError, SetupError) as error:
        _answer({"reason": error.message})


def _answer(data: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(data) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
