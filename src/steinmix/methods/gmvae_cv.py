r"""Gaussian mixture variational autoencoder with consistency violation (GMVAE, first version).

Reference: N. Dilokthanakul, P. A. M. Mediano, M. Garnelo, M. C. H. Lee, H. Salimbeni, K. Arulkumaran, M. Shanahan,
*Deep Unsupervised Clustering with Gaussian Mixture Variational Autoencoders*, arXiv:1611.02648v1, 2016 (key
``dilokthanakul2016``). The model is that of `GMVAE`; the posterior of z is a network of its own.

.. math:: \mathcal L_{ELBO} = E_{q(x|y)} \log p(y|x) - E_{q(w|y)\, q(z|y)} \mathrm{KL}(q(x|y) \,\|\, p(x|w,z))
          - \mathrm{KL}(q(w|y) \,\|\, p(w)) - \eta\, \mathrm{KL}(q(z|y) \,\|\, p(z)) \qquad \text{(Eq. 3)}

.. math:: \mathcal L_{CV} = -\tfrac1M \sum_{i=1}^M \sum_j p(z_j|x^{(i)},w^{(i)}) \log p(z_j|x^{(i)},w^{(i)})
          \qquad \text{(Eq. 6)}

.. math:: \mathcal L = \mathcal L_{ELBO} - \alpha\, \mathcal L_{CV} \qquad \text{(Eq. 7)}

====================================================  ==================================================
paper                                                 here
====================================================  ==================================================
:math:`y`, :math:`x`, :math:`w`, :math:`z`            row ``x``, code ``z``, style ``w``, component
:math:`q(z|y)`                                        ``log_q.exp()``, a softmax head of the encoder
:math:`p(z|x,w)`                                      responsibilities of `ConditionalMixture`
Eq. 3, term by term                                   `ConditionalModule.bound_terms`
:math:`\eta, \alpha`                                  ``eta``, ``consistency``
:math:`N_x, N_w, K, M`                                ``latent_dim, w_dim, n_clusters, n_samples``
====================================================  ==================================================

Deviations. Log-variances are clamped to [-8, 8]. Images of 32 x 32 get 256 filters, as in the code, where the papers
print 246. The learning rate is 1e-3, ten times the paper's, for fewer epochs. By default training begins from clusters
of pretrained codes; the paper begins from random networks. After that start (``"random"``) all terms but the
reconstruction are warmed up; the paper names that way and does not take it (``warm_up=0``). Free bits, the constraint
of the second version, are an option. At evaluation code and style are their means, and scores are the bound of Eq. 3
with eta = 1. The other starts and ``cluster_prior="shares"``, :math:`\mathrm{KL}(E\,q(z|y) \,\|\, p(z))` for the last
term of Eq. 3, are ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from .._typing import RandomState, Source
from ..data.prepare import ColumnStatistics
from ..diversify import Diversifier
from ..estimator import (
    ConditionalModule,
    ConditionalShell,
    Draws,
    FitContext,
    Pretraining,
    check_at_least,
    held_at_start,
)
from ..nn import Likelihood, linear
from ..numerics.densities import categorical_kl
from ..numerics.precision import widened
from ..objective import Batch, Phase, Term
from ..random import Streams
from ..training import Training

__all__ = ["GMVAECV"]


class GMVAECVModule(ConditionalModule):
    """The objective of Eq. 7."""

    def __init__(self, n_clusters: int, *, generator: torch.Generator, **others: Any) -> None:
        super().__init__(n_clusters, generator=generator, **others)
        self.head = linear(self.code_mean.in_features, n_clusters, generator)

    def log_q(self, trunk: Tensor) -> Tensor:
        """Return log q(z | y), (b, m), from the features of the recognition network."""
        return torch.log_softmax(widened(self.head(trunk)), dim=-1)

    def violation(self, draws: Draws) -> Tensor:
        """Return Eq. 6 per row, (b,)."""
        log_gamma = self.log_gamma(draws)
        return -(log_gamma.exp() * log_gamma).sum(-1).mean(0)

    def terms(
        self,
        batch: Batch,
        n_samples: int,
        streams: Streams,
        free_bits: float,
        eta: float,
        alpha: float,
        shared: bool = False,
        anchored: bool = False,
    ) -> dict[str, Term]:
        """Minus Eq. 7 as a mean over rows, the prior of z of the shares of clusters if `shared`.

        `anchored` holds q(z|y) at the start's labels, which the head learns.
        """
        trunk = self.encoder(batch.x)
        q, log_q = self.posterior(trunk), self.log_q(trunk)
        given = held_at_start(self, batch.index) if anchored else log_q
        draws = self.draw(q, n_samples, streams)
        bound = self.bound_terms(batch.x, q, draws, given)
        weights = {"z_prior": eta, "violation": alpha}
        bound |= {"violation": self.violation(draws)}
        terms = self.weighted(bound, free_bits, weights, given if shared else None)
        return terms | {"head": Term(categorical_kl(given, log_q).mean(-1))} if anchored else terms

    def score(self, x: Tensor) -> Tensor:
        """The bound at the mean code and style, (b,)."""
        trunk = self.encoder(x)
        q = self.posterior(trunk)
        bound = self.bound_terms(x, q, self.at(q.mean[None], q.w_mean[None]), self.log_q(trunk))
        return -torch.stack(list(bound.values())).sum(0)


class GMVAECV(ConditionalShell):
    """GMVAE with a network for the clusters and a penalty on unclear ones.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters.
    latent_dim : int, default=10
        Length of the code; never more than the number of features. The paper has 200 for images.
    w_dim : int, default=10
        Length of the style w, on which the components depend; never more than the number of features. The paper: 150.
    n_samples : int, default=1
        Draws of code and style for each row and step (M of the paper).
    eta : float, default=1.0
        Weight of the clusters' prior. At 1, without `consistency`, components merge.
    consistency : float, default=1.0
        Weight of the consistency violation (alpha of the paper), which drives components apart. The paper has 2 for its
        synthetic data, its code 0.4 for images.
    cluster_prior : {"rows", "shares"}, default="rows"
        What the prior of clusters is compared with. "rows" is the papers': the probabilities of each row, so that a
        clear assignment costs up to log(n_clusters) nats and components may merge to save them. "shares": the mean of
        the probabilities over a batch, so that only uneven use costs, which keeps components from merging.
    free_bits : float, default=0.0
        Nats of information about the cluster, in the mean over a batch, that cost nothing; log(n_clusters) is the most
        there can be. None takes 0.7 of that for "rows" and 0 for "shares", where it is uneven use that costs nothing
        up to here.
    warm_up : int, optional
        Epochs over which the weight of the prior terms and of the violation rises; None takes half of the
        epochs after a random start and none after another, 0 leaves it out.
    hidden : sequence of int, optional
        Widths of the encoder's dense layers, mirrored in the decoder; None sizes them by the number of rows.
    image_shape : (int, int) or (int, int, int), optional
        Height, width and channels of the image in a row, read line by line: the convolutions of the paper with batch
        normalisation are used. None uses dense layers.
    likelihood : {"auto", "bernoulli", "gaussian", "learnt_gaussian"} or Likelihood, default="auto"
        "auto" takes Bernoulli for prepared data that crowd at 0 and 1 (grey values, bits), else a normal with learnt
        variance.
    start : {"graph", "kmeans", "linkage", "random"}, default="graph"
        Where clusters come from. All but "random" pretrain an autoencoder, cluster its codes, and begin from those
        clusters, which "graph" makes smooth first from 1,000 rows up. "random" is the papers' way, from the random
        networks: components merge on many data, and seeds differ much.
    anchor_epochs : int, optional
        Epochs in which clusters are held at the labels of such a start; None takes a fifth of those of the
        main phase.
    pretraining : Pretraining, optional
        Epochs and noise of the autoencoder whose codes such a start clusters.
    diversifier : Diversifier, optional
        Acts on the heads of the components and sees what they give: `NSVGD(alpha=...)` keeps them apart.
    scaling : {"auto", "none", "standard", "common", "range", "minmax"}, default="auto"
        How columns are scaled on the way in; "auto" looks at their type and range.
    collapse : {"warn", "raise", "ignore"}, default="warn"
        What to do when a cluster ends without a row.
    training : Training, optional
        Epochs, batch size, optimiser, precision, device.
    n_init : int, default=1
        Restarts, each with a seed of its own; all are kept in ``restarts_`` and compared.
    n_jobs : int, optional
        Processes for the restarts; None takes joblib's context, else the cores.
    selection : {"objective", "agreement"}, default="objective"
        Which restart is kept: of lowest final loss, or in best agreement with the others.
    random_state : int, RandomState or None
        Seed of all that is drawn: first weights, order of the rows, noise, samples. A fit with a whole number can be
        repeated; None takes fresh entropy from the operating system.

    Attributes
    ----------
    labels_, initial_labels_ : ndarray of shape (n,)
        After training, and of the start: with "random", what the random networks say.
    means_, covariances_ : ndarray
        Of the components at w = 0, in the latent space.
    n_active_ : int
        Number of clusters that have rows.
    history_, diagnostics_ : list of dict
    restarts_, agreement_, stability_, row_stability_, consensus_labels_ : list of dict, ndarray
        With ``n_init > 1``; see `DeepEstimator`.

    References
    ----------
    Dilokthanakul et al. (2016), key ``dilokthanakul2016``.
    """

    module_: GMVAECVModule
    _module_class = GMVAECVModule

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        latent_dim: int = 10,
        w_dim: int = 10,
        n_samples: int = 1,
        eta: float = 1.0,
        consistency: float = 1.0,
        cluster_prior: str = "rows",
        free_bits: float | None = 0.0,
        warm_up: int | None = None,
        hidden: Sequence[int] | None = None,
        image_shape: Sequence[int] | None = None,
        likelihood: str | Likelihood = "auto",
        start: str = "graph",
        anchor_epochs: int | None = None,
        pretraining: Pretraining | None = None,
        diversifier: Diversifier | None = None,
        scaling: str = "auto",
        collapse: str = "warn",
        training: Training | None = None,
        n_init: int = 1,
        n_jobs: int | None = None,
        selection: str = "objective",
        random_state: RandomState = None,
    ) -> None:
        self.n_clusters = n_clusters
        self.latent_dim = latent_dim
        self.w_dim = w_dim
        self.n_samples = n_samples
        self.eta = eta
        self.consistency = consistency
        self.cluster_prior = cluster_prior
        self.free_bits = free_bits
        self.warm_up = warm_up
        self.hidden = hidden
        self.image_shape = image_shape
        self.likelihood = likelihood
        self.start = start
        self.anchor_epochs = anchor_epochs
        self.pretraining = pretraining
        self.diversifier = diversifier
        self.scaling = scaling
        self.collapse = collapse
        self.training = training
        self.n_init = n_init
        self.n_jobs = n_jobs
        self.selection = selection
        self.random_state = random_state

    def _plan(self, source: Source, stats: ColumnStatistics, prepared: ColumnStatistics) -> dict[str, Any]:
        for name in ("eta", "consistency"):
            check_at_least(name, getattr(self, name), 0.0)
        return super()._plan(source, stats, prepared)

    def _phases(self, module: GMVAECVModule, context: FitContext) -> list[Phase]:
        terms = partial(module.terms, eta=float(self.eta), alpha=float(self.consistency))
        return self._planned_phases(module, context, terms)

    def _log_joint(self, module: GMVAECVModule, x: Tensor) -> Tensor:
        return module.log_q(module.encoder(x))
