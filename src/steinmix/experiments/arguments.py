"""What the command lines of experiments share."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from ..errors import ConfigError

__all__ = ["command", "seeds"]


def command(module: str) -> argparse.ArgumentParser:
    """Return the command line of a module that runs rows: seeds, processes, and where the records are."""
    parser = argparse.ArgumentParser(prog=f"python -m steinmix.experiments.{module}")
    parser.add_argument("--seeds", type=seeds, default=[0], help="such as 3, or 0-9; 0 if left out")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the records")
    return parser


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
