"""What is said of each cluster, and of reconstructions, as plain values and small pictures."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from ..data.prepare import column_statistics
from ..data.sources import as_source
from .figures import picture, strip
from .records import Rows

__all__ = ["CARDS", "cluster_cards", "grey_range", "reconstructions"]

CARDS = 24
"""Clusters with a card, the largest ones; the page names the others with their sizes."""

FEATURES = 6
NEAREST_ROWS = 3
NEAREST_IMAGES = 6
DRAWS = 3
LARGEST_CONTRAST = 3.0
"""Standard deviations at which a bar is full."""


def cluster_cards(model: Any, rows: Rows, side: int | None) -> list[dict[str, Any]]:
    """Return one dictionary a cluster, the largest first.

    Parameters
    ----------
    model : fitted estimator with a mixture
    rows : Rows
    side : int or None
        Side of the square images that rows are, None for tables.
    """
    labels, sizes = rows.labels, np.asarray(rows.sizes)
    inside, outside, contrast = contrasts(rows, labels)
    facts = {"prototype": prototypes(model), "inside": inside, "outside": outside, "contrast": contrast}
    log_density = np.asarray(rows.log_joint) - np.log(np.maximum(model.weights_, 1e-300))
    certainty = rows.responsibilities.max(axis=1)
    grey = grey_range(rows)
    cards = []
    for c in rows.by_size[:CARDS].tolist():
        members = np.flatnonzero(labels == c)
        order = members[np.argsort(-log_density[members, c], kind="stable")]
        nearest = _distinct(rows.raw, order, NEAREST_IMAGES if side else NEAREST_ROWS)
        card = {
            "number": c,
            "size": int(sizes[c]),
            "share": float(sizes[c] / sizes.sum()),
            "weight": float(model.weights_[c]),
            "certainty": float(certainty[members].mean()) if len(members) else None,
            "classes": _classes(rows.truth, members),
            "nearest": rows.index[nearest].tolist(),
        }
        own = {name: values[c] for name, values in facts.items()}
        if side:
            draws = model.sample(DRAWS, component=c, random_state=c)
            card |= _pictures(own, rows.raw[nearest], draws, side, grey)
        else:
            card["features"] = _features(own, rows.raw[nearest], rows.names)
        cards.append(card)
    return cards


def _distinct(raw: np.ndarray, order: np.ndarray, count: int) -> np.ndarray:
    """Return the first numbers of `order`, `count` at most, whose rows differ: copies of one row show nothing."""
    found: dict[bytes, int] = {}
    for i in order.tolist():
        if len(found) == count:
            break
        found.setdefault(raw[i].tobytes(), i)
    return np.array(list(found.values()), dtype=np.int64)


def grey_range(rows: Rows) -> tuple[float, float]:
    """Return what is black and what is white: the smallest and the largest value of the real rows."""
    return float(rows.raw.min()), float(rows.raw.max())


def prototypes(model: Any) -> np.ndarray:
    """Return the row expected at each component's mean, (m, f), in the units of the data."""
    return model._generated(model.module_.mixture.component_means())


def contrasts(rows: Rows, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each cluster's column means, those of all other rows, and their difference in standard deviations, (m, f).

    Means are in the units of the data, NaN where there is no row. The standard deviation is that of all rows; where it
    is zero, or one side has no row, the contrast is zero.
    """
    stats = column_statistics(as_source(rows.prepared))
    m = rows.n_clusters
    # Sums of centred rows: a large common mean would swallow a small difference.
    centred = np.stack([_sum_of(rows.prepared, labels == c, stats.mean) for c in range(m)])
    sums = np.stack([_sum_of(rows.raw, labels == c) for c in range(m)])
    count = np.bincount(labels, minlength=m)[:, None].astype(float)
    with np.errstate(invalid="ignore", divide="ignore"):
        here, elsewhere = _means(centred, count)
        contrast = np.nan_to_num((here - elsewhere) / np.sqrt(stats.variance), nan=0.0, posinf=0.0, neginf=0.0)
        return *_means(sums, count), contrast


def _means(sums: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each cluster's means and those of all other rows, (m, f)."""
    return sums / count, (sums.sum(axis=0) - sums) / (count.sum() - count)


def _sum_of(x: np.ndarray, chosen: np.ndarray, middle: Any = 0.0, block: int = 4096) -> np.ndarray:
    index = np.flatnonzero(chosen)
    parts = [x[index[i : i + block]].sum(axis=0, dtype=np.float64) for i in range(0, len(index), block)]
    return np.sum(parts, axis=0) - len(index) * middle if parts else np.zeros(x.shape[1])


def _classes(truth: np.ndarray | None, members: np.ndarray) -> list[tuple[str, float]]:
    """Return the most frequent of the user's labels in a cluster, with their shares of it."""
    if truth is None or not len(members):
        return []
    return [(str(name), n / len(members)) for name, n in Counter(truth[members].tolist()).most_common(3)]


def _pictures(
    own: dict[str, np.ndarray], nearest: np.ndarray, draws: np.ndarray, side: int, grey: tuple[float, float]
) -> dict[str, str]:
    """Return the pictures of a card."""
    return {
        "prototype": picture(own["prototype"].reshape(side, side), *grey),
        "draws": strip(draws, side, *grey),
        "real": strip(nearest, side, *grey) if len(nearest) else "",
        "contrast": picture(own["contrast"].reshape(side, side), -2, 2, colours="PuOr_r"),
    }


def _features(own: dict[str, np.ndarray], nearest: np.ndarray, names: list[str]) -> list[dict[str, Any]]:
    """Return the features of largest contrast, each with a bar from the middle (0 to 50 per cent wide).

    The contrast is None where there is nothing to compare: no row here, or none elsewhere.
    """
    compared = bool(np.isfinite(own["inside"] + own["outside"]).all())
    order = np.argsort(-np.abs(own["contrast"]), kind="stable")[:FEATURES]
    features = []
    for j in order.tolist():
        contrast = float(own["contrast"][j])
        width = 50 * min(1.0, abs(contrast) / LARGEST_CONTRAST)
        bar = {"left": 50 - width if contrast < 0 else 50.0, "width": width, "sign": "low" if contrast < 0 else "high"}
        values = {name: float(own[name][j]) for name in ("inside", "outside", "prototype")}
        shown = {"contrast": contrast if compared else None, "bar": bar, "real": nearest[:, j].tolist()}
        features.append({"name": names[j]} | shown | values)
    return features


def reconstructions(model: Any, rows: Rows, side: int | None, rng: np.random.Generator) -> dict[str, Any]:
    """Return rows beside what the decoder makes of their codes: pictures, or for tables how well each column does.

    Half of the shown images are drawn at random, half are those that are rebuilt worst.
    """
    rebuilt = model._map(model.module_.reconstruct, as_source(rows.raw))
    if side is None:
        return {"columns": _columns(rows, rebuilt)}
    error = np.array([np.square(a - b).mean() for a, b in zip(rows.prepared, rebuilt)])
    random = np.sort(rng.permutation(len(error))[:NEAREST_IMAGES])
    chosen = {"random": random, "worst": np.argsort(-error, kind="stable")[:NEAREST_IMAGES]}
    return {"images": {name: _before_and_after(rows, rebuilt, index, side) for name, index in chosen.items()}}


def _before_and_after(rows: Rows, rebuilt: np.ndarray, index: np.ndarray, side: int) -> dict[str, Any]:
    pair = rows.prepared[index], rebuilt[index]
    low, high = min(float(x.min()) for x in pair), max(float(x.max()) for x in pair)
    before, after = (strip(x, side, low, high) for x in pair)
    return {"rows": rows.index[index].tolist(), "before": before, "after": after}


def _columns(rows: Rows, rebuilt: np.ndarray) -> list[dict[str, Any]]:
    """Return the columns by the share of their variance that is rebuilt: all, or the best and the worst of many."""
    stats = column_statistics(as_source(rows.prepared))
    error = np.square(rows.prepared - rebuilt).mean(axis=0, dtype=np.float64)
    varying = np.flatnonzero(stats.variance > 0)
    explained = 1 - error[varying] / stats.variance[varying]
    order = np.argsort(-explained, kind="stable")
    if len(order) > 4 * FEATURES:
        order = np.concatenate([order[: 2 * FEATURES], order[-2 * FEATURES :]])
    return [{"name": rows.names[varying[j]], "explained": float(explained[j])} for j in order.tolist()]
