"""The command line: ``steinmix demo | fit | predict | score | sample | report | data``."""

from .entry import main

__all__ = ["main"]
