r"""Variational deep embedding (VaDE).

Reference: Z. Jiang, Y. Zheng, H. Tan, B. Tang, H. Zhou, *Variational Deep Embedding: An Unsupervised and Generative
Approach to Clustering*, IJCAI 2017 (key ``jiang2017``).

.. math:: c \sim \mathrm{Cat}(\pi), \quad z \sim N(\mu_c, \sigma_c^2 I), \quad x \sim p(x|z) \qquad \text{(Eq. 1-6)}

.. math:: \mathcal L(x) = E_{q(z,c|x)}[\log p(x|z) + \log p(z|c) + \log p(c) - \log q(z|x) - \log q(c|x)]
          \qquad \text{(Eq. 9)}

.. math:: q(c \mid x) = p(c \mid z) = \frac{p(c)\, p(z|c)}{\sum_{c'} p(c')\, p(z|c')} \qquad \text{(Eq. 16)}

============================================  ==================================================
paper                                         here
============================================  ==================================================
:math:`\pi, \mu_c, \sigma_c^2`                `DiagonalMixture`: logits, means, log_vars
:math:`\tilde\mu, \log \tilde\sigma^2`        `mean`, `log_var` of `Coder.encode_normal`
:math:`\gamma_c`                              ``log_gamma.exp()``, from the sampled z
:math:`g(x; \phi)`, :math:`f(z; \theta)`      `Coder.encode_normal`, `Coder.decode`
:math:`K`, :math:`J`, :math:`L`               `n_clusters`, `latent_dim`, one sample
============================================  ==================================================

Deviations. The responsibility uses :math:`\pi_c`, as printed, not :math:`\pi_c^J` as the released code does. Weights
are a softmax and variances exponentials, so neither can leave its domain. Real-valued data have one fixed variance, as
in the code, or, by default, one that is learnt. Components start no narrower than a share of the codes' variance. At
evaluation gamma is taken at the mean code. Between start and training, ``anchor_epochs`` hold
:math:`q(c|x)` at the labels of the start, so that the mixture and the networks agree before gamma is set free; the
paper has no such phase (0 leaves it out). Before that a classifier smooths the labels of a graph start
(``smoothing_epochs``, `steinmix.estimator.smoothing`), and in both phases p(c|z) pays ``guidance`` times its divergence
from that classifier's p(c|x), beside Eq. 9: the bound alone does not keep what neighbours say of a
row. No label of the data is used anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from sklearn.base import ClusterMixin, TransformerMixin
from torch import Tensor
from torch.nn import functional as F

from .._typing import RandomState, Source
from ..data.prepare import ColumnStatistics
from ..diversify import Diversifier
from ..estimator import (
    FitContext,
    MixtureShell,
    Pretraining,
    Smoother,
    check_choice,
    check_count,
    coder_arguments,
    coder_plan,
    empty_labels,
    epochs_for_steps,
    pretraining_phases,
    smoothing_epochs,
    without_smoother,
)
from ..mixtures import STARTS, DiagonalMixture
from ..nn import Coder, Likelihood
from ..numerics.adversarial import kl_between
from ..numerics.densities import normal_entropy
from ..objective import Batch, Objective, Phase, Term
from ..random import Streams
from ..training import Training

__all__ = ["VaDE"]

NARROWEST = 0.05
"""Least variance of a component at the start, as a share of the codes' mean variance. Few rows give codes that hardly
vary within a cluster; components as narrow as that make the first free steps throw rows from one to the next."""


class VaDEModule(Coder):
    """The two networks, the mixture between them, and the bound."""

    mixture: DiagonalMixture
    start_labels: Tensor

    def __init__(
        self, n_clusters: int, n_rows: int, n_latent: int, smoother: Smoother | None = None, **coder: Any
    ) -> None:
        super().__init__(n_latent=n_latent, variational=True, **coder)
        self.mixture, self.smoother = DiagonalMixture(n_clusters, n_latent), smoother
        self.register_buffer("start_labels", empty_labels(n_rows))

    def embed(self, x: Tensor) -> Tensor:
        return self.encode(x)

    def generate(self, z: Tensor) -> Tensor:
        return self.likelihood.mean(self.decode(z))

    def bound_terms(self, x: Tensor, z: Tensor, mean: Tensor, log_var: Tensor, log_gamma: Tensor) -> dict[str, Tensor]:
        """The five expectations of minus Eq. 9, per row (b,), in its order; z is one draw from q(z|x)."""
        gamma = log_gamma.exp()
        return {
            "reconstruction": -self.likelihood.log_prob(x, self.decode(z)),
            "latent": -(gamma * self.mixture.expected_component_log_prob(mean, log_var)).sum(-1),
            "cluster": -(gamma * self.mixture.log_weights().unsqueeze(-2)).sum(-1),
            "latent_entropy": -normal_entropy(log_var),
            "cluster_entropy": (gamma * log_gamma).sum(-1),
        }

    def terms(self, batch: Batch, streams: Streams, anchored: bool = False, guidance: float = 0.0) -> dict[str, Term]:
        """Minus Eq. 9 as a mean over rows and, with `guidance`, the divergence of p(c|z) from the smoother's p(c|x)."""
        mean, log_var = map(batch.expand, self.encode_normal(batch.x))
        z = mean + streams.normal_like(mean) * (0.5 * log_var).exp()
        log_p_c = self.mixture.log_responsibilities(z)
        log_gamma = self.anchor(batch.index) if anchored else log_p_c
        bound = self.bound_terms(batch.expand(batch.x), z, mean, log_var, log_gamma)
        terms = {name: Term(value.mean(-1)) for name, value in bound.items()}
        if guidance and self.smoother is not None:
            with torch.no_grad():
                guide = batch.expand(self.smoother(batch.x))
            terms["guidance"] = Term(kl_between(guide, log_p_c).mean(-1), guidance)
        return terms

    def anchor(self, index: Tensor) -> Tensor:
        """Return log q(c|x), (b, m), held at the labels of the start."""
        one_hot = F.one_hot(self.start_labels.gather(-1, index), self.mixture.n_components).float()
        return one_hot.clamp(min=torch.finfo(torch.float32).tiny).log()  # finite, so that 0 log 0 is 0

    def score(self, x: Tensor) -> Tensor:
        """The bound at the mean code, (b,)."""
        mean, log_var = self.encode_normal(x)
        log_gamma = self.mixture.log_responsibilities(mean)
        return -torch.stack(list(self.bound_terms(x, mean, mean, log_var, log_gamma).values())).sum(0)


class VaDE(ClusterMixin, TransformerMixin, MixtureShell):
    """Variational deep embedding: clusters, embeds, scores and generates.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters.
    latent_dim : int, default=10
        Length of the code; never more than the number of features.
    hidden : sequence of int, optional
        Widths of the encoder's hidden layers; None sizes them by the number of rows (500-500-2000 from 20,000 up).
    likelihood : {"auto", "bernoulli", "gaussian"} or Likelihood, default="auto"
        "auto" takes Bernoulli for prepared data inside [0, 1], else Gaussian.
    start : {"graph", "em", "kmeans", "random"}, default="graph"
        How the mixture is started.
    smoothing_epochs : int, optional
        Epochs in which a classifier makes the labels of the start smooth; None takes some after a graph start of 1,000
        rows or more, 0 leaves it out.
    guidance : float, default=10.0
        Nats a row that p(c|z) pays for a divergence from what that classifier says; without it nothing is paid.
    diversifier : Diversifier, optional
        Acts on the mixture's components: `NSVGD(alpha=...)` keeps them apart.
    pretraining : Pretraining, optional
        Epochs, layer-wise epochs and noise of the denoising pretraining.
    anchor_epochs : int, optional
        Epochs with q(c|x) held at the start's labels; None takes as many as the main phase has.
    scaling : {"auto", "none", "standard", "range"}, default="auto"
        How columns are scaled on the way in; "auto" looks at their type and range.
    collapse : {"warn", "raise", "ignore"}, default="warn"
        What to do when a cluster ends without a row.
    training : Training, optional
        Epochs, batch size, optimiser, precision, device.
        ``training.epochs`` counts the epochs of the main phase, and of the phases before it where nothing else is set.
    n_init : int, default=1
        Restarts, each with a seed of its own; all are kept in ``restarts_`` and compared.
    n_jobs : int, optional
        Processes for the restarts. None runs those of a small model as one program, and those of a large one as
        joblib's context has it, else on all cores.
    selection : {"objective", "agreement"}, default="objective"
        Which restart is kept: of lowest final loss, or in best agreement with the others.
    random_state : int, RandomState or None

    Attributes
    ----------
    labels_, initial_labels_ : ndarray of shape (n,)
        After training, and as the start had them.
    weights_, means_, covariances_ : ndarray
        Of the mixture, in the latent space.
    history_, diagnostics_ : list of dict
    restarts_, agreement_, stability_, row_stability_, consensus_labels_ : list of dict, ndarray
        With ``n_init > 1``; see `DeepEstimator`.

    References
    ----------
    Jiang et al. (2017), key ``jiang2017``.
    """

    _stack_limit = 5_000_000
    _knows_distinct_rows = True
    module_: VaDEModule
    _mixture_phases = ("anchor", "mixture")
    _coded = True

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        latent_dim: int = 10,
        hidden: Sequence[int] | None = None,
        likelihood: str | Likelihood = "auto",
        start: str = "graph",
        smoothing_epochs: int | None = None,
        guidance: float = 10.0,
        diversifier: Diversifier | None = None,
        pretraining: Pretraining | None = None,
        anchor_epochs: int | None = None,
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
        self.hidden = hidden
        self.likelihood = likelihood
        self.start = start
        self.smoothing_epochs = smoothing_epochs
        self.guidance = guidance
        self.diversifier = diversifier
        self.pretraining = pretraining
        self.anchor_epochs = anchor_epochs
        self.scaling = scaling
        self.collapse = collapse
        self.training = training
        self.n_init = n_init
        self.n_jobs = n_jobs
        self.selection = selection
        self.random_state = random_state

    def transform(self, X: Any):
        """Return the mean code of each row, (n, d)."""
        return self._map(lambda x: self.module_.embed(x).double(), X)

    @property
    def _n_features_out(self) -> int:
        return self.plan_["latent_dim"]

    def _plan(self, source: Source, stats: ColumnStatistics, prepared: tuple[float, float]) -> dict[str, Any]:
        check_choice("start", self.start, STARTS)
        n_clusters = check_count("n_clusters", self.n_clusters, source.n_rows)
        plan = coder_plan(source, prepared, self.latent_dim, self.hidden, self.likelihood)
        epochs = epochs_for_steps(4000, source.n_rows, most=60)
        chosen = None if self.training is None else self.training.epochs
        smoothing = smoothing_epochs(self.smoothing_epochs, self.start, source.n_rows, chosen)
        resolved = {"n_clusters": n_clusters, "pretraining_epochs": plan["epochs"], "epochs": epochs}
        return plan | resolved | {"smoothing_epochs": smoothing}

    def _module(self, plan: Mapping[str, Any], streams: Streams) -> VaDEModule:
        generator = streams.torch("weights", "cpu")
        smoother = Smoother.planned(plan, generator)
        coder = coder_arguments(plan)
        return VaDEModule(plan["n_clusters"], plan["n_rows"], smoother=smoother, **coder, generator=generator)

    def _phases(self, module: VaDEModule, context: FitContext) -> list[Phase]:
        settings, streams = self.pretraining or Pretraining(), context.streams
        anchor_epochs = context.epochs if self.anchor_epochs is None else self.anchor_epochs
        chosen = context.training.epochs
        pretraining_epochs = context.plan["pretraining_epochs"] if chosen is None else chosen

        smoothing, start = self._started(module, context)

        def begin() -> None:
            start()
            module.mixture.widen_(NARROWEST)

        def phase(name: str, epochs: int, anchored: bool) -> Phase:
            terms = partial(module.terms, streams=streams, anchored=anchored, guidance=self.guidance)
            objective = Objective(terms, without_smoother(module), module.mixture.particles(), self.diversifier)
            return Phase(name, epochs, [objective], after_step=module.mixture.project_)

        anchor, mixture = phase("anchor", anchor_epochs, True), phase("mixture", context.epochs, False)
        (anchor if anchor_epochs else mixture).before = begin
        pretraining = pretraining_phases(module, settings, pretraining_epochs, streams)
        return [*pretraining, *smoothing, *([anchor] if anchor_epochs else []), mixture]
