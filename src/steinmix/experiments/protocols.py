r"""KDD Cup 1999: the protocols behind one table heading, each under its own name, and what is run under them.

Let n be the normal class (the attacks, 80 % of the rows) and a the anomalies (the traffic labelled "normal.").

=============  ==================================  ======================================  ===========================
protocol       trained on                          judged                                  threshold
=============  ==================================  ======================================  ===========================
``Z``          the n of a random half              the other half, n and a                 top 20 % of the judged rows
``D``          as Z                                of these each distinct row once, and    as many as there are a
                                                   only those not among the rows trained
``T``          half of the n                       the other n, and all a                  top 20 % of trained + judged
``B-oracle``   as T                                as T                                    as many as there are a
=============  ==================================  ======================================  ===========================

Z is DAGMM's (Zong et al., 2018), T that of the port that Wang and Liu (2019) build on, B-oracle GOAD's (Bergman and
Hoshen, 2020), which needs the true number of anomalies. The same ranking has another F1 in each; no table mixes them.
70 % of the rows are duplicates, and under Z 87 % of the judged n were trained on, hence D.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .._params import check_choice
from ..metrics import detection_scores
from ..random import Streams

__all__ = ["KDD", "PREPARATIONS", "PROTOCOLS", "SHARE", "Protocol", "Split", "judged", "load_kdd", "prepared", "split"]

SHARE = 0.2
"""Share of rows above the threshold, in Z and T; 19.69 % of the file are anomalies."""


@dataclass(frozen=True, eq=False)  # compared and hashed by identity
class KDD:
    """The rows as they are in the file, one-hot encoded.

    Attributes
    ----------
    data : ndarray (n, 118), float32
    target : ndarray (n,)
        1 for an anomaly.
    distinct : ndarray (n,)
        Number of the distinct row that each row is a copy of.
    continuous, numeric : ndarray of int
        The 31 columns that the papers' code scales; all 38 that are not one-hot.
    """

    data: np.ndarray
    target: np.ndarray
    distinct: np.ndarray
    continuous: np.ndarray
    numeric: np.ndarray


@dataclass(frozen=True)
class Split:
    """Row numbers: those trained on, all normal, and those judged."""

    train: np.ndarray
    test: np.ndarray


@dataclass(frozen=True)
class Protocol:
    """Which rows are trained on and judged, and where the threshold is.

    Attributes
    ----------
    halves : {"rows", "normal"}
        What is divided in two at random.
    threshold : {"test", "all", "count"}
        Of the share `SHARE` in the judged rows, in trained and judged rows together, or of the true number.
    unseen : bool
        Whether each distinct row is judged once, and only if it was not trained on.
    """

    halves: str
    threshold: str
    unseen: bool = False


PROTOCOLS = {
    "Z": Protocol("rows", "test"),
    "D": Protocol("rows", "count", unseen=True),
    "T": Protocol("normal", "all"),
    "B-oracle": Protocol("normal", "count"),
}


def load_kdd(bunch: Any) -> KDD:
    """Return the data set from what `steinmix.datasets.load_kddcup99` gives."""
    data, names = bunch.data, list(bunch.feature_names)
    place = {name: j for j, name in enumerate(names)}
    rows = np.ascontiguousarray(data).view(np.dtype((np.void, data.itemsize * data.shape[1]))).ravel()
    distinct = np.unique(rows, return_inverse=True)[1].ravel()
    numeric = np.array([j for j, name in enumerate(names) if "=" not in name])
    return KDD(data, bunch.target, distinct, np.array([place[name] for name in bunch.continuous]), numeric)


def split(kdd: KDD, halves: str, seed: int) -> Split:
    """Divide the rows in two at random: all of them, or the normal ones with all anomalies on the judged side."""
    rng = Streams(seed).numpy("split")
    if halves == "rows":
        order = rng.permutation(len(kdd.target))
        first, test = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
        return Split(first[kdd.target[first] == 0], test)
    normal = rng.permutation(np.flatnonzero(kdd.target == 0))
    half = len(normal) // 2
    return Split(np.sort(normal[:half]), np.sort(np.r_[normal[half:], np.flatnonzero(kdd.target)]))


def judged(kdd: KDD, parts: Split, scores: np.ndarray, protocol: str) -> dict[str, float]:
    """Return precision, recall, F1, AUROC and average precision of scores (n,), high for abnormal rows.

    Parameters
    ----------
    kdd : KDD
    parts : Split
    scores : ndarray (n,)
        Of all rows of the file; where a protocol does not ask for a row it may be anything.
    protocol : str
        Of `PROTOCOLS`.

    Raises
    ------
    ConfigError
        If there is no such protocol.
    """
    rule = PROTOCOLS[check_choice("protocol", protocol, PROTOCOLS)]
    rows = unseen_rows(kdd, parts) if rule.unseen else parts.test
    truth, s = kdd.target[rows], scores[rows]
    reference = np.r_[scores[parts.train], s] if rule.threshold == "all" else s
    share = truth.mean() if rule.threshold == "count" else SHARE
    found = detection_scores(truth, s, share, reference)
    return {name: value for name, value in found.items() if name != "threshold"}


def unseen_rows(kdd: KDD, parts: Split) -> np.ndarray:
    """Return each distinct judged row once, without those that are trained on (with either label)."""
    fresh = parts.test[~np.isin(kdd.distinct[parts.test], kdd.distinct[parts.train])]
    return fresh[np.unique(kdd.distinct[fresh], return_index=True)[1]]


def prepared(kdd: KDD, train: np.ndarray, preparation: str) -> np.ndarray:
    """Return all rows (n, f) as float32, scaled by what the rows `train` show and nothing else."""
    scaled = PREPARATIONS[check_choice("preparation", preparation, PREPARATIONS)]
    return scaled(kdd, kdd.data[train]).astype(np.float32)


def _papers(kdd: KDD, seen: np.ndarray) -> np.ndarray:
    """The papers' code: 31 columns to [0, 1]; flags, counts of two values and one-hot columns as they are."""
    columns = kdd.continuous
    low, high = seen[:, columns].min(0), seen[:, columns].max(0)
    rows = kdd.data.copy()
    rows[:, columns] = (rows[:, columns] - low) / (high - low + 1e-8)
    return rows


def _standard(kdd: KDD, seen: np.ndarray) -> np.ndarray:
    """All 38 numeric columns to mean 0 and standard deviation 1; one-hot columns only of values that were seen."""
    columns = kdd.numeric
    mean, deviation = seen[:, columns].mean(0, dtype=np.float64), seen[:, columns].std(0, dtype=np.float64)
    rows = kdd.data.copy()
    rows[:, columns] = (rows[:, columns] - mean) / np.where(deviation > 0, deviation, 1)
    kept = np.ones(rows.shape[1], bool)
    kept[np.setdiff1d(np.arange(rows.shape[1]), columns)] = False
    return rows[:, kept | seen.any(0)]


PREPARATIONS: Mapping[str, Callable[[KDD, np.ndarray], np.ndarray]] = {"minmax31": _papers, "zscore38": _standard}
