"""Seconds of imports in money."""

import re
from dataclasses import dataclass

from leangen.spec import LeangenError

PRICE = re.compile(r"(\d+(?:\.\d+)?)/h")
HOUR = 3600  # seconds
MANY = 1_000_000  # requests


@dataclass(frozen=True)
class Price:
    """What an hour of the machine costs, in whatever money."""

    an_hour: float

    def of(self, seconds: float) -> float:
        """Give what some seconds cost."""
        return seconds / HOUR * self.an_hour

    @property
    def formula(self) -> str:
        """Say how the figures come about."""
        start = f"import seconds / {HOUR:,} x {self.an_hour:g}"
        return (
            f"a cold start: {start}; {MANY:,} requests, each a cold start: x {MANY:,}"
        )


def price_in(text: str) -> Price:
    """Read a price, such as 0.40/h."""
    found = PRICE.fullmatch(text)
    if not found:
        raise LeangenError.of(
            f"--price {text}: not a price an hour",
            remedy="write it as 0.40/h",
            code="price",
        )
    return Price(float(found[1]))
