"""Our modules in a page of another site, in a real Chromium: hook, shared socket, refusals."""

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.progress.serve.clients.node import packages
from tests.support.browser import IN_A_BROWSER, is_text, launch, page_of
from tests.support.serving import Run, Served, served, wait_until
from vidgen.paths import Home
from vidgen.progress.fanout.hub import Hub
from vidgen.progress.fanout.limits import Limits
from vidgen.progress.serve.auth import task_token

TOKEN = "a-token-of-enough-letters-for-a-test"
# System 000's component, and what React is in a page without a bundler.
PAGE = """<!doctype html><title>A site</title>
<script src="react.js"></script><script src="react-dom.js"></script>
<script type="importmap">{"imports": {"react": "./react.mjs"}}</script><main></main>"""
REACT = "export const { useEffect, useRef, useState } = globalThis.React;"
SHOW = """async ([server, taskId, token, preferWebSocket]) => {
  const { useProgressTracking } = await import(server + "/useProgressTracking.js");
  const h = React.createElement;
  window.told = [];
  function Progress() {
    const { progress, isConnected, error, connectionType } = useProgressTracking(taskId, {
      server, token, preferWebSocket,
      onComplete: (data) => window.told.push(["complete", data.video_url]),
      onError: (message) => window.told.push(["error", message]),
    });
    return h("div", null,
      h("p", { id: "line" }, isConnected ? `Connected (${connectionType})` : "Disconnected"),
      h("p", { id: "run" }, `${progress.stage} ${progress.progress}% ${progress.message}`),
      error && h("p", { id: "error" }, error));
  }
  window.root = ReactDOM.createRoot(document.querySelector("main"));
  window.root.render(h(Progress));
}"""
WATCH = """async ([server, tasks, options]) => {
  const { watch } = await import(server + "/progress.js");
  window.told = [];
  window.watching = tasks.map((task) => watch(`${server}/api/tasks/${task}`, {
    ...options,
    onEvent: (event) => window.told.push([task, event.event_type, event.task_id]),
    onError: (error) => window.told.push([task, "refused", error.status]),
  }));
}"""
ENDS = {"complete": ["complete", "/film"], "error": ["error", "No face was found."],
        "killed": ["error", "Interrupted"]}  # fmt: skip

pytestmark = IN_A_BROWSER


class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another site with React, and its origin."""
    folder = tmp_path_factory.mktemp("site")
    for name in ("react", "react-dom"):
        source = packages() / name / "umd" / f"{name}.production.min.js"
        (folder / f"{name}.js").write_bytes(source.read_bytes())
    (folder / "react.mjs").write_text(REACT)
    (folder / "index.html").write_text(PAGE)
    handler = functools.partial(Files, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launch() as browser:
        yield browser


@pytest.fixture
def page(browser: Any, site: str) -> Iterator[Any]:
    with page_of(browser) as page:
        page.goto(site)
        yield page


@contextlib.contextmanager
def open_to(site: str, home: Home) -> Iterator[Served]:
    """A server with a token that lets the site read, and soon sees that a writer is gone."""
    hub = Hub(home, Limits(silent_seconds=0.1))
    with served(home, hub=hub, token=TOKEN, origins=(site,)) as server:
        yield server


def is_told(page: Any, *wanted: list[Any]) -> bool:
    return all(one in page.evaluate("window.told") for one in wanted)


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("way", ["websocket", "sse"])
def test_the_hook_follows_a_run(
    page: Any, site: str, home: Home, way: str, how: str, is_late: bool
) -> None:
    run = Run(home)
    run.write("progress_update", progress=62.5)

    def end() -> None:
        if how == "killed":
            run.end()
        else:
            run.write(how, video_url="/film")

    if is_late:
        end()
    with open_to(site, home) as server:
        token = task_token(TOKEN, run.id)
        page.evaluate(SHOW, [server.url, run.id, token, way == "websocket"])
        if not is_late:
            is_text(page, "#line", f"Connected ({way})")
            is_text(page, "#run", "rendering 62.5% Drawing")
            end()
        wait_until(lambda: is_told(page, ENDS[how]))
        if how == "complete":
            is_text(page, "#run", "complete 100% Done")
        else:
            is_text(page, "#error", ENDS[how][1])
        page.evaluate("window.root.unmount()")


def test_the_tasks_of_a_page_share_one_socket(page: Any, site: str, home: Home) -> None:
    runs = [Run(home, name) for name in ("one", "two", "three")]
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    with open_to(site, home) as server:
        names = [run.id for run in runs]
        page.evaluate(WATCH, [server.url, names, {"shared": True, "token": TOKEN}])
        for run in runs:
            run.write("log", "complete")
        wait_until(lambda: is_told(page, *([name, "complete", name] for name in names)))
        told = page.evaluate("window.told")
    assert len(sockets) == 1
    assert all(task == its for task, _, its in told)
    assert len(told) == 2 * len(runs)


@pytest.mark.parametrize("token", ["", "a-token-that-is-another-one"])
@pytest.mark.parametrize("way", ["websocket", "sse", "polling"])
def test_a_refusal_reaches_another_site(
    page: Any, site: str, home: Home, way: str, token: str
) -> None:
    Run(home, "one").write("log")
    with open_to(site, home) as server:
        page.evaluate(WATCH, [server.url, ["one"], {"ways": [way], "token": token}])
        wait_until(lambda: is_told(page, ["one", "refused", 401]))


@pytest.mark.parametrize("way", ["websocket", "sse", "polling"])
def test_the_console_tells_what_happens_when_asked(
    page: Any, site: str, home: Home, way: str
) -> None:
    run = Run(home, "one")
    run.write("log", "complete")
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    with open_to(site, home) as server:
        asked = [server.url, ["one"], {"ways": [way], "token": TOKEN}]
        page.evaluate(WATCH, asked)
        wait_until(lambda: is_told(page, ["one", "complete", "one"]))
        assert said == []
        page.evaluate("localStorage.vidgenDebug = '1'")
        page.evaluate(WATCH, asked)
        wait_until(lambda: is_told(page, ["one", "complete", "one"]))
        assert said[0] == f"vidgen one {way}"
        assert "vidgen one complete 2 100" in said
