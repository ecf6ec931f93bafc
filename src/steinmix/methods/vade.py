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

Deviations. The responsibility uses :math:`\pi_c`, as printed, not :math:`\pi_c^J` as the released code does, unless
``responsibilities="released"``. Weights are a softmax and variances exponentials, so neither can leave its domain;
log-variances of components and of codes stay in [-10, 10]. Real-valued data have one fixed variance, as in the code,
or, by default, one that is learnt, 1e-4 at least. The mixture starts from clusters of a neighbour graph, the paper's
from a Gaussian mixture fitted to the codes (``start="em"``), and components start no narrower than a share of the
codes' variance. Pretraining leaves out a fifth of the entries of a row and is end to end unless layers are asked for,
fewer rows have smaller networks, and the rate is a constant 1e-3 in batches of 256 (the paper's 2e-3, in batches of
100, falls). At evaluation gamma is taken at the mean code. Between start and training, ``anchor_epochs`` hold
:math:`q(c|x)` at the labels of the start, so that the mixture and the networks agree before gamma is set free; the
paper has no such phase (0 leaves it out). Before that a classifier smooths the labels of a graph start
(``smoothing_epochs``, `steinmix.estimator.smoothing`), and in both phases p(c|z) pays ``guidance`` times its divergence
from that classifier's p(c|x), beside Eq. 9: the bound alone does not keep what neighbours say of a row. With
``moved_images`` the classifier is also trained on images moved at random, which the paper's rows are not. No label of
the data is used anywhere.

``neighbour_weight`` adds the divergence between the posteriors of neighbours, after L. Yang, N.-M. Cheung, J. Li,
J. Fang, *Deep clustering by Gaussian mixture variational autoencoders with graph embedding*, ICCV 2019 (DGG, key
``yang2019``). Theirs is the Jensen-Shannon divergence, which normals have in no closed form; here it is its bound
:math:`\mathrm{JS}(p, q) \le \tfrac14 (\mathrm{KL}(p\|q) + \mathrm{KL}(q\|p))` for
:math:`q(z|x)\, p(c|\tilde\mu(x))`, and the graph is that of the 10 nearest rows with equal weights, of which one is
drawn for each row and step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from sklearn.base import ClusterMixin
from torch import Tensor

from .._typing import RandomState, Source
from ..data.prepare import ColumnStatistics
from ..diversify import Diversifier
from ..errors import ConfigError
from ..estimator import (
    CodesMixin,
    FitContext,
    MixtureShell,
    Neighbourhood,
    Pretraining,
    Smoother,
    WarmedUp,
    check_at_least,
    check_choice,
    check_count,
    check_family,
    check_posterior,
    coder_arguments,
    coder_plan,
    empty_labels,
    epochs_for_steps,
    held_at_start,
    moved_layout,
    pretraining_phases,
    smoothing_epochs,
    without_smoother,
)
from ..mixtures import STARTS, DiagonalMixture
from ..nn import Coder, Likelihood
from ..numerics.densities import categorical_kl, normal_entropy, normal_kl
from ..objective import Batch, Objective, Phase, Term
from ..random import Streams
from ..training import Training

__all__ = ["VaDE"]

NARROWEST = 0.05
"""Least variance of a component at the start, as a share of the codes' mean variance. Few rows give codes that hardly
vary within a cluster; components as narrow as that make the first free steps throw rows from one to the next."""

SMOOTHING_STEPS = 6750
"""Steps that smooth the start's labels where rows are many: on MNIST, seed 0, labels are 0.9800 right after 2,700, and
0.9835 after these; with moved images 0.9845 and 0.9865."""

RESPONSIBILITIES: dict[str, Callable[[int], float]] = {
    "paper": lambda latent_dim: 1.0,
    "released": float,
}
"""Whose p(c|z) -> power of the weights in it, from J: the released code multiplies them in once per coordinate."""


class VaDEModule(WarmedUp, Coder):
    """The two networks, the mixture between them, and the bound."""

    mixture: DiagonalMixture
    start_labels: Tensor

    def __init__(
        self,
        n_clusters: int,
        n_rows: int,
        n_latent: int,
        smoother: Smoother | None = None,
        weight_power: float = 1.0,
        **coder: Any,
    ) -> None:
        super().__init__(n_latent=n_latent, variational=True, **coder)
        self.mixture, self.smoother = DiagonalMixture(n_clusters, n_latent).float(), smoother
        self.mixture.weight_power = weight_power
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

    def terms(
        self,
        batch: Batch,
        streams: Streams,
        anchored: bool = False,
        guidance: float = 0.0,
        neighbours: Callable[[Batch], Tensor] | None = None,
        neighbour_weight: float = 0.0,
    ) -> dict[str, Term]:
        """Minus Eq. 9 as a mean over rows and, as asked, two divergences.

        With `guidance`, that of p(c|z) from the smoother's p(c|x); with `neighbour_weight`, that of the posteriors from
        those of other rows (*r, b, f), which `neighbours` gives.
        """
        mean, log_var = map(batch.expand, self.encode_normal(batch.x))
        z = mean + streams.normal_like(mean) * (0.5 * log_var).exp()
        log_p_c = self.mixture.log_responsibilities(z)
        log_gamma = held_at_start(self, batch.index) if anchored else log_p_c
        bound = self.bound_terms(batch.expand(batch.x), z, mean, log_var, log_gamma)
        terms = {name: Term(value.mean(-1), self.warmed(name)) for name, value in bound.items()}
        if guidance and self.smoother is not None:
            with torch.no_grad():
                guide = batch.expand(self.smoother(batch.x))
            terms["guidance"] = Term(categorical_kl(guide, log_p_c).mean(-1), guidance)
        if neighbour_weight and neighbours is not None:
            other = self.encode_normal(neighbours(batch))
            terms["neighbours"] = Term(self.divergence((mean, log_var), other).mean(-1), neighbour_weight)
        return terms

    def divergence(self, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor]) -> Tensor:
        """Return a quarter of KL(p||q) + KL(q||p), (b,), of p = q(z|x) p(c|mean) at two rows, each as mean, log-var."""
        log_p, log_q = (self.mixture.log_responsibilities(mean) for mean, _ in (first, second))
        clusters = categorical_kl(log_p, log_q) + categorical_kl(log_q, log_p)
        return 0.25 * (normal_kl(*first, *second) + normal_kl(*second, *first) + clusters)

    def score(self, x: Tensor) -> Tensor:
        """The bound at the mean code, (b,)."""
        mean, log_var = self.encode_normal(x)
        log_gamma = self.mixture.log_responsibilities(mean)
        return -torch.stack(list(self.bound_terms(x, mean, mean, log_var, log_gamma).values())).sum(0)


class VaDE(ClusterMixin, CodesMixin, MixtureShell):
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
        "auto" takes Bernoulli for prepared data that crowd at 0 and 1 (grey values, bits), else Gaussian.
    start : {"graph", "em", "kmeans", "k-means++", "linkage", "random"}, default="graph"
        How the mixture is started; "linkage" is Ward's, "k-means++" EM from what that draws.
    smoothing_epochs : int, optional
        Epochs in which a classifier makes the labels of the start smooth; None takes some after a graph start of 1,000
        rows or more, 0 leaves it out.
    guidance : float, default=10.0
        Nats a row pays for a nat of divergence of its p(c|z) from what that classifier says; where there is none,
        nothing is paid.
    moved_images : (int, int) or (int, int, int), optional
        Height, width and channels of the image in a row, read line by line. That classifier is then also to give the
        same answer where an image is turned, sheared, scaled or shifted a little, and starts are judged so. None, the
        default, keeps to what is true of any table.
    neighbour_weight : float, default=0.0
        Nats a row pays for a nat of divergence of its posterior from that of a near row; 0 leaves it out. It costs
        one more pass through the encoder, needs rows that can be taken singly, and O(n^2 f) time to find neighbours.
    responsibilities : {"paper", "released"}, default="paper"
        Whether p(c|z) has the weights as printed, or to the power `latent_dim` as in the released code.
    diversifier : Diversifier, optional
        Acts on the mixture's components: `NSVGD(alpha=...)` keeps them apart.
    pretraining : Pretraining, optional
        Epochs, layer-wise epochs and noise of the denoising pretraining.
    anchor_epochs : int, optional
        Epochs with q(c|x) held at the start's labels; None takes as many as the main phase has.
    warm_up_epochs : int, default=0
        Epochs, from the anchor phase on, over which the weight of the four terms beside the reconstruction rises to 1.
    scaling : {"auto", "none", "standard", "common", "range", "minmax"}, default="auto"
        How columns are scaled on the way in; "auto" looks at their type and range.
    collapse : {"warn", "raise", "ignore"}, default="warn"
        What to do when a cluster ends without a row, when the start or the anchor phase leaves all rows in one, or
        when codes no longer tell rows apart before the mixture phase.
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
        Seed of all that is drawn: first weights, order of the rows, noise, samples. A fit with a whole number can be
        repeated; None takes fresh entropy from the operating system.

    Attributes
    ----------
    labels_, initial_labels_ : ndarray of shape (n,)
        After training, and as the start had them.
    weights_, means_, covariances_ : ndarray
        Of the mixture, in the latent space.
    n_active_ : int
        Number of clusters that have rows.
    history_, diagnostics_ : list of dict
    restarts_, agreement_, stability_, row_stability_, consensus_labels_ : list of dict, ndarray
        With ``n_init > 1``; see `DeepEstimator`.

    References
    ----------
    Jiang et al. (2017), key ``jiang2017``.
    """

    _knows_distinct_rows = True
    module_: VaDEModule
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
        moved_images: Sequence[int] | None = None,
        neighbour_weight: float = 0.0,
        responsibilities: str = "paper",
        diversifier: Diversifier | None = None,
        pretraining: Pretraining | None = None,
        anchor_epochs: int | None = None,
        warm_up_epochs: int = 0,
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
        self.moved_images = moved_images
        self.neighbour_weight = neighbour_weight
        self.responsibilities = responsibilities
        self.diversifier = diversifier
        self.pretraining = pretraining
        self.anchor_epochs = anchor_epochs
        self.warm_up_epochs = warm_up_epochs
        self.scaling = scaling
        self.collapse = collapse
        self.training = training
        self.n_init = n_init
        self.n_jobs = n_jobs
        self.selection = selection
        self.random_state = random_state

    @property
    def _stack_limit(self) -> int:
        return 0 if self.warm_up_epochs else 5_000_000  # the weight of a warm-up is each module's own

    def _plan(self, source: Source, stats: ColumnStatistics, prepared: ColumnStatistics) -> dict[str, Any]:
        check_choice("start", self.start, STARTS)
        check_choice("responsibilities", self.responsibilities, RESPONSIBILITIES)
        check_family(self.diversifier, "diag")
        for name, least in (("warm_up_epochs", 0), ("guidance", 0.0), ("neighbour_weight", 0.0)):
            check_at_least(name, getattr(self, name), least)
        check_at_least("anchor_epochs", self.anchor_epochs, 0, optional=True)
        if self.neighbour_weight and not (source.random_access and source.n_rows > 1):
            raise ConfigError("neighbour_weight needs two rows or more that can be taken singly; use 0 or a .npy file.")
        n_clusters = check_count("n_clusters", self.n_clusters, source.n_rows)
        plan = coder_plan(source, prepared, self.latent_dim, self.hidden, self.likelihood)
        epochs = epochs_for_steps(4000, source.n_rows, most=60)
        images = moved_layout(self.moved_images, source.n_features, self.smoothing_epochs, self.start)
        given = self.smoothing_epochs, self.start, source.n_rows, self.training
        most = 60 if images is None else 150  # no moved image is seen twice alike, however few there are
        smoothing = smoothing_epochs(*given, steps=SMOOTHING_STEPS, most=most)
        resolved = {"n_clusters": n_clusters, "pretraining_epochs": plan["epochs"], "epochs": epochs}
        power = RESPONSIBILITIES[self.responsibilities](plan["latent_dim"])
        return plan | resolved | {"smoothing_epochs": smoothing, "moved_images": images, "weight_power": power}

    def _module(self, plan: Mapping[str, Any], streams: Streams) -> VaDEModule:
        generator = streams.torch("weights", "cpu")
        smoother = Smoother.planned(plan, generator)
        coder, power = coder_arguments(plan), plan.get("weight_power", 1.0)  # models saved before have none
        sizes = plan["n_clusters"], plan["n_rows"]
        return VaDEModule(*sizes, smoother=smoother, weight_power=power, **coder, generator=generator)

    def _phases(self, module: VaDEModule, context: FitContext) -> list[Phase]:
        anchor_epochs = context.epochs if self.anchor_epochs is None else self.anchor_epochs
        pretraining = pretraining_phases(module, self.pretraining, context.pretraining_epochs, context.streams)
        smoothing, start = self._started(module, context)

        def begin() -> None:
            start()
            module.mixture.widen_(NARROWEST)

        def guard() -> None:
            check_posterior(module, context.loader, self.collapse)

        phase = self._bound(module, context)
        if not anchor_epochs:
            return [*pretraining, *smoothing, phase("mixture", context.epochs, begin, 0)]
        anchor = phase("anchor", anchor_epochs, begin, 0, anchored=True)
        return [*pretraining, *smoothing, anchor, phase("mixture", context.epochs, guard, anchor_epochs)]

    def _bound(self, module: VaDEModule, context: FitContext) -> Callable[..., Phase]:
        """Return what makes a phase over the bound, which begins when `done` epochs over it are past."""
        streams = context.streams
        neighbours = Neighbourhood(context.loader, streams)
        weights = {"guidance": self.guidance, "neighbour_weight": self.neighbour_weight}

        def phase(name: str, epochs: int, before: Callable[[], None], done: int, anchored: bool = False) -> Phase:
            terms = partial(module.terms, streams=streams, anchored=anchored, neighbours=neighbours.draw, **weights)
            objective = Objective(terms, without_smoother(module), module.mixture.particles(), self.diversifier)
            warming = module.warming(self.warm_up_epochs, done) if self.warm_up_epochs else None
            return Phase(name, epochs, [objective], before, warming, after_step=module.mixture.project_)

        return phase
