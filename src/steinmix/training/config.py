"""The settings of a training run, apart from the method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch

from .._params import Configuration
from ..errors import ConfigError
from .distributed import local_rank
from .schedules import Constant, Schedule

__all__ = ["OPTIMIZERS", "PRECISIONS", "Training"]

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adagrad": torch.optim.Adagrad,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}
FUSED = {"adagrad", "adam", "adamw", "sgd"}
PRECISIONS: dict[str, torch.dtype | None] = {"bf16": torch.bfloat16, "fp32": None}


@dataclass
class Training(Configuration):
    """How to train: any field is reached by grid search as ``training__<field>``.

    Parameters
    ----------
    epochs : int, optional
        Epochs of the method's main phase; None lets the method choose by the number of rows.
    batch_size : int, default=256
    lr : float, optional
        Learning rate; None takes the method's.
    optimizer : {"adam", "adamw", "adagrad", "rmsprop", "sgd"} or callable, default="adam"
        By name (fused where torch has it), or ``(params, lr=...) -> torch.optim.Optimizer``.
    schedule : Schedule, default=Constant()
    clip_norm : float, optional
        Largest norm of an objective's gradient.
    accumulate : int, default=1
        Batches whose gradients are averaged for one step.
    precision : {"fp32", "bf16"}, default="fp32"
        bf16 runs matrix products under autocast; parameters stay in fp32.
    device : str, default="auto"
        A torch device; "auto" takes a GPU if there is one.
    resident_bytes : int, default=2**31
        Data up to this size are kept whole on the device, in their own type; larger ones are read batch by batch.
    distinct_rows : bool, default=False
        Compute what depends on a row alone once for equal rows of a batch. It is exact, and pays where rows repeat.
    progress : bool, optional
        Show a progress bar; None shows one on a terminal only.
    callbacks : tuple of Callback, default=()
        Called after every epoch.
    """

    epochs: int | None = None
    batch_size: int = 256
    lr: float | None = None
    optimizer: str | Callable[..., torch.optim.Optimizer] = "adam"
    schedule: Schedule = field(default_factory=Constant)
    clip_norm: float | None = None
    accumulate: int = 1
    precision: str = "fp32"
    device: str = "auto"
    resident_bytes: int = 2**31
    distinct_rows: bool = False
    progress: bool | None = None
    callbacks: tuple[Any, ...] = ()

    def check(self) -> None:
        """Raise ConfigError for a value that cannot work."""
        _at_least("epochs", self.epochs, 0)
        _at_least("batch_size", self.batch_size, 1)
        _at_least("accumulate", self.accumulate, 1)
        for name in ("lr", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ConfigError(f"training.{name} is {value!r}; expected a number > 0 or None.")
        _one_of("optimizer", self.optimizer, OPTIMIZERS)
        _one_of("precision", self.precision, PRECISIONS)
        self.torch_device()

    def torch_device(self) -> torch.device:
        """Return the device meant by `device`."""
        if self.device == "auto":
            return torch.device("cuda", local_rank()) if torch.cuda.is_available() else torch.device("cpu")
        try:
            return torch.device(self.device)
        except (RuntimeError, TypeError) as error:
            raise ConfigError(f"training.device is {self.device!r}; expected 'auto', 'cpu' or 'cuda[:i]'.") from error

    def build_optimizer(self, params: Any, lr: float) -> torch.optim.Optimizer:
        """Return the optimiser over `params` (parameters or groups), with learning rate `lr` where a group has none."""
        if not isinstance(self.optimizer, str):
            return self.optimizer(params, lr=lr)
        fused = {"fused": True} if self.optimizer in FUSED else {}
        return OPTIMIZERS[self.optimizer](params, lr=lr, **fused)


def _at_least(name: str, value: int | None, low: int) -> None:
    if value is not None and (isinstance(value, bool) or not float(value).is_integer() or value < low):
        raise ConfigError(f"training.{name} is {value!r}; expected a whole number >= {low}.")


def _one_of(name: str, value: Any, known: dict[str, Any]) -> None:
    if isinstance(value, str) and value not in known:
        raise ConfigError(f"training.{name} is {value!r}; expected one of {', '.join(sorted(known))}.")
