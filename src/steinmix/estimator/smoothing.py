r"""Labels made smooth: a classifier of the rows learns a start's labels, and is then trained without them.

Clusters of a neighbour graph are wrong where two classes touch. A classifier that must not change its answer within a
small ball around a row, and must be sure of it, moves the border to where rows are sparse:

.. math:: \mathrm{KL}[p(\cdot|x) \,\|\, p(\cdot|x + r(x))] + \lambda \bigl( H[p(\cdot|x)]
          + \mu \, \mathrm{KL}[\bar p \,\|\, f] \bigr)

with the virtual adversarial step r(x) of `steinmix.numerics.adversarial`. This is the objective of W. Hu, T. Miyato,
S. Tokui, E. Matsumoto, M. Sugiyama, *Learning discrete representations via information maximizing self-augmented
training*, ICML 2017 (key ``hu2017``), with its :math:`\lambda`, :math:`\mu` and radius. Deviations: f are the shares of
the start's clusters, so that clusters may differ in size, and uniform only where the method itself asks for that; the
classifier begins with the start's labels, not at random; layer norms for batch norms; one radius for all rows.

Where rows are images it can have a second part, :math:`\mathrm{KL}[p(\cdot|x) \,\|\, p(\cdot|\tilde x)]` for the image
moved at random (`steinmix.nn.moving`). Such augmentation is knowledge about the data which no table has; results with
it belong in a column of their own.

The same objective judges partitions (`trial`). A cluster that cuts a class in two has a border where rows are dense: it
wanders when it is made smooth and stays unsure, and the probabilities then tell less about neighbours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .._params import check_at_least
from ..data import as_source
from ..errors import ConfigError
from ..nn import linear
from ..nn.moving import N_MOVES, moved
from ..numerics.adversarial import adversarial_step
from ..numerics.densities import categorical_kl
from ..numerics.neighbours import nearest_rows
from ..objective import Batch, Objective, Phase, Term
from ..random import Streams
from ..training import Cosine, Loader, Training, run
from ..training.distributed import log_shares
from .chunks import map_chunks
from .embedder import given_layout, network_sizes
from .job import FitContext, epochs_for_steps

__all__ = ["Smoother", "moved_layout", "smoothing_epochs", "smoothing_phases", "trial", "without_smoother"]

LAMBDA, MU, RADIUS, NEIGHBOUR = 0.1, 4.0, 0.25, 10
"""Of Hu et al.: weight of both entropies, of the shares within it, and the radius as a share of the distance to the
10th neighbour."""

LR = 2e-3
LEARNING = 0.1
"""Share of the epochs in which the labels of the start are learnt."""

ASKED, KNOWN = 1000, 20_000
"""Rows whose neighbours are looked for, and among how many."""

STEPS, FEWEST_ROWS = 2700, 1000
"""Steps of both phases, and the rows from which they are taken unless asked for: below, neighbours are far apart."""

TRIAL_WIDTH, TRIAL_STEPS, TRIAL_ROWS, TRIAL_BYTES = 256, 1000, 20_000, 2**25
"""Of a trial: width of the classifier, its steps, and the rows it sees, at most so many or in so much memory."""

TRIAL_FEWEST = 5000
"""Rows from which partitions stand trial: on the 1,797 digits it chose worse than the graph."""


class Smoother(nn.Module):
    """A classifier of prepared rows with two hidden layers.

    Parameters
    ----------
    n_features, width, n_clusters : int
        Columns of the rows, width of both layers, number of classes.
    generator : torch.Generator
        Draws the weights.
    moved_images : (h, w, c), optional
        Of the images in rows, if they are to be moved.

    Attributes
    ----------
    shares : Tensor (m,)
        Of the start's clusters.
    radius : Tensor ()
        Of the ball around a row, in the units of prepared rows.
    """

    shares: Tensor
    radius: Tensor

    def __init__(
        self,
        n_features: int,
        width: int,
        n_clusters: int,
        generator: torch.Generator,
        moved_images: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.moved_images = moved_images
        self.hidden = nn.ModuleList(linear(a, b, generator) for a, b in pairwise((n_features, width, width)))
        self.output = linear(width, n_clusters, generator)
        self.register_buffer("shares", torch.full((n_clusters,), 1 / n_clusters, dtype=torch.float32))
        self.register_buffer("radius", torch.zeros((), dtype=torch.float32))

    @classmethod
    def planned(cls, plan: Mapping[str, Any], generator: torch.Generator) -> Smoother | None:
        """Return the one a plan asks for, twice as wide as the first layer its networks have, or would have."""
        if not plan.get("smoothing_epochs"):  # models saved before may have none
            return None
        widths = plan["hidden"] or network_sizes(plan["n_rows"])
        return cls(plan["n_features"], 2 * widths[0], plan["n_clusters"], generator, plan.get("moved_images"))

    def forward(self, x: Tensor) -> Tensor:
        """Return log-probabilities (*r, b, m) of rows (*r, b, f)."""
        for layer in self.hidden:
            hidden = layer(x)
            x = torch.relu(F.layer_norm(hidden, hidden.shape[-1:]))
        return torch.log_softmax(self.output(x).float(), dim=-1)

    @torch.no_grad()
    def begin_(self, labels: Tensor, loader: Loader, streams: Streams, balanced: bool = False) -> None:
        """Measure what the objective needs of the start's labels (n,), unless `balanced`, and of the rows."""
        if not balanced:
            self.shares.copy_(torch.bincount(labels, minlength=len(self.shares)) / len(labels))
        self.radius.fill_(RADIUS * _neighbour_distance(loader, streams))

    def terms(self, batch: Batch, streams: Streams, labels: Tensor | None = None) -> dict[str, Term]:
        """Return the terms of the objective as means over rows; with `labels`, those in place of the entropies."""
        x = batch.expand(batch.x)
        log_p = self(x)
        fixed, length = log_p.detach(), self.radius[..., None, None]
        step = adversarial_step(self, x, fixed, length, streams.normal_like(x, "adversarial"))
        terms = {"smoothness": Term(categorical_kl(fixed, self(x + step)).mean(-1))}
        if self.moved_images is not None:
            draws = 2 * streams.uniform_like(x.new_empty(*x.shape[:-1], N_MOVES), "moves") - 1
            log_q = self(moved(x, self.moved_images, draws))
            terms["moves"] = Term(categorical_kl(fixed, log_q).mean(-1))
        if labels is not None:
            index = labels.gather(-1, batch.index).unsqueeze(-1)
            return terms | {"labels": Term(-log_p.gather(-1, index).squeeze(-1).mean(-1))}
        p = log_p.exp()
        excess = log_shares(p) - self.shares.clamp(min=1e-8).log()
        entropy, balance = -(p * log_p).sum(-1).mean(-1), (p * excess.unsqueeze(-2)).sum(-1).mean(-1)
        return terms | {"entropy": Term(entropy, LAMBDA), "balance": Term(balance, LAMBDA * MU)}


def smoothing_epochs(
    wanted: int | None, start: str, n_rows: int, training: Training | None, steps: int = STEPS, most: int = 60
) -> int:
    """Return the epochs of both phases.

    Parameters
    ----------
    wanted : int, optional
        By the user; None takes those of the main phase, or what makes about `steps` steps where these are left open,
        after a graph start of `FEWEST_ROWS` rows or more, else none.
    start : str
        The start's name.
    n_rows : int
        Rows of the data.
    training : Training, optional
        The user's, with the epochs of the main phase.
    steps : int
        In all, of 256 rows.
    most : int
        Epochs for so many steps, at most.

    Raises
    ------
    ConfigError
        If `wanted` is no whole number >= 0.
    """
    check_at_least("smoothing_epochs", wanted, 0, optional=True)
    if wanted is not None:
        return int(wanted)
    if start != "graph" or n_rows < FEWEST_ROWS:
        return 0
    chosen = None if training is None else training.epochs
    if chosen is not None:
        return chosen
    return epochs_for_steps(steps, n_rows, most)


def moved_layout(wanted: Any, n_features: int, epochs: int | None, start: str) -> list[int] | None:
    """Return [h, w, c] of the images that are moved while labels are smoothed, or None.

    Parameters
    ----------
    wanted : sequence of int or None
        As the user gave it.
    n_features : int
        Columns of a row.
    epochs : int, optional
        Of the smoothing, by the user.
    start : str
        The start's name.

    Raises
    ------
    ConfigError
        If `wanted` is no shape of `n_features` numbers, or nothing is smoothed however many rows there are.
    """
    if wanted is None:
        return None
    if epochs == 0 or (epochs is None and start != "graph"):
        raise ConfigError(
            "moved_images is of use while the start's labels are smoothed, which they are not with "
            f"smoothing_epochs={epochs} and start={start!r}; expected start='graph' or smoothing_epochs above 0, or "
            "moved_images=None."
        )
    return given_layout(wanted, n_features, "moved_images")


def without_smoother(module: nn.Module) -> list[nn.Parameter]:
    """Return the parameters of a module, but not those of its smoother.

    Parameters
    ----------
    module : nn.Module
        With or without a smoother.
    """
    return [p for name, p in module.named_parameters() if not name.startswith("smoother.")]


def smoothing_phases(
    module: Any, context: FitContext, start: Callable[[], None], balanced: bool = False
) -> tuple[list[Phase], Callable[[], None]]:
    """Return the phases that learn and smooth the labels of a start, and what writes them back afterwards.

    Parameters
    ----------
    module : nn.Module
        Its `smoother` is trained; its `start_labels` are set by `start`, and written anew at the end, unless a
        cluster was lost.
    context : FitContext
        The plan has ``smoothing_epochs``, those of both phases together.
    start : callable
        Called before the first phase.
    balanced : bool
        Whether clusters are held to equal shares, as by Hu et al., and not to those they start with.
    """
    loader, streams, epochs = context.loader, context.streams, context.plan["smoothing_epochs"]

    def begin() -> None:
        start()
        module.smoother.begin_(module.start_labels, loader, streams, balanced)

    def finish() -> None:
        labels = torch.from_numpy(map_chunks(lambda x: module.smoother(x).argmax(-1), loader))
        if len(labels.unique()) == len(module.start_labels.unique()):
            module.start_labels.copy_(labels)

    return _phases(module.smoother, lambda: module.start_labels, streams, epochs, begin), finish


def _phases(
    smoother: Smoother,
    labels: Callable[[], Tensor],
    streams: Streams,
    epochs: int,
    before: Callable[[], None] | None = None,
) -> list[Phase]:
    """Return the phases that learn the labels (n,) and smooth them, `epochs` together."""

    def learn(batch: Batch) -> dict[str, Term]:
        return smoother.terms(batch, streams, labels())

    def smooth(batch: Batch) -> dict[str, Term]:
        return smoother.terms(batch, streams)

    objectives = [Objective(terms, [{"params": list(smoother.parameters()), "lr": LR}]) for terms in (learn, smooth)]
    first = math.ceil(LEARNING * epochs)
    phases = [
        Phase("labels", first, objectives[:1], before=before),
        Phase("smoothing", epochs - first, objectives[1:], schedule=Cosine(0.0)),
    ]
    return [phase for phase in phases if phase.epochs]


def trial(context: FitContext, index: Tensor) -> Callable[[np.ndarray], np.ndarray]:
    """Return a judge of partitions: from labels (n,) of the rows `index` a narrow smoother makes probabilities (n, m).

    It takes a thousand steps on a part of the rows, never more epochs than the plan's ``smoothing_epochs``.
    """
    loader, streams, plan = context.loader, context.streams, context.plan
    limit = min(TRIAL_ROWS, TRIAL_BYTES // (4 * plan["n_features"]))
    part = np.sort(streams.numpy("trial").permutation(len(index))[:limit])
    epochs = min(epochs_for_steps(TRIAL_STEPS, len(part), most=60), plan["smoothing_epochs"])

    def judge(labels: np.ndarray) -> np.ndarray:
        own = Streams(streams.integer("trial"), loader.device)
        sizes, generator = (plan["n_features"], TRIAL_WIDTH, plan["n_clusters"]), own.torch("weights", "cpu")
        smoother = Smoother(*sizes, generator, plan.get("moved_images"))
        rows = as_source(map_chunks(lambda x: x, loader, index[part]))
        some = Loader(rows, Tensor.float, 256, loader.device, own)
        known = torch.from_numpy(labels[part]).to(loader.device)
        smoother.to(loader.device).begin_(known, some, own)
        with torch.enable_grad():
            settings = Training(precision=context.training.precision, progress=False)
            run(smoother, _phases(smoother, lambda: known, own, epochs), some, settings, own, LR)
        return map_chunks(lambda x: smoother(x).exp(), loader, index)

    return judge


def _neighbour_distance(loader: Loader, streams: Streams) -> float:
    """Return the median distance of a row to its 10th neighbour, estimated from some rows."""
    rows = map_chunks(lambda x: x, loader, loader.sample_index(KNOWN))
    asked = rows[streams.numpy("asked").permutation(len(rows))[:ASKED]]
    # among fewer rows the neighbour of the same rank is farther off
    rank = max(1, round(NEIGHBOUR * len(rows) / loader.n_rows))
    distances = nearest_rows(rows, asked, min(rank + 1, len(rows)))[0]  # the first is the row itself
    return float(np.median(distances[:, -1]))
