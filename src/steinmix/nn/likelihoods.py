"""Observation models p(x | z): what the decoder's last layer means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from .._params import Configuration
from ..numerics.densities import LOG_2PI, bernoulli_log_prob, normal_log_prob

__all__ = ["LIKELIHOODS", "Bernoulli", "Gaussian", "LearntGaussian", "Likelihood", "outputs_per_feature"]

LEARNT_LOG_VAR = (-8.0, 8.0)


class Likelihood(Protocol):
    """An observation model over rows (b, f)."""

    def log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        """Return log p(x | z) per row, (b,), summed over features, from the decoder's `output` (b, f)."""
        ...

    def mean(self, output: Tensor) -> Tensor:
        """Return E[x | z], (b, f)."""
        ...


@dataclass
class Bernoulli(Configuration):
    """Bernoulli for data in [0, 1]; the decoder gives logits."""

    def log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        """Return the (b,) sums of x log p + (1 - x) log (1 - p)."""
        return bernoulli_log_prob(x, output)

    def mean(self, output: Tensor) -> Tensor:
        """Return the probabilities."""
        return torch.sigmoid(output)


@dataclass
class Gaussian(Configuration):
    r"""Normal with one fixed variance; the decoder gives the mean.

    VaDE's released code weights :math:`\lVert x - \hat x \rVert^2` by an alpha of its own: variance = 1 / (2 alpha).

    Parameters
    ----------
    variance : float, default=0.5
    """

    variance: float = 0.5

    def log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        """Return the (b,) normal log-densities."""
        return normal_log_prob(x, output, self.variance)

    def mean(self, output: Tensor) -> Tensor:
        """Return the output itself."""
        return output


@dataclass
class LearntGaussian(Configuration):
    """Normal whose variance the decoder gives as well: means, then log-variances, which are clamped to [-8, 8]."""

    outputs: ClassVar[int] = 2

    def log_prob(self, x: Tensor, output: Tensor) -> Tensor:
        """Return the (b,) normal log-densities from outputs (b, 2 f)."""
        mean, log_var = output.chunk(2, dim=-1)
        log_var = log_var.clamp(*LEARNT_LOG_VAR)
        return -0.5 * ((x - mean).square() * torch.exp(-log_var) + log_var + LOG_2PI).sum(-1)

    def mean(self, output: Tensor) -> Tensor:
        """Return the first half of the output."""
        return output.chunk(2, dim=-1)[0]


def outputs_per_feature(likelihood: Likelihood) -> int:
    """Return how many numbers the decoder gives for each feature: 1, unless the likelihood says otherwise."""
    return getattr(likelihood, "outputs", 1)


LIKELIHOODS: dict[str, type[Bernoulli] | type[Gaussian] | type[LearntGaussian]] = {
    "bernoulli": Bernoulli,
    "gaussian": Gaussian,
    "learnt_gaussian": LearntGaussian,
}
