"""Templates to text."""

from __future__ import annotations

from typing import Any

from .words import FILTERS

__all__ = ["render"]


def render(name: str, **context: Any) -> str:
    """Return a template of this package, filled; every value is escaped, and a missing one is an error."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("steinmix.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= FILTERS
    return environment.get_template(name).render(**context)
