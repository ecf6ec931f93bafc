"""Table 1 of Wang and Liu (2019): MNIST by k-means, by autoencoder and k-means, by DEPICT, and by DEPICT with NSVGD.

``python -m steinmix.experiments.depict --row depict --seeds 0-2`` runs what is missing and appends one line each to
``results/wang2019-mnist.jsonl``. Each seed has a pretraining of its own, which its rows share; it is kept in a folder
named by seed and settings. A run that was cut short goes on from its last epoch. Labels are read by `score`, after a
row is done; nothing is chosen by them.

Deviations from the paper, all of budget: batches of 256 for 100, a learning rate of 1e-3 that decays along a cosine for
a constant 1e-4, bf16, hidden layers weighted 0.1 in all pretrainings, `PRETRAINING` epochs for 1,000 and at most
`MAIN` for 400, with a label-free stop (fewer than 0.1 % of the labels change in an epoch). Rows named ``code`` follow
the released code of the diversified model: likelihood force, its row-normalised kernel, T = 0.5, after a third of the
epochs without it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from ..data import datasets
from ..data.fetch import cache_folder
from ..diversify import NSVGD, RBF
from ..diversify.released import ReleasedNSVGD
from ..errors import ConfigError, UnboundedWarning
from ..estimator import Pretraining, load
from ..estimator.persistence import plain_params
from ..methods import DEPICT
from ..metrics import clustering_scores
from ..random import Streams
from ..training import Callback, Cosine, RunState, Training

__all__ = ["ROWS", "main", "run_row", "score"]

N_CLUSTERS = 10
PRETRAINING, MAIN, ANCHOR = 20, 12, 3
TEMPERATURE = 0.5
RESULTS = Path("results")

GAUSSIAN = {"head": "gaussian", "hidden_weight": 0.01}
FROM_KMEANS = {"start": "kmeans", "anchor_epochs": 0}


def _released_kernel(temperature: float) -> NSVGD:
    """The released code's direction with the sign of the paper."""
    return NSVGD(N_CLUSTERS * temperature, RBF("median_squared_with_zeros"), row_normalised=True)


def _code(diversifier: Any) -> dict[str, Any]:
    late = {"diversifier": diversifier, "force": "likelihood", "diversify_from": MAIN // 3}
    return GAUSSIAN | FROM_KMEANS | late


ROWS: dict[str, dict[str, Any] | None] = {
    "k-means": None,
    "ae+k-means": GAUSSIAN | FROM_KMEANS | {"training__epochs": 0},
    "ae+graph": GAUSSIAN | {"anchor_epochs": 0, "training__epochs": 0},
    "depict": {"anchor_epochs": ANCHOR},
    "depict, k-means start": {"start": "kmeans", "anchor_epochs": ANCHOR},
    "gaussian": GAUSSIAN | {"anchor_epochs": ANCHOR},
    "gaussian + stein, alpha 0": GAUSSIAN | {"anchor_epochs": ANCHOR, "diversifier": NSVGD(0.0)},
    "gaussian + stein, paper sign": GAUSSIAN | {"anchor_epochs": ANCHOR, "diversifier": NSVGD(TEMPERATURE)},
    "gaussian + stein, released sign": GAUSSIAN
    | {"anchor_epochs": ANCHOR, "diversifier": ReleasedNSVGD(TEMPERATURE / N_CLUSTERS)},
    "code, no stein step": GAUSSIAN | FROM_KMEANS,
    "code, T 0": _code(_released_kernel(0.0)),
    "code, paper sign": _code(_released_kernel(TEMPERATURE)),
    "code, released sign": _code(ReleasedNSVGD(TEMPERATURE)),
}
"""What each row gives DEPICT; None is k-means on pixels. ``depict + nsvgd`` of the table is "gaussian + stein"."""


class _Pretrained(Callback):
    """Puts pretrained weights into the network before the first phase."""

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        self.weights = weights

    def on_run_start(self, state: RunState) -> None:
        if state.epochs_done:  # a resumed run has weights of its own
            return
        state.module.get_submodule("ladder").load_state_dict(self.weights)


class Task(NamedTuple):
    """Rows and where things are kept."""

    name: str
    x: np.ndarray
    cache: Path


def settings_of(row: str) -> dict[str, Any]:
    """Return the parameters of a row's estimator.

    Raises
    ------
    ConfigError
        If there is no such row.
    """
    if row not in ROWS:
        raise ConfigError(f"no row is called {row!r}; expected one of {'; '.join(ROWS)}.")
    return {"pretraining": Pretraining(epochs=0, noise=0.1), "collapse": "ignore"} | (ROWS[row] or {})


def _training(epochs: int, callbacks: tuple[Any, ...] = ()) -> Training:
    return Training(epochs=epochs, schedule=Cosine(0.05), callbacks=callbacks, progress=False)


def pretrained(task: Task, seed: int) -> dict[str, torch.Tensor]:
    """Return the weights of the autoencoder of this seed, trained now or kept from an earlier row."""
    folder = _folder(task, seed, {"pretraining": PRETRAINING})
    if not (folder / "model").exists():
        model = DEPICT(N_CLUSTERS, **FROM_KMEANS, collapse="ignore", random_state=seed, training=_training(0))
        model.set_params(pretraining=Pretraining(epochs=PRETRAINING, noise=0.1))
        model.fit(task.x, checkpoint=folder / "checkpoint", resume=True).save(folder / "model")
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    return load(folder / "model").module_.ladder.state_dict()


def _folder(task: Task, seed: int, settings: dict[str, Any]) -> Path:
    """Return the folder of what is kept of a seed with these settings."""
    text = json.dumps(settings | {"data": task.name, "seed": seed}, sort_keys=True)
    return task.cache / hashlib.sha256(text.encode()).hexdigest()[:16]


def run_row(row: str, seed: int, task: Task) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the labels of a row, and what its record says of the run."""
    settings = settings_of(row)
    if ROWS[row] is None:
        return _kmeans(task.x, seed), {"parameters": {"n_init": 10}, "epochs": 0}
    epochs = settings.pop("training__epochs", MAIN)
    weights = pretrained(task, seed)
    model = DEPICT(N_CLUSTERS, random_state=seed, training=_training(epochs, (_Pretrained(weights),)), **settings)
    folder = _folder(task, seed, {"row": row, "parameters": plain_params(model.get_params(deep=False), strict=False)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnboundedWarning)
        model.fit(task.x, checkpoint=folder, resume=True)
    shutil.rmtree(folder, ignore_errors=True)
    labels = model.labels_ if epochs else model.initial_labels_
    last = model.history_[-1] if model.history_ else {}
    told = {
        "parameters": plain_params(model.get_params(deep=False), strict=False),
        "pretraining_epochs": PRETRAINING,
        "epochs": len(model.history_),
        "start_labels": model.initial_labels_,
        "last_epoch": {k: v for k, v in last.items() if k != "diagnostics"},
        "diagnostics": last.get("diagnostics"),
    }
    return labels, told


def _kmeans(x: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    state = Streams(seed).integer("k-means")
    return KMeans(N_CLUSTERS, n_init=10, random_state=state).fit_predict(x.astype(np.float32) / max(1, x.max()))


def score(name: str, labels: np.ndarray) -> dict[str, float]:
    """Return accuracy, NMI (geometric, as in the paper) and ARI. The only reader of true labels."""
    found = clustering_scores(_data(name).target, labels)
    return {key: found[key] for key in ("accuracy", "nmi", "ari")}


def _data(name: str) -> Any:
    loaders: dict[str, Callable[[], Any]] = {
        "digits": datasets.load_digits,
        "mnist": datasets.load_mnist,
        "usps": datasets.load_usps,
    }
    if name not in loaders:
        raise ConfigError(f"no data set {name!r} here; expected one of {', '.join(loaders)}.")
    return loaders[name]()


def _record(row: str, seed: int, task: Task) -> dict[str, Any]:
    begun = time.perf_counter()
    labels, told = run_row(row, seed, task)
    seconds = time.perf_counter() - begun
    start = told.pop("start_labels", None)
    return {
        "experiment": f"wang2019-{task.name}",
        "row": row,
        "seed": seed,
        "n_rows": len(task.x),
        "metrics": score(task.name, labels),
        "start_metrics": None if start is None else score(task.name, start),
        "seconds": round(seconds, 1),
        "versions": {"steinmix": version("steinmix"), "torch": torch.__version__, "numpy": np.__version__},
        **told,
    }


def _append(path: Path, record: dict[str, Any]) -> None:
    """Append one line in one write, so that runs side by side do not mix theirs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(record, sort_keys=True).encode() + b"\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, line)
        os.fsync(handle)
    finally:
        os.close(handle)


def _done(path: Path) -> set[tuple[str, int]]:
    lines = path.read_text().splitlines() if path.exists() else []
    return {(record["row"], record["seed"]) for record in map(json.loads, lines)}


def _seeds(text: str) -> list[int]:
    low, _, high = text.partition("-")
    return list(range(int(low), int(high or low) + 1))


def main(argv: Sequence[str] | None = None) -> None:
    """Run the rows and seeds that are asked for and not yet in the records."""
    parser = argparse.ArgumentParser(prog="python -m steinmix.experiments.depict", description=__doc__)
    parser.add_argument("--row", action="append", choices=ROWS, help="a row; all if left out; may be repeated")
    parser.add_argument("--seeds", type=_seeds, default=[0], help="such as 3, or 0-9")
    parser.add_argument("--data", default="mnist", choices=["digits", "mnist", "usps"])
    parser.add_argument("--cache", type=Path, help="folder of the pretrained autoencoders")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the records")
    options = parser.parse_args(argv)
    path = options.results / f"wang2019-{options.data}.jsonl"
    cache = options.cache or cache_folder() / "pretrained"
    task = Task(options.data, _data(options.data).data, cache)
    for seed in options.seeds:
        for row in options.row or ROWS:
            if (row, seed) not in _done(path):
                record = _record(row, seed, task)
                _append(path, record)
                sys.stdout.write(f"seed {seed}, {row}: {record['metrics']}, {record['seconds']} s\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
