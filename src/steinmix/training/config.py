"""The settings of a training run, apart from the method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from .._params import Configuration, check_at_least, check_choice, is_number
from ..errors import ConfigError
from .callbacks import Callback
from .distributed import local_rank
from .optimizers import TFAdagrad, TFRMSprop
from .schedules import Constant, Schedule

__all__ = ["OPTIMIZERS", "PRECISIONS", "Training", "has_fast_bf16", "is_large"]

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adagrad": torch.optim.Adagrad,
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
    "tf_adagrad": TFAdagrad,
    "tf_rmsprop": TFRMSprop,
}
FUSED = {"adagrad", "adam", "adamw", "sgd"}
LARGE = 500_000
"""Parameters from which other products than torch's own choice pay: bf16 is 1.35 x as fast as fp32 at 540,000 on two
cores, and as fast at 170,000."""

PRECISIONS: dict[str, torch.dtype | None] = {"auto": None, "bf16": torch.bfloat16, "fp32": None}


@dataclass
class Training(Configuration):
    """How to train: any field is reached by grid search as ``training__<field>``.

    Parameters
    ----------
    epochs : int, optional
        Epochs of the method's main phase; None lets the method choose by the number of rows.
    batch_size : int, default=256
        Rows in a batch; in a distributed run, of all processes together.
    lr : float, optional
        Learning rate; None takes the method's.
    optimizer : str or callable, default="adam"
        "adam", "adamw", "adagrad", "rmsprop" or "sgd" (fused where torch has it), "tf_adagrad" or "tf_rmsprop" (as
        TensorFlow 1 has them, `TFAdagrad` and `TFRMSprop`), or ``(params, lr=...) -> torch.optim.Optimizer``.
    schedule : Schedule, default=Constant()
        Factor on the learning rate in each epoch of a phase: `Constant`, `Cosine`, `StepDecay` or `Fade` of
        `steinmix.training`.
    clip_norm : float, optional
        Largest norm of an objective's gradient.
    accumulate : int, default=1
        Batches whose gradients are averaged for one step.
    ema : float, optional
        Decay, below 1, of a moving average of the weights over the steps of the last phase, which is the result in
        place of the last weights. What is measured after each epoch is of the weights themselves.
    precision : {"auto", "fp32", "bf16"}, default="auto"
        bf16 runs matrix products under autocast; parameters stay in fp32. "auto" takes it for networks with
        convolutions or half a million parameters where the device computes in bf16 (see `has_fast_bf16`), else fp32.
    device : str, default="auto"
        A torch device; "auto" takes a GPU if there is one.
    resident_bytes : int, default=2**31
        Arrays, sparse matrices and ``.npy`` files up to this size are kept whole on the device, in their own type;
        larger ones are read batch by batch. Text, Parquet and Arrow files are kept up to 32 MiB of rows (or up to this
        size, if it is less), and larger ones read front to back in every epoch.
    distinct_rows : bool, default=False
        Compute what depends on a row alone once for equal rows of a batch. It is exact, and pays where rows repeat.
    progress : bool, optional
        Show a progress bar; None shows one on a terminal only.
    callbacks : tuple of Callback, default=()
        Called after every epoch; of restarts that run in processes, copies of them are.
    """

    epochs: int | None = None
    batch_size: int = 256
    lr: float | None = None
    optimizer: str | Callable[..., torch.optim.Optimizer] = "adam"
    schedule: Schedule = field(default_factory=Constant)
    clip_norm: float | None = None
    accumulate: int = 1
    ema: float | None = None
    precision: str = "auto"
    device: str = "auto"
    resident_bytes: int = 2**31
    distinct_rows: bool = False
    progress: bool | None = None
    callbacks: tuple[Any, ...] = ()

    def check(self) -> None:
        """Raise ConfigError for a value that cannot work."""
        check_at_least("training.epochs", self.epochs, 0, optional=True)
        for name, least in (("batch_size", 1), ("accumulate", 1), ("resident_bytes", 0.0)):  # 4e9 is a size as well
            check_at_least(f"training.{name}", getattr(self, name), least)
        self._check_parts()
        for name in ("lr", "clip_norm"):
            value = getattr(self, name)
            if value is not None and not (is_number(value) and value > 0):
                raise ConfigError(f"training.{name} is {value!r}; expected a number > 0 or None.")
        if self.ema is not None and not (is_number(self.ema) and 0 < self.ema < 1):
            raise ConfigError(f"training.ema is {self.ema!r}; expected a number between 0 and 1, or None.")
        if not callable(self.optimizer):
            check_choice("training.optimizer", self.optimizer, OPTIMIZERS)
        check_choice("training.precision", self.precision, PRECISIONS)
        self.torch_device()

    def _check_parts(self) -> None:
        if isinstance(self.schedule, type) or not callable(self.schedule):
            raise ConfigError(f"training.schedule is {self.schedule!r}; expected an object such as Cosine().")
        sound = isinstance(self.callbacks, list | tuple) and all(isinstance(c, Callback) for c in self.callbacks)
        if not sound:
            raise ConfigError(f"training.callbacks is {self.callbacks!r}; expected a tuple of Callback objects.")

    def torch_device(self) -> torch.device:
        """Return the device meant by `device`."""
        if self.device == "auto":
            return torch.device("cuda", local_rank()) if torch.cuda.is_available() else torch.device("cpu")
        try:
            device = torch.device(self.device)
        except (RuntimeError, TypeError):
            device = None
        if device is None or device.type not in ("cpu", "cuda"):
            raise ConfigError(f"training.device is {self.device!r}; expected 'auto', 'cpu' or 'cuda[:i]'.")
        if device.type == "cuda" and not torch.cuda.is_available():
            raise ConfigError(f"training.device is {self.device!r}, and no GPU is found here; use 'auto' or 'cpu'.")
        return device

    def autocast_dtype(self, module: nn.Module, device: torch.device) -> torch.dtype | None:
        """Return the type of matrix products when `module` is trained on `device`; None for fp32.

        Parameters
        ----------
        module : nn.Module
            What is trained.
        device : torch.device
            Where.
        """
        if self.precision != "auto":
            return PRECISIONS[self.precision]
        pays = is_large(module) or any(isinstance(part, nn.Conv2d | nn.ConvTranspose2d) for part in module.modules())
        return torch.bfloat16 if pays and has_fast_bf16(device) else None

    def build_optimizer(self, params: Any, lr: float) -> torch.optim.Optimizer:
        """Return the optimiser over `params` (parameters or groups), with learning rate `lr` where a group has none.

        Parameters
        ----------
        params : iterable of Parameter or of dict
            Parameters, or groups of them.
        lr : float
            Learning rate of groups that name none.
        """
        if not isinstance(self.optimizer, str):
            return self.optimizer(params, lr=lr)
        fused = {"fused": True} if self.optimizer in FUSED else {}
        return OPTIMIZERS[self.optimizer](params, lr=lr, **fused)


def is_large(module: nn.Module) -> bool:
    """Whether the products of `module` are worth a choice of how they are computed."""
    return sum(p.numel() for p in module.parameters()) >= LARGE


def has_fast_bf16(device: torch.device) -> bool:
    """Whether `device` multiplies bf16 in hardware: a CPU with AVX-512 BF16 or AMX, a GPU of compute capability 8.0 up.

    Elsewhere bf16 is emulated, and slower than fp32. (oneDNN's own check answers yes for emulation too.)
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    # torch has no public name for these; where a version lacks one the answer is no, which costs speed only.
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return device.type == "cpu" and any(getattr(torch.cpu, check, bool)() for check in checks)
