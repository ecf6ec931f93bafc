"""Samples of each component, judged by a classifier of real rows: Figure 4 of VaDE in numbers.

A generator gets rows and no label. The judge, a network trained on half of the rows with their labels, says which class
each sample looks like; a component is as good as the share of its most frequent class. The judge's own error on the
other half stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..data import datasets
from ..errors import ConfigError
from ..methods import GaussianMixture, VaDE
from ..numerics.shared import without_convergence_warnings
from ..random import Streams
from .clustering import unit_rows

__all__ = ["GENERATORS", "Gallery", "Judge", "judged", "load_gallery", "make_gallery", "run"]

SURE = 0.999
"""The paper shows samples with at least this posterior."""

DRAWN = 200
"""Samples of each component."""


class Judge:
    """Holds the labels and says how samples are classified.

    Parameters
    ----------
    rows : ndarray (n, f)
        In the units of the samples.
    labels : ndarray (n,)
    """

    def __init__(self, rows: np.ndarray, labels: np.ndarray) -> None:
        order = Streams(0).numpy("halves").permutation(len(labels))
        self.__train, self.__test = np.split(order, [len(order) // 2])
        self.__rows, self.__labels = rows, np.asarray(labels)

    @cached_property
    def _network(self) -> Any:
        from sklearn.neural_network import MLPClassifier

        network = MLPClassifier((200,), batch_size=64, max_iter=15, random_state=Streams(0).integer("judge"))
        with without_convergence_warnings():  # its error is measured
            return network.fit(self.__rows[self.__train], self.__labels[self.__train])

    def scores(self, samples: Sequence[np.ndarray]) -> dict[str, float]:
        """Return the mean over components of the share of one class, and how many classes are some component's.

        Parameters
        ----------
        samples : sequence of ndarray (s, f)
            Of each component.
        """
        counts = [np.unique(self._network.predict(each), return_counts=True) for each in samples]
        share = float(np.mean([count.max() / count.sum() for _, count in counts]))
        return {"one_class": share, "classes": float(len({found[count.argmax()] for found, count in counts}))}

    def error(self) -> float:
        """Return the share of the rows held out that the judge gets wrong."""
        return float((self._network.predict(self.__rows[self.__test]) != self.__labels[self.__test]).mean())


@dataclass(frozen=True)
class Gallery:
    """Rows to learn from without labels, and who judges what is generated.

    Attributes
    ----------
    rows : ndarray (n, f)
    n_clusters : int
    judge : Judge
    """

    rows: np.ndarray
    n_clusters: int
    judge: Judge


def make_gallery(rows: np.ndarray, labels: np.ndarray) -> Gallery:
    """Return the gallery of `rows` (n, f), grey values 0..255 brought to [0, 1]."""
    rows = unit_rows(rows)
    return Gallery(rows, len(np.unique(labels)), Judge(rows, labels))


def load_gallery(name: str) -> Gallery:
    """Load a data set by its name in a table.

    Raises
    ------
    DataError
        If its files are not there.
    """
    return make_gallery(*datasets.available()[name](return_X_y=True))


GENERATORS: Mapping[str, type] = {"gmm": GaussianMixture, "vade": VaDE}


def run(row: str, seed: int, data: Gallery) -> dict[str, float]:
    """Fit the generator that the row names after the stroke, and judge its samples."""
    kind = GENERATORS[row.partition("/")[2]]
    model = kind(data.n_clusters, collapse="ignore", random_state=seed).fit(data.rows)
    found = judged(model, data)
    try:
        sure = [model.sample(DRAWN, component, min_posterior=SURE) for component in range(data.n_clusters)]
        found |= {f"{name}_sure": value for name, value in data.judge.scores(sure).items()}
    except ConfigError:
        pass  # a component has no such samples, which the missing number says
    return found


def judged(model: Any, data: Gallery) -> dict[str, float]:
    """Return what the judge says of samples of each component of a fitted model, and its own error."""
    drawn = [model.sample(DRAWN, component) for component in range(model.module_.mixture.n_components)]
    return data.judge.scores(drawn) | {"judge_error": data.judge.error()}
