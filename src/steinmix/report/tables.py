"""The null rows: what one would have got without the method, or without training it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from .._typing import RandomState
from ..data.sources import as_source
from ..metrics import adjusted_rand_index, clustering_scores, effective_components
from ..mixtures import start_mixture
from ..numerics.shared import without_convergence_warnings
from ..random import Streams, seed_of
from .detections import detections
from .nulls import some_rows, untrained_module
from .records import Rows, gather, has_mixture, has_network, is_detector

__all__ = ["null_rows", "null_rows_of"]

SILHOUETTE_ROWS = 2000
START_ROWS = 10_000
"""Rows, at most, to which the mixtures of null rows are fitted and on which k-means starts; all rows are assigned."""

SMALLEST_VARIANCE = 1e-3
"""Added to the variances of the Gaussian mixture, so that constant columns do no harm."""

TRUE_SCORES = ("accuracy", "nmi", "ari", "purity")


def null_rows(model: Any, X: Any, labels: Any = None, random_state: RandomState = 0) -> list[dict[str, Any]]:
    """Return the result of a fitted model beside the results of doing less.

    Parameters
    ----------
    model : fitted estimator
    X : as in `fit`, of shape (n, f)
        Above 100,000 rows or 60 million values, a random sample is taken and every row's `what` says so.
    labels : array-like (n,), optional
        True classes. They are used for scores, never for fitting.
    random_state : int, RandomState or None, default=0

    Returns
    -------
    list of dict
        The method first; each with ``name``, ``what`` (one sentence), ``labels`` (ndarray (k,), or None for a model
        without clusters), ``index`` (ndarray (k,), the numbers of the rows the labels belong to) and ``scores``.

        For clusters the scores are ``effective_clusters`` (from shares of rows: k-means has no probabilities),
        ``smallest_share``, ``agreement`` (adjusted Rand index with the method's labels), ``silhouette`` (on at most
        2,000 prepared rows; None if there is one cluster only), and with `labels` ``accuracy``, ``nmi``, ``ari``,
        ``purity``. For outliers they are ``shared_flags`` (share of the rows flagged by the method that are flagged
        here too, where as many are), and with `labels` of 0 and 1, an outlier being 1, ``auroc``,
        ``average_precision``, ``precision``, ``recall``, ``f1``. Of an autoencoder they are ``explained`` (share of the
        variance of the prepared rows that survives coding and decoding) and ``squared_error`` (per value).

    Raises
    ------
    ConfigError
        If the model is no estimator of this library.
    DataError
        If rows and labels do not fit together or to the model.
    """
    streams = Streams(seed_of(random_state))
    return null_rows_of(model, gather(model, X, labels, streams), streams)


def null_rows_of(model: Any, rows: Rows, streams: Streams) -> list[dict[str, Any]]:
    """Return the null rows for rows that were gathered already."""
    note = f" Random sample: {len(rows.index):,} of {rows.n_rows:,} rows." if rows.sampled else ""
    if not has_mixture(model):
        judged = detections if is_detector(model) else _reconstructions
        return [
            {"name": name, "what": what + note, "labels": None, "index": rows.index, "scores": scores}
            for name, what, scores in judged(model, rows, streams)
        ]
    n = len(rows.index)
    judged = np.sort(streams.numpy("silhouette").permutation(n)[:SILHOUETTE_ROWS])
    return [
        {
            "name": name,
            "what": what + note,
            "labels": labels,
            "index": rows.index,
            "scores": _scores(rows, labels, judged),
        }
        for name, what, labels in _clusterings(model, rows, streams)
    ]


def _scores(rows: Rows, labels: np.ndarray, judged: np.ndarray) -> dict[str, float | None]:
    shares = np.bincount(labels, minlength=rows.n_clusters) / len(labels)
    scores: dict[str, float | None] = {
        "effective_clusters": effective_components(shares[None]),
        "smallest_share": float(shares.min()),
        "agreement": adjusted_rand_index(rows.labels, labels),
        "silhouette": _silhouette(rows.prepared[judged], labels[judged]),
    }
    if rows.truth is not None:
        true = clustering_scores(rows.truth, labels)
        scores |= {name: true[name] for name in TRUE_SCORES}
    return scores


def _silhouette(x: np.ndarray, labels: np.ndarray) -> float | None:
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(x, labels)) if 2 <= len(np.unique(labels)) < len(x) else None


def _clusterings(model: Any, rows: Rows, streams: Streams) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield name, what the row is for, and labels (k,)."""
    yield type(model).__name__, "The fitted model itself.", rows.labels
    if rows.start is not None:
        named = f" (start={model.start!r})" if hasattr(model, "start") else ""
        what = f"The labels its mixture was started from{named}; the rest is what training added to them."
        yield "start", what, rows.start
    if has_network(model):
        what = "The same network with random weights and k-means on its codes: what comes without any training."
        yield "untrained network", what, _untrained(model, rows, streams)
    yield _kmeans(rows, streams)
    yield _gaussian_mixture(rows, streams)


def _untrained(model: Any, rows: Rows, streams: Streams) -> np.ndarray:
    module = untrained_module(model, streams)
    codes = torch.from_numpy(model._map(module.embed, as_source(rows.raw))).to(module.mixture.logits)
    part = torch.from_numpy(some_rows(len(codes), START_ROWS, streams)).to(codes.device)
    start_mixture("kmeans", module.mixture, codes[part], streams)
    with torch.inference_mode():
        return module.mixture.assignment_log_prob(codes).argmax(-1).cpu().numpy()


def _kmeans(rows: Rows, streams: Streams) -> tuple[str, str, np.ndarray]:
    """Of many rows, the best of three starts on a part is carried on with all: starts on all cost most of the time."""
    from sklearn.cluster import KMeans

    part = some_rows(len(rows.index), START_ROWS, streams)
    whole = len(part) == len(rows.index)
    with without_convergence_warnings():  # it stops early, or there are fewer distinct rows than clusters
        kmeans = KMeans(_possible_clusters(rows), n_init=3, random_state=streams.integer("k-means"))
        kmeans.fit(rows.prepared if whole else rows.prepared[part])
        if not whole:
            centres: Any = kmeans.cluster_centers_
            kmeans = KMeans(len(centres), init=centres, n_init=1, max_iter=100).fit(rows.prepared)
    started = "best of 3 starts" if whole else f"best of 3 starts on {len(part):,} random rows, then on all"
    what = f"k-means on the prepared rows ({started}): what needs no model at all."
    return "k-means", what, np.asarray(kmeans.labels_, dtype=np.int64)


def _gaussian_mixture(rows: Rows, streams: Streams) -> tuple[str, str, np.ndarray]:
    from sklearn.mixture import GaussianMixture

    part = some_rows(len(rows.index), START_ROWS, streams)
    seed = streams.integer("mixture")
    mixture = GaussianMixture(
        _possible_clusters(rows), covariance_type="diag", reg_covar=SMALLEST_VARIANCE, random_state=seed
    )
    with without_convergence_warnings():
        labels = mixture.fit(rows.prepared[part]).predict(rows.prepared).astype(np.int64)
    fitted = "" if len(part) == len(rows.index) else f", fitted to {len(part):,} random rows"
    what = (
        "scikit-learn's Gaussian mixture with diagonal covariances on the prepared rows (EM from k-means, 0.001 added"
    )
    return (
        "plain Gaussian mixture",
        f"{what} to the variances{fitted}): what needs no network and no diversifier.",
        labels,
    )


def _possible_clusters(rows: Rows) -> int:
    return min(rows.n_clusters, len(rows.index))


def _reconstructions(model: Any, rows: Rows, streams: Streams) -> Iterator[tuple[str, str, dict[str, float | None]]]:
    for name, what, rebuilt in _rebuilt(model, rows, streams):
        yield name, what, _errors(rows, rebuilt)


def _rebuilt(model: Any, rows: Rows, streams: Streams) -> Iterator[tuple[str, str, np.ndarray]]:
    """Yield name, what the row is for, and the rebuilt prepared rows (k, f)."""
    held = as_source(rows.raw)
    d = rows.points.shape[1]
    yield type(model).__name__, "The fitted model itself.", model._map(model.module_.reconstruct, held)
    module = untrained_module(model, streams)
    yield "untrained network", "The same network with random weights.", model._map(module.reconstruct, held)
    n_columns = rows.prepared.shape[1]
    if d < n_columns:
        what = f"The best linear code of the same length, {d}: what needs no network."
        yield "PCA", what, _principal(rows.prepared, d, streams)
    what = "Every row replaced by the column means: what needs no code at all."
    if d >= n_columns:
        what += f" There is no row of PCA: with a code of {d} for {n_columns} columns it would give back the rows."
    yield "column means", what, np.broadcast_to(rows.prepared.mean(0, dtype=np.float64), rows.prepared.shape)


def _principal(x: np.ndarray, d: int, streams: Streams) -> np.ndarray:
    from sklearn.decomposition import PCA

    pca = PCA(min(d, *x.shape), random_state=streams.integer("pca"))
    return pca.inverse_transform(pca.fit_transform(x))


def _errors(rows: Rows, rebuilt: np.ndarray) -> dict[str, float | None]:
    middle = np.broadcast_to(rows.prepared.mean(0, dtype=np.float64), rows.prepared.shape)
    error, spread = _squared_error(rows.prepared, rebuilt), _squared_error(rows.prepared, middle)
    return {"explained": 1 - error / spread if spread > 0 else None, "squared_error": error}


def _squared_error(x: np.ndarray, y: np.ndarray, block: int = 4096) -> float:
    """Return the mean over all values, block by block: no third array of the size of the data."""
    starts = range(0, len(x), block)
    return sum(float(np.square(x[i : i + block] - y[i : i + block], dtype=np.float64).sum()) for i in starts) / x.size
