r"""Variational autoencoder.

Reference: D. P. Kingma and M. Welling, *Auto-Encoding Variational Bayes*, ICLR 2014 (key ``kingma2014``).

.. math:: \mathcal L(x) = E_{q(z|x)} \log p(x|z) - \mathrm{KL}(q(z|x) \,\|\, N(0, I)) \qquad \text{(Eq. 3, 7, 10)}

=====================================  ==========================================
paper                                  here
=====================================  ==========================================
:math:`q_\phi(z|x)`                    `Coder.encode_normal`: mean, log-variance
:math:`p_\theta(x|z)`                  `Coder.decode` and its likelihood
:math:`L` samples                      one
=====================================  ==========================================

Deviations: log-variances of codes are clamped to [-10, 10]; an optional denoising pretraining of encoder and decoder
(off by default).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from .._typing import RandomState, Source
from ..data.prepare import ColumnStatistics
from ..estimator import (
    EmbedderShell,
    FitContext,
    Pretraining,
    check_at_least,
    coder_arguments,
    coder_plan,
    pretraining_phases,
)
from ..nn import Coder, Likelihood
from ..numerics.densities import standard_normal_kl
from ..objective import Batch, Objective, Phase, Term
from ..random import Streams, seed_of
from ..training import Training

__all__ = ["VAE"]


class _VAEModule(Coder):
    """The two networks and their bound."""

    def embed(self, x: Tensor) -> Tensor:
        return self.encode(x)

    def score(self, x: Tensor) -> Tensor:
        """The bound at the mean code, (b,)."""
        mean, log_var = self.encode_normal(x)
        return self.likelihood.log_prob(x, self.decode(mean)) - standard_normal_kl(mean, log_var)

    def terms(self, batch: Batch, streams: Streams) -> dict[str, Term]:
        """Minus the bound of Eq. 10, in two terms."""
        mean, log_var = self.encode_normal(batch.x)
        z = mean + streams.normal_like(mean) * (0.5 * log_var).exp()
        return {
            "reconstruction": Term(-self.likelihood.log_prob(batch.x, self.decode(z)).mean()),
            "kl": Term(standard_normal_kl(mean, log_var).mean()),
        }


class VAE(EmbedderShell):
    """Variational autoencoder as a scikit-learn transformer that also scores and generates.

    Parameters
    ----------
    latent_dim : int, default=10
        Length of the code; never more than the number of features.
    hidden : sequence of int, optional
        Widths of the encoder's hidden layers, mirrored in the decoder; None sizes them by the number of rows.
    likelihood : {"auto", "bernoulli", "gaussian"} or Likelihood, default="auto"
        "auto" takes Bernoulli for prepared data that crowd at 0 and 1 (grey values, bits), else a normal with one
        variance, which is learnt.
    pretraining : Pretraining, optional
        Denoising pretraining before; None leaves it out.
    scaling : {"auto", "none", "standard", "common", "range", "minmax"}, default="auto"
        How columns are scaled on the way in; "auto" looks at their type and range.
    training : Training, optional
        Epochs, batch size, optimiser, precision, device.
    random_state : int, RandomState or None
        Seed of all that is drawn: first weights, order of the rows, noise, samples. A fit with a whole number can be
        repeated; None takes fresh entropy from the operating system.

    Attributes
    ----------
    history_ : list of dict
        One record per epoch.

    References
    ----------
    Kingma and Welling (2014), key ``kingma2014``.
    """

    def __init__(
        self,
        latent_dim: int = 10,
        *,
        hidden: Sequence[int] | None = None,
        likelihood: str | Likelihood = "auto",
        pretraining: Pretraining | None = None,
        scaling: str = "auto",
        training: Training | None = None,
        random_state: RandomState = None,
    ) -> None:
        self.latent_dim = latent_dim
        self.hidden = hidden
        self.likelihood = likelihood
        self.pretraining = pretraining
        self.scaling = scaling
        self.training = training
        self.random_state = random_state

    def _plan(self, source: Source, stats: ColumnStatistics, prepared: ColumnStatistics) -> dict[str, Any]:
        return coder_plan(source, prepared, self.latent_dim, self.hidden, self.likelihood)

    def _module(self, plan: Mapping[str, Any], streams: Streams) -> _VAEModule:
        return _VAEModule(**coder_arguments(plan), generator=streams.torch("weights", "cpu"), variational=True)

    def _phases(self, module: _VAEModule, context: FitContext) -> list[Phase]:
        terms = partial(module.terms, streams=context.streams)
        before = (
            pretraining_phases(module, self.pretraining, context.epochs, context.streams) if self.pretraining else []
        )
        return [*before, Phase("elbo", context.epochs, [Objective(terms, list(module.parameters()))])]

    def sample(self, n_samples: int = 1, *, random_state: Any = None) -> np.ndarray:
        """Generate rows: the mean of p(x | z) at z drawn from the prior, (n, f), in the units of the data.

        Parameters
        ----------
        n_samples : int, default=1
            Number of rows.
        random_state : int, RandomState or None
            None uses the estimator's own.
        """
        check_is_fitted(self)
        check_at_least("n_samples", n_samples, 1)
        state = self.random_state if random_state is None else random_state
        generator = Streams(seed_of(state)).torch("sample")
        shape = (int(n_samples), self._n_features_out)
        return self._decoded(torch.randn(shape, generator=generator, dtype=torch.float32, device=generator.device))
