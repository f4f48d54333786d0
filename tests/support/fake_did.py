"""A faithful little D-ID on 127.0.0.1: same paths, same rules, same ways to fail, and a ledger.

For tests (`with FakeDid() as fake`) and by hand (`python -m tests.support.fake_did --help`). It
follows D-ID's OpenAPI 4.2 as far as vidgen uses it; what D-ID does not document is a switch here.
"""

import base64
import hashlib
import hmac
import json
import math
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import parse_qs, quote, urlsplit

from tests.support.fake_did_film import FilmKind, audio_seconds, film_of, image_size
from tests.support.fake_did_rules import (
    AUDIO,
    FILE_NAME,
    SOURCE,
    bad_audio,
    bad_image,
    bad_keys,
    part_of,
)
from tests.support.fake_did_wire import FAULTS, Answer, Fault, Server, problem

KEY: Final = "ZmFrZUBleGFtcGxlLm9yZw:a-secret-of-22-letters"
OWNER: Final = "google-oauth2|1099"
MAIL: Final = "owner@example.org"
Gate = Callable[[int, str, str], None]  # number of the request, "before" or "after", its words


@dataclass
class Switches:
    """How this D-ID behaves. `created` and `started` count the looks at a talk in that state."""

    credits: float = 20.0
    created: int = 1
    started: int = 1
    seconds: float = 0.0  # when above 0: real time until a talk is over, instead of looks
    outcome: str = "done"  # the last status of a talk: done, error, rejected
    error: Any = None  # what an unsuccessful talk carries in `error`
    odd_status: str = ""  # told once between created and started
    film: FilmKind = field(default_factory=FilmKind)
    expired_links: int = 0  # the next so many signed links are born expired
    unlisted: int = 0  # a new talk is missing from the next so many lists
    hidden: int = 0  # a new talk is 404 for the next so many looks at it
    newest_first: bool = True
    may_stitch: bool = True
    uploads_live: float = 24 * 3600.0


class FakeDid:
    """The server; a context manager. `store` keeps the ledger over a restart."""

    def __init__(
        self, store: Path | None = None, port: int = 0, key: str = KEY, **switches: Any
    ) -> None:
        self.key = key
        self.switches = Switches(**switches)
        self.gate: Gate = lambda *_: None
        self.requests: list[str] = []
        self.authorisations: list[str] = []  # of the requests for results: must stay empty
        self.bodies: list[dict[str, Any]] = []  # of the creates
        self._faults: list[tuple[str, Fault, int]] = []
        self._own = None if store else tempfile.TemporaryDirectory()
        self.store = store or Path(str(self._own.name if self._own else ""))
        self.store.mkdir(parents=True, exist_ok=True)
        self.lock = threading.RLock()
        self._load()
        self._server = Server(("127.0.0.1", port), self.answer)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        if self._own:
            self._own.cleanup()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def talks(self) -> list[dict[str, Any]]:
        """Every talk ever created, deleted ones too, oldest first."""
        return list(self.ledger["talks"].values())

    @property
    def charged(self) -> float:
        return float(self.ledger["charged"])

    @property
    def uploads(self) -> dict[str, dict[str, Any]]:
        """The files held now, by id."""
        return dict(self.ledger["uploads"])

    def content(self, upload_id: str) -> bytes:
        return (self.store / upload_id).read_bytes()

    def fail(self, request: str, fault: str | Fault, times: int = 1) -> None:
        """The next `times` requests `request` ("POST /talks"; "GET /talks/" for any id) fail so."""
        found = fault if isinstance(fault, Fault) else FAULTS[fault]
        self._faults.append((request, found, times))

    def mend(self) -> None:
        """Forget all faults."""
        with self.lock:
            self._faults.clear()

    def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes
    ) -> Answer | Fault:
        """What to send back; every request comes through here."""
        words = f"{method} {urlsplit(target).path}"
        with self.lock:
            self.requests.append(words)
            number = len(self.requests)
        self.gate(number, "before", words)
        fault = self._due(words)
        if fault is not None and not fault.accepts:
            return fault
        with self.lock:
            answered = self._routed(method, target, headers, body)
            self._save()
        self.gate(number, "after", words)
        return fault or answered

    def _due(self, words: str) -> Fault | None:
        with self.lock:
            for index, (prefix, fault, times) in enumerate(self._faults):
                fits = words.startswith(prefix) if prefix.endswith("/") else words == prefix
                if fits and times > 0:
                    self._faults[index] = (prefix, fault, times - 1)
                    return fault
        return None

    def _routed(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        path = urlsplit(target).path
        if path.startswith("/s3/"):
            return self._result(method, target, headers)
        if not self._is_authorised(headers.get("Authorization", "")):
            return problem(401, "AuthorizationError", "user unauthenticated")
        kind, _, its_id = path.strip("/").partition("/")
        if (method, path) == ("GET", "/credits"):
            return Answer(200, self._credits())
        if (method, path) == ("POST", "/talks"):
            return self._create(headers, body)
        if (method, path) == ("GET", "/talks"):
            return self._listed(parse_qs(urlsplit(target).query))
        if kind == "talks" and method == "GET":
            return self._talk(its_id)
        if kind == "talks" and method == "DELETE":
            return self._delete_talk(its_id)
        if kind in ("images", "audios") and method == "POST" and not its_id:
            return self._upload(kind, headers, body)
        if kind in ("images", "audios") and method == "DELETE":
            return self._delete_upload(kind, its_id)
        text = "API documentation is available at https://docs.d-id.com"
        return problem(405, "MethodNotAllowedError", text)

    def _credits(self) -> dict[str, Any]:
        total = self.switches.credits
        sums = {"remaining": total - self.charged, "total": total}
        dates = dict.fromkeys(("created_at", "modified_at"), "2026-03-12T11:06:27.652Z")
        one = {"owner_id": OWNER, **dates, **sums, "expire_at": "2027-03-12T00:00:00.000Z"}
        return {"credits": [one] if total else [], **sums}

    def _is_authorised(self, header: str) -> bool:
        encoded = base64.b64encode(self.key.encode()).decode()
        return header in (f"Basic {self.key}", f"Basic {encoded}", f"Bearer {self.key}")

    def _upload(self, kind: str, headers: Mapping[str, str], body: bytes) -> Answer:
        singular = kind.removesuffix("s")
        part = part_of(headers.get("Content-Type", ""), body, singular)
        if part is None:
            return problem(400, "ValidationError", "validation failed")
        name, mime, content = part
        if not FILE_NAME.fullmatch(name):
            return problem(400, "BadRequestError", f"invalid {singular}")
        bad = bad_image(mime, content) if kind == "images" else bad_audio(mime, content)
        if bad:
            return bad
        its_id = f"{singular[:3]}_{hashlib.sha256(body).hexdigest()[:12]}{len(self.uploads)}"
        url = f"s3://d-id-{kind}-prod/{OWNER}/{its_id}/{name}"
        (self.store / its_id).write_bytes(content)
        self.ledger["uploads"][its_id] = {"kind": kind, "url": url, "at": time.time()}
        extra = {"faces": None} if kind == "images" else {"duration": audio_seconds(content)}
        return Answer(201, {"url": url, "id": its_id, **extra})

    def _create(self, headers: Mapping[str, str], body: bytes) -> Answer:
        if not headers.get("Content-Type", "").startswith("application/json"):
            return problem(400, "ValidationError", "validation failed")
        asked = json.loads(body)
        self.bodies.append(asked)
        bad = bad_keys(asked) or self._bad_sources(asked)
        if bad:
            return bad
        if asked["config"].get("stitch") and not self.switches.may_stitch:
            return problem(403, "PermissionError", "user has no permission for stitch")
        voice = self._issued(asked["script"]["audio_url"])
        seconds = audio_seconds(self.content(voice))
        cost = max(1, math.ceil(seconds / 15))
        if self.charged + cost > self.switches.credits:
            return problem(402, "InsufficientCreditsError", "not enough credits")
        self.ledger["charged"] += cost
        talk_id = f"tlk_{len(self.ledger['talks']) + 1}_{hashlib.sha256(body).hexdigest()[:10]}"
        talk = {
            "id": talk_id,
            "at": time.time(),
            "looks": 0,
            "unlisted": self.switches.unlisted,
            "hidden": self.switches.hidden,
            "deleted": False,
            "asked": asked,
            "picture": self._issued(asked["source_url"]),
            "voice": voice,
            "seconds": seconds,
        }
        self.ledger["talks"][talk_id] = talk
        made = {"id": talk_id, "object": "talk", "created_by": OWNER, "status": "created"}
        return Answer(201, {**made, "created_at": "2026-03-12T11:06:27.652Z"})

    def _bad_sources(self, asked: Mapping[str, Any]) -> Answer | None:
        source, audio = asked.get("source_url", ""), asked["script"].get("audio_url", "")
        if not SOURCE.fullmatch(source) or not AUDIO.match(audio):
            return problem(400, "ValidationError", "validation failed")
        if not self._issued(source) or not self._issued(audio):
            return problem(400, "BadRequestError", "invalid actor url")
        width, height = image_size(self.content(self._issued(source)))
        if width * height > 10 * 1024 * 1024:
            return problem(400, "InvalidFileSizeError", "file size exceeded 10 MB")
        return None

    def _issued(self, url: str) -> str:
        """The id of an upload that was given this address and still lives, else ""."""
        oldest = time.time() - self.switches.uploads_live
        for its_id, upload in self.uploads.items():
            if upload["url"] == url and upload["at"] >= oldest:
                return its_id
        return ""

    def _talk(self, talk_id: str) -> Answer:
        talk = self._live(talk_id)
        if talk is None:
            return problem(404, "NotFoundError", "not found")
        if talk["hidden"] > 0:
            talk["hidden"] -= 1
            return problem(404, "NotFoundError", "not found")
        talk["looks"] += 1
        return Answer(200, self._seen(talk))

    def _live(self, talk_id: str) -> dict[str, Any] | None:
        talk: dict[str, Any] | None = self.ledger["talks"].get(talk_id)
        return None if talk is None or talk["deleted"] else talk

    def _status(self, talk: Mapping[str, Any]) -> str:
        switches = self.switches
        odd = [switches.odd_status] if switches.odd_status else []
        if switches.seconds:
            states = ["created", *odd, "started"]
            now = int((time.time() - talk["at"]) / switches.seconds * len(states))
        else:
            states = ["created"] * switches.created + odd + ["started"] * switches.started
            now = talk["looks"] - 1
        return states[now] if 0 <= now < len(states) else switches.outcome

    def _seen(self, talk: Mapping[str, Any]) -> dict[str, Any]:
        """A talk as D-ID shows it, with everything nobody asked for."""
        status = self._status(talk)
        asked = talk["asked"]
        seen = {
            "user": {"features": ["stitch", None], "id": OWNER, "email": MAIL},
            "script": {"length": 239, "subtitles": False, "type": "audio"},
            "audio_url": "https://d-id-talks-prod.s3.amazonaws.com/a.wav?Signature=x%3D",
            "created_at": "2026-03-12T11:06:27.652Z",
            "modified_at": "2026-03-12T11:06:27.827Z",
            "started_at": "2026-03-12T11:06:27.720",
            "config": {**asked["config"], "result_format": ".mp4", "sharpen": True},
            "source_url": asked["source_url"],
            "status": status,
            "driver_url": "bank://natural/",
            "user_id": OWNER,
            "id": talk["id"],
            "duration": round(talk["seconds"]),
            "user_data": asked.get("user_data"),
            "name": asked.get("name"),
        }
        if status == "done":
            seen["result_url"] = self._signed(talk["id"])
        elif status in ("error", "rejected"):
            seen |= {"error": self.switches.error} if self.switches.error is not None else {}
        else:
            seen["pending_url"] = f"s3://d-id-talks-prod/{OWNER}/{talk['id']}/1710241587652.mp4"
        return seen

    def _listed(self, query: Mapping[str, list[str]]) -> Answer:
        shown = [talk for talk in self.talks if not talk["deleted"]]
        for talk in [talk for talk in shown if talk["unlisted"] > 0]:
            talk["unlisted"] -= 1
            shown.remove(talk)
        if self.switches.newest_first:
            shown.reverse()
        first, limit = int(query.get("token", ["0"])[0]), int(query.get("limit", ["100"])[0])
        page = {"talks": [self._seen(talk) for talk in shown[first : first + limit]]}
        more = {"token": str(first + limit)} if first + limit < len(shown) else {}
        return Answer(200, {**page, **more})

    def _delete_talk(self, talk_id: str) -> Answer:
        talk = self._live(talk_id)
        if talk is None:
            return problem(404, "NotFoundError", "not found")
        if self._status(talk) in ("created", "started"):
            return problem(409, "NotReadyError", "talk is in process, try again later")
        talk["deleted"] = True
        return Answer(200, self._seen(talk))

    def _delete_upload(self, kind: str, its_id: str) -> Answer:
        if self.uploads.get(its_id, {}).get("kind") != kind:
            return problem(404, "NotFoundError", f"{kind.removesuffix('s')} not found")
        del self.ledger["uploads"][its_id]
        return Answer(204, None)

    def _signed(self, talk_id: str) -> str:
        life = 24 * 3600
        if self.switches.expired_links > 0:
            self.switches.expired_links -= 1
            life = -60
        expires = int(time.time()) + life
        path = f"/s3/{quote(OWNER, safe='')}/{talk_id}/video.mp4"
        signature = quote(self._signature(path, expires), safe="")
        return f"{self.url}{path}?AWSAccessKeyId=AKIAFAKE&Expires={expires}&Signature={signature}"

    def _signature(self, path: str, expires: int) -> str:
        digest = hmac.digest(b"fake", f"{path}{expires}".encode(), "sha1")
        return base64.b64encode(digest).decode()

    def _result(self, method: str, target: str, headers: Mapping[str, str]) -> Answer:
        where, query = urlsplit(target), parse_qs(urlsplit(target).query)
        if "Authorization" in headers:
            self.authorisations.append(where.path)
            text = "Only one auth mechanism allowed"
            return Answer(
                400, f"<Error><Code>InvalidArgument</Code><Message>{text}</Message></Error>"
            )
        expires = int(query.get("Expires", ["0"])[0])
        right = self._signature(where.path, expires)
        if method != "GET" or query.get("Signature") != [right] or expires < time.time():
            text = "Request has expired"
            return Answer(403, f"<Error><Code>AccessDenied</Code><Message>{text}</Message></Error>")
        talk = self.ledger["talks"][where.path.split("/")[-2]]
        stitch = talk["asked"]["config"].get("stitch", False)
        picture, voice = self.content(talk["picture"]), self.content(talk["voice"])
        film = film_of(picture, voice, stitch, self.switches.film)
        return Answer(200, film, {"Content-Type": "video/mp4"})

    def _load(self) -> None:
        file = self.store / "ledger.json"
        empty: dict[str, Any] = {"talks": {}, "uploads": {}, "charged": 0}
        self.ledger: dict[str, Any] = json.loads(file.read_text()) if file.exists() else empty

    def _save(self) -> None:
        (self.store / "ledger.json").write_text(json.dumps(self.ledger))


if __name__ == "__main__":
    from tests.support.fake_did_hand import main

    main()
