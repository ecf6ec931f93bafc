r"""Denoising autoencoder.

Reference: P. Vincent, H. Larochelle, I. Lajoie, Y. Bengio, P.-A. Manzagol, *Stacked Denoising Autoencoders*, JMLR 11,
2010 (key ``vincent2010``).

.. math:: \min_{\theta, \theta'} \; -E_x E_{\tilde x | x} \log p(x \mid g_{\theta'}(f_\theta(\tilde x)))
          \qquad \text{(Section 3)}

===============================================  =====================================
paper                                            here
===============================================  =====================================
:math:`\tilde x`, :math:`\nu`                    `masked`, ``pretraining.noise``
:math:`f_\theta`, :math:`g_{\theta'}`            `Coder.encode`, `Coder.decode`
stacking, layer by layer                         ``pretraining.layer_epochs``
===============================================  =====================================

Deviations: the end-to-end phase also hides entries (the paper's fine-tuning does not).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from .._typing import RandomState, Source
from ..data.prepare import ColumnStatistics
from ..estimator import (
    EmbedderShell,
    FitContext,
    Pretraining,
    coder_arguments,
    coder_plan,
    pretraining_phases,
)
from ..nn import Coder, Likelihood
from ..objective import Phase
from ..random import Streams
from ..training import Training

__all__ = ["Autoencoder"]


class _Denoiser(Coder):
    """An autoencoder that can be asked what the shell asks."""

    def embed(self, x: Tensor) -> Tensor:
        return self.encode(x)

    def score(self, x: Tensor) -> Tensor:
        return self.likelihood.log_prob(x, self.decode(self.encode(x)))


class Autoencoder(EmbedderShell):
    """Denoising autoencoder as a scikit-learn transformer.

    Parameters
    ----------
    latent_dim : int, default=10
        Length of the code; never more than the number of features.
    hidden : sequence of int, optional
        Widths of the encoder's hidden layers, mirrored in the decoder; None sizes them by the number of rows.
    likelihood : {"auto", "bernoulli", "gaussian"} or Likelihood, default="auto"
        "auto" takes Bernoulli for prepared data that crowd at 0 and 1 (grey values, bits), else Gaussian.
    pretraining : Pretraining, optional
        Noise and layer-wise epochs; ``training.epochs`` sets the end-to-end epochs.
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
    Vincent et al. (2010), key ``vincent2010``.
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

    def _module(self, plan: Mapping[str, Any], streams: Streams) -> _Denoiser:
        return _Denoiser(**coder_arguments(plan), generator=streams.torch("weights", "cpu"))

    def _phases(self, module: _Denoiser, context: FitContext) -> list[Phase]:
        return pretraining_phases(module, self.pretraining, context.epochs, context.streams)
