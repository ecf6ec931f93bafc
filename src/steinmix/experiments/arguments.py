"""What the command lines of experiments share."""

from __future__ import annotations

__all__ = ["seeds"]


def seeds(text: str) -> list[int]:
    """Return the seeds meant by "3" or "0-9".

    Examples
    --------
    >>> seeds("2-4")
    [2, 3, 4]
    """
    low, _, high = text.partition("-")
    return list(range(int(low), int(high or low) + 1))
