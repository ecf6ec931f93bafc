"""A warning of scikit-learn that is answered here, kept from the user."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

__all__ = ["without_convergence_warnings"]


class _Filter:
    """An entry in Python's process-wide list of filters, held while anyone needs it.

    With ``catch_warnings`` alone, of two fits in two threads the one that ends last would restore what the other had
    set, and the warning would be off for good.
    """

    def __init__(self) -> None:
        self._lock, self._users, self._held = threading.Lock(), 0, ExitStack()

    @contextmanager
    def taken(self) -> Iterator[None]:
        from sklearn.exceptions import ConvergenceWarning

        with self._lock:
            if not self._users:
                self._held.enter_context(warnings.catch_warnings(action="ignore", category=ConvergenceWarning))
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._held.close()


without_convergence_warnings = _Filter().taken
