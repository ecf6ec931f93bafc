"""Outliers in small tables, found without any label: what DAGMM does beside simpler detectors.

All rows train and all are judged, outliers among them, as one uses a detector on a table of one's own. Each seed draws
its own outliers, where there are more than the table takes, and its own start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import sklearn.datasets
from sklearn.preprocessing import StandardScaler

from ..data import datasets
from ..methods import DAGMM
from ..metrics import detection_scores
from ..random import Streams
from ..training import Training
from .detectors import PAPER_WEIGHTS, isolation_forest, mahalanobis, nearest
from .spec import Experiment, Row

__all__ = ["OUTLIERS", "load", "run"]


class Table(NamedTuple):
    """Rows (n, f), which of them are outliers (n,), and how many of these are taken at most."""

    rows: np.ndarray
    outlier: np.ndarray
    taken: int


DATA: dict[str, tuple[str, Any, int]] = {  # loader, the class that is rare or made rare, outliers at most
    "arrhythmia": ("arrhythmia", 1, 66),
    "breast": ("breast_cancer", 0, 40),
    "wine": ("wine", 2, 12),
    "digits-8": ("digits", 8, 80),
    "usps-4": ("usps", 4, 250),
}

Score = Callable[[np.ndarray, int], np.ndarray]


def load(name: str) -> Table:
    """Return a table by its name."""
    source, rare, taken = DATA[name]
    own = datasets.available()
    loader = own[source] if source in own else getattr(sklearn.datasets, f"load_{source}")
    rows, labels = loader(return_X_y=True)
    return Table(np.asarray(rows, np.float32), np.asarray(labels) == rare, taken)


def run(row: str, seed: int, data: Table) -> dict[str, float]:
    """Score the rows of a table by the method that the row names after the stroke, and judge that."""
    others, outliers = np.flatnonzero(~data.outlier), np.flatnonzero(data.outlier)
    index = np.r_[others, Streams(seed).numpy("outliers").permutation(outliers)[: data.taken]]
    truth = data.outlier[index].astype(int)
    scores = METHODS[row.partition("/")[2]](data.rows[index], seed)
    found = detection_scores(truth, scores, share=float(truth.mean()))
    return {name: found[name] for name in ("auroc", "average_precision", "f1")}


def _dagmm(epochs: int | None = None, **settings: Any) -> Score:
    def scored(rows: np.ndarray, seed: int) -> np.ndarray:
        training = Training(epochs=epochs, progress=False)
        return DAGMM(training=training, random_state=seed, **settings).fit(rows).anomaly_score(rows)

    return scored


def _simple(score: Callable[..., np.ndarray]) -> Score:
    def scored(rows: np.ndarray, seed: int) -> np.ndarray:
        x = StandardScaler().fit_transform(rows)
        return score(x, x, seed)

    return scored


NULLS: Mapping[str, tuple[Score, str]] = {
    "untrained": (_dagmm(epochs=0), "the network with random weights"),
    "nearest": (_simple(partial(nearest, rank=6)), "distance to the fifth of the other rows, columns standardised"),
    "mahalanobis": (_simple(mahalanobis), "0.01 on the variances of standardised columns"),
    "isolation-forest": (_simple(isolation_forest), "200 trees"),
}

DETECTORS: Mapping[str, tuple[Score, str]] = {
    "dagmm": (_dagmm(), "the defaults"),
    "dagmm-paper-weights": (_dagmm(weights=PAPER_WEIGHTS), "inverse variances weighed 0.005, as in the paper"),
    "dagmm-log": (_dagmm(residual="log"), "the logarithmic residual"),
    "dagmm-standard": (_dagmm(scaling="standard"), "columns standardised"),
    "dagmm-consensus": (_dagmm(n_init=5, selection="consensus"), "the defaults, five starts that score together"),
}

METHODS: Mapping[str, Score] = {name: score for name, (score, _) in (NULLS | DETECTORS).items()}

OUTLIERS = Experiment(
    id="zong2018/outliers",
    title="Outliers in small tables",
    source="A table that is not in the paper, Zong et al. (2018)",
    metrics=("auroc", "average_precision", "f1"),
    always=2,
    rows=tuple(
        Row(
            f"{data}/{name}",
            run,
            load,
            "all rows train, all are judged",
            () if name in NULLS else tuple(f"{data}/{null}" for null in NULLS),
            what,
            2.0 if name in NULLS else 10.0,
        )
        for data in DATA
        for name, (_, what) in (NULLS | DETECTORS).items()
    ),
    seeds=5,
)
