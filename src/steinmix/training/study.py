r"""Studies: a grid of small Gaussian mixtures, trained as **one** tensor program.

A *problem* is one data set with one start and one order of its rows; an *arm* is one diversifier at several strengths,
with one optimiser. Every arm runs on every problem, and all runs step together: parameters are (s, v, m, d) for s
problems and v runs on each, minibatches (s, 1, d, b) with the rows last, and the gradient is closed form. Nothing is
drawn but the order of rows, from the problem's own streams, so a run does not depend on what else is in the study, and
the runs on one problem see the same batches: their difference is the arm's doing.

The arms use the library's diversifiers as they are; leading dimensions carry the grid. A run of one problem and one arm
takes the steps of `steinmix.training.run` on the same batches (a test).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._params import Configuration, check_at_least, check_choice
from ..diversify.base import Diversifier, NoDiversity, check_alpha
from ..errors import ConfigError, DataError
from ..numerics.ascent import mixture_ascent
from ..random import Streams
from .optimizers import RULES
from .schedules import Constant, Schedule

__all__ = ["Arm", "Fitted", "Problem", "Study"]


class Problem(NamedTuple):
    """One data set, one start, one order of rows."""

    x: Tensor
    """Rows (n, d)."""
    means: Tensor
    """Means at the start, (m, d), or each run's own, (v, m, d)."""
    log_vars: Tensor
    """Logarithms of the variances at the start, of the same shape."""
    streams: Streams
    """Its stream "order" gives the order of rows."""


@dataclass
class Arm(Configuration):
    """A diversifier at several strengths, with one optimiser: one run each on every problem.

    Parameters
    ----------
    diversifier : Diversifier, default=NoDiversity()
        Its own ``alpha`` is replaced by each of `alphas`.
    alphas : tuple of float, default=(0.0,)
    optimizer : {"tf_adagrad", "tf_rmsprop", "sgd"}, default="tf_adagrad"
    lr : float, default=0.05
    lr_schedule, alpha_schedule : Schedule
        Factors on both, set anew at each pass over the rows.
    """

    diversifier: Diversifier = field(default_factory=NoDiversity)
    alphas: tuple[float, ...] = (0.0,)
    optimizer: str = "tf_adagrad"
    lr: float = 0.05
    lr_schedule: Schedule = field(default_factory=Constant)
    alpha_schedule: Schedule = field(default_factory=Constant)

    def check(self) -> None:
        """Raise ConfigError for a value that cannot work."""
        check_choice("optimizer", self.optimizer, RULES)
        if not self.alphas:
            raise ConfigError("alphas is empty; give one strength for each run of the arm.")
        for alpha in self.alphas:
            check_alpha(alpha)


class Fitted(NamedTuple):
    """The mixtures of a study; runs stand in the order of arms and, within an arm, of its alphas."""

    means: Tensor
    """(s, v, m, d)."""
    log_vars: Tensor
    """(s, v, m, d)."""


@dataclass
class Study(Configuration):
    """Diagonal Gaussian mixtures with equal weights, by minibatch ascent: all arms on all problems at once.

    Parameters
    ----------
    arms : sequence of Arm
    steps : int, default=50_000
        Optimiser steps of every run.
    batch_size : int, default=256
        Each pass takes the rows in a new order, in whole batches; what remains is left out of that pass.
    log_var_range : (float, float), default=(-3, 3)
        Log-variances are clipped to it after each step.
    compile : bool, default=False
        Compile the step with `torch.compile`, which needs a C++ compiler: two to three times faster after some
        seconds, so for many steps.
    """

    arms: Sequence[Arm] = ()
    steps: int = 50_000
    batch_size: int = 256
    log_var_range: tuple[float, float] = (-3.0, 3.0)
    compile: bool = False

    def run(self, problems: Sequence[Problem]) -> Fitted:
        """Train every arm on every problem.

        Parameters
        ----------
        problems : sequence of Problem
            Of equal shapes. Their streams are used up.

        Raises
        ------
        ConfigError
            If a setting cannot work.
        DataError
            If there is no problem or their shapes differ.
        """
        self._check(problems)
        with torch.inference_mode():
            ascent = _Ascent(self, problems)
            done, passes = 0, -(-self.steps // _batches_per_pass(problems, self.batch_size))
            for number, batches in enumerate(_passes(problems, self.batch_size)):
                if done == self.steps:
                    break
                ascent.schedule(number, passes)
                for batch in batches[: self.steps - done]:
                    ascent.advance(batch)
                done += len(batches[: self.steps - done])
            return Fitted(ascent.theta[..., 0].clone(), ascent.theta[..., 1].clone())

    def _check(self, problems: Sequence[Problem]) -> None:
        if not self.arms:
            raise ConfigError("arms is empty; give one or more.")
        check_at_least("steps", self.steps, 0)
        check_at_least("batch_size", self.batch_size, 1)
        for arm in self.arms:
            arm.check()
        shapes = {(p.x.shape, p.means.shape, p.log_vars.shape) for p in problems}
        if len(shapes) != 1:
            raise DataError(f"Got {len(shapes)} shapes of rows and starts; expected problems of one shape in a study.")
        runs, (_, start, _) = sum(len(arm.alphas) for arm in self.arms), shapes.pop()
        if len(start) == 3 and start[0] != runs:
            raise DataError(f"Got starts for {start[0]} runs, expected one for each of {runs}, or one for all.")


class _Ascent:
    """All runs: parameters, the optimisers' running squares, and one step."""

    def __init__(self, study: Study, problems: Sequence[Problem]) -> None:
        starts = torch.stack([torch.stack([p.means, p.log_vars], -1) for p in problems])  # (s, [v,] m, d, 2)
        runs = [len(arm.alphas) for arm in study.arms]
        self.low, self.high = study.log_var_range
        self.theta = starts.clone() if starts.ndim == 5 else starts.unsqueeze(1).repeat(1, sum(runs), 1, 1, 1)
        self.blocks = [slice(sum(runs[:i]), sum(runs[: i + 1])) for i in range(len(runs))]
        self.arms = list(study.arms)
        rules = [RULES[arm.optimizer] for arm in self.arms for _ in arm.alphas]
        columns = self.theta.new_tensor(rules)[..., None, None, None]  # (v, 4, 1, 1, 1)
        self.decay, self.gain, start, self.eps = columns.unbind(1)
        self.square = start.expand_as(self.theta).clone()
        self.lr = columns.new_zeros(len(rules), 1, 1, 1)
        self.alphas = [self.theta.new_tensor(arm.alphas) for arm in self.arms]
        self.diversifiers = [_with_alpha(arm.diversifier, a) for arm, a in zip(self.arms, self.alphas)]
        # Two programs: one for the sums over rows and one for what is done with them. In one, the sums are made slowly.
        self.ascent, self.update = mixture_ascent, self._update
        if study.compile:
            self.ascent = torch.compile(mixture_ascent, dynamic=False)
            self.update = torch.compile(self._update, dynamic=False)

    def schedule(self, number: int, passes: int) -> None:
        """Set rates and strengths for the pass `number` of `passes`; in place, so that no step is recompiled."""
        for arm, alpha, block in zip(self.arms, self.alphas, self.blocks):
            self.lr[block] = arm.lr * arm.lr_schedule(number, passes)
            alpha.copy_(alpha.new_tensor(arm.alphas) * arm.alpha_schedule(number, passes))

    def advance(self, x: Tensor) -> None:
        """Take one step on a batch (s, 1, d, b)."""
        by_means, by_log_vars = self.ascent(x, self.theta[..., 0], self.theta[..., 1])
        self.update(by_means, by_log_vars)

    def _update(self, by_means: Tensor, by_log_vars: Tensor) -> None:
        phi = self._diversified(torch.stack([by_means, by_log_vars], -1))
        self.square.mul_(self.decay).add_(self.gain * phi.square())
        self.theta.add_(self.lr * phi * torch.rsqrt(self.square + self.eps))
        self.theta[..., 1].clamp_(self.low, self.high)

    def _diversified(self, gradient: Tensor) -> Tensor:
        theta, rows = self.theta.flatten(-2), gradient.flatten(-2)
        parts = [d(theta[:, b], rows[:, b]) for d, b in zip(self.diversifiers, self.blocks)]
        return torch.cat(parts, 1).unflatten(-1, gradient.shape[-2:])


def _with_alpha(diversifier: Diversifier, alphas: Tensor) -> Diversifier:
    if isinstance(diversifier, NoDiversity):
        return diversifier
    changed: Any = diversifier
    return replace(changed, alpha=alphas)


def _batches_per_pass(problems: Sequence[Problem], batch_size: int) -> int:
    return max(1, len(problems[0].x) // batch_size)


def _passes(problems: Sequence[Problem], batch_size: int) -> Iterator[Tensor]:
    """Yield pass after pass over the rows of every problem, each as batches (k, s, 1, d, b)."""
    count = _batches_per_pass(problems, batch_size)
    columns = [p.x.T.contiguous() for p in problems]
    while True:
        shuffled = [_in_new_order(c, p.streams)[:, : count * batch_size] for c, p in zip(columns, problems)]
        yield (
            torch.stack([c.unflatten(-1, (count, -1)) for c in shuffled]).permute(2, 0, 1, 3).unsqueeze(2).contiguous()
        )


def _in_new_order(columns: Tensor, streams: Streams) -> Tensor:
    order = torch.randperm(columns.shape[-1], generator=streams.torch("order", "cpu"))
    return columns.index_select(-1, order.to(columns.device))
