"""The encoder and decoder that every deep method here is built on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ..numerics.precision import widened
from .likelihoods import Likelihood, outputs_per_feature
from .mlp import linear, mlp, relu, side_by_side

__all__ = ["Coder"]

LOG_VAR_RANGE = (-10.0, 10.0)


class Coder(nn.Module):
    """A mirrored pair f-h1-...-hL-d and d-hL-...-h1-f with linear code and output (the layout of DEC and VaDE).

    Parameters
    ----------
    n_features, n_latent : int
        f and d.
    hidden : sequence of int
        h1 ... hL; empty for linear maps.
    likelihood : Likelihood
        What the decoder's output means.
    generator : torch.Generator
        Draws the initial weights.
    variational : bool, default=False
        Whether there is a head for the log-variance of the code.
    activation : callable, default=relu
        Returns the module that follows each hidden layer.
    """

    def __init__(
        self,
        n_features: int,
        n_latent: int,
        hidden: Sequence[int],
        likelihood: Likelihood,
        generator: torch.Generator,
        variational: bool = False,
        activation: Callable[[], nn.Module] = relu,
    ) -> None:
        super().__init__()
        sizes = [n_features, *hidden]
        self.encoder = mlp(sizes, generator, activation)
        self.code_mean = linear(sizes[-1], n_latent, generator)
        self.code_log_var = linear(sizes[-1], n_latent, generator) if variational else None
        self.decoder = mlp([n_latent, *reversed(hidden)], generator, activation)
        outputs = n_features * outputs_per_feature(likelihood)
        self.output = linear(sizes[1] if hidden else n_latent, outputs, generator)
        self.likelihood = likelihood.observation()

    def encode(self, x: Tensor) -> Tensor:
        """Return the code's mean (b, d)."""
        return widened(self.code_mean(self.encoder(x)))

    def encode_normal(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log-variance (b, d) of q(z | x); the log-variance is clamped to [-10, 10]."""
        trunk = self.encoder(x)
        if self.code_log_var is None:
            mean = widened(self.code_mean(trunk))
            return mean, torch.full_like(mean, LOG_VAR_RANGE[0])
        mean, log_var = map(widened, side_by_side(trunk, self.code_mean, self.code_log_var))
        return mean, log_var.clamp(*LOG_VAR_RANGE)

    def decode(self, z: Tensor) -> Tensor:
        """Return the decoder's output, (b, f) or as wide as the likelihood has it: logits, means, log-variances."""
        return widened(self.output(self.decoder(z)))

    def reconstruct(self, x: Tensor) -> Tensor:
        """Return the mean of p(x | z) at the code of `x`, (b, f)."""
        return self.likelihood.mean(self.decode(self.encode(x)))
