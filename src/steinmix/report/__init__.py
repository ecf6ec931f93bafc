"""One self-contained HTML page about a fitted model, and the null rows its result stands beside.

Drawing needs the extra ``report``; the null rows do not. Nothing heavy is imported before a name is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .page import write_report
    from .tables import null_rows

__all__ = ["null_rows", "write_report"]

_HOME = {"null_rows": "tables", "write_report": "page"}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(f".{_HOME[name]}", __name__), name)
    raise AttributeError(f"module 'steinmix.report' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__]
