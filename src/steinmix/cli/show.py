"""Results for people, as aligned lines, and for machines, as one JSON object."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from .._machine import counted, finite

__all__ = ["print_json", "print_pairs", "print_result", "print_rows", "say", "size"]


def say(text: str) -> None:
    """Tell something that is no result, on standard error."""
    print(f"steinmix: {text}", file=sys.stderr)


def print_result(options: argparse.Namespace, found: Mapping[str, Any], words: Mapping[str, Any] | None = None) -> None:
    """Print what a verb found as one JSON object with --json, as names and values otherwise, not at all with --quiet.

    Parameters
    ----------
    options : argparse.Namespace
    found : mapping
    words : mapping, optional
        What people read; `found` unless given.
    """
    if options.json:
        print_json(found)
    elif not options.quiet:
        print_pairs(found if words is None else words)


def print_json(content: Mapping[str, Any]) -> None:
    """Print one JSON object."""
    print(json.dumps(finite(content), indent=1))


def print_pairs(pairs: Mapping[str, Any]) -> None:
    """Print names and values, one a line; what is None is left out."""
    kept = {name: _text(value) for name, value in pairs.items() if value is not None}
    width = max(map(len, kept))
    print("\n".join(f"{name:<{width}}  {value}" for name, value in kept.items()))


def print_rows(rows: Sequence[Sequence[Any]], left: Collection[int] = (0,)) -> None:
    """Print a table after an empty line: the columns `left` to the left, others to the right; nothing for no rows."""
    if not rows:
        return
    cells = [[_text(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells)]
    print()
    for row in cells:
        padded = [f"{cell:{'<' if i in left else '>'}{width}}" for i, (cell, width) in enumerate(zip(row, widths))]
        print("  ".join(padded).rstrip())


def size(shape: Sequence[int]) -> str:
    """Return the shape of data in words.

    Examples
    --------
    >>> size([150, 1])
    '150 rows x 1 column'
    """
    return f"{counted(shape[0], 'row')} x {counted(shape[1], 'column')}"


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if not isinstance(value, float):
        return " ".join(str(value).splitlines())  # a line break in a name would tear a table
    return f"{value:.4g}" if abs(value) >= 1000 or 0 < abs(value) < 1e-3 else f"{value:.4f}"
