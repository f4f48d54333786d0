"""The two stages of a film made by D-ID: send picture and voice; order, wait and fetch.

How a request is made and why none is paid twice stands in `renderers.did`; here is the order
of things, and what people are told meanwhile.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from vidgen.did import payload
from vidgen.did.auth import Account
from vidgen.did.client import Client, LinkExpired
from vidgen.did.credits import check_credits, credit_cost
from vidgen.did.orders import Order, OrderBook, Result, configuration, place, settle
from vidgen.did.polling import LAST, PROCESSING, PastTalks, poll_talk
from vidgen.did.schema import Talk, Uploaded
from vidgen.did.timing import Timing
from vidgen.errors import RenderError, VidgenError
from vidgen.events import Emit, Log, StageProgress
from vidgen.files import sha256_of
from vidgen.media.encodings import Encoding, encoding_for
from vidgen.signals import is_cancel
from vidgen.work import Cutout, Film, Folder, Notes, Photo, Speech, Subject, Work

UPLOAD: Final = "d_id_upload"
FETCHES: Final = 3  # of one result, each with a fresh link


@dataclass(frozen=True, slots=True)
class DidUpload:
    """Stage `d_id_upload`: Photo, Subject, Cutout, Speech, Folder -> Order, its files at D-ID.

    Sends nothing when this video is ordered already. Raises InputError for what D-ID cannot
    do, RenderError when the account's credits do not suffice.
    """

    account: Account
    task_id: str
    patience: Timing = field(default_factory=Timing)

    @property
    def name(self) -> str:
        return UPLOAD

    def run(self, work: Work, emit: Emit) -> Work:
        speech = work.get(Speech)
        payload.refuse(speech.seconds)
        if speech.seconds > payload.SAFE_SECONDS:
            emit(Log("WARNING", "did.long", {"seconds": speech.seconds}))
        rgb = payload.flat(work.get(Subject), work.get(Cutout))
        settings = json.dumps(configuration(self.account.stitch))
        content = payload.fingerprint(work.get(Photo), speech, settings)
        book = OrderBook(work.get(Folder).task)
        order, replaced = book.open(self.task_id, content)
        if replaced and replaced.talk_id and not replaced.result:
            emit(Log("WARNING", "did.replaced", {"talk": replaced.talk_id}))
        if order.talk_id and not order.failed:
            return _reuse(work, order)
        with Client(self.account, emit, self.patience) as client:
            order = settle(client, book, order, emit)
            if order.talk_id:
                return _reuse(work, order)
            needed, left = check_credits(client, speech.seconds)
            files = (payload.picture(rgb), payload.voice(speech))
            order = _send(client, book, order, files, emit)
        notes = Notes(
            {
                "backend": "d-id",
                "work": sum(len(file.content) for file in files) / 1e6,
                "work_unit": "megabytes",
                "credits": needed,
                "credits_left": left,
            },
            "did.uploaded",
        )
        return work.plus(order, notes)


@dataclass(frozen=True, slots=True)
class DidProcessing:
    """Stage `d_id_processing`: Order, Subject, Speech, Folder -> Film.

    Orders the talk if nobody has, waits for it, fetches and checks the result. A second run
    takes up the same talk; with the result on disk it asks D-ID for nothing.
    """

    account: Account
    patience: Timing = field(default_factory=Timing)
    past: PastTalks = field(default_factory=PastTalks)
    format: str = "mp4"  # of the video that the film will be part of

    @property
    def name(self) -> str:
        return PROCESSING

    def run(self, work: Work, emit: Emit) -> Work:
        order, folder, seconds = work.get(Order), work.get(Folder).work, work.get(Speech).seconds
        book = OrderBook(work.get(Folder).task)
        began = self.patience.clock()
        had = _intact(order, folder)
        with Client(self.account, emit, self.patience) as client:
            if not had:
                order, talk = _bought(client, book, order, seconds, emit, self.past)
                order = _fetch(client, book, order, talk, folder, seconds, emit)
            if not self.account.keep and not order.is_cleaned:
                order = _clean_up(client, book, order, emit)
        film = _film(order, folder, work, encoding_for(self.format), emit)
        notes = Notes(
            {
                "backend": "d-id",
                "work": seconds,
                "work_unit": "seconds",
                "waited_seconds": round(self.patience.clock() - began, 1),
                "talk": order.talk_id,
            },
            "did.reused" if had else "did.done",
            "reused" if had else "completed",
        )
        return work.plus(order, film, notes)


def _reuse(work: Work, order: Order) -> Work:
    return work.plus(order, Notes({"backend": "d-id"}, "did.reused", "reused"))


def _send(
    client: Client,
    book: OrderBook,
    order: Order,
    files: tuple[payload.Payload, payload.Payload],
    emit: Emit,
) -> Order:
    """The order with both files at D-ID, noted one by one; what is there still is not sent."""
    image, audio = files
    total = len(image.content) + len(audio.content)
    emit(StageProgress(UPLOAD, 0, total, "bytes"))
    if not _lives(order.picture, client.patience):
        picture = client.upload_image(image.name, image.content, image.mime)
        order = book.save(replace(order, picture=picture))
    emit(StageProgress(UPLOAD, len(image.content), total, "bytes"))
    if not _lives(order.voice, client.patience):
        voice = client.upload_audio(audio.name, audio.content, audio.mime)
        order = book.save(replace(order, voice=voice))
    emit(StageProgress(UPLOAD, total, total, "bytes"))
    return order


def _lives(upload: Uploaded | None, patience: Timing) -> bool:
    """Whether D-ID still holds the file."""
    return upload is not None and 0 <= patience.wall() - upload.at < patience.uploads_live


def _intact(order: Order, folder: Path) -> bool:
    """Whether the result is on disk as it was fetched."""
    if order.result is None:
        return False
    file = folder / order.result.file
    return file.is_file() and sha256_of(file) == order.result.sha256


def _bought(
    client: Client, book: OrderBook, order: Order, seconds: float, emit: Emit, past: PastTalks
) -> tuple[Order, Talk]:
    """The order and its talk, which is done."""
    is_new = not order.talk_id
    with _cancel_notice(book, emit):
        if is_new:
            order = place(client, book, order, emit)
            emit(Log("INFO", "did.ordered", {"talk": order.talk_id}))
        began = client.patience.clock()
        talk = poll_talk(client, book, order, seconds, emit, past.wait_seconds(seconds), is_new)
    if is_new:
        past.remember(seconds, client.patience.clock() - began)
    return order, talk


@contextmanager
def _cancel_notice(book: OrderBook, emit: Emit) -> Iterator[None]:
    """Say what happens at D-ID when somebody ends the run: they have no way to cancel."""
    try:
        yield
    except BaseException as error:
        if is_cancel(error):
            emit(Log("WARNING", "did.left_running", {"file": book.file.name}))
        raise


def _fetch(
    client: Client,
    book: OrderBook,
    order: Order,
    talk: Talk,
    folder: Path,
    seconds: float,
    emit: Emit,
) -> Order:
    """The order with its result in `folder`, checked."""

    def on_progress(here: int, total: int) -> None:
        part = here / total if total else 0.0
        done = 100 * LAST + 8 * min(1.0, part)
        emit(StageProgress(PROCESSING, done, 100, "percent", "did.fetching", {"bytes": here}))

    file = folder / f"d-id-{order.attempt}.mp4"
    for fetch in range(FETCHES):
        try:
            client.download(talk.result_url, file, on_progress, seconds)
            payload.check_film(file, seconds)
        except LinkExpired:
            emit(Log("INFO", "did.link_expired", {"fetch": fetch + 1}))
        except RenderError as error:
            if not error.code.startswith("did.result_") or fetch + 1 == FETCHES:
                raise
            emit(Log("WARNING", "did.fetching_again", {"reason": error.message.removesuffix(".")}))
        else:
            return book.save(replace(order, result=Result(file.name, sha256_of(file))))
        talk = client.talk(order.talk_id)  # with a fresh link
    raise RenderError(
        "The link to D-ID's film does not open, nor do fresh ones.",
        hint="Wait a while, then `vidgen resume`: the film is paid and stays with D-ID.",
        code="did.link",
        is_retryable=True,
        talk=order.talk_id,
    )


def _clean_up(client: Client, book: OrderBook, order: Order, emit: Emit) -> Order:
    """Remove the video and both files at D-ID. What cannot be removed is said, not fatal."""
    left = []
    held = (("talks", order.talk_id), ("images", order.picture), ("audios", order.voice))
    for kind, one in held:
        its_id = one if isinstance(one, str) else one.id if one else ""
        try:
            if its_id:
                client.delete(kind, its_id)
        except VidgenError as error:
            left.append(kind)
            emit(Log("WARNING", "did.not_deleted", {"kind": kind, "reason": error.message}))
    return book.save(replace(order, is_cleaned=not left))


def _film(order: Order, folder: Path, work: Work, encoding: Encoding, emit: Emit) -> Film:
    """The result as a piece that the voice can be joined to, encoded anew only if it must be."""
    assert order.result is not None
    file = folder / order.result.file
    found = payload.check_film(file, work.get(Speech).seconds)
    height, width = work.get(Subject).frame.shape[:2]
    size = (width, height)
    if found.size != size and not payload.is_same_shape(found.size, size):
        # A square of the face is another picture; stretching it would help nobody.
        size = (found.size[0] // 2 * 2, found.size[1] // 2 * 2)
        emit(Log("WARNING", "did.other_shape", {"width": size[0], "height": size[1]}))
    if found.size != size or not payload.is_joinable(file, encoding):
        was = f"{found.size[0]}×{found.size[1]} {found.video_codec}"
        target = file.with_name(f"{file.stem}-{size[0]}x{size[1]}{encoding.suffix}")
        found = payload.reencode(file, found, size, target, encoding)
        now = {"width": size[0], "height": size[1], "codec": found.video_codec}
        emit(Log("INFO", "did.encoded_anew", {"was": was, **now}))
        file = target
    told = {
        "renderer": "d-id",
        "talk": order.talk_id,
        "credits": credit_cost(work.get(Speech).seconds),
    }
    return Film((file,), found.frame_count, found.fps, found.size, metadata=told)
