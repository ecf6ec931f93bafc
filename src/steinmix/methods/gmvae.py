r"""Gaussian mixture variational autoencoder with the minimum information constraint (GMVAE, second version).

Reference: N. Dilokthanakul, P. A. M. Mediano, M. Garnelo, M. C. H. Lee, H. Salimbeni, K. Arulkumaran, M. Shanahan,
*Deep Unsupervised Clustering with Gaussian Mixture Variational Autoencoders*, arXiv:1611.02648v2, 2017 (key
``dilokthanakul2017``).

.. math:: w \sim N(0, I), \quad z \sim \mathrm{Mult}(1/K), \quad x \mid z, w \sim N(\mu_z(w), \sigma_z^2(w)),
          \quad y \sim p(y \mid x) \qquad \text{(Eq. 1)}

.. math:: p(z_k \mid x, w) \propto \pi_k\, N(x; \mu_k(w), \sigma_k^2(w)) \qquad \text{(Eq. 3)}

.. math:: \mathcal L = E_{q(x|y)} \log p(y|x) - E_{q(w|y)\, p(z|x,w)} \mathrm{KL}(q(x|y) \,\|\, p(x|w,z))
          - \mathrm{KL}(q(w|y) \,\|\, p(w)) - E_{q(x|y)\, q(w|y)} \mathrm{KL}(p(z|x,w) \,\|\, p(z))
          \qquad \text{(Eq. 4)}

.. math:: \mathcal L_z = -\max(\lambda,\ E\, \mathrm{KL}(p(z|x,w) \,\|\, p(z))) \qquad \text{(Eq. 7)}

====================================================  ==================================================
paper                                                 here
====================================================  ==================================================
:math:`y`, :math:`x`, :math:`w`, :math:`z`            row ``x``, code ``z``, style ``w``, component
:math:`q(x|y), q(w|y)`                                `Posterior`
:math:`\mu_k, \sigma_k^2`, :math:`\beta`              `ConditionalMixture`; heads and tanh layer
:math:`p(z|x,w)`                                      ``log_gamma.exp()``, at the drawn code and style
Eq. 4, term by term                                   `ConditionalModule.bound_terms`
:math:`N_x, N_w, K, M, \lambda`                       ``latent_dim, w_dim, n_clusters, n_samples, free_bits``
====================================================  ==================================================

Deviations. In Eq. 3 as printed the numerator's j stands in the sum too; the exact posterior is used. The gradient is
that of the loss as printed, by automatic differentiation: the released code turns the sign of the conditional prior's
part through p(z|x,w) while the constraint is active. :math:`\lambda` is compared with the mean over the batch, as in
that code. Log-variances are clamped to [-8, 8]. Images of 32 x 32 get 256 filters, as in the code, where the papers
print 246. The learning rate is 1e-3, ten times the paper's, for fewer epochs. The KL divergence inside the expectation
of Eq. 4 has a draw of x of its own, as printed; so the bound is a little below the evidence lower bound, in which it
shares the draw with p(z|x,w). At evaluation, code and style are their means. By default training begins from clusters
of pretrained codes, and :math:`\lambda = 0.7 \log K`; the paper begins from random networks, and has a constraint for
its synthetic data only. ``start="random", free_bits=0, warm_up=0`` is its Eq. 4; with ``warm_up=None`` the three prior
terms come in over half of the epochs after that start. The other starts and ``cluster_prior="shares"``,
:math:`\mathrm{KL}(E\,p(z|x,w) \,\|\, p(z))` in Eq. 7, are ours.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .._typing import RandomState
from ..diversify import Diversifier
from ..estimator import ConditionalModule, ConditionalShell, FitContext, Pretraining, held_at_start
from ..nn import Likelihood
from ..objective import Batch, Phase, Term
from ..random import Streams
from ..training import Training

__all__ = ["GMVAE"]


class GMVAEModule(ConditionalModule):
    """The bound of Eq. 4."""

    def terms(
        self,
        batch: Batch,
        n_samples: int,
        streams: Streams,
        free_bits: float,
        shared: bool = False,
        anchored: bool = False,
    ) -> dict[str, Term]:
        """Minus Eq. 4 as a mean over rows, its last term by Eq. 7, of the shares of clusters if `shared`.

        `anchored` holds p(z|x, w) at the start's labels.
        """
        q = self.posterior(self.encoder(batch.x))
        draws = self.draw(q, n_samples, streams)
        log_gamma = held_at_start(self, batch.index) if anchored else self.log_gamma(draws)
        bound = self.bound_terms(batch.x, q, draws, log_gamma)
        return self.weighted(bound, free_bits, shares_of=log_gamma if shared else None)

    def score(self, x: Tensor) -> Tensor:
        """The bound at the mean code and style, (b,)."""
        q = self.posterior(self.encoder(x))
        draws = self.at(q.mean[None], q.w_mean[None])
        bound = self.bound_terms(x, q, draws, self.log_gamma(draws))
        return -torch.stack(list(bound.values())).sum(0)


class GMVAE(ConditionalShell):
    """Gaussian mixture variational autoencoder: clusters, embeds, scores and generates.

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
    cluster_prior : {"rows", "shares"}, default="rows"
        What the prior of clusters is compared with. "rows" is the papers': the probabilities of each row, so that a
        clear assignment costs up to log(n_clusters) nats and components may merge to save them. "shares": the mean of
        the probabilities over a batch, so that only uneven use costs, which keeps components from merging.
    free_bits : float, optional
        Nats of information about the cluster, in the mean over a batch, that cost nothing (lambda of the paper). It
        keeps components from merging; log(n_clusters) is the most there can be. None takes 0.7 of that for "rows" and
        0, which leaves it out, for "shares", where it is uneven use that costs nothing up to here.
    warm_up : int, optional
        Epochs over which the weight of the three prior terms rises to 1; None takes half of the epochs after a
        random start and none after another, 0 leaves it out.
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
    Dilokthanakul et al. (2017), key ``dilokthanakul2017``.
    """

    module_: GMVAEModule
    _module_class = GMVAEModule

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        latent_dim: int = 10,
        w_dim: int = 10,
        n_samples: int = 1,
        cluster_prior: str = "rows",
        free_bits: float | None = None,
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

    def _phases(self, module: GMVAEModule, context: FitContext) -> list[Phase]:
        return self._planned_phases(module, context, module.terms)
