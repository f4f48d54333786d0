"""What a talk costs at D-ID, and whether the account has it. Orders nothing."""

import math
from typing import Final

from vidgen.did.client import Client
from vidgen.errors import RenderError

CREDIT_SECONDS: Final = 15.0


def credit_cost(seconds: float) -> int:
    """Credits for a voice of this length: each begun 15 seconds cost one."""
    return max(1, math.ceil(seconds / CREDIT_SECONDS))


def check_credits(client: Client, seconds: float) -> tuple[int, float]:
    """(needed, left). Raises RenderError when there are too few."""
    needed, left = credit_cost(seconds), client.credits_left()
    if left < needed:
        raise RenderError(
            "The voice costs {needed} D-ID credits, the account has {left:g}.",
            hint="Buy credits at D-ID, give a shorter voice, or use --renderer puppet.",
            code="did.credits_short",
            needed=needed,
            left=left,
        )
    return needed, left
