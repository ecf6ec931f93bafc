"""What the command lines of experiments share."""

from __future__ import annotations

import re

from ..errors import ConfigError

__all__ = ["seeds"]


def seeds(text: str) -> list[int]:
    """Return the seeds meant by "0-9", "3" or "0,2,5-7".

    Raises
    ------
    ConfigError
        If it is none of these.

    Examples
    --------
    >>> seeds("0,2,5-7")
    [0, 2, 5, 6, 7]
    """
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise ConfigError(f"--seeds: got {text!r}; expected numbers and ranges such as 0-9 or 0,2,5-7.")
        found += range(int(match[1]), int(match[2] or match[1]) + 1)
    return list(dict.fromkeys(found))
