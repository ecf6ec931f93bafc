"""The command line: ``steinmix demo | fit | predict | score | sample | report | reproduce | data``."""

from .entry import main

__all__ = ["main"]
