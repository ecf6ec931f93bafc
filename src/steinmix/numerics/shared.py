"""Settings of the whole process that several threads may need at once."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

__all__ = ["Shared", "without_convergence_warnings"]


class Shared:
    """A setting that is made by the first who needs it, and undone when the last is done with it.

    If each thread made and undid it alone, the one that ends last would restore what another had set, for good.

    Parameters
    ----------
    setting : callable
        () -> context manager that makes the setting and undoes it.
    """

    def __init__(self, setting: Callable[[], AbstractContextManager[Any]]) -> None:
        self._setting, self._lock, self._users, self._held = setting, threading.Lock(), 0, ExitStack()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Return a context in which the setting holds."""
        with self._lock:
            if not self._users:
                self._held.enter_context(self._setting())
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._held.close()


def _convergence_ignored() -> AbstractContextManager[Any]:
    from sklearn.exceptions import ConvergenceWarning

    return warnings.catch_warnings(action="ignore", category=ConvergenceWarning)


without_convergence_warnings = Shared(_convergence_ignored)
"""Context without scikit-learn's warnings of what is answered here."""
