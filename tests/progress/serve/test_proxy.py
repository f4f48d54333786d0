"""Behind nginx, with the block that system 000's document gives, word for word."""

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin

from tests.progress.serve.clients.node import client, of
from tests.support.serving import Run, Served, answers, free_port, served, wait_until
from vidgen.paths import Home

NGINX = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
BLOCK = """
location /api/ws/ {
    proxy_pass http://backend;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection "upgrade";
    proxy_read_timeout 3600s;
    proxy_send_timeout 3600s;
}

location /api/sse/ {
    proxy_pass http://backend;
    proxy_set_header Connection '';
    proxy_http_version 1.1;
    chunked_transfer_encoding off;
    proxy_buffering off;
    proxy_cache off;
    proxy_read_timeout 3600s;
}
"""
AROUND = """
daemon off;
master_process off;
pid {folder}/pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream backend {{ server 127.0.0.1:{there}; }}
    server {{
        listen 127.0.0.1:{here};
        location = /healthz {{ proxy_pass http://backend; }}
        {block}
    }}
}}
"""

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@contextlib.contextmanager
def proxied(server: Served, folder: Path, here: int) -> Iterator[str]:
    """nginx before a server; its address without the scheme."""
    assert NGINX is not None
    config = folder / "nginx.conf"
    config.write_text(AROUND.format(folder=folder, there=server.port, here=here, block=BLOCK))
    command = [NGINX, "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(config)]
    process = subprocess.Popen(command)
    try:
        wait_until(lambda: answers(here))
        yield f"127.0.0.1:{here}"
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("name", ["backend", "*"])
def test_the_block_of_the_document_works_as_it_stands(
    home: Home, tmp_path: Path, name: str
) -> None:
    run, here = Run(home), free_port()
    run.write("progress_update")
    site = f"http://127.0.0.1:{here}"
    with (
        served(home, host_names=(name,), public_url=site) as server,
        proxied(server, tmp_path, here) as address,
        client("pipeline_websocket", f"ws://{address}/api/ws/progress/{run.id}") as socket,
        client("pipeline_sse", f"http://{address}/api/sse/progress/{run.id}") as events,
    ):
        for watching in (socket, events):
            watching.until("progress")  # it is told now, not when nginx has a buffer full
        latest = httpx.get(f"http://{address}/api/ws/progress/{run.id}/latest").json()
        with connect(f"ws://{address}/api/ws/progress/{run.id}", origin=Origin(site)) as page:
            assert json.loads(page.recv(timeout=10))["task_id"] == run.id
        with (
            pytest.raises(InvalidStatus, match="403"),
            connect(
                f"ws://{address}/api/ws/progress/{run.id}", origin=Origin("http://evil.example")
            ),
        ):
            pass
        run.write("complete", video_url="/film")
        ends = [of(watching.wait(), "complete") for watching in (socket, events)]
    assert latest["event"]["event_type"] == "progress_update"
    assert ends == [[{"what": "complete", "url": "/film"}]] * 2
