r"""Deep embedded regularised clustering (DEPICT), and DEPICT with Nonlinear SVGD.

References: K. G. Dizaji, A. Herandi, C. Deng, W. Cai, H. Huang, *Deep Clustering via Joint Convolutional Autoencoder
Embedding and Relative Entropy Minimization*, ICCV 2017 (key ``dizaji2017``); D. Wang and Q. Liu, *Nonlinear Stein
Variational Gradient Descent for Learning Diversified Mixture Models*, ICML 2019, Section 5.2 (key ``wang2019``).

.. math:: c_{\ell i} = \exp(\theta_i^\top z_\ell) \big/ \sum_j \exp(\theta_j^\top z_\ell)
          \qquad \text{(Wang, Eq. 10; \texttt{head="softmax"})}

.. math:: c_{\ell i} = N(z_\ell; \theta_i, I) \big/ \sum_j N(z_\ell; \theta_j, I)
          \qquad \text{(Wang, Section 5.2; \texttt{head="gaussian"})}

.. math:: \min_{\phi, \Theta} \; \frac1n \sum_\ell \lVert x_\ell - \mathrm{AE}(x_\ell; \phi) \rVert^2
          + R(\Theta, \{z_\ell\}),
          \quad R = \frac1n \sum_\ell \mathrm{KL}(q_\ell \,\|\, c_\ell) + \mathrm{KL}(f \,\|\, u)

.. math:: q_{\ell i} \propto c_{\ell i} \big/ \bigl(\textstyle\sum_{\ell'} c_{\ell' i}\bigr)^{1/2}
          \qquad \text{(Dizaji, Eq. 6; the code: } c_{\ell i}^2 / \textstyle\sum_{\ell'} c_{\ell' i} \text{)}

======================================  ======================================================================
paper                                   here
======================================  ======================================================================
:math:`\theta_i`, :math:`c_\ell`        `mixture.means`, `mixture.responsibilities`
:math:`z_\ell`, clean and noisy         `Ladder.encode_layers` without and with noise
:math:`q_\ell`                          `DEPICTModule.targets`, from clean codes, held for an epoch
:math:`R`, for given q                  the term ``clustering``, a cross-entropy at noisy codes
:math:`F = -R` (Wang)                   the same term, through the diversifier: ``force="regulariser"``
:math:`\lVert x - \mathrm{AE} \rVert`   ``reconstruction`` and, ``hidden_weight`` each, ``hidden_1``, ...
======================================  ======================================================================

Deviations. Squared errors are means over values, as in both codes. For given q the cross-entropy has the gradient of R.
Hidden layers have sizes as with TensorFlow's SAME padding (28-14-7). ``force="likelihood"`` is what the code of Wang
and Liu does instead of F = -R: a second optimiser ascends the mixture's likelihood at noisy codes, while the clustering
term goes on moving Theta. The start is the library's graph start, its labels made smooth at equal shares, as KL(f || u)
wants them (``smoothing_epochs``), not k-means, unless ``start="kmeans"``; before the targets are set free
``anchor_epochs`` train on its labels (DEPICT's own initial phase stops by a validation score). Training ends when fewer
than ``tol`` of the rows change their label in an epoch; Adam steps at 1e-3 in batches of 256 (the papers': 1e-4, 100),
for fewer epochs. Tables get dense layers; rows of fewer than 16 columns are not dropped out, only hidden layers are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from sklearn.base import ClusterMixin
from torch import Tensor, nn
from torch.nn import functional as F

from .._machine import counted
from .._typing import RandomState, Source
from ..data.prepare import ColumnStatistics, shares_unit
from ..diversify import Diversifier
from ..errors import ConfigError
from ..estimator import (
    CodesMixin,
    FitContext,
    MixtureShell,
    Pretraining,
    Smoother,
    check_at_least,
    check_choice,
    check_count,
    check_family,
    coder_plan,
    empty_labels,
    epochs_for_steps,
    image_layout,
    map_chunks,
    smoothing_epochs,
    without_smoother,
)
from ..mixtures import STARTS, AbstractMixture, SoftmaxMixture, UnitMixture
from ..nn import Ladder, conv_ladder, dense_ladder, strided_layers
from ..numerics.densities import normal_log_prob
from ..numerics.targets import TARGETS
from ..objective import Batch, Objective, Phase, Term
from ..random import Streams
from ..training import Callback, Loader, RunState, Training

__all__ = ["DEPICT"]

HEADS = {"gaussian": partial(UnitMixture, learn_weights=False), "softmax": SoftmaxMixture}
FORCES = ("likelihood", "regulariser")

REFINED = ("mixture", "undiversified")
"""Phases in which the targets are the head's own."""

Terms = Callable[[Batch], dict[str, Term]]


class DEPICTModule(nn.Module):
    """The ladder, the head, and what the head is held to: targets, which are made anew in each epoch."""

    start_labels: Tensor
    labels: Tensor

    def __init__(self, ladder: Ladder, mixture: AbstractMixture, n_rows: int, smoother: Smoother | None = None) -> None:
        super().__init__()
        self.ladder, self.mixture, self.smoother = ladder, mixture, smoother
        self.register_buffer("start_labels", empty_labels(n_rows))
        self.register_buffer("labels", empty_labels(n_rows))  # of the last targets; a checkpoint has to keep them
        self.targets, self.changed = torch.empty(0), 1.0

    def embed(self, x: Tensor) -> Tensor:
        return self.ladder.encode(x)

    def generate(self, z: Tensor) -> Tensor:
        return self.ladder.decode(z.clamp(-1, 1))

    def score(self, x: Tensor) -> Tensor:
        """Log-likelihood of rows at their own codes, (b,), with normal errors of variance 1/2."""
        return normal_log_prob(x, self.ladder.decode(self.ladder.encode(x)), variance=0.5)

    def anchor(self) -> None:
        """Hold the targets at the labels of the start."""
        self.targets = F.one_hot(self.start_labels, self.mixture.n_components).float()
        self.labels.copy_(self.start_labels)

    def refresh(self, loader: Loader, target: str) -> None:
        """Take the targets from the clean codes of all rows, and see how many labels have changed."""
        found = map_chunks(lambda x: self.mixture.responsibilities(self.embed(x)), loader)
        p = torch.from_numpy(found).to(self.labels.device)
        self.targets, labels = TARGETS[target](p), p.argmax(-1)
        self.changed = float((labels != self.labels).float().mean())
        self.labels.copy_(labels)

    def terms(self, batch: Batch, path: Path, clustering: bool) -> dict[str, Term]:
        """Reconstructions of every layer from noisy codes, and the cross-entropy of q and the noisy c."""
        x = self.ladder.centred(batch.x)
        hidden, z = self.ladder.encode_layers(x)[0], path.noisy_codes(self.ladder, x)
        errors = [(a - b).float().square().mean() for a, b in zip(self.ladder.decode_layers(z), [x, *hidden])]
        terms = {"reconstruction": Term(errors[0])}
        terms |= {f"hidden_{i}": Term(error, path.hidden_weight) for i, error in enumerate(errors[1:], 1)}
        if clustering:
            log_c = self.mixture.log_responsibilities(z)
            terms["clustering"] = Term(-(self.targets[batch.index] * log_c).sum(-1).mean())
        return terms

    def energy(self, batch: Batch, path: Path) -> dict[str, Term]:
        """Minus the mixture's log-likelihood at noisy codes; the network is not moved."""
        with torch.no_grad():
            z = path.noisy_codes(self.ladder, self.ladder.centred(batch.x))
        return {"energy": Term(-self.mixture.log_prob(z).mean())}


class Path(NamedTuple):
    """How the noisy path is trained: its dropout rate, where chance comes from, and the weight of hidden layers."""

    noise: float
    streams: Streams
    hidden_weight: float

    def noisy_codes(self, ladder: Ladder, x: Tensor) -> Tensor:
        """Return noisy codes (b, d) of centred rows (b, f)."""
        return ladder.encode_layers(x, self.noise, self.streams)[1]


class _Settled(Callback):
    """Record the share of rows whose label changed in the last epoch, and end the phase when it is small."""

    def __init__(self, tol: float) -> None:
        self.tol = tol

    def on_epoch_end(self, state: RunState) -> bool:
        if state.phase_name not in REFINED:
            return False
        changed = state.history[-1]["changed"] = cast(DEPICTModule, state.module).changed
        return state.epoch > 1 and changed < self.tol


class DEPICT(ClusterMixin, CodesMixin, MixtureShell):
    """Deep embedded regularised clustering: clusters and embeds images and tables.

    Parameters
    ----------
    n_clusters : int, default=8
        Number of clusters.
    latent_dim : int, optional
        Length of the code; None takes the number of clusters, as the paper does.
    image_shape : {"auto"}, (int, int), (int, int, int) or None, default="auto"
        Height, width and channels of the image in a row, read line by line; convolutions are used then. "auto" takes
        rows in [0, 1] whose number of features is a square, from 8 x 8 up, for images; None uses dense layers.
    hidden : sequence of int, optional
        Widths of the dense layers; None sizes them by the number of rows.
    head : {"softmax", "gaussian"}, default="softmax"
        DEPICT's, or the unit-covariance mixture of DEPICT with Nonlinear SVGD.
    target : {"sharpened", "balanced"}, default="sharpened"
        p^2 / f as in the released code, or p / sqrt(f) as in the paper.
    hidden_weight : float, default=0.1
        Weight of the hidden layers' reconstructions; 0.01 in the code of DEPICT with Nonlinear SVGD.
    start : {"graph", "em", "kmeans", "k-means++", "linkage", "random"}, default="graph"
        How the head is started.
    smoothing_epochs : int, optional
        Epochs in which a classifier makes the labels of the start smooth; None takes some after a graph start of 1,000
        rows or more, 0 leaves it out.
    diversifier : Diversifier, optional
        Acts on the head: `NSVGD(alpha=...)` keeps clusters apart.
    force : {"regulariser", "likelihood"}, default="regulariser"
        What the diversifier ascends: F = -R, as in the paper, or the mixture's likelihood, as in the code, which
        needs the Gaussian head.
    diversify_from : int, default=0
        Epochs of the main phase before the diversifier acts; fewer than it has.
    pretraining : Pretraining, optional
        Epochs, and the dropout rate of the noisy path in all phases; by default 0.1.
    anchor_epochs : int, optional
        Epochs on the labels of the start; None takes half as many as the main phase has.
    tol : float, default=0.001
        The main phase ends when fewer rows than this share change their label in an epoch; 0 goes on to the end.
    scaling : {"auto", "none", "standard", "common", "range", "minmax"}, default="auto"
        How columns are scaled on the way in; "auto" looks at their type and range.
    collapse : {"warn", "raise", "ignore"}, default="warn"
        What to do when a cluster ends without a row.
    training : Training, optional
        Epochs, batch size, optimiser, precision, device.
        ``training.epochs`` counts the epochs of the main phase, and of pretraining where nothing else is set.
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
        After training, and as the start had them.
    means_ : ndarray of shape (m, d)
        Theta.
    n_active_ : int
        Number of clusters that have rows.
    history_, diagnostics_ : list of dict
    restarts_, agreement_, stability_, row_stability_, consensus_labels_ : list of dict, ndarray
        With ``n_init > 1``; see `DeepEstimator`.

    References
    ----------
    Dizaji et al. (2017), key ``dizaji2017``; Wang and Liu (2019), key ``wang2019``.
    """

    module_: DEPICTModule
    _mixture_phases = ("anchor", *REFINED)
    _coded = True
    _balanced = True  # KL(f || u)
    _made = {**MixtureShell._made, "pretraining": partial(Pretraining, noise=0.1)}

    def __init__(
        self,
        n_clusters: int = 8,
        *,
        latent_dim: int | None = None,
        image_shape: str | Sequence[int] | None = "auto",
        hidden: Sequence[int] | None = None,
        head: str = "softmax",
        target: str = "sharpened",
        hidden_weight: float = 0.1,
        start: str = "graph",
        smoothing_epochs: int | None = None,
        diversifier: Diversifier | None = None,
        force: str = "regulariser",
        diversify_from: int = 0,
        pretraining: Pretraining | None = None,
        anchor_epochs: int | None = None,
        tol: float = 0.001,
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
        self.image_shape = image_shape
        self.hidden = hidden
        self.head = head
        self.target = target
        self.hidden_weight = hidden_weight
        self.start = start
        self.smoothing_epochs = smoothing_epochs
        self.diversifier = diversifier
        self.force = force
        self.diversify_from = diversify_from
        self.pretraining = pretraining
        self.anchor_epochs = anchor_epochs
        self.tol = tol
        self.scaling = scaling
        self.collapse = collapse
        self.training = training
        self.n_init = n_init
        self.n_jobs = n_jobs
        self.selection = selection
        self.random_state = random_state

    def _plan(self, source: Source, stats: ColumnStatistics, prepared: ColumnStatistics) -> dict[str, Any]:
        for name, known in (("head", HEADS), ("target", TARGETS), ("start", STARTS), ("force", FORCES)):
            check_choice(name, getattr(self, name), known)
        check_family(self.diversifier, "unit")
        for name, least in (("hidden_weight", 0.0), ("diversify_from", 0), ("tol", 0.0)):
            check_at_least(name, getattr(self, name), least)
        check_at_least("anchor_epochs", self.anchor_epochs, 0, optional=True)
        if self.force == "likelihood" and self.head != "gaussian":
            raise ConfigError("force='likelihood' needs a density of codes; use head='gaussian'.")
        n_clusters = check_count("n_clusters", self.n_clusters, source.n_rows)
        latent_dim = n_clusters if self.latent_dim is None else self.latent_dim
        plan = coder_plan(source, prepared, latent_dim, self.hidden, "gaussian")
        if not plan["hidden"]:
            raise ConfigError("hidden is (); expected one width or more, as the code is read from a hidden layer.")
        del plan["likelihood"]
        bounded = prepared.within_unit
        return plan | {
            "smoothing_epochs": smoothing_epochs(self.smoothing_epochs, self.start, source.n_rows, self.training),
            "latent_dim": int(latent_dim),  # a code may be wider than a table
            "n_clusters": n_clusters,
            "head": self.head,
            "bounded": bounded,
            "image_shape": image_layout(self.image_shape, source.n_features, bounded or shares_unit(stats)),
            "pretraining_epochs": plan["epochs"],
            "epochs": epochs_for_steps(4000, source.n_rows, most=60),
        }

    def _module(self, plan: Mapping[str, Any], streams: Streams) -> DEPICTModule:
        generator, d, shape = streams.torch("weights", "cpu"), plan["latent_dim"], plan["image_shape"]
        if shape is None:
            ladder = dense_ladder(plan["n_features"], plan["hidden"], d, generator, plan["bounded"])
        else:
            ladder = conv_ladder(tuple(shape), strided_layers(tuple(shape)), d, generator, plan["bounded"])
        head = HEADS[plan.get("head", self.head)](plan["n_clusters"], d).float()  # models saved before have none
        smoother = Smoother.planned(plan, generator)
        return DEPICTModule(ladder, head, plan["n_rows"], smoother)

    def _phases(self, module: DEPICTModule, context: FitContext) -> list[Phase]:
        settings = self._pretraining()
        path = Path(settings.noise, context.streams, self.hidden_weight)
        late = self._late(context.epochs)
        anchor_epochs = (context.epochs + 1) // 2 if self.anchor_epochs is None else self.anchor_epochs

        def refresh(epoch: int) -> None:
            module.refresh(context.loader, self.target)

        autoencode = partial(module.terms, path=path, clustering=False)
        cluster = partial(module.terms, path=path, clustering=True)
        first = [
            Phase("anchor", anchor_epochs, [_over(module, cluster)], before_epoch=lambda epoch: module.anchor()),
            Phase("undiversified", late, [_over(module, cluster)], before_epoch=refresh),
        ]
        main = Phase("mixture", context.epochs - late, self._diversified(module, path, cluster), before_epoch=refresh)
        phases = [*(phase for phase in first if phase.epochs), main]
        smoothing, start = self._started(module, context)
        phases[0].before = partial(_begin, module, start)
        epochs = context.pretraining_epochs if settings.epochs is None else settings.epochs
        return [
            *([Phase("pretrain", epochs, [_over(module.ladder, autoencode)])] if epochs else []),
            *smoothing,
            *phases,
        ]

    def _late(self, epochs: int) -> int:
        """Return the epochs of the main phase without the diversifier, which is to have some too."""
        if self.diversifier is not None and 0 < epochs <= self.diversify_from:
            found = f"diversify_from is {self.diversify_from} and the main phase has {counted(epochs, 'epoch')}"
            raise ConfigError(f"{found}: the diversifier would never act; expected fewer, or more training.epochs.")
        return min(self.diversify_from, epochs)

    def _diversified(self, module: DEPICTModule, path: Path, cluster: Terms) -> list[Objective]:
        mixture = module.mixture
        if self.force == "regulariser":  # errors of reconstruction do not depend on Theta: its gradient is that of R
            return [Objective(cluster, without_smoother(module), mixture.particles(), self.diversifier)]
        energy = partial(module.energy, path=path)
        stein = Objective(energy, list(mixture.parameters()), mixture.particles(), self.diversifier)
        return [_over(module, cluster), stein]

    def _watchers(self, module: Any, context: FitContext) -> list[Callback]:
        return [*super()._watchers(module, context), _Settled(self.tol)]

    def _pretraining(self) -> Pretraining:
        settings = self.pretraining or self._made["pretraining"]()
        settings.check()
        if settings.layer_epochs:
            raise ConfigError(f"pretraining.layer_epochs is {settings.layer_epochs}; DEPICT has no such start, use 0.")
        return settings


def _over(part: nn.Module, terms: Terms) -> Objective:
    return Objective(terms, without_smoother(part))


def _begin(module: DEPICTModule, start: Callable[[], None]) -> None:
    start()
    module.labels.copy_(module.start_labels)
