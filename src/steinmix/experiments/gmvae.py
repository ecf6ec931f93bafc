"""GMVAE on MNIST (Dilokthanakul et al., 2016 and 2017, Table 1): both versions, K = 10, 16 and 30, M = 1 and 10.

``python -m steinmix.experiments.gmvae --k 10 --m 1 --version 2 --seeds 0-4`` runs what is missing and appends one line
each to ``results/dilokthanakul2016-table1.jsonl``; without ``--k``, ``--m`` and ``--version`` it is the whole table.
60,000 images train, the 10,000 test images are judged: exemplar accuracy as in the paper, which reads the labels of K
test images, and Hungarian accuracy and purity, which are stricter and not. Nothing is chosen by labels.

``--network dense`` (the default) is the small version for two cores: two hidden layers of 500, x and w of 10 numbers,
batches of 256, Adam at 1e-3, 10 epochs; ``long`` is that network for the papers' 100 epochs, the rate falling along a
cosine. ``--network conv`` is the paper's: convolutions with batch normalisation, x of 200 and w of 150 numbers, batches
of 50, Adam at 1e-4, 100 epochs; ``brief`` is that network in batches of 200 with Adam at 1e-3, 15 epochs, a
twenty-seventh of the steps. All rows but those with ``+graph`` begin from random weights. Rows with ``+free`` add the
free bits and the warm-up that are the estimator's defaults then; the paper has neither on MNIST. Rows with ``+shares``
compare the shares of clusters with their prior in place of each row's probabilities, and rows with ``+graph`` begin
from smoothed clusters of a neighbour graph, which are the library's and not the paper's.
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.special import softmax

from ..data import datasets
from ..errors import CollapseWarning, ConfigError
from ..estimator import Pretraining
from ..methods import GMVAE, GMVAECV
from ..metrics import clustering_scores, diagnose, exemplar_accuracy
from ..training import Callback, Cosine, RunState, Training
from .arguments import command
from .clustering import unit_rows
from .records import as_typed
from .runner import complete, missing
from .spec import Experiment, Row

__all__ = ["CELLS", "PAPER", "Split", "judged", "load", "main", "null_rows", "row_name", "rows", "run"]

CELLS = (*product((1,), (10, 16), (1, 10)), *product((2,), (10, 16, 30), (1, 10)))
"""(version, K, M), as far as the papers have them."""

PROTOCOL = "60,000 images trained, 10,000 judged"

JUDGED = ("accuracy", "purity", "nmi", "ari")
"""Beside the exemplar accuracy."""

CONSISTENCY = 0.4
"""alpha of the first version in its released script for MNIST; the paper names none."""

NAME = re.compile(
    r"mnist/gmvae(?P<cv>-cv)?-k(?P<k>\d+)-m(?P<m>\d+)"
    r"(-(?P<network>dense|long|brief))?(?P<variant>\+(free|graph|shares))?",
)


class Variant(NamedTuple):
    """Parameters, what a table says of them, and the seconds they add."""

    parameters: dict[str, Any]
    said: str = ""
    cost: float = 0.0


PAPER: dict[str, Any] = {"start": "random", "free_bits": 0.0, "warm_up": 0}
"""What the papers leave out or do otherwise than the estimators' defaults."""
STARTED: dict[str, Any] = {"start": "graph", "anchor_epochs": 3, "pretraining": Pretraining(epochs=15)}
VARIANTS = {
    "": Variant(PAPER),
    "+free": Variant({"start": "random"}, "; free bits and warm-up"),
    "+shares": Variant(PAPER | {"cluster_prior": "shares"}, "; prior on the shares of clusters"),
    "+graph": Variant(PAPER | STARTED, "; from clusters of a neighbour graph", 400.0),
}
"""Ending of a row's name -> what it stands for."""


class Network(NamedTuple):
    """Parameters, training, and the seconds of a cell by M."""

    parameters: dict[str, Any]
    training: Training
    cost: dict[int, float]


DENSE: dict[str, Any] = {"hidden": (500, 500), "latent_dim": 10, "w_dim": 10}
CONV: dict[str, Any] = {"image_shape": (28, 28), "latent_dim": 200, "w_dim": 150}
NETWORKS = {
    "dense": Network(DENSE, Training(epochs=10, batch_size=256, lr=1e-3), {1: 150.0, 10: 600.0}),
    "long": Network(DENSE, Training(epochs=100, batch_size=256, lr=1e-3, schedule=Cosine()), {1: 600.0, 10: 4_000.0}),
    "brief": Network(CONV, Training(epochs=15, batch_size=200, lr=1e-3), {1: 900.0, 10: 8_000.0}),
    "conv": Network(CONV, Training(epochs=100, batch_size=50, lr=1e-4), {1: 20_000.0, 10: 200_000.0}),
}


@dataclass(frozen=True)
class Split:
    """Images to train on, images to be judged, and their labels, which only `run` reads, after training."""

    train: np.ndarray
    test: np.ndarray
    labels: np.ndarray


def load(name: str = "mnist", n_rows: int | None = None) -> Split:
    """Return MNIST in the split of its files; of each part the first `n_rows` if given."""
    parts = [datasets.load_mnist(subset=subset) for subset in ("train", "test")]
    return Split(parts[0].data[:n_rows], parts[1].data[:n_rows], parts[1].target[:n_rows])


def row_name(version: int, k: int, m: int, network: str = "conv", variant: str = "") -> str:
    """Return the name of a cell of the table."""
    ending = ("" if network == "conv" else f"-{network}") + variant
    return f"mnist/{'gmvae-cv' if version == 1 else 'gmvae'}-k{k}-m{m}{ending}"


def settings_of(version: int, network: str, variant: str = "") -> dict[str, Any]:
    """Return the parameters of a cell's estimator, K, M and training aside."""
    own: dict[str, Any] = {"consistency": CONSISTENCY} if version == 1 else {}
    return NETWORKS[network].parameters | {"likelihood": "bernoulli"} | own | VARIANTS[variant].parameters


def training_of(network: str, epochs: int | None = None) -> Training:
    """Return how a network is trained."""
    training = NETWORKS[network].training
    return training if epochs is None else replace(training, epochs=epochs)


def run(row: str, seed: int, data: Split, epochs: int | None = None, checkpoint: Path | None = None) -> dict[str, Any]:
    """Train the cell that the row names, from its newest checkpoint if any, and judge it on the test images."""
    named = NAME.fullmatch(row)
    if named is None:
        known = f"{row_name(*CELLS[0])} or {row_name(*CELLS[-1], 'dense', '+free')}"
        raise ConfigError(f"no cell {row!r}; expected a name such as {known}.")
    version, network = 1 if named["cv"] else 2, named["network"] or "conv"
    kind = GMVAECV if version == 1 else GMVAE
    settings = settings_of(version, network, named["variant"] or "")
    model = kind(int(named["k"]), n_samples=int(named["m"]), random_state=seed, **settings)
    model.set_params(training=training_of(network, epochs))
    return judged(model, data, checkpoint)


class _Clock(Callback):
    """Write its seconds into each epoch's record, which goes into checkpoints."""

    def on_run_start(self, state: RunState) -> None:
        self.began = self.last = time.perf_counter()

    def on_epoch_end(self, state: RunState) -> None:
        self.last, before = time.perf_counter(), self.last
        state.history[-1]["seconds"] = self.last - before

    def earlier(self, history: Sequence[Mapping[str, Any]]) -> float:
        """Return the seconds of epochs before this sitting."""
        return sum(record["seconds"] for record in history) - (self.last - self.began)


def judged(model: Any, data: Split, checkpoint: Path | None = None) -> dict[str, Any]:
    """Fit a model to the images to train on, judge it on the others, and return the metrics and its settings."""
    described, clock = as_typed(model), _Clock()
    model.set_params(training=replace(model.training, callbacks=(clock,)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)  # said by the number of components
        model.fit(data.train, checkpoint=checkpoint, resume=checkpoint is not None)
    proba = model.predict_proba(data.test)
    said, scores = diagnose(proba), clustering_scores(data.labels, proba.argmax(1))
    return {
        "exemplar_accuracy": exemplar_accuracy(data.labels, proba),
        **{name: scores[name] for name in JUDGED},
        "objective": model.score(data.train),
        **{name: said[name] for name in ("effective_components", "distinct_components", "ambiguity")},
        "loss_by_epoch": [round(record["loss"], 3) for record in model.history_],
        "earlier_seconds": clock.earlier(model.history_),
        "settings": {"estimator": described, "rows": len(data.train)},
    }


def _null_name(k: int) -> str:
    return f"mnist/k-means-k{k}"


def null_rows() -> tuple[Row, ...]:
    """Return k-means for each K, as the rows that cells have to beat."""
    said = "not in the papers; of the pixels, best of 3 starts"
    sizes = dict.fromkeys(k for _, k, _ in CELLS)
    return tuple(Row(_null_name(k), run_null, load, PROTOCOL, deviations=said, cost=4.0 * k) for k in sizes)


def run_null(row: str, seed: int, data: Split) -> dict[str, Any]:
    """Train k-means on pixels, and judge it as if its centres were those of unit normals of equal weight."""
    from sklearn.cluster import KMeans

    model = KMeans(int(row.rpartition("k")[2]), n_init=3, random_state=seed).fit(unit_rows(data.train))
    proba = softmax(-0.5 * model.transform(unit_rows(data.test)).astype(np.float64) ** 2, axis=1)
    scores = clustering_scores(data.labels, proba.argmax(1))
    return {
        "exemplar_accuracy": exemplar_accuracy(data.labels, proba),
        **{name: scores[name] for name in JUDGED},
        "settings": {"estimator": repr(model), "rows": len(data.train)},
    }


def rows(
    cells: Sequence[tuple[int, int, int]] = CELLS,
    network: str = "conv",
    variant: str = "",
    epochs: int | None = None,
    n_rows: int | None = None,
) -> tuple[Row, ...]:
    """Return cells as rows of the table."""
    protocol = PROTOCOL if n_rows is None else f"{n_rows:,} images trained, {n_rows:,} judged"
    protocol += "" if epochs is None else f", {epochs} epochs"
    chosen, added = NETWORKS[network], VARIANTS[variant]
    loader = load if n_rows is None else partial(load, n_rows=n_rows)  # one for all rows, so that data are read once
    return tuple(
        Row(
            row_name(*cell, network, variant),
            partial(run, epochs=epochs),
            loader,
            protocol,
            () if n_rows else (_null_name(cell[1]),),
            _said(network) + added.said,
            chosen.cost[cell[2]] + added.cost,
            resumable=True,
        )
        for cell in cells
    )


def _said(network: str) -> str:
    """Return how a network's training differs from the papers'."""
    if network == "conv":
        return ""
    parameters, training, _ = NETWORKS[network]
    net = "" if parameters is CONV else "dense, codes of 10 numbers; "
    falls = " along a cosine" if isinstance(training.schedule, Cosine) else ""
    return f"{net}Adam at {training.lr:g}{falls}, batches of {training.batch_size}, {training.epochs} epochs"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the cells and seeds that are asked for and not yet in the records."""
    parser = command("gmvae")
    parser.add_argument("--version", type=int, action="append", choices=[1, 2], help="both if left out")
    parser.add_argument("--k", type=int, action="append", choices=[10, 16, 30], help="all if left out")
    parser.add_argument("--m", type=int, action="append", choices=[1, 10], help="both if left out")
    parser.add_argument("--network", choices=NETWORKS, default="dense")
    parser.add_argument("--variant", choices=VARIANTS, default="", help="see the top of this module")
    parser.add_argument("--epochs", type=int, help="instead of the network's own")
    parser.add_argument("--rows", type=int, help="train and judge on so many images only, to try it out")
    options = parser.parse_args(arguments)
    wanted = (options.version or [1, 2], options.k or [10, 16, 30], options.m or [1, 10])
    cells = [cell for cell in CELLS if all(value in chosen for value, chosen in zip(cell, wanted))]
    chosen = rows(cells, options.network, options.variant, options.epochs, options.rows)
    experiment = Experiment("dilokthanakul2016/table1", "", "", (), chosen)
    todo = missing(experiment, experiment.rows, options.seeds, options.results)
    complete(experiment, todo, options.results, options.jobs)


if __name__ == "__main__":
    main()
