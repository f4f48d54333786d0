"""Tokens, cookies, hosts and origins, one by one and without a server."""

import socket
from typing import Any

import pytest
from starlette.datastructures import Headers

from vidgen.errors import InputError
from vidgen.progress.serve.auth import (
    COOKIE_SECONDS,
    Access,
    AllowedHosts,
    Auth,
    check_token,
    concerns,
    is_loopback,
    new_token,
    task_token,
    token_for,
    without_token,
)
from vidgen.progress.serve.errors import ApiError

TOKEN = "a-token-of-enough-letters-for-a-test"
TASK = "11112222-0000-4000-8000-000000000000"


def test_a_token_is_long_and_never_the_same() -> None:
    assert len(new_token()) == 43  # 32 bytes
    assert new_token() != new_token()


def test_a_chosen_token_has_sixteen_characters() -> None:
    assert [check_token(token) for token in ("", "x" * 16)] == ["", "x" * 16]
    with pytest.raises(InputError, match="shorter than 16 characters"):
        check_token("x" * 15)


@pytest.mark.parametrize(
    ("host", "is_here"),
    [("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True),
     ("0.0.0.0", False), ("box", False), ("", False), ("192.168.1.2", False)],
)  # fmt: skip
def test_which_hosts_are_this_machine(host: str, *, is_here: bool) -> None:
    assert is_loopback(host) is is_here


def access(auth: Auth, asked: str = "", **headers: str) -> Access | None:
    return auth.access(Headers(headers), asked)


def test_the_token_opens_everything_however_it_comes() -> None:
    auth = Auth(TOKEN, 5)
    cookie = auth.cookie(is_secure=False).partition(";")[0]
    for given in (
        access(auth, authorization=f"Bearer {TOKEN}"),
        access(auth, authorization=f"bEARER   {TOKEN} "),
        access(auth, TOKEN),
        access(auth, cookie=cookie),
        access(auth, cookie=f"a=b; {cookie};c"),
    ):
        assert given == Access()


def test_nothing_else_opens_anything() -> None:
    auth = Auth(TOKEN, 5)
    other = Auth(TOKEN, 6).cookie(is_secure=False).partition(";")[0]
    theirs = Auth(TOKEN + "x", 5).cookie(is_secure=False).partition(";")[0]
    for given in (
        access(auth),
        access(auth, authorization=f"Basic {TOKEN}"),
        access(auth, authorization=TOKEN),
        access(auth, authorization="Bearer é"),
        access(auth, TOKEN[:-1]),
        access(auth, "~"),
        access(auth, f"~{TOKEN}"),
        access(auth, TOKEN + "x", cookie=auth.cookie(is_secure=False)),
        access(auth, cookie=other),
        access(auth, cookie=theirs),
        access(auth, cookie="vidgen-5="),
        access(auth, cookie="vidgen-5=é"),
    ):
        assert given is None


def test_without_a_token_all_is_open() -> None:
    assert access(Auth("")) == Access()
    assert Auth("").task_token(TASK) == ""


def test_a_tasks_token_opens_that_task() -> None:
    auth = Auth(TOKEN)
    given = access(auth, authorization=f"Bearer {auth.task_token(TASK)}")
    assert given == Access(TASK)
    assert given.may_see(TASK)
    assert not given.may_see("other")
    assert Access().may_see("any")
    assert auth.task_token(TASK) == task_token(TOKEN, TASK) == token_for(TOKEN, TASK)
    assert access(auth, task_token("another token", TASK)) is None
    assert access(auth, auth.task_token(TASK).replace("1111", "2222")) is None
    assert access(auth, task_token(TOKEN, "")) is None
    with pytest.raises(InputError, match="not known here"):
        token_for("", TASK)


def test_the_cookie_lasts_for_a_month_and_is_for_no_script() -> None:
    parts = Auth(TOKEN, 7).cookie(is_secure=False).split("; ")
    assert parts[0].startswith("vidgen-7=")
    assert TOKEN not in parts[0]
    assert parts[1:] == ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=2592000"]
    assert COOKIE_SECONDS == 2_592_000
    assert Auth(TOKEN, 7).cookie(is_secure=True).split("; ") == [*parts, "Secure"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ("", "")),
        ("a=1&b=", ("", "a=1&b=")),
        ("token=x&a=1", ("x", "a=1")),
        ("a=1&access_token=x&token=y&a=2", ("x", "a=1&a=2")),
        ("tokens=x", ("", "tokens=x")),
    ],
)
def test_a_token_is_taken_out_of_a_query(query: str, found: tuple[str, str]) -> None:
    assert without_token(query) == found


def status(hosts: AllowedHosts, host: str, origin: str = "") -> int:
    try:
        hosts.check(Headers({"host": host} | ({"origin": origin} if origin else {})))
    except ApiError as refusal:
        return refusal.status
    return 200


def test_names_of_others_are_not_answered() -> None:
    """An address is harmless, whichever: a rebinding page needs a name."""
    hosts = AllowedHosts("127.0.0.1", ("Box.local",))
    good = ("localhost", "LOCALHOST:80", "127.0.0.1:1", "[::1]:5", "[::1]", "box.local", "10.0.0.9")
    for host in good:
        assert status(hosts, host) == 200, host
    for host in ("evil.example", "", "localhost.evil.example", "[evil]", socket.gethostname()):
        assert status(hosts, host) == (200 if host in good else 421), host
    assert status(AllowedHosts("127.0.0.1", ("*",)), "any.example") == 200


def test_an_open_server_answers_to_the_machines_names() -> None:
    own = socket.gethostname().lower()
    for name in (own, f"{own}.local", own.partition(".")[0]):
        assert status(AllowedHosts("0.0.0.0"), name) == 200
        if name != "localhost":
            assert status(AllowedHosts("127.0.0.1"), f"x{name}") == 421


def test_the_public_name_is_ours() -> None:
    hosts = AllowedHosts("127.0.0.1", public_url="https://films.example:8443/x")
    assert status(hosts, "films.example:8443") == 200
    assert status(hosts, "127.0.0.1", "https://films.example:8443") == 200
    assert status(hosts, "127.0.0.1", "https://films.example") == 403
    assert status(AllowedHosts("127.0.0.1"), "films.example") == 421


def test_other_sites_are_refused_unless_they_are_named() -> None:
    hosts = AllowedHosts("127.0.0.1", origins=("https://a.example",))
    assert status(hosts, "localhost:5", "http://localhost:5") == 200
    assert status(hosts, "localhost:5", "http://localhost:6") == 403
    assert status(hosts, "localhost:5", "https://a.example") == 200
    assert status(hosts, "localhost:5", "https://b.example") == 403
    assert status(hosts, "localhost:5", "null") == 403
    origins = ("https://a.example", "https://b.example", "")
    assert [hosts.cors_origin(Headers({"origin": o})) for o in origins] == [origins[0], "", ""]


@pytest.mark.parametrize(
    ("scope", "is_its"),
    [
        ({"path": f"/api/tasks/{TASK}"}, True),
        ({"path": f"/api/tasks/{TASK}/video", "method": "HEAD"}, True),
        ({"path": f"/api/tasks/{TASK}x"}, False),
        ({"path": "/api/tasks"}, False),
        ({"path": f"/api/tasks/{TASK}", "method": "DELETE"}, False),
        ({"path": f"/api/tasks/{TASK}/cancel", "method": "POST"}, False),
        ({"path": "/hubs/video-generation/negotiate", "method": "POST"}, True),
        ({"path": "/hubs/video-generation/negotiate"}, False),
        ({"path": "/hubs/video-generation", "type": "websocket"}, True),
        ({"path": "/hubs/video-generation"}, False),
        ({"path": "/api/v1/progress/ws", "type": "websocket"}, True),
        ({"path": "/api/ws/progress", "type": "websocket"}, False),
        ({"path": f"/api/ws/progress/{TASK}", "type": "websocket"}, True),
    ],
)
def test_what_a_tasks_token_may_ask(scope: dict[str, Any], *, is_its: bool) -> None:
    assert concerns({"type": "http"} | scope, TASK) is is_its
