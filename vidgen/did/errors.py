"""Every way D-ID says no, as one of vidgen's errors. Only makes the errors; raises none.

The rows follow D-ID's OpenAPI 4.2 and what their gateway answers besides it; a `kind` that is
not in the table is told by its HTTP status.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from vidgen.did.schema import Problem, Talk
from vidgen.errors import InputError, RenderError, SetupError, VidgenError


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One refusal: the error's class, code and sentences ({reason} is D-ID's own word)."""

    error: type[VidgenError]
    code: str
    message: str
    hint: str
    is_retryable: bool = False

    def build(self, **details: Any) -> VidgenError:
        return self.error(
            self.message,
            hint=self.hint,
            code=self.code,
            is_retryable=self.is_retryable,
            **details,
        )


UNAUTHORISED = ErrorRow(
    SetupError,
    code="did.unauthorised",
    message="D-ID does not accept the key, sent as {scheme}: {reason}",
    hint="Check the key in D-ID's studio, try --did-auth base64 or bearer, and see whether "
    "the account's last card payment went through: D-ID answers the same then.",
)
NO_CREDITS = ErrorRow(
    RenderError,
    code="did.no_credits",
    message="The D-ID account has not enough credits: {reason}",
    hint="Buy credits at D-ID, or use --renderer puppet.",
)
STITCH = ErrorRow(
    RenderError,
    code="did.stitch",
    message="The plan of this D-ID account does not return the whole picture: {reason}",
    hint="Use --no-did-stitch for a square of the face, another plan, or --renderer puppet.",
)
PERMISSION = ErrorRow(
    RenderError,
    code="did.permission",
    message="The plan of this D-ID account does not allow this: {reason}",
    hint="Look at the plan in D-ID's studio, or use --renderer puppet.",
)
NOT_FOUND = ErrorRow(
    RenderError,
    code="did.not_found",
    message="D-ID does not know what was asked for: {reason}",
    hint="It may have been deleted there, or DID_BASE_URL is wrong.",
)
NOT_READY = ErrorRow(
    RenderError,
    code="did.not_ready",
    message="D-ID is still working on it: {reason}",
    hint="Try again in a minute.",
    is_retryable=True,
)
TOO_LARGE = ErrorRow(
    InputError,
    code="did.too_large",
    message="D-ID finds the file too large: {reason}",
    hint="Give a smaller photo or a shorter voice.",
)
RESOLUTION = ErrorRow(
    InputError,
    code="did.resolution",
    message="D-ID does not take a picture of this size: {reason}",
    hint="Choose another --height, from 160 pixels on.",
)
DURATION = ErrorRow(
    InputError,
    code="did.duration",
    message="D-ID does not take a voice of this length: {reason}",
    hint="Give a voice between 1 second and 5 minutes.",
)
VALIDATION = ErrorRow(
    RenderError,
    code="did.validation",
    message="D-ID did not understand the request: {reason}",
    hint="Their interface may have changed; a newer vidgen may know it.",
)
BAD_IMAGE = ErrorRow(
    InputError,
    code="did.bad_image",
    message="D-ID cannot use the picture: {reason}",
    hint="Give another photo, or use --renderer puppet.",
)
BAD_AUDIO = ErrorRow(
    InputError,
    code="did.bad_audio",
    message="D-ID cannot use the voice: {reason}",
    hint="Give another recording, or use --renderer puppet.",
)
BAD_REQUEST = ErrorRow(
    RenderError,
    code="did.bad_request",
    message="D-ID refused the request: {reason}",
    hint="Uploads vanish there after a day: `vidgen resume` sends them again.",
)
MIME = ErrorRow(
    RenderError,
    code="did.mime",
    message="D-ID does not take this kind of file: {reason}",
    hint="Their interface may have changed; a newer vidgen may know it.",
)
IMAGE_MODERATION = ErrorRow(
    RenderError,
    code="did.image_moderation",
    message="D-ID's moderation refused the photo: {reason}",
    hint="Give another photo; D-ID's support can look at it by hand.",
)
CELEBRITY = ErrorRow(
    RenderError,
    code="did.celebrity",
    message="D-ID takes the person in the photo for a celebrity: {reason}",
    hint="D-ID does not animate known people; give another photo.",
)
AUDIO_MODERATION = ErrorRow(
    RenderError,
    code="did.audio_moderation",
    message="D-ID's moderation refused the voice: {reason}",
    hint="Give another recording.",
)
TEXT_MODERATION = ErrorRow(
    RenderError,
    code="did.text_moderation",
    message="D-ID's moderation refused the words: {reason}",
    hint="Give another recording.",
)
MODERATION = ErrorRow(
    RenderError,
    code="did.moderation",
    message="D-ID's moderation refused this: {reason}",
    hint="Give another photo or recording.",
)
BUSY = ErrorRow(
    RenderError,
    code="did.busy",
    message="D-ID asks to send less often: {reason}",
    hint="Wait a few minutes, then `vidgen resume`.",
    is_retryable=True,
)
SERVER = ErrorRow(
    RenderError,
    code="did.server",
    message="D-ID has trouble of its own (HTTP {status}): {reason}",
    hint="Wait a while, then `vidgen resume`.",
    is_retryable=True,
)
GATEWAY = ErrorRow(
    RenderError,
    code="did.gateway",
    message="D-ID did not answer in time (HTTP {status}): {reason}",
    hint="Wait a while, then `vidgen resume`.",
    is_retryable=True,
)
REFUSED = ErrorRow(
    RenderError,
    code="did.refused",
    message="D-ID refused with HTTP {status}: {reason}",
    hint="A newer vidgen may know this answer.",
)
NO_FACE = ErrorRow(
    InputError,
    code="did.no_face",
    message="D-ID found no face in the photo: {reason}",
    hint="Give a photo with one face from the front, or use --renderer puppet.",
)
REJECTED = ErrorRow(
    RenderError,
    code="did.rejected",
    message="D-ID's moderation rejected the film: {reason}",
    hint="Give another photo or recording; D-ID's support can say why.",
)
TALK_FAILED = ErrorRow(
    RenderError,
    code="did.talk_failed",
    message="D-ID could not make the film: {reason}",
    hint="`vidgen resume` orders it once more, which D-ID may charge again.",
    is_retryable=True,
)
TALK_REFUSED = ErrorRow(
    RenderError,
    code="did.talk_refused",
    message="D-ID could not make the film: {reason}",
    hint="The same files would fail again; give others, or use --renderer puppet.",
)

BY_KIND: Final[Mapping[str, ErrorRow]] = {
    "AuthorizationError": UNAUTHORISED,
    "InsufficientCreditsError": NO_CREDITS,
    "PermissionError": PERMISSION,
    "NotFoundError": NOT_FOUND,
    "NotReadyError": NOT_READY,
    "InvalidFileSizeError": TOO_LARGE,
    "InvalidImageResolutionError": RESOLUTION,
    "InvalidAudioDurationError": DURATION,
    "InvalidFaceError": NO_FACE,
    "ValidationError": VALIDATION,
    "UnsupportedMimeTypeError": MIME,
    "ImageModerationError": IMAGE_MODERATION,
    "CelebrityRecognizedError": CELEBRITY,
    "AudioModerationError": AUDIO_MODERATION,
    "TextModerationError": TEXT_MODERATION,
}
BY_STATUS: Final[Mapping[int, ErrorRow]] = {
    400: BAD_REQUEST,
    401: UNAUTHORISED,
    402: NO_CREDITS,
    403: PERMISSION,
    404: NOT_FOUND,
    408: GATEWAY,
    409: NOT_READY,
    413: TOO_LARGE,
    415: MIME,
    429: BUSY,
    451: MODERATION,
    502: GATEWAY,
    503: GATEWAY,
    504: GATEWAY,
}
# What a talk says that was taken and then failed. Only the unknown is worth a second order.
BY_TALK: Final[Mapping[str, ErrorRow]] = {
    "FaceError": NO_FACE,
    "SourceError": BAD_IMAGE,
    "DriverError": TALK_REFUSED,
    "LogoError": TALK_REFUSED,
    "VideoEnhanceError": TALK_REFUSED,
    "ImageModerationError": IMAGE_MODERATION,
    "CelebrityRecognizedError": CELEBRITY,
    "AudioModerationError": AUDIO_MODERATION,
    "TextModerationError": TEXT_MODERATION,
}


def refusal(action: str, status: int, problem: Problem, scheme: str) -> VidgenError:
    """The error for an HTTP answer to `action` ("image", "audio", "create", …)."""
    row = _row(action, status, problem)
    reason = problem.description or problem.kind or f"HTTP {status}"
    return row.build(reason=reason, kind=problem.kind, status=status, scheme=scheme, action=action)


def failure(talk: Talk, is_last: bool = False) -> VidgenError:
    """The error for a talk that D-ID took and then failed or rejected.

    is_last: it was ordered so often by now that it is not worth another time.
    """
    problem = talk.problem
    row = BY_TALK.get(problem.kind)
    if row is None:
        again = TALK_REFUSED if is_last else TALK_FAILED
        row = REJECTED if talk.status == "rejected" else again
    reason = problem.description or problem.kind or "no reason given"
    return row.build(reason=reason, kind=problem.kind, talk=talk.id)


def _row(action: str, status: int, problem: Problem) -> ErrorRow:
    if status >= 500:  # whatever body it carries
        return BY_STATUS.get(status, SERVER)
    if problem.kind == "PermissionError" and "stitch" in problem.description:
        return STITCH
    if status == 400 and problem.kind == "BadRequestError":
        return {"image": BAD_IMAGE, "audio": BAD_AUDIO}.get(action, BAD_REQUEST)
    return BY_KIND.get(problem.kind) or BY_STATUS.get(status, REFUSED)
