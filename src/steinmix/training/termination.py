"""SIGTERM during a run that keeps checkpoints: the epoch is finished and written, and the process ends with code 143.

A system that ends processes, such as a scheduler of jobs, kills what is not gone some seconds after SIGTERM. So an
epoch that takes longer than `GRACE` from then on is given up, and a second SIGTERM gives it up at once: the checkpoint
of the epoch before stands, and a resumed run goes on from it to the same bits.
"""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any, Self

from ..errors import DivergedError, Terminated

__all__ = ["GRACE", "Termination"]

GRACE = 5.0
"""Seconds an epoch may take after SIGTERM. Docker kills after 10 s, Slurm and Kubernetes after 30 s."""


class Termination:
    """Takes SIGTERM over while it is entered, in the main thread; elsewhere, or where it is ignored, it does nothing.

    Parameters
    ----------
    folder : path
        Where the checkpoints are, for the message.

    Attributes
    ----------
    requested : bool
        Whether SIGTERM has come.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.requested = folder, False
        self._previous: Any = None
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        ignored = signal.getsignal(signal.SIGTERM) in (signal.SIG_IGN, None)
        if threading.current_thread() is threading.main_thread() and not ignored:
            self._previous = signal.signal(signal.SIGTERM, self._noticed)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._previous is not None:
            signal.signal(signal.SIGTERM, self._previous)
        self._previous = self._timer = None
        if self.requested and (kind is None or issubclass(kind, DivergedError)):  # it came after the last `write`
            self.stop()

    def stop(self) -> None:
        """End the process; its last checkpoint is written.

        Raises
        ------
        Terminated
            Always.
        """
        raise Terminated(f"terminated; go on from the checkpoint in {self.folder} with resume=True (--resume).")

    def _noticed(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            self.stop()
        self.requested = True
        self._timer = threading.Timer(GRACE, os.kill, (os.getpid(), signal.SIGTERM))
        self._timer.daemon = True
        self._timer.start()
