"""What is run on KDD Cup 1999: the papers' rows, our own, and the null rows that every table shows beside them.

A row maps prepared training rows, all of the normal class, and the rows to score to anomaly scores. No label comes in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..diversify import NSVGD, RBF, MeansOnly, NormalPrior, Pairwise, Standardised, Wasserstein
from ..diversify.released import ReleasedNSVGD
from ..methods import DAGMM
from ..random import Streams
from ..training import Annealed, Cosine, Training

__all__ = ["ROWS", "Row"]

Score = Callable[[np.ndarray, np.ndarray, int], np.ndarray]
"""(training rows (n, f), rows (k, f), seed) -> anomaly scores (k,), high for abnormal rows."""


@dataclass(frozen=True)
class Row:
    """One way to score rows.

    Attributes
    ----------
    score : callable
        (training rows (n, f), rows (k, f), seed) -> anomaly scores (k,), high for abnormal rows.
    preparation : str
        Of `protocols.PREPARATIONS`.
    what : str
        One sentence.
    """

    score: Score
    preparation: str
    what: str


PAPER_WEIGHTS = (0.1, 0.005)
"""Of energy and inverse variances, in the paper and all rows that say nothing else."""


def distinct(rows: np.ndarray) -> np.ndarray:
    """Return each row once."""
    return np.unique(rows, axis=0)


def nearest(train: np.ndarray, rows: np.ndarray, seed: int, rank: int = 1) -> np.ndarray:
    """Distance to the distinct training row that is nearest, or next in this rank."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=rank, algorithm="brute").fit(distinct(train)).kneighbors(rows)[0][:, -1]
    return found.astype(np.float64)


def mahalanobis(train: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """Mahalanobis distance, 0.01 added to the variances."""
    wide = train.astype(np.float64)
    precision = np.linalg.inv(np.cov(wide.T) + 0.01 * np.eye(wide.shape[1]))
    gap = rows - wide.mean(0)
    return np.einsum("ij,ij->i", gap @ precision, gap)


def pca_mixture(train: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """Energy under a mixture of 4 full Gaussians on 10 principal components."""
    from sklearn.decomposition import PCA
    from sklearn.mixture import GaussianMixture
    from sklearn.pipeline import make_pipeline

    state = Streams(seed).integer("pca")
    mixture = GaussianMixture(4, random_state=state, reg_covar=1e-4)
    model = make_pipeline(PCA(min(10, *train.shape), random_state=state), mixture)
    return -model.fit(train.astype(np.float64)).score_samples(rows.astype(np.float64))


def isolation_forest(train: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
    """scikit-learn's isolation forest: 200 trees of 4,096 rows."""
    from sklearn.ensemble import IsolationForest

    state, most = Streams(seed).integer("forest"), min(4096, len(train))
    forest = IsolationForest(n_estimators=200, max_samples=most, random_state=state)
    return -forest.fit(train).score_samples(rows)


def _dagmm(epochs: int, lr: float = 1e-4, training: Mapping[str, Any] | None = None, **settings: Any) -> Score:
    how = {"batch_size": 1024, "distinct_rows": True, "progress": False} | dict(training or {})

    def score(train: np.ndarray, rows: np.ndarray, seed: int) -> np.ndarray:
        own: dict[str, Any] = {"scaling": "none", "weights": PAPER_WEIGHTS} | settings
        detector = DAGMM(training=Training(epochs=epochs, lr=lr, **how), random_state=seed, **own)
        return detector.fit(train).anomaly_score(rows)

    return score


def _released(epochs: int = 60, lr: float = 2e-4, **settings: Any) -> Score:
    """Settings of the released code of Wang and Liu: RMSProp of TensorFlow 1, gradients clipped at 5."""
    return _dagmm(epochs, lr, {"optimizer": "tf_rmsprop", "clip_norm": 5.0}, **({"mixture": "free"} | settings))


RELEASED_KERNEL = RBF("median_squared_with_zeros")


def _stein(alpha: float, kernel: Any = RELEASED_KERNEL, **settings: Any) -> NSVGD:
    """The released code's kernel and normalisation with the paper's sign."""
    return NSVGD(alpha, kernel, row_normalised=True, **settings)


GRADIENT: dict[str, Any] = {"epochs": 3, "weights": (1.0, 3e-4), "joint": False, "lr": 1e-4}
FULL: dict[str, Any] = {"epochs": 200, "lr": 1e-4}
"""The budget of both papers. The rows without it have fewer epochs, at a higher rate."""

FREE: dict[str, Any] = {"n_components": 16, "mixture": "free", "start": "em"}


def _ours(epochs: int = 0, lr: float = 1e-3, **settings: Any) -> Score:
    """A wider code, features of the residual that do not saturate, and a mixture fitted to those."""
    net = {"latent_dim": 30, "hidden": (60,), "residual": "log", "pretraining_epochs": 15}
    return _dagmm(epochs, lr, **net, **settings)


NULLS = {
    "untrained": Row(_dagmm(epochs=0), "minmax31", "DAGMM's network with random weights; moments of the training rows"),
    "1-nn": Row(nearest, "zscore38", "distance to the nearest distinct training row"),
    "mahalanobis": Row(mahalanobis, "zscore38", "Mahalanobis distance, 0.01 on the variances"),
    "pca+gmm": Row(pca_mixture, "zscore38", "4 full Gaussians on 10 principal components"),
    "isolation-forest": Row(isolation_forest, "zscore38", "200 trees of 4,096 rows"),
}

SHORT: dict[str, Any] = {"epochs": 25, "lr": 4e-4, "training": {"schedule": Cosine()}}
"""An eighth of the budget, at four times the rate, which falls along a cosine."""

SHORTER: dict[str, Any] = {**SHORT, "epochs": 12}

PAPERS = {
    "dagmm": Row(_dagmm(**SHORT), "minmax31", "DAGMM as in Zong et al. (2018); 25 epochs for 200, at 4 times the rate"),
    "dagmm-consensus": Row(
        _dagmm(**SHORTER, n_init=3, selection="consensus"),
        "minmax31",
        "dagmm from three starts of 12 epochs; mean energy, each in units of its spread over the training rows",
    ),
    "dagmm-code-2": Row(_dagmm(**SHORT, latent_dim=2), "minmax31", "dagmm with codes of two numbers in place of one"),
    "untrained-code-2": Row(_dagmm(epochs=0, latent_dim=2), "minmax31", "untrained, with codes of two numbers"),
    "dagmm-p": Row(_dagmm(**SHORT, pretraining_epochs=20), "minmax31", "dagmm after 20 epochs of pretraining"),
    "dagmm-nvi": Row(_dagmm(**SHORT, mixture="nvi"), "minmax31", "dagmm with the variational energy"),
    "free": Row(_released(), "minmax31", "free particles, plain gradient; 60 epochs for 200, at twice the rate"),
    "released-sign": Row(
        _released(diversifier=ReleasedNSVGD(0.5)),
        "minmax31",
        "free particles, T = 0.5, the released sign, which attracts; 60 epochs for 200, at twice the rate",
    ),
    "dagmm-full": Row(_dagmm(**FULL), "minmax31", "DAGMM as in Zong et al. (2018), all 200 epochs"),
    "free-full": Row(_released(**FULL), "minmax31", "free particles, plain gradient, all 200 epochs"),
    "released-sign-full": Row(
        _released(**FULL, diversifier=ReleasedNSVGD(0.5)),
        "minmax31",
        "free particles, T = 0.5, the released sign, all 200 epochs",
    ),
    "released-form-full": Row(
        _released(**FULL, mixture="signed", diversifier=ReleasedNSVGD(0.5)),
        "minmax31",
        "free particles with the released factor, whose diagonal may cross zero; T = 0.5, its sign, all 200 epochs",
    ),
}

SIGNED = {
    f"nsvgd-{alpha:g}": Row(
        _released(diversifier=_stein(alpha)),
        "minmax31",
        f"free particles, the paper's sign, alpha = {alpha:g} (T = alpha / 4); 60 epochs for 200, at twice the rate",
    )
    for alpha in (0.0, 0.02, 0.2, 0.5, 2.0)
}

REPELLED = {
    name: Row(_released(diversifier=diversifier), "minmax31", f"nsvgd-0.5 {what}")
    for name, diversifier, what in (
        ("nsvgd-0.5-standardised", _stein(0.5, Standardised(RELEASED_KERNEL, "full")), "on standardised blocks"),
        ("nsvgd-0.5-wasserstein", _stein(0.5, Wasserstein(RELEASED_KERNEL, "full")), "on means and Cholesky factors"),
        ("nsvgd-0.5-means-only", _stein(0.5, MeansOnly(RELEASED_KERNEL, "full")), "on means, factors left alone"),
        ("nsvgd-0.5-annealed", Annealed(_stein(0.5)), "that fades until half of the epochs, then plain gradient"),
        ("nsvgd-0.5-prior", _stein(0.5, prior=NormalPrior()), "with a standard normal prior on particles"),
        (
            "pairwise-0.0625",
            Pairwise(1 / 16, RELEASED_KERNEL),
            "as a penalty: no smoothing, the repulsion unnormalised",
        ),
    )
}
"""What might make repulsion help: other kernels, an end to it, a bound."""

OURS = {
    name: Row(_ours(**settings), "zscore38", what)  # pyright: ignore[reportArgumentType]
    for name, settings, what in (
        ("ours", FREE, "16 free particles by EM on 30 codes and the logarithmic residual"),
        ("ours+joint", FREE | {"epochs": 5, "weights": (0.1, 1e-5)}, "the same, then 5 epochs of DAGMM's objective"),
        ("ours+free", FREE | GRADIENT, "the same, then 3 epochs of plain gradient on the particles alone"),
        ("ours+nsvgd", FREE | GRADIENT | {"diversifier": NSVGD(0.1)}, "the same with NSVGD, alpha = 0.1"),
        ("ours+network", {"epochs": 5}, "DAGMM's estimation network and objective for 5 epochs on those codes"),
    )
}

ROWS: dict[str, Row] = NULLS | PAPERS | SIGNED | REPELLED | OURS
