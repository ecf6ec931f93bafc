"""Exponential moving averages of a module's tensors, which may be what a run gives back instead of the last ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ..objective import Phase

__all__ = ["Average"]


class Average:
    r"""Averages :math:`a_t = d_t a_{t-1} + (1 - d_t) w_t` of parameters and floating-point buffers.

    The decay is :math:`d_t = \min(d, t / (t + 9))`, t = 1, 2, ..., so that weights of the first steps are forgotten at
    once and short runs have an average too.

    Parameters
    ----------
    module : nn.Module
    decay : float
        In (0, 1).
    steps : int, default=0
        That are averaged already.
    tensors : mapping, optional
        The averages so far; None starts from the module's present tensors.
    """

    def __init__(
        self, module: nn.Module, decay: float, steps: int = 0, tensors: Mapping[str, Tensor] | None = None
    ) -> None:
        self.module, self.decay, self.steps = module, decay, steps
        found = self._current()
        self.tensors = {name: (tensors or found)[name].clone().to(value.device) for name, value in found.items()}

    def _current(self) -> dict[str, Tensor]:
        return {name: value for name, value in self.module.state_dict().items() if value.is_floating_point()}

    @torch.no_grad()
    def update_(self) -> None:
        """Take the module's tensors in, after a step."""
        self.steps += 1
        average = get_ema_multi_avg_fn(min(self.decay, self.steps / (self.steps + 9)))
        average(list(self.tensors.values()), list(self._current().values()), self.steps)

    def give_(self) -> None:
        """Put the averages into the module."""
        self.module.load_state_dict(self.tensors, strict=False)

    def follow(self, phase: Phase) -> Phase:
        """Return the phase with an update after each of its steps."""

        def after_step() -> None:
            if phase.after_step is not None:
                phase.after_step()
            self.update_()

        return replace(phase, after_step=after_step)
