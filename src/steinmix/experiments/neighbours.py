"""Errors of nearest neighbours in a space that was learnt without labels: the runner of Table 3 of VaDE.

A coder gets rows and no label. It learns on the training rows alone, or, under the name ``...-transductive``, on the
test rows as well, without their labels; which of the two the paper did it does not say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import signature

import numpy as np

from ..data import datasets
from ..methods import VAE, VaDE
from ..metrics import knn_error
from .clustering import unit_rows

__all__ = ["CODERS", "NEIGHBOURS", "NeighbourScorer", "Split", "load_split", "make_split", "run"]

NEIGHBOURS = (3, 5, 10)
HELD_OUT = 5
"""Of sets without a published split every fifth row is a test row."""

Coder = Callable[[np.ndarray, int, int], Callable[[np.ndarray], np.ndarray]]
"""(rows to learn from (n, f), number of clusters, seed) -> a function from rows (b, f) to codes (b, d)."""


class NeighbourScorer:
    """Holds the labels of both parts and gives out errors.

    Parameters
    ----------
    train, test : ndarray (n,), (b,)
    """

    def __init__(self, train: np.ndarray, test: np.ndarray) -> None:
        self.__train, self.__test = train, test

    def errors(self, train: np.ndarray, test: np.ndarray) -> dict[str, float]:
        """Return the errors on the test codes (b, d), judged by the nearest training codes (n, d)."""
        return {f"knn_error_{k}": knn_error(train, self.__train, test, self.__test, k) for k in NEIGHBOURS}


@dataclass(frozen=True)
class Split:
    """Rows to learn from and rows to be judged on.

    Attributes
    ----------
    train, test : ndarray (n, f), (b, f)
    n_clusters : int
    scorer : NeighbourScorer
    """

    train: np.ndarray
    test: np.ndarray
    n_clusters: int
    scorer: NeighbourScorer


def make_split(rows: np.ndarray, labels: np.ndarray, test: np.ndarray) -> Split:
    """Return the split of `rows` (n, f) by the mask `test` (n,)."""
    scorer = NeighbourScorer(labels[~test], labels[test])
    return Split(rows[~test], rows[test], len(np.unique(labels)), scorer)


def load_split(name: str) -> Split:
    """Load a data set with its published split, or with every fifth row held out.

    Raises
    ------
    DataError
        If its files are not there.
    """
    load = datasets.available()[name]
    rows, labels = load(return_X_y=True)
    number = np.arange(len(labels))
    if "subset" not in signature(load).parameters:
        return make_split(rows, labels, number % HELD_OUT == 0)
    return make_split(rows, labels, number >= len(load(subset="train", return_X_y=True)[1]))  # the train part is first


def run(row: str, seed: int, data: Split) -> dict[str, float]:
    """Learn the codes that the row names after the stroke, and judge them."""
    name = row.partition("/")[2]
    coder, seen = CODERS[name.removesuffix("-transductive")], data.train
    if name.endswith("-transductive"):
        seen = np.concatenate([data.train, data.test])
    code = coder(seen, data.n_clusters, seed)
    return data.scorer.errors(code(data.train), code(data.test))


def _pixels(rows: np.ndarray, n_clusters: int, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    return unit_rows


def _vae(rows: np.ndarray, n_clusters: int, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    return VAE(random_state=seed).fit(rows).transform


def _vade(rows: np.ndarray, n_clusters: int, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    return VaDE(n_clusters, collapse="ignore", random_state=seed).fit(rows).transform


CODERS: Mapping[str, Coder] = {"pixels": _pixels, "vae": _vae, "vade": _vade}
