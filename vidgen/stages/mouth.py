"""Refuse the speaker whose mouth is covered, and tell of one that can hardly be animated."""

from typing import Final

import numpy as np

from vidgen.errors import InputError
from vidgen.events import Emit, Log
from vidgen.stages.frame_picture import part_around
from vidgen.stages.people import blurry_face, hidden_mouth
from vidgen.vision.detail import spare_pixels
from vidgen.vision.exposure import fault_of
from vidgen.vision.faces import INNER_LIPS, LandmarkNet, Landmarks
from vidgen.vision.hands import HandFinder, hidden_share
from vidgen.vision.mouth_cover import OUTER, is_covered, mouth_line
from vidgen.work import Pixels

DOUBTFUL: Final = 0.013  # `LandmarkNet.doubt` of a mouth that can hardly be seen
# A hand is looked for where the landmarks are in so much doubt, the line between the lips is so
# faint (luma), or the lips are no redder than that (a of Lab): in 36 of 100 free mouths
WORTH_A_LOOK: Final = (0.009, 0.15, 1.5)
BEHIND: Final = 1 / 3  # of the lips, behind a hand: the mouth cannot speak
UNSEEN: Final = 2.0  # times that a face can be shrunk whose mouth is not seen for that
WIDE: Final = 0.11  # of the face: lips so far apart in the photo cannot be brought together well


def check_mouth(
    rgb: Pixels, face: Landmarks, landmarks: LandmarkNet, hands: HandFinder | None, emit: Emit
) -> None:
    """Raises InputError for a covered mouth in `rgb` (H, W, 3); a doubtful or wide one is told."""
    doubt, line = landmarks.doubt(rgb, face), mouth_line(rgb, face)
    covered = is_covered(line, doubt)
    doubtful, faint, pale = WORTH_A_LOOK
    if hands and (covered or doubt >= doubtful or line.usual < faint or line.red < pale):
        hidden = hidden_share(face.points[list(OUTER), :2], hands.near(rgb, face))
        if hidden >= BEHIND:
            raise _behind_a_hand(hidden)
    if covered:
        part = part_around(rgb, face.points)
        if (spare := spare_pixels(part)) >= UNSEEN:
            raise blurry_face(part.shape[0] / spare)
        raise hidden_mouth(fault_of(rgb, face), doubt, line.usual)
    if doubt >= DOUBTFUL:
        emit(Log("WARNING", "detect.mouth_unclear", {"doubt": round(doubt, 4)}))
    # no reason to refuse: of 11 over .15 six could be shut well, and nothing told which
    if (apart := _apart(face)) > WIDE:
        emit(Log("WARNING", "detect.mouth_open", {"percent": round(100 * apart)}))


def _behind_a_hand(hidden: float) -> InputError:
    return InputError(
        "A hand lies before the speaker's mouth: it hides {percent} % of the lips.",
        hint="Use a photo in which the whole mouth can be seen; a hand beside it may stay.",
        code="detect.hand",
        percent=round(100 * hidden),
    )


def _apart(face: Landmarks) -> float:
    """The distance of the inner lips as a share of the face's height."""
    above, below = face.points[list(INNER_LIPS), :2]
    return float(np.hypot(*(above - below)) / face.height)
