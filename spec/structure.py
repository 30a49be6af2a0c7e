"""What structured pruning leaves of a model: shares of its sizes -> smaller sizes."""

import math

UNIT = 32  # channels that go together: kernels and scales take such groups


def step_of(width: int) -> int:
    """Count the channels that go together: 32, or fewer where those do not divide all."""
    return math.gcd(width, UNIT)


def channels_left(width: int, share: float | None) -> int:
    """Count the feed-forward channels that stay."""
    step = step_of(width)
    return width - round(width * (share or 0) / step) * step


def some_left(count: int, share: float | None) -> int:
    """Count the layers, or the groups of heads, that stay."""
    return count - round(count * (share or 0))
