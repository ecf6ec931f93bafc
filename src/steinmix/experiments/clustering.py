"""Clusterings of a data set, by name, and the scorer that judges them: the runner of Tables 1 and 2 of the papers.

A method gets a `Task`: the rows, the number of clusters and nothing else. The labels are inside the scorer, so a method
cannot train on them, nor choose by them.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from inspect import signature
from math import isqrt
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline

from ..data import datasets
from ..diversify import NSVGD
from ..errors import CollapseWarning, UnboundedWarning
from ..estimator import Pretraining
from ..methods import VAE, Autoencoder, VaDE
from ..metrics import clustering_accuracy, clustering_scores
from ..numerics.partitions import graph_clusters
from ..random import Streams
from ..training import Callback, RunState, Training
from . import xie2016
from .pictures import latent_map
from .records import as_typed

__all__ = [
    "METHODS",
    "Answer",
    "Scorer",
    "Task",
    "absent",
    "deep",
    "gaussian_mixture",
    "judged",
    "load_task",
    "make_task",
    "run",
    "unit_rows",
]

LOCAL = {"har": "har_recomputed", "rcv1": "rcv1", "reuters": "reuters", "stl10": "stl10"}
"""Data sets of the tables that these do not fetch, and the names of their loaders."""

SCALED = ("rcv1", "reuters")
"""DEC and VaDE train on stories whose mean square per column is one."""

WATCHED_ROWS = 10_000
"""Rows on which accuracy by epoch is measured, at most."""


class Scorer:
    """Holds the labels and gives out scores, never labels.

    Parameters
    ----------
    truth : ndarray (n,)
    """

    def __init__(self, truth: np.ndarray) -> None:
        self.__truth = np.asarray(truth)

    def scores(self, labels: np.ndarray) -> dict[str, float]:
        """Return all scores of a clustering (n,)."""
        return clustering_scores(self.__truth, labels)

    def accuracy(self, labels: np.ndarray, index: np.ndarray | None = None) -> float:
        """Return the accuracy of a clustering of all rows, or of the rows `index`."""
        return clustering_accuracy(self.__truth if index is None else self.__truth[index], labels)

    def latent_map(
        self, title: str, codes: np.ndarray, labels: np.ndarray, index: np.ndarray | None = None
    ) -> dict[str, Any]:
        """Return the picture of codes (n, d) and clusters (n,) of all rows, or of the rows `index`."""
        return latent_map(title, codes, labels, self.__truth if index is None else self.__truth[index])


@dataclass(frozen=True)
class Task:
    """What a method gets to know.

    Attributes
    ----------
    name : str
    rows : array (n, f)
        In their own type; see `unit_rows`.
    n_clusters : int
        The number of classes, which all papers give to their methods.
    scorer : Scorer
    """

    name: str
    rows: Any
    n_clusters: int
    scorer: Scorer


@dataclass(frozen=True)
class Answer:
    """What a method says.

    Attributes
    ----------
    labels : ndarray (n,)
    start : ndarray (n,), optional
        The labels it was started from.
    objective : float, optional
        What it maximised, per row: a choice among seeds without labels.
    settings : str
    watch : ByEpoch, optional
    """

    labels: np.ndarray
    start: np.ndarray | None = None
    objective: float | None = None
    settings: str = ""
    watch: ByEpoch | None = None


def unit_rows(rows: Any) -> np.ndarray:
    """Return rows (n, f) as dense float32, grey values 0..255 in [0, 1]."""
    dense = np.asarray(rows.todense() if sp.issparse(rows) else rows)
    return (dense / 255).astype(np.float32) if dense.dtype == np.uint8 else dense.astype(np.float32, copy=False)


def make_task(name: str, rows: Any, labels: np.ndarray) -> Task:
    """Return the task to cluster `rows` (n, f) into as many groups as there are labels."""
    return Task(name, rows, len(np.unique(labels)), Scorer(labels))


def load_task(name: str) -> Task:
    """Load a data set, by its name in a table, as a task.

    Raises
    ------
    DataError
        If its files are not there.
    """
    loader = datasets.available()[LOCAL.get(name, name)]
    local = name in LOCAL and "download_if_missing" in signature(loader).parameters
    rows, labels = loader(return_X_y=True, **({"download_if_missing": False} if local else {}))
    return make_task(name, rows * np.float32(np.sqrt(rows.shape[1])) if name in SCALED else rows, labels)


def absent(name: str) -> str:
    """Return why a data set that the tables do not fetch is not here; empty if it is, or will be fetched."""
    return datasets.absent(LOCAL[name]) if name in LOCAL else ""


def run(row: str, seed: int, data: Task) -> dict[str, Any]:
    """Run the method that the row names after the stroke, and judge it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnboundedWarning)  # said under the row's deviations
        warnings.simplefilter("ignore", CollapseWarning)  # said by the number of clusters
        answer = METHODS[row.partition("/")[2]](data, seed)
    return judged(answer, data.scorer)


def judged(answer: Answer, scorer: Scorer) -> dict[str, Any]:
    """Return the metrics of an answer, and its settings."""
    found: dict[str, Any] = scorer.scores(answer.labels)
    if answer.start is not None:
        found["initial_accuracy"] = scorer.accuracy(answer.start)
    if answer.objective is not None:
        found["objective"] = answer.objective
    if answer.watch is not None:
        found |= answer.watch.curves(scorer)
    return found | {"settings": {"estimator": answer.settings}}


class ByEpoch(Callback):
    """Keeps the labels of some rows after each epoch of the mixture phases, and the seconds of training until then.

    Parameters
    ----------
    rows : array (n, f)
    model : estimator
        The one that is going to be fitted.
    """

    def __init__(self, rows: Any, model: Any) -> None:
        self._model = model
        order = Streams(0).numpy("watched").permutation(rows.shape[0])[:WATCHED_ROWS]
        self.index = np.sort(order)
        self._rows = torch.from_numpy(unit_rows(rows[self.index]) if sp.issparse(rows) else rows[self.index])
        self._labels: list[np.ndarray] = []
        self._seconds: list[float] = []
        self._own = 0.0

    def __sklearn_clone__(self) -> ByEpoch:
        return self  # what was seen must come back to whoever asked

    def on_run_start(self, state: RunState) -> None:
        """Start the clock."""
        self._begun = time.perf_counter()

    def on_epoch_end(self, state: RunState) -> None:
        """Assign the rows; the time that takes is not counted."""
        now = time.perf_counter()
        if state.phase_name in self._model._mixture_phases:
            self._seconds.append(round(now - self._begun - self._own, 2))
            self._labels.append(self._assigned(state.module))
        self._own += time.perf_counter() - now

    def curves(self, scorer: Scorer) -> dict[str, list[float]]:
        """Return accuracy and seconds by epoch."""
        accuracy = [round(scorer.accuracy(labels, self.index), 4) for labels in self._labels]
        return {"accuracy_by_epoch": accuracy, "seconds_by_epoch": self._seconds}

    @torch.inference_mode()
    def _codes(self, module: Any) -> torch.Tensor:
        preparation = self._model.preparation_
        return module.embed(preparation(self._rows.to(preparation.device)))

    @torch.inference_mode()
    def _assigned(self, module: Any) -> np.ndarray:
        return module.mixture.responsibilities(self._codes(module)).argmax(-1).cpu().numpy()


def _k_means(task: Task, seed: int) -> Any:
    from sklearn.cluster import KMeans

    return KMeans(task.n_clusters, n_init=20, random_state=seed)


def _pixels(task: Task, seed: int) -> Answer:
    model = _k_means(task, seed).fit(unit_rows(task.rows))
    return Answer(
        np.asarray(model.labels_), objective=-float(model.inertia_) / len(model.labels_), settings=as_typed(model)
    )


def gaussian_mixture(task: Task, seed: int, covariance_type: str = "diag") -> Any:
    """Return scikit-learn's mixture with as many components as the task has clusters, not fitted."""
    from sklearn.mixture import GaussianMixture

    return GaussianMixture(task.n_clusters, covariance_type=covariance_type, reg_covar=1e-3, random_state=seed)


def _mixture(task: Task, seed: int) -> Answer:
    model, rows = gaussian_mixture(task, seed), unit_rows(task.rows).astype(np.float64)
    return Answer(model.fit_predict(rows), objective=float(model.score(rows)), settings=as_typed(model))


def _graph(task: Task, seed: int) -> Answer:
    found = graph_clusters(unit_rows(task.rows), task.n_clusters, Streams(seed))
    return Answer(found.labels, settings="graph_clusters")


def _coded(coder: Callable[..., Any], clusterer: Callable[[Task, int], Any]) -> Callable[[Task, int], Answer]:
    """Return a method of two stages: a network of the seed's own, then a clusterer on its codes."""

    def method(task: Task, seed: int) -> Answer:
        model = make_pipeline(coder(random_state=seed), clusterer(task, seed))
        return Answer(model.fit_predict(task.rows), settings=as_typed(model))

    return method


def deep(kind: type, training: Training | None = None, **settings: Any) -> Callable[[Task, int], Answer]:
    """Return a deep clusterer with its defaults but for these; its accuracy is followed over the epochs."""

    def method(task: Task, seed: int) -> Answer:
        plain = kind(task.n_clusters, training=training, random_state=seed, **settings)
        model = clone(plain)
        watch = ByEpoch(task.rows, model)
        model.set_params(training__callbacks=(watch,)).fit(task.rows)
        return Answer(model.labels_, model.initial_labels_, model.score(task.rows), as_typed(plain), watch)

    return method


def _moved(task: Task, seed: int) -> Answer:
    """VaDE told that its rows are square images, which are moved while the start's labels are smoothed."""
    side = isqrt(task.rows.shape[1])
    return deep(VaDE, moved_images=(side, side))(task, seed)


UNTRAINED: dict[str, Any] = {
    "start": "em",
    "pretraining": Pretraining(epochs=0),
    "anchor_epochs": 0,
}

PLAIN: dict[str, Any] = {"smoothing_epochs": 0, "guidance": 0.0, "anchor_epochs": 0}
"""The paper's bound from the graph start, and nothing of ours between or beside."""

WARM_UP = 20

METHODS: Mapping[str, Callable[[Task, int], Answer]] = {
    "k-means": _pixels,
    "gmm": _mixture,
    "graph": _graph,
    "untrained": deep(VaDE, Training(epochs=0), **UNTRAINED),
    "dense-ae+k-means": _coded(Autoencoder, _k_means),
    "dec-ae+k-means": _coded(xie2016.autoencoder, _k_means),
    "ae+gmm": _coded(Autoencoder, gaussian_mixture),
    "ae+gmm-full": _coded(Autoencoder, partial(gaussian_mixture, covariance_type="full")),
    "vae+gmm": _coded(VAE, gaussian_mixture),
    "vade": deep(VaDE),
    "vade-fp32": deep(VaDE, Training(precision="fp32")),
    "vade-unguided": deep(VaDE, guidance=0.0),
    "vade-unsmoothed": deep(VaDE, smoothing_epochs=0),
    "vade+nsvgd": deep(VaDE, diversifier=NSVGD(alpha=0.5)),
    "vade-plain": deep(VaDE, **PLAIN),
    "vade-linkage": deep(VaDE, start="linkage", smoothing_epochs=0),
    "vade+released-responsibilities": deep(VaDE, responsibilities="released"),
    "vade+neighbours": deep(VaDE, neighbour_weight=1.0),
    "vade+warm-up": deep(VaDE, warm_up_epochs=WARM_UP),
    "vade+ema": deep(VaDE, Training(ema=0.999)),
    "vade+moved-images": _moved,
    "vade-plain+released-responsibilities": deep(VaDE, responsibilities="released", **PLAIN),
    "vade-plain+neighbours": deep(VaDE, neighbour_weight=1.0, **PLAIN),
    "vade-plain+warm-up": deep(VaDE, warm_up_epochs=WARM_UP, **PLAIN),
    "vade-plain+ema": deep(VaDE, Training(ema=0.999), **PLAIN),
}
"""Name -> method. The settings are the estimators' defaults; what is not, stands here."""
