"""Observation models p(x | z): what the decoder's last layer means.

A likelihood is a setting, and its `observation` is what a network holds of it: itself, or a module with parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol, Self

import torch
from torch import Tensor, nn

from .._params import Configuration, is_number
from ..errors import ConfigError
from ..numerics.densities import LOG_2PI, normal_log_prob
from ..numerics.fused import bernoulli_log_prob

__all__ = ["LIKELIHOODS", "Bernoulli", "Gaussian", "LearntGaussian", "Likelihood", "Observation", "outputs_per_feature"]

SMALLEST_VARIANCE = 1e-4
"""Added to a learnt variance, in the units of the prepared data: else a net that fits every row has no optimum."""

SPEED = 10.0
"""A learnt log-variance is this many times its parameter: an adaptive optimiser moves every parameter by about its
rate, and the one number that weighs all columns must not lag behind the networks that change them."""

LEARNT_LOG_VAR = (-8.0, 8.0)


class Observation(Protocol):
    """An observation model over rows (b, f)."""

    def log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        """Return log p(x | z) per row, (b,), summed over features, from the decoder's `output` (b, f)."""
        ...

    def mean(self, output: Tensor) -> Tensor:
        """Return E[x | z], (b, f)."""
        ...


class Likelihood(Protocol):
    """The choice of an observation model, without parameters of its own."""

    def observation(self) -> Observation:
        """Return the model, ready to stand in a network."""
        ...


@dataclass
class Bernoulli(Configuration):
    """Bernoulli for data in [0, 1]; the decoder gives logits."""

    def observation(self) -> Self:
        """Return itself: it has nothing to learn."""
        return self

    def log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        """Return the (b,) sums of x log p + (1 - x) log (1 - p).

        Parameters
        ----------
        x : Tensor (b, f)
            Prepared rows, in [0, 1].
        output : Tensor (b, f)
            Logits.
        """
        return bernoulli_log_prob(x, output)

    def mean(self, output: Tensor) -> Tensor:
        """Return the probabilities.

        Parameters
        ----------
        output : Tensor (b, f)
            Logits.
        """
        return torch.sigmoid(output)


class Normal(nn.Module):
    r"""Normal with one variance of all columns, learnt with the networks (the sigma-VAE of Rybkin et al., 2021).

    :math:`\sigma^2` is what the networks cannot explain, so it sets the exchange rate between reconstruction and the
    rest of a bound: with a fixed one that is large beside the distance of two clusters, merging them costs nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.zeros((), dtype=torch.float32))

    def variance(self) -> Tensor:
        """Return the variance, ()."""
        return (SPEED * self.raw).exp() + SMALLEST_VARIANCE

    def log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        """Return the (b,) normal log-densities."""
        return normal_log_prob(x, output, self.variance().unsqueeze(-1))

    def mean(self, output: Tensor) -> Tensor:
        """Return the output itself."""
        return output


@dataclass
class FixedNormal(Configuration):
    """Normal with a given variance."""

    variance: float

    def log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        """Return the (b,) normal log-densities."""
        return normal_log_prob(x, output, self.variance)

    def mean(self, output: Tensor) -> Tensor:
        """Return the output itself."""
        return output


@dataclass
class Gaussian(Configuration):
    r"""Normal with one variance; the decoder gives the mean.

    Parameters
    ----------
    variance : float, optional
        In the units of the prepared data; None learns it. VaDE's released code weights
        :math:`\lVert x - \hat x \rVert^2` by an alpha of its own, 1 or, for HAR, 5: variance = 1 / (2 alpha).

    Raises
    ------
    ConfigError
        If the variance is not finite or not positive.
    """

    variance: float | None = None

    def __post_init__(self) -> None:
        if self.variance is not None and not (is_number(self.variance) and 0 < self.variance < math.inf):
            raise ConfigError(f"variance is {self.variance!r}; expected a finite number > 0, or None to learn it.")

    def observation(self) -> Normal | FixedNormal:
        """Return the model, with a parameter if the variance is learnt."""
        return Normal() if self.variance is None else FixedNormal(self.variance)


@dataclass
class LearntGaussian(Configuration):
    """Normal whose variance the decoder gives as well: means, then log-variances, which are clamped to [-8, 8]."""

    outputs: ClassVar[int] = 2

    def observation(self) -> Self:
        """Return itself: the decoder does the learning."""
        return self

    def log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        """Return the (b,) normal log-densities from outputs (b, 2 f).

        Parameters
        ----------
        x : Tensor (b, f)
            Prepared rows.
        output : Tensor (b, 2 f)
            Means, then log-variances.
        """
        mean, log_var = output.chunk(2, dim=-1)
        log_var = log_var.clamp(*LEARNT_LOG_VAR)
        return -0.5 * ((x - mean).square() * torch.exp(-log_var) + log_var + LOG_2PI).sum(-1)

    def mean(self, output: Tensor) -> Tensor:
        """Return the first half of the output.

        Parameters
        ----------
        output : Tensor (b, 2 f)
            Means, then log-variances.
        """
        return output.chunk(2, dim=-1)[0]


def outputs_per_feature(likelihood: Likelihood) -> int:
    """Return how many numbers the decoder gives for each feature: 1, unless the likelihood says otherwise."""
    return getattr(likelihood, "outputs", 1)


LIKELIHOODS: dict[str, type[Bernoulli] | type[Gaussian] | type[LearntGaussian]] = {
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
    "learnt_gaussian": LearntGaussian,
}
