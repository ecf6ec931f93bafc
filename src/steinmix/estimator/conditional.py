"""What both GMVAEs share: networks for two latent variables, the mixture between them, and the estimator's face.

Letters: `z` is the code (x in the papers), `w` the style, c the component (z in the papers).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.base import ClusterMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from .._params import check_at_least, check_choice, check_index
from .._typing import Source
from ..data.prepare import ColumnStatistics
from ..diversify import Diversifier, in_function_space
from ..errors import ConfigError
from ..mixtures import Components, ConditionalMixture
from ..nn import Coder, Likelihood, conv_decoder, conv_encoder, linear, recogniser_layers, side_by_side
from ..nn.batch_norm import BatchNorm1d
from ..nn.likelihoods import outputs_per_feature
from ..numerics.densities import standard_normal_kl
from ..numerics.precision import widened
from ..objective import Objective, Phase, Term
from ..random import Streams
from ..training import Loader
from ..training.distributed import batch_mean, log_shares
from .checks import check_count, check_family
from .chunks import evaluating, reading
from .clusterer import MixtureShell, empty_labels
from .codes import CodesMixin
from .embedder import coder_arguments, coder_plan, given_layout
from .job import FitContext, epochs_for_steps
from .pretraining import Pretraining, pretraining_phases
from .smoothing import Smoother, smoothing_epochs, without_smoother
from .warming import WarmedUp

__all__ = ["ConditionalModule", "ConditionalShell", "Draws", "Posterior"]

LOG_VAR_RANGE = (-8.0, 8.0)
FREE_SHARE = 0.7
"""Share of log K that is free unless the user says otherwise."""
CONV_FEATURES = 500
"""Units between the convolutions and the codes, in the papers."""
GIVEN_STARTS = ("graph", "kmeans", "linkage", "random")
"""Those that need no density of codes alone, which there is none of before the bound is trained."""
CLUSTER_PRIORS = ("rows", "shares")
"""What is compared with the prior of clusters: the probabilities of each row, or their mean."""
TAIL = 0.025
"""Probability beyond each end of a sweep of w."""


class Posterior(NamedTuple):
    """q(z | x) and q(w | x).

    Attributes
    ----------
    mean, log_var : Tensor (b, d)
        Of the code z.
    w_mean, w_log_var : Tensor (b, w)
        Of the style w.
    """

    mean: Tensor
    log_var: Tensor
    w_mean: Tensor
    w_log_var: Tensor


class Draws(NamedTuple):
    """M draws of code and style for each row.

    Attributes
    ----------
    z : Tensor (M, b, d)
        Codes.
    w : Tensor (M, b, w)
        Styles.
    components : Components
        At each w, (M, b, m, d).
    """

    z: Tensor
    w: Tensor
    components: Components


class ConditionalModule(WarmedUp, Coder):
    """Recognition network with two pairs of heads, `ConditionalMixture`, decoder.

    Parameters
    ----------
    n_latent : int
        Length of the code.
    hidden : sequence of int
        Widths of the encoder's hidden layers.
    generator : torch.Generator
        Draws the weights.
    n_clusters, n_rows, w_dim : int
        Components, rows of the data, length of the style.
    image_shape : (int, int, int), optional
        Height, width and channels of the image in a row; the papers' convolutions are used then.
    smoother : Smoother, optional
        Of the labels of a start.
    coder
        Arguments of `Coder`; the tanh layer of the mixture is as wide as its first hidden layer.
    """

    mixture: ConditionalMixture
    start_labels: Tensor

    def __init__(
        self,
        n_clusters: int,
        n_rows: int,
        w_dim: int,
        n_latent: int,
        hidden: Sequence[int],
        generator: torch.Generator,
        image_shape: Sequence[int] | None = None,
        smoother: Smoother | None = None,
        **coder: Any,
    ) -> None:
        hidden = hidden if image_shape is None else [CONV_FEATURES]
        super().__init__(n_latent=n_latent, hidden=hidden, generator=generator, **coder)
        if image_shape is not None:
            self._convolve((image_shape[0], image_shape[1], image_shape[2]), generator)
        width = self.code_mean.in_features
        self.spread = linear(width, n_latent, generator)
        self.w_mean, self.w_spread = (linear(width, w_dim, generator) for _ in range(2))
        style_width = hidden[0] if hidden else width
        self.mixture = ConditionalMixture(n_clusters, n_latent, w_dim, style_width, generator).float()
        self.smoother = smoother
        self.register_buffer("start_labels", empty_labels(n_rows))

    def _convolve(self, image_shape: tuple[int, int, int], generator: torch.Generator) -> None:
        """Put the papers' convolutions in the place of the dense layers next to the image."""
        layers = recogniser_layers(image_shape)
        self.encoder = conv_encoder(image_shape, layers, generator, batch_norm=True)
        self.decoder.insert(1, BatchNorm1d(CONV_FEATURES, dtype=torch.float32))
        self.output = conv_decoder(image_shape, layers, generator, batch_norm=True)

    def posterior(self, trunk: Tensor) -> Posterior:
        """Return both posteriors from the features (b, h) of the recognition network."""
        heads = side_by_side(trunk, self.code_mean, self.spread, self.w_mean, self.w_spread)
        mean, log_var, w_mean, w_log_var = map(widened, heads)
        return Posterior(mean, log_var.clamp(*LOG_VAR_RANGE), w_mean, w_log_var.clamp(*LOG_VAR_RANGE))

    def decode(self, z: Tensor) -> Tensor:
        """Return the decoder's output for codes (*r, b, d); batch norms see all of them as one batch."""
        return super().decode(z.flatten(0, -2)).unflatten(0, z.shape[:-1])

    def draw(self, q: Posterior, n_samples: int, streams: Streams) -> Draws:
        """Draw `n_samples` codes and styles for every row."""

        def drawn(mean: Tensor, log_var: Tensor, name: str) -> Tensor:
            noise = streams.normal_like(mean.expand(n_samples, *mean.shape), name)
            return mean + noise * (0.5 * log_var).exp()

        return self.at(drawn(q.mean, q.log_var, "noise"), drawn(q.w_mean, q.w_log_var, "style"))

    def at(self, z: Tensor, w: Tensor) -> Draws:
        """Return given draws with the components there."""
        return Draws(z, w, self.mixture.components(w))

    def log_gamma(self, draws: Draws) -> Tensor:
        """Return log p(z | x, w), (M, b, m), at the draws."""
        return torch.log_softmax(self.mixture.code_log_prob(draws.z, draws.components), dim=-1)

    def bound_terms(self, x: Tensor, q: Posterior, draws: Draws, log_q: Tensor) -> dict[str, Tensor]:
        """Return the four terms of minus the bound per row (b,), means over the draws.

        The posterior of components `log_q`, (M, b, m) or (b, m), is `log_gamma` in the second version of the paper (Eq.
        4), and a network's own in the first (Eq. 3 at eta = 1).
        """
        reconstruction = -self.likelihood.log_prob(x, self.decode(draws.z)).mean(0)
        w_prior = standard_normal_kl(q.w_mean, q.w_log_var)
        kl = self.mixture.code_kl(q.mean, q.log_var, draws.components)
        information = (log_q.exp() * (log_q + math.log(self.mixture.n_components))).sum(-1)
        return {
            "reconstruction": reconstruction,
            "w_prior": w_prior,
            "conditional_prior": (log_q.exp() * kl).sum(-1).mean(0),
            "z_prior": information.mean(0) if information.ndim > 1 else information,
        }

    def unevenness(self, log_q: Tensor) -> Tensor:
        r"""Return :math:`\mathrm{KL}(\bar q \,\|\, p(z))` as the mean over rows of what is returned, (b,).

        The mean :math:`\bar q` of `log_q`, (M, b, m) or (b, m), is over draws and the rows of the batch.
        """
        q = log_q.exp().mean(0) if log_q.ndim > 2 else log_q.exp()
        return (q * (log_shares(q) + math.log(self.mixture.n_components))).sum(-1)

    def weighted(
        self,
        bound: Mapping[str, Tensor],
        free_bits: float,
        weights: Mapping[str, float] = MappingProxyType({}),
        shares_of: Tensor | None = None,
    ) -> dict[str, Term]:
        """Return terms (b,) as means over rows, with their weights; all but the reconstruction are warmed up.

        The clusters' prior counts from `free_bits` on: its mean over rows or the `unevenness` of the
        log-probabilities `shares_of`. What the mean was is kept as ``z_information``.
        """
        terms = {
            name: Term(value.mean(-1), weights.get(name, 1.0) * self.warmed(name)) for name, value in bound.items()
        }
        information, weight = terms["z_prior"]
        charged = information if shares_of is None else self.unevenness(shares_of).mean(-1)
        below = batch_mean(charged, bound["z_prior"].shape[-1]) < free_bits  # the mean of all processes
        constrained = Term(torch.where(below, free_bits, charged), weight)
        return terms | {"z_prior": constrained, "z_information": Term(information, 0.0)}

    def embed(self, x: Tensor) -> Tensor:
        """Return the mean points [z, w], (b, d + w)."""
        q = self.posterior(self.encoder(x))
        return torch.cat([q.mean, q.w_mean], dim=-1)

    def generate(self, z: Tensor) -> Tensor:
        """Return the rows (b, f) expected at points [z, w]."""
        return self.likelihood.mean(self.decode(z[:, : self.mixture.n_code]))


class ConditionalShell(ClusterMixin, CodesMixin, MixtureShell):
    """Estimator around a `ConditionalModule`.

    Attributes
    ----------
    means_, covariances_ : ndarray
        Of the components at w = 0, (m, d) and (m, d, d).
    initial_labels_ : ndarray of shape (n,)
        Of the start; with ``start="random"``, what the random networks say before training.
    """

    n_clusters: int
    latent_dim: int
    w_dim: int
    n_samples: int
    cluster_prior: str
    free_bits: float | None
    warm_up: int | None
    hidden: Sequence[int] | None
    image_shape: Sequence[int] | None
    likelihood: str | Likelihood
    start: str
    anchor_epochs: int | None
    pretraining: Pretraining | None
    diversifier: Diversifier | None
    _coded = True
    _module_class: type[ConditionalModule]

    def transform(self, X: Any):
        """Return the mean code of each row, (n, d).

        Parameters
        ----------
        X : as in `fit`, of shape (n, f)
            Rows in the units and columns of the training data.
        """
        return self._map(lambda x: self.module_.embed(x)[:, : self._n_features_out].double(), X)

    def sweep_style(self, coordinate: int = 0, steps: int = 9) -> np.ndarray:
        """Generate what each component's mean stands for while one coordinate of the style w moves.

        Parameters
        ----------
        coordinate : int, default=0
            Of w; the others stay at 0. `style_effects` says which ones matter.
        steps : int, default=9
            Number of values: quantiles of the standard normal, at equal probabilities from 0.025 to 0.975.

        Returns
        -------
        ndarray of shape (m, steps, f)
            In the units of the data: the mean of p(x | z) at the component's mean given w.

        Raises
        ------
        ConfigError
            If w has no such coordinate, or `steps` is below 2.
        """
        check_is_fitted(self)
        check_at_least("steps", steps, 2)
        mixture: ConditionalMixture = self.module_.mixture
        check_index("coordinate", coordinate, mixture.n_style)
        with reading(mixture.weight.device):
            w = mixture.weight.new_zeros(steps, mixture.n_style)
            w[:, coordinate] = torch.special.ndtri(torch.linspace(TAIL, 1 - TAIL, steps, dtype=w.dtype)).to(w)
            means = mixture.components(w).means.transpose(0, 1)
            return self._generated(means.flatten(0, 1)).reshape(mixture.n_components, steps, -1)

    def style_effects(self) -> np.ndarray:
        """Return how much each coordinate of w changes what is generated, (w,).

        Mean squared difference between both ends of `sweep_style`, over components and features.
        """
        check_is_fitted(self)
        ends = (self.sweep_style(i, steps=2) for i in range(self.module_.mixture.n_style))
        return np.array([np.square(rows[:, 1] - rows[:, 0], dtype=np.float64).mean() for rows in ends])

    def _plan(self, source: Source, stats: ColumnStatistics, prepared: ColumnStatistics) -> dict[str, Any]:
        n_clusters = check_count("n_clusters", self.n_clusters, source.n_rows)
        check_choice("start", self.start, GIVEN_STARTS)
        check_choice("cluster_prior", self.cluster_prior, CLUSTER_PRIORS)
        check_family(self.diversifier, "diag")  # of what heads give
        for name in ("w_dim", "n_samples"):
            check_at_least(name, getattr(self, name), 1)
        for name in ("warm_up", "anchor_epochs"):
            check_at_least(name, getattr(self, name), 0, optional=True)
        check_at_least("free_bits", self.free_bits, 0.0, optional=True)
        unbounded = "learnt_gaussian" if self.image_shape is None else "gaussian"  # one number per pixel
        plan = coder_plan(source, prepared, self.latent_dim, self.hidden, self.likelihood, unbounded)
        return plan | {
            "n_clusters": n_clusters,
            "w_dim": min(int(self.w_dim), source.n_features),
            "image_shape": _image_shape(self.image_shape, source.n_features, plan["likelihood"]),
            "smoothing_epochs": smoothing_epochs(None, self.start, source.n_rows, self.training),
            "pretraining_epochs": plan["epochs"],
            "epochs": epochs_for_steps(10_000, source.n_rows, most=500),
        }

    def _module(self, plan: Mapping[str, Any], streams: Streams) -> ConditionalModule:
        own = {name: plan[name] for name in ("n_clusters", "n_rows", "w_dim", "image_shape")}
        generator = streams.torch("weights", "cpu")
        smoother = Smoother.planned(plan, generator)
        return self._module_class(**own, **coder_arguments(plan), smoother=smoother, generator=generator)

    def _start_points(self, module: Any, loader: Loader) -> tuple[Tensor, Tensor]:
        """Return the codes alone: before the bound is trained, styles mean nothing."""
        with evaluating(module):
            index, points = super()._start_points(module, loader)
        return index, points[:, : module.mixture.n_code]

    def _start(self, module: Any, context: FitContext) -> None:
        with evaluating(module):  # batch norms
            super()._start(module, context)

    def _planned_phases(self, module: ConditionalModule, context: FitContext, terms: Any) -> list[Phase]:
        """Return the one phase in which everything is learnt from random weights; before it, those of a start."""
        shared = self.cluster_prior == "shares"
        free = 0.0 if shared else FREE_SHARE * math.log(self.n_clusters)
        free_bits = free if self.free_bits is None else float(self.free_bits)
        bound = partial(terms, n_samples=self.n_samples, streams=context.streams, free_bits=free_bits, shared=shared)
        diversifier = in_function_space(self.diversifier, module.mixture.values, linear=True)

        def phase(name: str, epochs: int, before: Callable[[], None] | None, warm_up: int = 0, **how: bool) -> Phase:
            particles = module.mixture.particles()
            objective = Objective(partial(bound, **how), without_smoother(module), particles, diversifier)
            return Phase(name, epochs, [objective], before=before, before_epoch=module.warming(warm_up))

        if self.start == "random":
            warm_up = context.epochs // 2 if self.warm_up is None else self.warm_up
            return [phase("mixture", context.epochs, partial(self._label, module, context), warm_up)]
        smoothing, start = self._started(module, context)
        anchor_epochs = (context.epochs + 4) // 5 if self.anchor_epochs is None else self.anchor_epochs
        phases = [phase("anchor", anchor_epochs, None, anchored=True)] if anchor_epochs else []
        phases.append(phase("mixture", context.epochs, None, self.warm_up or 0))
        phases[-1].goes_on = len(phases) > 1  # thrown back, components that were anchored apart may merge
        phases[0].before = start
        pretraining = pretraining_phases(module, self.pretraining, context.pretraining_epochs, context.streams)
        return [*pretraining, *smoothing, *phases]

    def _label(self, module: Any, context: FitContext) -> None:
        """Note what random networks say."""
        with evaluating(module):
            labels = self._labels_of(module, context.loader)
        module.start_labels.copy_(torch.as_tensor(labels))


def _image_shape(shape: Sequence[int] | None, n_features: int, likelihood: Likelihood) -> list[int] | None:
    if shape is None:
        return None
    full = given_layout(shape, n_features)
    if outputs_per_feature(likelihood) != 1:
        raise ConfigError("convolutions give one number per pixel; use likelihood='bernoulli' or 'gaussian'.")
    recogniser_layers((full[0], full[1], full[2]))
    return full
