"""GMVAE on MNIST (Dilokthanakul et al., 2016 and 2017, Table 1): both versions, K = 10, 16 and 30, M = 1 and 10.

``python -m steinmix.experiments.gmvae --k 10 --m 1 --version 2 --seeds 0-4`` runs what is missing and appends one line
each to ``results/dilokthanakul2016-mnist.jsonl``; without ``--k``, ``--m`` and ``--version`` it is the whole table.
60,000 images train, the 10,000 test images are judged: exemplar accuracy as in the paper, which reads the labels of K
test images, and Hungarian accuracy and purity, which are stricter and not. Nothing is chosen by labels.

``--network dense`` (the default) is the small version for two cores: two hidden layers of 500, x and w of 10 numbers,
batches of 256, Adam at 1e-3, `DENSE_EPOCHS` epochs. ``--network conv`` is the paper's: convolutions with batch
normalisation, x of 200 and w of 150 numbers, batches of 50, Adam at 1e-4, `CONV_EPOCHS` epochs. Rows with ``+free`` add
the free bits and the warm-up that are the estimator's defaults; the paper has neither on MNIST.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CollapseWarning
from ..methods import GMVAE, GMVAECV
from ..metrics import clustering_scores, diagnose, exemplar_accuracy
from ..training import Training
from .arguments import seeds
from .runner import complete, missing
from .spec import Experiment, Row

__all__ = ["CELLS", "Split", "load", "main", "row_name", "run", "table"]

CELLS = (*product((1,), (10, 16), (1, 10)), *product((2,), (10, 16, 30), (1, 10)))
"""(version, K, M), as far as the papers have them."""

DENSE_EPOCHS, CONV_EPOCHS = 10, 100
CONSISTENCY = 0.4
"""alpha of the first version in its released script for MNIST; the paper names none."""

NETWORKS: dict[str, dict[str, Any]] = {
    "dense": {"hidden": (500, 500), "latent_dim": 10, "w_dim": 10},
    "conv": {"image_shape": (28, 28), "latent_dim": 200, "w_dim": 150},
}


@dataclass(frozen=True)
class Split:
    """Images to train on, images to be judged, and their labels, which only `run` reads, after training."""

    train: np.ndarray
    test: np.ndarray
    labels: np.ndarray


def load(name: str = "mnist", n_rows: int | None = None) -> Split:
    """Return MNIST in the split of its files; of each part the first `n_rows` if given."""
    from ..data.datasets import load_mnist

    parts = [load_mnist(subset=subset) for subset in ("train", "test")]
    return Split(parts[0].data[:n_rows], parts[1].data[:n_rows], parts[1].target[:n_rows])


def row_name(version: int, k: int, m: int, network: str = "conv", free: bool = False) -> str:
    """Return the name of a cell of the table."""
    ending = ("" if network == "conv" else f"-{network}") + ("+free" if free else "")
    return f"mnist/{'gmvae-cv' if version == 1 else 'gmvae'}-k{k}-m{m}{ending}"


def settings_of(version: int, network: str, free: bool) -> dict[str, Any]:
    """Return the parameters of a cell's estimator, K, M and training aside."""
    own: dict[str, Any] = {"consistency": CONSISTENCY} if version == 1 else {}
    own |= {"free_bits": None} if free else {"free_bits": 0.0, "warm_up": 0}
    return NETWORKS[network] | {"likelihood": "bernoulli"} | own


def training_of(network: str, epochs: int | None = None) -> Training:
    """Return how a network is trained."""
    if network == "conv":
        return Training(epochs=CONV_EPOCHS if epochs is None else epochs, batch_size=50, lr=1e-4)
    return Training(epochs=DENSE_EPOCHS if epochs is None else epochs, batch_size=256, lr=1e-3)


def run(
    row: str,
    seed: int,
    data: Split,
    cell: tuple[int, int, int],
    network: str = "dense",
    free: bool = False,
    epochs: int | None = None,
) -> dict[str, Any]:
    """Train one cell (version, K, M) and judge it on the test images."""
    version, k, m = cell
    kind = GMVAECV if version == 1 else GMVAE
    model = kind(k, n_samples=m, random_state=seed, **settings_of(version, network, free))
    model.set_params(training=training_of(network, epochs))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)  # said by the number of components
        model.fit(data.train)
    return _judged(model, data) | {"settings": {"estimator": " ".join(repr(model).split()), "rows": len(data.train)}}


def _judged(model: Any, data: Split) -> dict[str, Any]:
    proba = model.predict_proba(data.test)
    said, scores = diagnose(proba), clustering_scores(data.labels, proba.argmax(1))
    return {
        "exemplar_accuracy": exemplar_accuracy(data.labels, proba),
        **{name: scores[name] for name in ("accuracy", "purity", "nmi", "ari")},
        "objective": model.score(data.train),
        **{name: said[name] for name in ("effective_components", "distinct_components", "ambiguity")},
        "loss_by_epoch": [round(record["loss"], 3) for record in model.history_],
    }


def table(
    cells: Sequence[tuple[int, int, int]] = CELLS,
    network: str = "dense",
    free: bool = False,
    epochs: int | None = None,
    n_rows: int | None = None,
) -> Experiment:
    """Return the table of some cells as an experiment."""
    rows = f"{n_rows or 60_000} images trained, {n_rows or 10_000} judged"
    protocol = f"{rows}, {training_of(network, epochs).epochs} epochs"

    def row(cell: tuple[int, int, int]) -> Row:
        runner = partial(run, cell=cell, network=network, free=free, epochs=epochs)
        return Row(row_name(*cell, network, free), runner, partial(load, n_rows=n_rows), protocol)

    return Experiment(
        id="dilokthanakul2016/mnist",
        title=f"GMVAE, {network} networks: exemplar accuracy",
        source="Dilokthanakul et al. (2016 and 2017), Table 1",
        metrics=("exemplar_accuracy", "accuracy", "purity", "nmi", "objective"),
        rows=tuple(map(row, cells)),
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the cells and seeds that are asked for and not yet in the records."""
    parser = argparse.ArgumentParser(prog="python -m steinmix.experiments.gmvae")
    parser.add_argument("--version", type=int, action="append", choices=[1, 2], help="both if left out")
    parser.add_argument("--k", type=int, action="append", choices=[10, 16, 30], help="all if left out")
    parser.add_argument("--m", type=int, action="append", choices=[1, 10], help="both if left out")
    parser.add_argument("--seeds", type=seeds, default=[0], help="such as 3, or 0-9")
    parser.add_argument("--network", choices=NETWORKS, default="dense")
    parser.add_argument("--free", action="store_true", help="free bits and warm-up, as the estimator has by default")
    parser.add_argument("--epochs", type=int, help="instead of the network's own")
    parser.add_argument("--rows", type=int, help="train and judge on so many images only, to try it out")
    parser.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the records")
    options = parser.parse_args(arguments)
    wanted = (options.version or [1, 2], options.k or [10, 16, 30], options.m or [1, 10])
    cells = [cell for cell in CELLS if all(value in chosen for value, chosen in zip(cell, wanted))]
    experiment = table(cells, options.network, options.free, options.epochs, options.rows)
    todo = missing(experiment, experiment.rows, options.seeds, options.results)
    complete(experiment, todo, options.results, options.jobs)


if __name__ == "__main__":
    main()
