"""Bandwidth rules. Each maps particles ``(*r, m, p)`` to a bandwidth h ``(*r,)``, which is always a **length**.

Kernels are written with h in the role it has in the paper, exp(-d^2 / (2 h^2)). No gradient flows through h.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import torch
from torch import Tensor

from .._params import Configuration, is_number
from ..errors import ConfigError
from ..numerics.kernels import pair_distances

__all__ = ["Bandwidth", "Fixed", "Median", "MedianLog", "MedianSquaredWithZeros", "as_bandwidth"]

SMALLEST = 1e-6
"""Identical particles have median distance 0; below this bandwidth nothing would be left of the kernel."""


class Bandwidth(Protocol):
    """A rule that gives the bandwidth."""

    def __call__(self, theta: Tensor) -> float | Tensor:
        """Return h, one for all or ``(*r,)``, for particles `theta` ``(*r, m, p)``."""
        ...


@dataclass
class Fixed(Configuration):
    """A constant bandwidth.

    Parameters
    ----------
    h : float
        Length, > 0.
    """

    h: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.h < math.inf:
            raise ConfigError(f"the bandwidth is {self.h}; expected a finite length > 0.")

    def __call__(self, theta: Tensor) -> float:
        """Return h."""
        return float(self.h)


@dataclass
class Median(Configuration):
    """The paper's rule: h is the median of the m(m-1)/2 pairwise distances (Section 5 of Wang & Liu, 2019).

    Where their number is even it is the mean of the two middle ones. One particle has no pair: h = 1, which
    changes nothing, as it has no neighbour either. Above 2,000 particles the median is taken over random pairs.
    """

    def __call__(self, theta: Tensor) -> Tensor:
        """Return h ``(*r,)``."""
        if theta.shape[-2] < 2:
            return theta.new_ones(theta.shape[:-2])
        return _median(pair_distances(theta)).clamp(min=SMALLEST)


@dataclass
class MedianSquaredWithZeros(Configuration):
    r"""The rule of the authors' released code.

    The median of all m^2 *squared* distances, the m zeros of the diagonal included, and
    :math:`k = \exp(-d^2 / \mathrm{med})`; as a length, :math:`h = \sqrt{\mathrm{med} / 2}`. Random pairs stand for all
    above 2,000 particles.
    """

    def __call__(self, theta: Tensor) -> Tensor:
        """Return h ``(*r,)``."""
        return (_median_with_zeros(theta).clamp(min=SMALLEST) / 2).sqrt()


@dataclass
class MedianLog(Configuration):
    r"""The rule of the original SVGD code (Liu & Wang, 2016): :math:`h^2 = \mathrm{med}(d^2) / (2 \log(m + 1))`.

    The median runs over all m^2 squared distances, the diagonal included; above 2,000 particles random pairs stand for
    them.
    """

    def __call__(self, theta: Tensor) -> Tensor:
        """Return h ``(*r,)``."""
        h2 = _median_with_zeros(theta) / (2 * math.log(theta.shape[-2] + 1))
        return h2.sqrt().clamp(min=SMALLEST)


RULES: dict[str, Bandwidth] = {
    "median": Median(),
    "median_log": MedianLog(),
    "median_squared_with_zeros": MedianSquaredWithZeros(),
}


def as_bandwidth(rule: str | float | Bandwidth) -> Bandwidth:
    """Return the rule of that name, a fixed length for a number, or the rule itself.

    Raises
    ------
    ConfigError
        If there is no rule of that name, or a number is no length.
    """
    if isinstance(rule, str):
        if rule not in RULES:
            raise ConfigError(f"no bandwidth rule is called {rule!r}; expected a length or one of {', '.join(RULES)}.")
        return RULES[rule]
    if callable(rule) and not isinstance(rule, type):
        return rule
    if not is_number(rule) and not (isinstance(rule, Tensor) and rule.numel() == 1):
        raise ConfigError(f"the bandwidth is {rule!r}; expected a finite length > 0 or an object such as Median().")
    return _fixed(float(rule))


@lru_cache(maxsize=128)
def _fixed(h: float) -> Fixed:
    return Fixed(h)


def _median(values: Tensor) -> Tensor:
    """Median over the last axis; of an even number, the mean of the two middle ones."""
    count = values.shape[-1]
    upper = torch.kthvalue(values, count // 2 + 1, dim=-1).values
    return upper if count % 2 else (torch.kthvalue(values, count // 2, dim=-1).values + upper) / 2


def _median_with_zeros(theta: Tensor) -> Tensor:
    """Median of the m^2 squared distances. Each pair counts twice; m zeros are put in front, not sorted."""
    m = theta.shape[-2]
    if m < 2:
        return theta.new_zeros(theta.shape[:-2])
    squared = pair_distances(theta).square()
    scale = squared.shape[-1] / (m * (m - 1) / 2)  # < 1 where random pairs stand for all

    def ranked(k: int) -> Tensor:
        """The k-th smallest (from 1) of the full m x m matrix."""
        pair = math.ceil((k - m) / 2 * scale)
        if k <= m:
            return theta.new_zeros(theta.shape[:-2])
        return torch.kthvalue(squared, min(max(pair, 1), squared.shape[-1]), dim=-1).values

    return ranked(m * m // 2 + 1) if m % 2 else (ranked(m * m // 2) + ranked(m * m // 2 + 1)) / 2
