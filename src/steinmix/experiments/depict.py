"""Table 1 of Wang and Liu (2019): clusters by DEPICT's autoencoder and k-means, by DEPICT, and by DEPICT with NSVGD.

Each seed has a pretraining of its own, which its rows share; it is kept in a folder named by seed and settings. A run
that was cut short goes on from its last epoch. No label comes in, and nothing is chosen by one.

Deviations from the paper, all of budget: batches of 256 for 100, a learning rate of 1e-3 that decays along a cosine for
a constant 1e-4, bf16, hidden layers weighted 0.1 in all pretrainings, `PRETRAINING` epochs for 1,000 and at most
`MAIN` for 400, with a label-free stop (fewer than 0.1 % of the labels change in an epoch); `LONGER` where an epoch has
few steps. Rows named ``code`` follow the released code of the diversified model: likelihood force, its row-normalised
kernel, T = 0.5, after a third of the epochs without it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn import clone

from .. import __version__
from ..data.fetch import cache_folder
from ..diversify import NSVGD, RBF, Pairwise
from ..diversify.released import ReleasedNSVGD
from ..errors import ConfigError, UnboundedWarning
from ..estimator import Pretraining, load
from ..estimator.persistence import plain_params
from ..methods import DEPICT
from ..training import Annealed, Callback, Cosine, RunState, Training
from . import clustering

__all__ = ["ROWS", "hyphened", "run", "run_map", "run_row", "settings_of"]

N_CLUSTERS = 10
PRETRAINING, MAIN, ANCHOR = 20, 12, 3
LONGER = {"digits": 10}
"""Data -> how many times as many epochs: one of MNIST has forty times the steps of one of the 1,797 digits."""

LASTING = ("anchor_epochs", "diversify_from", "training__epochs")
TEMPERATURE = 0.5

GAUSSIAN = {"head": "gaussian", "hidden_weight": 0.01}
FROM_KMEANS = {"start": "kmeans", "anchor_epochs": 0}


def _paper_sign(temperature: float) -> NSVGD:
    """The released code's direction with the sign of the paper."""
    return NSVGD(N_CLUSTERS * temperature, RBF("median_squared_with_zeros"), row_normalised=True)


def _code(diversifier: Any) -> dict[str, Any]:
    late = {"diversifier": diversifier, "force": "likelihood", "diversify_from": MAIN // 3}
    return GAUSSIAN | FROM_KMEANS | late


ROWS: dict[str, dict[str, Any]] = {
    "ae+k-means": GAUSSIAN | FROM_KMEANS | {"training__epochs": 0},
    "ae+graph": GAUSSIAN | {"anchor_epochs": 0, "training__epochs": 0},
    "depict": {"anchor_epochs": ANCHOR},
    "depict + stein, median_log": {"anchor_epochs": ANCHOR, "diversifier": NSVGD(TEMPERATURE, RBF("median_log"))},
    "depict, k-means start": {"start": "kmeans", "anchor_epochs": ANCHOR},
    "gaussian": GAUSSIAN | {"anchor_epochs": ANCHOR},
    "gaussian + stein, alpha 0": GAUSSIAN | {"anchor_epochs": ANCHOR, "diversifier": NSVGD(0.0)},
    "gaussian + stein, paper sign": GAUSSIAN | {"anchor_epochs": ANCHOR, "diversifier": NSVGD(TEMPERATURE)},
    "gaussian + stein, alpha 5": GAUSSIAN | {"anchor_epochs": ANCHOR, "diversifier": NSVGD(10 * TEMPERATURE)},
    "gaussian + stein, annealed": GAUSSIAN | {"anchor_epochs": ANCHOR, "diversifier": Annealed(NSVGD(TEMPERATURE))},
    "gaussian + stein, median_log": GAUSSIAN
    | {"anchor_epochs": ANCHOR, "diversifier": NSVGD(TEMPERATURE, RBF("median_log"))},
    "gaussian + stein, annealed, median_log": GAUSSIAN
    | {"anchor_epochs": ANCHOR, "diversifier": Annealed(NSVGD(TEMPERATURE, RBF("median_log")))},
    "gaussian + pairwise": GAUSSIAN | {"anchor_epochs": ANCHOR, "diversifier": Pairwise(TEMPERATURE / N_CLUSTERS / 2)},
    "gaussian + stein, released form": GAUSSIAN
    | {"anchor_epochs": ANCHOR, "diversifier": _paper_sign(TEMPERATURE / N_CLUSTERS)},
    "gaussian + stein, released sign": GAUSSIAN
    | {"anchor_epochs": ANCHOR, "diversifier": ReleasedNSVGD(TEMPERATURE / N_CLUSTERS)},
    "code, no stein step": GAUSSIAN | FROM_KMEANS,
    "code, T 0": _code(_paper_sign(0.0)),
    "code, paper sign": _code(_paper_sign(TEMPERATURE)),
    "code, released sign": _code(ReleasedNSVGD(TEMPERATURE)),
}
"""What each row gives DEPICT. ``depict + nsvgd`` of the table is "gaussian + stein"."""


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


def settings_of(row: str, data: str = "mnist") -> dict[str, Any]:
    """Return the parameters of a row's estimator; ``training__epochs`` is taken out by `fitted`.

    Raises
    ------
    ConfigError
        If there is no such row.
    """
    if row not in ROWS:
        raise ConfigError(f"no row is called {row!r}; expected one of {'; '.join(ROWS)}.")
    settings = {"pretraining": Pretraining(epochs=0, noise=0.1), "collapse": "ignore", "training__epochs": MAIN}
    longer = LONGER.get(data, 1)
    return {name: value * longer if name in LASTING else value for name, value in (settings | ROWS[row]).items()}


def _pretraining_epochs(task: Task) -> int:
    return PRETRAINING * LONGER.get(task.name, 1)


def _training(epochs: int, callbacks: tuple[Any, ...] = ()) -> Training:
    return Training(epochs=epochs, schedule=Cosine(0.05), callbacks=callbacks, progress=False)


def pretrained(task: Task, seed: int) -> dict[str, torch.Tensor]:
    """Return the weights of the autoencoder of this seed, trained now or kept from an earlier row."""
    model = DEPICT(N_CLUSTERS, **FROM_KMEANS, collapse="ignore", random_state=seed, training=_training(0))
    model.set_params(pretraining=Pretraining(epochs=_pretraining_epochs(task), noise=0.1))
    folder = _folder(task, seed, {"pretraining": _plain(model)})
    if not (folder / "model").exists():
        model.fit(task.x, checkpoint=folder / "checkpoint", resume=True).save(folder / "model")
        shutil.rmtree(folder / "checkpoint", ignore_errors=True)
    return load(folder / "model").module_.ladder.state_dict()


def _plain(model: DEPICT) -> dict[str, Any]:
    return plain_params(model.get_params(deep=False), strict=False)


def _folder(task: Task, seed: int, settings: dict[str, Any]) -> Path:
    """Return the folder of what this version of the library keeps of a seed with these settings."""
    text = json.dumps(settings | {"data": task.name, "seed": seed, "version": __version__}, sort_keys=True)
    return task.cache / hashlib.sha256(text.encode()).hexdigest()[:16]


def run_row(row: str, seed: int, task: Task) -> tuple[np.ndarray, dict[str, Any]]:
    """Return the labels of a row, and what its record says of the run."""
    model, labels = fitted(row, seed, task)
    last = model.history_[-1] if model.history_ else {}
    told = {
        "parameters": _plain(clone(model).set_params(training__callbacks=())),  # one of them holds weights
        "pretraining_epochs": _pretraining_epochs(task),
        "epochs": len(model.history_),
        "start_labels": model.initial_labels_,
        "last_epoch": {k: v for k, v in last.items() if k != "diagnostics"},
        "diagnostics": last.get("diagnostics"),
    }
    return labels, told


def fitted(row: str, seed: int, task: Task) -> tuple[DEPICT, np.ndarray]:
    """Return the estimator of a row, trained, and its labels."""
    settings = settings_of(row, task.name)
    epochs = settings.pop("training__epochs")
    weights = pretrained(task, seed)
    model = DEPICT(N_CLUSTERS, random_state=seed, training=_training(epochs, (_Pretrained(weights),)), **settings)
    folder = _folder(task, seed, {"row": row, "parameters": _plain(model)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnboundedWarning)
        model.fit(task.x, checkpoint=folder, resume=True)
    shutil.rmtree(folder, ignore_errors=True)
    return model, model.labels_ if epochs else model.initial_labels_


def run(row: str, seed: int, data: clustering.Task) -> dict[str, Any]:
    """Run the row "data/NAME" of a table, its name with hyphens for blanks and commas, and judge it."""
    labels, told = run_row(_named(row), seed, _task(data))
    answer = clustering.Answer(labels, told.pop("start_labels"))
    return clustering.judged(answer, data.scorer) | {"settings": told}


def run_map(row: str, seed: int, data: clustering.Task) -> dict[str, Any]:
    """Run the same row and return a map of its codes, and its scores."""
    model, labels = fitted(_named(row), seed, _task(data))
    picture = data.scorer.latent_map("", model.transform(data.rows), labels)
    return data.scorer.scores(labels) | {"settings": {"pictures": [picture]}}


def _named(row: str) -> str:
    return {hyphened(name): name for name in ROWS}[row.partition("/")[2]]


def _task(data: clustering.Task) -> Task:
    return Task(data.name, data.rows, cache_folder() / "pretrained")


def hyphened(name: str) -> str:
    """Return the name of a row as the command line takes it."""
    return name.replace(" + ", "+").replace(", ", "-").replace(" ", "-")
