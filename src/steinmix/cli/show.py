"""Results for people, as aligned lines, and for machines, as one JSON object."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from .records import finite

__all__ = ["aligned", "print_json", "shown"]


def shown(value: Any) -> str:
    """Return a value as text for a table: numbers with four digits."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) >= 1e4 or 0 < abs(value) < 1e-3 else f"{value:.4f}"[:8].rstrip(".")
    return str(value)


def aligned(rows: Sequence[Sequence[str]], indent: str = "") -> str:
    """Return rows as lines whose columns are aligned: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    lines = []
    for row in rows:
        cells = [f"{cell:>{width}}" if i else f"{cell:<{width}}" for i, (cell, width) in enumerate(zip(row, widths))]
        lines.append((indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)


def print_json(content: Mapping[str, Any]) -> None:
    """Print one JSON object."""
    print(json.dumps(finite(content), indent=1))
