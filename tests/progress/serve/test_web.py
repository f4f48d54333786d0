"""The page and `progress.js` in a real Chromium, without a screen."""

import http.server
import struct
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.progress.watch.test_sse import FORMAT
from tests.support.browser import CONTRASTS, IN_A_BROWSER, is_text, page_of, playwright
from tests.support.serving import Run, Served, free_port, served, serving_process, wait_until
from vidgen.paths import Home
from vidgen.progress.reporter import Reporter
from vidgen.progress.serve.subprocess import start_subprocess
from vidgen.progress.store.batches import BatchFilm, record_batch

TOKEN = "a-token-of-enough-letters-for-a-test"
TITLED = {"inputs": {"photo": {"path": "/home/x/anna.jpg"}, "voice": {"path": "C:\\x\\hello.wav"}}}

pytestmark = IN_A_BROWSER


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    with page_of(chromium) as page:
        yield page


@pytest.fixture
def server(home: Home) -> Iterator[Served]:
    with served(home) as server:
        yield server


@pytest.fixture
def run(home: Home) -> Run:
    return Run(home, request=TITLED)


def a_picture(width: int = 8, height: int = 6) -> bytes:
    """A grey PNG."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x80" * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_the_bar_of_a_run_follows_its_time(page: Any, server: Served, run: Run) -> None:
    run.write("stage_update", status="started", stage="rendering", progress=60.0)
    page.goto(server.url)
    is_text(page, "#percent", "60 %")  # of a run that does not tell its time
    run.write("progress_update", progress=62.0, time_progress=0.0)
    is_text(page, "#percent", "62 %")  # of a first run, whose time nobody can foretell yet
    run.write("progress_update", progress=72.4, time_progress=81.2)
    is_text(page, "#percent", "81 %")
    run.write("stage_update", status="completed", stage="rendering", progress=99.0)
    run.write("progress_update", progress=99.0, time_progress=84.0)
    is_text(page, "#percent", "84 %")
    page.reload()
    is_text(page, "#percent", "84 %")
    run.write("complete", progress=100.0)
    is_text(page, "#percent", "100 %")


def test_a_run_is_followed_live(page: Any, server: Served, run: Run) -> None:
    run.write("stage_update", status="started", stage="rendering", message="Drawing the frames")
    page.goto(server.url)
    is_text(page, "#name", "anna.jpg + hello.wav")
    is_text(page, "#state", "Running")
    is_text(page, "#link", "Live")
    run.write(
        "progress_update", progress=72.4, stage_progress=0.62, done=163, total=263, unit="frames",
        rate=41.3, eta_seconds=12.0, eta_upper_seconds=15.0, message="Drawing the frames",
    )  # fmt: skip
    is_text(page, "#percent", "72 %")
    is_text(page, "#done", "163 / 263 frames · 41 frames/s")
    is_text(page, "#left", "about 12 sec left, at most 15 sec")
    bar = page.get_by_role("progressbar", name="Drawing the frames")
    assert bar.get_attribute("aria-valuenow") == "72"
    run.write("log", message="A warning of some kind", level="WARNING")
    is_text(page, "#log li span", "A warning of some kind")
    run.write("resource", cpu_percent=150.0, memory_mb=1200.0, gpu_percent=None)
    is_text(page, "#plots div:has-text('CPU') dd:last-child", "150 %")
    is_text(page, "#plots div:has-text('Memory') dd:last-child", "1.2 GB")
    assert page.locator("#plots svg").count() == 3
    (run.folder.previews / "rendering-50.png").write_bytes(a_picture())
    run.write("preview", name="rendering-50", sha256="0123456789", width=8, height=6)
    wait_until(lambda: page.evaluate("document.querySelector('#picture').naturalWidth") == 8)
    run.write("complete")
    is_text(page, "#state", "Done")
    is_text(page, "#spoken", "Done")


def test_the_finished_film_plays(chromium: Any, server: Served, run: Run, tmp_path: Path) -> None:
    with page_of(chromium) as page:
        film = tmp_path / "out.webm"
        film.write_bytes(_recorded(page))
        run.write("stage_update")
        run.write("complete", video_path=str(film), video_url=f"/api/tasks/{run.id}/video")
        page.goto(f"{server.url}/#{run.id}")
        page.wait_for_selector("#film:not([hidden])")
        page.evaluate("document.querySelector('#film').muted = true")
        page.evaluate("document.querySelector('#film').play()")
        wait_until(lambda: page.evaluate("document.querySelector('#film').currentTime > 0.1"))
        link = page.get_by_role("link", name="Save the film")
        assert link.get_attribute("download") == "out.webm"


def test_a_film_finished_before_our_eyes_outlives_its_server(
    chromium: Any, home: Home, tmp_path: Path
) -> None:
    """The server of `run --serve` ends with the run."""
    film = tmp_path / "out.webm"
    with page_of(chromium) as page:
        film.write_bytes(_recorded(page))
        with start_subprocess(home, "127.0.0.1:0") as child, Reporter(home=home) as report:
            page.goto(child.url)
            is_text(page, "#link", "Live")
            report.complete(str(film))
        is_text(page, "#state", "Done")
        is_text(page, "#link", "The server does not answer.")
        is_text(page, "#runs .words", "Done")
        page.evaluate("document.querySelector('#film').muted = true")
        page.evaluate("document.querySelector('#film').play()")
        wait_until(lambda: page.evaluate("document.querySelector('#film').ended"))
        href = page.get_by_role("link", name="Save the film").get_attribute("href")
        assert href.startswith("blob:")


def _recorded(page: Any) -> bytes:
    """A second of film, made by the browser itself."""
    page.goto("about:blank")
    numbers = page.evaluate("""async () => {
        const canvas = document.body.appendChild(document.createElement("canvas"));
        const context = canvas.getContext("2d");
        const recorder = new MediaRecorder(canvas.captureStream(25), { mimeType: "video/webm" });
        const parts = [];
        recorder.ondataavailable = (event) => parts.push(event.data);
        const painting = setInterval(() => {
            context.fillStyle = `hsl(${performance.now() % 360} 50% 50%)`;
            context.fillRect(0, 0, 300, 150);
        }, 40);
        recorder.start();
        await new Promise((done) => setTimeout(done, 1000));
        const stopped = new Promise((done) => (recorder.onstop = done));
        recorder.stop();
        await stopped;
        clearInterval(painting);
        return [...new Uint8Array(await new Blob(parts).arrayBuffer())];
    }""")
    return bytes(numbers)


def test_a_failure_says_what_to_do(page: Any, server: Served, run: Run) -> None:
    run.write("stage_update", stage="yolo_detection", status="started")
    run.write("error", failed_stage="yolo_detection", solutions=["Take another photo."])
    page.goto(server.url)
    is_text(page, "#message", "Failed at: Finding the speaker")
    is_text(page, "#trouble-said", "No face was found.")
    is_text(page, "#trouble-hint", "Take another photo.")
    assert page.get_by_role("alert").first.is_visible()


def test_an_empty_store_says_how_to_begin(page: Any, server: Served, home: Home) -> None:
    page.goto(server.url)
    is_text(page, "#nothing h1", "No runs yet")
    Run(home, request=TITLED).write("stage_update")
    is_text(page, "#name", "anna.jpg + hello.wav")  # and it comes by itself


@pytest.mark.parametrize(
    ("language", "state", "runs"),
    [
        ("ja-JP", "実行中", "実行一覧"),
        ("zh-CN", "运行中", "运行列表"),
        ("de-DE", "Running", "Runs"),
    ],
)
def test_the_page_speaks_the_readers_language(
    chromium: Any, server: Served, run: Run, language: str, state: str, runs: str
) -> None:
    run.write("stage_update", message="x", message_code="stage.rendering", metadata={})
    with page_of(chromium, locale=language) as page:
        page.goto(server.url)
        is_text(page, "#state", state)
        is_text(page, "#runs-title", runs)
        page.select_option("#language", "zh")
        is_text(page, "#message", "绘制画面")
        assert page.evaluate("document.documentElement.lang") == "zh"


def test_an_address_may_choose_the_language(chromium: Any, server: Served, run: Run) -> None:
    run.write("stage_update", message="x", message_code="stage.rendering", metadata={})
    with page_of(chromium) as page:
        page.goto(f"{server.url}/?lang=ja")
        is_text(page, "#state", "実行中")
        page.select_option("#language", "zh")  # and its reader may choose another
        is_text(page, "#state", "运行中")
        page.goto(f"{server.url}/?lang=xx")
        is_text(page, "#state", "运行中")


def test_a_browser_that_keeps_nothing_shows_the_page(
    chromium: Any, server: Served, run: Run
) -> None:
    run.write("stage_update")
    with page_of(chromium) as page:
        page.add_init_script(
            "Object.defineProperty(window, 'localStorage', { get() { throw new Error('no') } })"
        )
        page.goto(server.url)
        is_text(page, "#state", "Running")
        page.select_option("#language", "zh")
        is_text(page, "#state", "运行中")


def test_the_page_fits_a_phone(chromium: Any, server: Served, run: Run) -> None:
    run.write("stage_update", message="A very long sentence " * 10)
    with page_of(chromium, viewport={"width": 390, "height": 844}) as page:
        page.goto(server.url)
        page.get_by_role("link", name="anna.jpg + hello.wav").click()
        is_text(page, "#state", "Running")
        assert not page.locator("#runs").is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.get_by_role("link", name="All runs").click()
        assert page.locator("#runs").is_visible()


def test_the_page_is_used_by_keyboard(page: Any, server: Served, home: Home, run: Run) -> None:
    other = Run(home, request={"title": "nightly"})
    other.write("stage_update")
    time.sleep(0.05)  # so that the other one is newer
    run.write("stage_update")
    page.goto(server.url)
    is_text(page, "#name", "anna.jpg + hello.wav")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    reached = []
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.getAttribute('title')"))
        if reached[-1] == "nightly":
            page.keyboard.press("Enter")
            break
    is_text(page, "#name", "nightly")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_contrast(chromium: Any, server: Served, run: Run, scheme: str) -> None:
    """At least 4.5 : 1 (WCAG AA), measured on what Chromium computed."""
    run.write("stage_update", status="started")
    run.write("log", message="odd", level="WARNING")
    run.write("error", solutions=["Do."], failed_stage="rendering")
    with page_of(chromium, color_scheme=scheme) as page:
        page.goto(server.url)
        is_text(page, "#state", "Failed")
        assert page.evaluate(CONTRASTS) == []


def test_everything_to_be_read_aloud_has_a_name(page: Any, server: Served, run: Run) -> None:
    run.write("stage_update", status="started", message="Drawing the frames")
    run.write("log", message="something", level="INFO")
    page.goto(server.url)
    is_text(page, "#state", "Running")
    nameless = page.evaluate("""() =>
      [...document.querySelectorAll("a, button, select, input, [role=progressbar]")]
        .filter((e) => e.checkVisibility())
        .filter((e) => !(e.textContent.trim() || e.ariaLabel || e.title || e.labels?.length))
        .filter((e) => !e.getAttribute("aria-labelledby"))
        .map((e) => e.outerHTML)""")
    assert nameless == []
    for role, name in (
        ("navigation", "Runs"),
        ("log", "Log"),
        ("main", None),
        ("progressbar", None),
    ):
        assert page.get_by_role(role, **({"name": name} if name else {})).count() == 1
    assert page.locator("#spoken").get_attribute("aria-live") == "polite"


def test_nothing_a_run_says_becomes_code(page: Any, server: Served, home: Home) -> None:
    evil = "<img src=x onerror=document.title='hacked'>"
    run = Run(home, request={"title": evil})
    run.write("stage_update", message=evil, stage=evil, status="started")
    run.write("log", message=evil, level=evil)
    page.goto(server.url)
    is_text(page, "#name", evil)
    is_text(page, "#log span", evil)
    assert page.locator("#shown img[src=x]").count() == 0


def test_the_door_opens_with_the_token(chromium: Any, home: Home, run: Run) -> None:
    run.write("stage_update")
    with served(home, token=TOKEN) as server, page_of(chromium) as page:
        page.goto(server.url)
        page.get_by_label("Token").fill("wrong")
        page.keyboard.press("Enter")
        is_text(page, "#door-said", "That is not this server's token.")
        page.get_by_label("Token").fill(TOKEN)
        page.keyboard.press("Enter")
        is_text(page, "#state", "Running")
        is_text(page, "#link", "Live")
        page.reload()
        is_text(page, "#state", "Running")
        assert page.evaluate("document.cookie") == ""


def test_a_token_in_the_address_is_gone_from_it(chromium: Any, home: Home, run: Run) -> None:
    run.write("stage_update")
    with served(home, token=TOKEN) as server, page_of(chromium) as page:
        page.goto(f"{server.url}/?token={TOKEN}#{run.id}")
        is_text(page, "#state", "Running")
        assert TOKEN not in page.url


def test_the_page_survives_the_server(chromium: Any, home: Home, run: Run) -> None:
    run.write("stage_update", message="one")
    with serving_process(home, free_port()) as server, page_of(chromium) as page:
        page.goto(server.url)
        is_text(page, "#message", "one")
        server.kill()
        is_text(page, "#link", "Reconnecting…")
        run.write("stage_update", message="two")
        server.start()
        is_text(page, "#message", "two")
        is_text(page, "#link", "Live")


# progress.js by itself

FOLLOW = """async ([url, ways, count]) => {
  const { watch } = await import("/progress.js");
  return await new Promise((done) => {
    const seen = [], states = [];
    const finish = (how) => { watching.close(); done({ seen, states, how }); };
    const watching = watch(url, {
      ways,
      onEvent: (e) => {
        seen.push([e.event_type, e.seq]);
        if (seen.length === count) finish("count");
      },
      onComplete: () => finish("complete"),
      onError: (error) => finish(error.status),
      onState: (state) => states.push(state),
    });
  });
}"""


@pytest.mark.parametrize("way", ["websocket", "sse", "polling"])
def test_every_way_tells_the_same(page: Any, server: Served, run: Run, way: str) -> None:
    run.write("stage_update", "log", "complete")
    page.goto(f"{server.url}/openapi.json")
    told = page.evaluate(FOLLOW, [f"/api/tasks/{run.id}", [way], 99])
    assert told == {
        "seen": [["stage_update", 1], ["log", 2], ["complete", 3]],
        "states": [way],
        "how": "complete",
    }


@pytest.mark.parametrize(
    ("blocked", "used"), [(["ws"], "sse"), (["ws", "sse"], "polling"), ([], "websocket")]
)
def test_a_way_that_does_not_come_through_gives_way(
    page: Any, server: Served, run: Run, blocked: list[str], used: str
) -> None:
    run.write("log", "complete")
    page.goto(f"{server.url}/openapi.json")
    if "ws" in blocked:
        page.route_web_socket("**/api/ws/**", lambda ws: ws.close())
    if "sse" in blocked:
        page.route("**/api/sse/**", lambda route: route.abort())
    told = page.evaluate(FOLLOW, [f"/api/tasks/{run.id}", ["websocket", "sse", "polling"], 99])
    assert told["seen"] == [["log", 1], ["complete", 2]]
    assert told["states"][-1] == used


def test_an_identical_snapshot_is_told_once(page: Any, server: Served, run: Run) -> None:
    run.write("progress_update", count=5, progress=61.0)
    run.write("complete")
    page.goto(f"{server.url}/openapi.json")
    told = page.evaluate(FOLLOW, [f"/api/tasks/{run.id}", ["sse"], 99])
    assert told["seen"] == [["progress_update", 1], ["complete", 6]]


def test_a_line_that_falls_silent_is_left(page: Any, server: Served, run: Run) -> None:
    run.write("log", "complete")
    page.clock.install()
    page.goto(f"{server.url}/openapi.json")
    page.route_web_socket("**/api/ws/**", lambda _: None)  # opens, and never says a word
    page.evaluate(
        """async (url) => {
          const { watch } = await import("/progress.js");
          window.told = [];
          watch(url, {
            onEvent: (e) => window.told.push(e.seq),
            onState: (s) => window.told.push(s),
          });
        }""",
        f"/api/tasks/{run.id}",
    )

    def has_come() -> bool:
        told: list[Any] = page.evaluate("window.told")
        is_tried_twice = told.count("lost") >= 2
        page.clock.run_for(1000 if is_tried_twice else 46_000)  # the back-off; three heartbeats
        return told[-2:] == [1, 2]

    wait_until(has_come)
    assert page.evaluate("window.told") == ["lost", "lost", "sse", 1, 2]


class Canned(http.server.BaseHTTPRequestHandler):
    """Answers each path of the table with its stream."""

    def do_GET(self) -> None:
        name = self.path.strip("/")
        self.send_response(200)
        kind = "text/event-stream" if name in FORMAT else "text/html"
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(FORMAT[name][0] if name in FORMAT else b"<p>")

    def log_message(self, *_: object) -> None:
        pass


def test_chromium_dispatches_what_the_table_of_the_decoder_says(page: Any) -> None:
    """The table is right as far as this browser is."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Canned) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/")
        told = page.evaluate(
            """(names) => Promise.all(names.map((name) => new Promise((done) => {
              const source = new EventSource("/" + name), seen = [];
              const take = (e) => seen.push([e.type, e.data, e.lastEventId]);
              source.onmessage = take;
              source.addEventListener("test", take);
              source.onerror = () => { source.close(); done(seen); };
            })))""",
            list(FORMAT),
        )
        server.shutdown()
    found = {name: [tuple(e) for e in events] for name, events in zip(FORMAT, told, strict=True)}
    assert found == {name: events for name, (_, events) in FORMAT.items()}


@pytest.mark.parametrize("way", ["websocket", "sse", "polling"])
def test_another_site_may_watch_when_it_is_allowed_to(
    page: Any, home: Home, run: Run, way: str
) -> None:
    run.write("log", "complete")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Canned) as site:
        threading.Thread(target=site.serve_forever, daemon=True).start()
        there = f"http://localhost:{site.server_address[1]}"
        page.goto(there)
        with served(home, origins=(there,)) as server:
            follow = FOLLOW.replace("/progress.js", f"{server.url}/progress.js")
            told = page.evaluate(follow, [f"{server.url}/api/tasks/{run.id}", [way], 99])
        with served(home) as closed, pytest.raises(playwright.Error, match="module"):
            page.evaluate(FOLLOW.replace("/progress.js", f"{closed.url}/progress.js"), ["", [], 9])
        site.shutdown()
    assert (told["seen"], told["how"]) == ([["log", 1], ["complete", 2]], "complete")


def test_what_will_never_work_is_an_error(page: Any, server: Served) -> None:
    page.goto(f"{server.url}/openapi.json")
    url = "/api/tasks/550e8400-e29b-41d4-a716-446655440000"
    assert page.evaluate(FOLLOW, [url, ["websocket"], 9])["how"] == 404


def test_events_of_a_cut_line_come_once(chromium: Any, home: Home, run: Run) -> None:
    run.write("log", count=5)
    with serving_process(home, free_port()) as server, page_of(chromium) as page:
        page.goto(f"{server.url}/openapi.json")
        page.evaluate(
            """async (url) => {
              const { watch } = await import("/progress.js");
              window.seen = [];
              watch(url, { onEvent: (e) => window.seen.push(e.seq) });
            }""",
            f"/api/tasks/{run.id}",
        )
        wait_until(lambda: page.evaluate("window.seen.length === 5"))
        server.kill()
        run.write("log", count=3)
        server.start()
        run.write("complete")
        wait_until(lambda: page.evaluate("window.seen.length >= 9"))
        assert page.evaluate("window.seen") == list(range(1, 10))


def test_the_page_of_a_batch_shows_its_films_and_how_far_it_is(home: Home, page: Any) -> None:
    films = [BatchFilm(f"{n:08x}-0000-4000-8000-000000000000", f"{n}.mp4", 5.0, 4.0)
             for n in range(3)]  # fmt: skip
    other = Run(home)
    other.write("complete")
    with record_batch(home, "my films", films), served(home) as server:
        done = Run(home, films[0].task_id)
        done.write("progress_update", "complete")
        page.goto(f"{server.url}/?batch=my%20films")
        page.wait_for_selector("#batch-name:text('my films')")
        assert page.locator("#runs li").count() == 3
        assert page.locator("#batch-said").inner_text().startswith("1 of 3")
        assert page.locator("#batch-bar").get_attribute("aria-valuenow") == "33"
    assert other.id not in {film.task_id for film in films}
