r"""Optimisers of TensorFlow 1, which differ from torch's of the same names in ways that change results.

Both divide the gradient by the root of a running sum of its squares, in one formula:

.. math:: s \leftarrow \rho s + \kappa g^2, \qquad \theta \leftarrow \theta - \mathrm{lr}\, g / \sqrt{s + \epsilon}.

==============  ============  ==============  ===========  =================  ======================================
name            :math:`\rho`  :math:`\kappa`  s at first   :math:`\epsilon`   torch's of the same name
==============  ============  ==============  ===========  =================  ======================================
`TFAdagrad`     1             1               0.1          0                  s starts at 0, 1e-10 outside the root
`TFRMSprop`     0.9           0.1             1            1e-10              0.99 and 0.01, 0, 1e-8 outside the root
==============  ============  ==============  ===========  =================  ======================================

The authors' released toy code calls TensorFlow's RMSProp "adagrad"; see `steinmix.experiments.toy`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from ..errors import ConfigError

__all__ = ["RULES", "RootRule", "TFAdagrad", "TFRMSprop"]


class RootRule(NamedTuple):
    """The constants of the formula: `decay` rho, `gain` kappa, `start` of s, `eps`."""

    decay: float
    gain: float
    start: float
    eps: float


RULES = {
    "sgd": RootRule(0.0, 0.0, 0.0, 1.0),
    "tf_adagrad": RootRule(1.0, 1.0, 0.1, 0.0),
    "tf_rmsprop": RootRule(0.9, 0.1, 1.0, 1e-10),
}
"""Rules by name. With those of "sgd" the root is one."""


class _Root(Optimizer):
    rule: ClassVar[RootRule]

    def __init__(self, params: Any, lr: float = 0.05) -> None:
        if not lr > 0:
            raise ConfigError(f"lr is {lr!r}; expected a number > 0.")
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """Step every parameter that has a gradient; returns what `closure`, if given, returns."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, parameter.grad, group["lr"])
        return loss

    def _update(self, parameter: Tensor, gradient: Tensor, lr: float) -> None:
        state = self.state[parameter]
        if not state:
            state["square"] = torch.full_like(parameter, self.rule.start)
        square = state["square"].mul_(self.rule.decay).addcmul_(gradient, gradient, value=self.rule.gain)
        parameter.addcdiv_(gradient, (square + self.rule.eps).sqrt_(), value=-lr)


class TFAdagrad(_Root):
    """Adagrad as TensorFlow 1 has it: the sum of squares starts at 0.1.

    Parameters
    ----------
    params : iterable
        Parameters or parameter groups.
    lr : float, default=0.05
    """

    rule = RULES["tf_adagrad"]


class TFRMSprop(_Root):
    """RMSProp as TensorFlow 1 has it, without momentum: decay 0.9, the mean square starts at 1, 1e-10 inside the root.

    As the mean square starts at 1 and not at 0, the first steps are as long as those of plain gradient descent where
    gradients are small.

    Parameters
    ----------
    params : iterable
        Parameters or parameter groups.
    lr : float, default=0.05

    Examples
    --------
    >>> w = torch.nn.Parameter(torch.tensor([1.0]))
    >>> optimizer = TFRMSprop([w], lr=0.1)
    >>> w.square().sum().backward(); optimizer.step()
    >>> float(w.detach())       # 1 - 0.1 * 2 / sqrt(0.9 + 0.1 * 4)
    0.8245...
    """

    rule = RULES["tf_rmsprop"]
