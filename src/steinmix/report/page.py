"""The page: one HTML file that holds everything it shows and asks the network for nothing."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from .._files import write_text
from .._machine import versions
from ..metrics import clustering_accuracy
from ..random import Streams
from .anomalies import unusual_rows
from .cards import CARDS, cluster_cards, reconstructions
from .figures import (
    MARKERS,
    PALETTE,
    code_map,
    collapse_timeline,
    mark,
    phase_spans,
    quantities,
    require_for_report,
    training_curves,
)
from .generated import generated
from .records import Rows, gather, has_mixture, has_network, image_side, is_detector
from .render import render
from .tables import null_rows_of
from .words import COLUMNS, FILTERS, GROUP_LIMIT, PHASES, SHAPES, meaning

__all__ = ["write_report"]

MAP_ROWS = 3000
HEADLINE = ("accuracy", "nmi", "auroc", "average_precision", "f1", "explained")
"""Scores of the method itself that stand at the top, where it has them."""
SHOWN = ("title", "command", "data", "created", "seed", "wall_s", "peak_bytes", "hardware", "versions")
"""Keys of the record that have a place of their own; others with plain values are listed below the parameters."""


def write_report(
    model: Any,
    X: Any,
    record: Mapping[str, Any] | None,
    path: str | Path,
    labels: Any = None,
    rows: Sequence[Mapping[str, Any]] | None = None,
) -> Path:
    """Write one self-contained HTML page about a fitted model.

    Parameters
    ----------
    model : fitted estimator
    X : as in `fit`, of shape (n, f)
        The rows to look at, as a rule those of the fit.
    record : mapping or None
        What is known of the run. Every key is optional: ``title``, ``command`` (what to type to get it again),
        ``data`` (a name, a path, or what `Source.describe` gives), ``created``, ``seed``, ``wall_s`` (seconds),
        ``peak_bytes``, ``hardware``, ``versions`` (mapping). Others are listed if they are plain.
    path : path
        The file; the write is atomic.
    labels : array-like (n,), optional
        True classes. Accuracy and its kin appear only where they are given.
    rows : list of dict, optional
        What `null_rows` gave for the same rows; computed if missing.

    Returns
    -------
    Path
        Of the written file. It is the same, byte for byte, for the same input.

    Raises
    ------
    ConfigError
        If the extra ``report`` is not installed, or the model is no estimator of this library.
    DataError
        If rows and labels do not fit together or to the model.
    ModelFileError
        If the file cannot be written.
    """
    require_for_report("jinja2", "matplotlib")
    streams = Streams(0)
    held = gather(model, X, labels, streams)
    nulls: Sequence[Mapping[str, Any]] = null_rows_of(model, held, streams) if rows is None else rows
    text = render("page.html.j2", **_context(model, held, dict(record or {}), nulls, streams))
    write_text(path, text)
    return Path(path)


def _context(
    model: Any, rows: Rows, record: dict[str, Any], nulls: Sequence[Mapping[str, Any]], streams: Streams
) -> dict[str, Any]:
    mixture, side = has_mixture(model), image_side(rows)
    rng = streams.numpy("report")
    unusual = unusual_rows(model, rows) if is_detector(model) else None
    return {
        "mixture": mixture,
        "side": side,
        "rows": rows,
        "method": type(model).__name__,
        "summary": _summary(model),
        "header": _header(model, rows, record),
        "headline": _headline(model, rows, nulls, unusual),
        "cards": cluster_cards(model, rows, side) if mixture else [],
        "others": _others(rows) if mixture else [],
        "rebuilt": None if mixture else reconstructions(model, rows, side, rng),
        "generated": generated(model, rows, side) if mixture else None,
        "unusual": unusual,
        "map": _map(model, rows, streams),
        "training": _training(model.history_),
        "collapse": _collapse(model.history_),
        "nulls": _null_table(nulls),
        "parameters": _parameters(model),
        # Lengths of phases are what training would take by itself; what ran is told under "Training".
        "plan": {k: _plain(v) for k, v in sorted(model.plan_.items()) if not k.endswith("epochs")},
        "versions": _versions(record),
        "more": {k: _plain(v) for k, v in record.items() if k not in SHOWN and isinstance(v, str | int | float | bool)},
    }


def _summary(model: Any) -> str:
    """Return the first line of the method's docstring."""
    return (type(model).__doc__ or "").strip().split("\n")[0]


def _header(model: Any, rows: Rows, record: dict[str, Any]) -> dict[str, Any]:
    data = record.get("data")
    if isinstance(data, Mapping):
        data = data.get("path") or data.get("name") or data.get("kind")
    return {
        "title": record.get("title") or f"{type(model).__name__} on {data or 'your data'}",
        "data": data or "not recorded",
        "command": record.get("command") or _call(model),
        "created": record.get("created"),
        "seed": record.get("seed", model.seed_),
        "wall_s": record.get("wall_s"),
        "peak_bytes": record.get("peak_bytes"),
        "hardware": _plain(record["hardware"]) if record.get("hardware") else None,
    }


def _call(model: Any) -> str:
    """Return the Python call that fits the model again, with its seed even where none was given."""
    again = type(model)(**model.get_params(deep=False) | {"random_state": model.seed_})
    return f"{_short(again)}.fit(X)"


def _short(value: Any) -> str:
    """Return the expression that makes a configuration object or an estimator, without what is left at its default."""
    if not hasattr(value, "get_params") or isinstance(value, type):
        return repr(value)
    params, default = value.get_params(deep=False), _defaults(type(value))
    changed = ", ".join(
        f"{k}={_short(v)}" for k, v in params.items() if k not in default or repr(v) != repr(default[k])
    )
    name = type(value).__name__
    return f"{'steinmix.' if name in _public_names() else ''}{name}({changed})"


def _public_names() -> list[str]:
    from .. import __all__

    return __all__


def _defaults(kind: type) -> dict[str, Any]:
    """Return a constructor's defaults; where it needs no argument, those of an object, for a factory shows no value."""
    defaults = {k: p.default for k, p in inspect.signature(kind).parameters.items()}
    given = {k: v for k, v in defaults.items() if v is not inspect.Parameter.empty}
    return cast(Any, kind)().get_params(deep=False) if len(given) == len(defaults) else given


def _headline(
    model: Any, rows: Rows, nulls: Sequence[Mapping[str, Any]], unusual: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    """Return the figures at the top as label, value (text) and note."""
    scores = nulls[0]["scores"]
    found = [
        {"label": COLUMNS[name][0], "value": COLUMNS[name][1](scores[name]), "note": COLUMNS[name][2]}
        for name in HEADLINE
        if name in scores
    ]
    if has_mixture(model):
        return [*found, *_cluster_figures(rows, scores["effective_clusters"])]
    if unusual is not None:
        note = f"scores below {FILTERS['figure'](unusual['offset'])}"
        found.append({"label": "Flagged", "value": FILTERS["percent"](unusual["flagged"]), "note": note})
    return [*found, _code_length(rows)]


def _cluster_figures(rows: Rows, effective: float) -> list[dict[str, Any]]:
    percent = FILTERS["percent"]
    sizes = np.asarray(rows.sizes)
    share = sizes / sizes.sum()
    empty = int((share == 0).sum())
    undecided = float(1 - rows.responsibilities.max(axis=1).mean())
    found = [
        {
            "label": "Effective clusters",
            "value": f"{FILTERS['hundredths'](effective)} of {len(share)}",
            "note": "how many equally large clusters would be as even",
        },
        {"label": "Largest cluster", "value": percent(share.max()), "note": f"component {share.argmax()}"},
        {"label": "Smallest cluster", "value": percent(share.min()), "note": _empty_note(empty, int(share.argmin()))},
        {
            "label": "Undecided",
            "value": percent(undecided),
            "note": "error that the model itself expects of its labels",
        },
    ]
    if rows.start is not None:
        moved = 1 - clustering_accuracy(rows.start, rows.labels)
        found.append(
            {"label": "Moved by training", "value": percent(moved), "note": "rows that left the cluster of the start"}
        )
    return found


def _code_length(rows: Rows) -> dict[str, str]:
    note = f"numbers a row, for {len(rows.names):,} columns"
    return {"label": "Length of the code", "value": str(rows.points.shape[1]), "note": note}


def _empty_note(empty: int, smallest: int) -> str:
    return f"{empty} without a row" if empty else f"component {smallest}; none is empty"


def _others(rows: Rows) -> list[tuple[int, int]]:
    sizes = np.asarray(rows.sizes)
    return [(c, int(sizes[c])) for c in rows.by_size[CARDS:].tolist()]


def _map(model: Any, rows: Rows, streams: Streams) -> dict[str, Any]:
    """Return the map of rows, its legend, and what its axes are."""
    means = model.module_.mixture.component_means().detach().cpu().numpy() if has_mixture(model) else None
    points = rows.points.astype(np.float64)[:, : None if means is None else means.shape[1]]  # codes without styles
    flat, flat_means, axes, what = _two_axes(points, means, streams, has_network(model))
    shown = np.sort(streams.numpy("map").permutation(len(points))[:MAP_ROWS])
    groups, legend = _groups(model, rows)
    alt = f"Scatter plot of {len(shown):,} rows, {what}; " + ("marked by cluster." if means is not None else "codes.")
    svg = code_map(flat[shown], groups[shown], flat_means, axes, "map")
    return {
        "svg": svg,
        "alt": alt,
        "what": what,
        "n": len(shown),
        "legend": legend,
        "by": _map_by(rows, means),
        "projected": points.shape[1] > 2,
    }


def _two_axes(points: np.ndarray, means: np.ndarray | None, streams: Streams, coded: bool) -> tuple[Any, Any, Any, str]:
    """Return points (n, 2), means (m, 2), axis labels and what the axes are."""
    space = "codes" if coded else "prepared rows"
    if points.shape[1] == 1:
        jitter = streams.numpy("jitter").uniform(-0.4, 0.4, len(points))
        flat_means = None if means is None else np.column_stack([means, np.zeros(len(means))])
        axes = (space[:-1], "random spread, for legibility only")
        return np.column_stack([points, jitter]), flat_means, axes, f"the only axis of the {space}"
    if points.shape[1] == 2:
        return points, means, ("first axis", "second axis"), f"the two axes of the {space}"
    from sklearn.decomposition import PCA

    pca = PCA(2, random_state=streams.integer("map"), svd_solver="randomized").fit(points)
    share = float(pca.explained_variance_ratio_.sum())
    axes = ("first principal axis", "second principal axis")
    what = f"the two principal axes of the {space}, which carry {FILTERS['percent'](share)} of their variance"
    return pca.transform(points), None if means is None else pca.transform(means), axes, what


def _groups(model: Any, rows: Rows) -> tuple[np.ndarray, list[dict[str, Any]]]:
    """Return a group (k,) for each row, and the legend: clusters, else the user's labels if few, else nothing."""
    if rows.log_joint is not None:
        names = [f"{c} ({FILTERS['counted'](size, 'row')})" for c, size in enumerate(np.asarray(rows.sizes))]
        return rows.labels, [_legend(c, name) for c, name in enumerate(names)]
    if rows.truth is not None:
        classes, groups = np.unique(rows.truth.astype(str), return_inverse=True)
        if len(classes) <= GROUP_LIMIT:
            return groups, [_legend(g, str(name)) for g, name in enumerate(classes)]
    return np.zeros(len(rows.index), dtype=int), []


def _legend(group: int, text: str) -> dict[str, Any]:
    colour, marker = mark(group)
    return {"colour": colour, "shape": SHAPES[MARKERS.index(marker)], "text": text}


def _map_by(rows: Rows, means: np.ndarray | None) -> str:
    if means is not None:
        return "Colour and shape tell the cluster; a numbered circle is the mean of a component."
    return "Colour and shape tell the labels you gave." if rows.truth is not None else ""


def _training(history: list[dict[str, Any]]) -> dict[str, Any] | None:
    if not history:
        return None
    phases = [
        {"name": name, "first": first, "last": last, "colour": PALETTE[i % len(PALETTE)], "what": PHASES.get(name, "")}
        for i, (name, first, last) in enumerate(phase_spans(history))
    ]
    alt = f"Loss and terms over {len(history)} epochs; the loss ends at {FILTERS['figure'](history[-1]['loss'])}."
    return {
        "svg": training_curves(history, "curves"),
        "alt": alt,
        "phases": phases,
        "terms": {name.replace("_", " "): what for name in quantities(history) if (what := meaning(name))},
    }


def _collapse(history: list[dict[str, Any]]) -> dict[str, Any] | None:
    watched = [record["diagnostics"] for record in history if "diagnostics" in record]
    if not watched:
        return None
    last = watched[-1]
    dead = last["dead_components"]
    alt = f"Heat map of the probability per component over {len(watched)} epochs, and effective components below it."
    return {"svg": collapse_timeline(history, "collapse"), "alt": alt, "dead": dead, "last": last, "few": 12}


def _null_table(nulls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    names = [name for name in COLUMNS if any(name in row["scores"] for row in nulls)]
    columns = [{"name": COLUMNS[n][0], "what": COLUMNS[n][3]} for n in names]
    body = [
        {"name": row["name"], "what": row["what"], "values": [COLUMNS[n][1](row["scores"].get(n)) for n in names]}
        for row in nulls
    ]
    return {"columns": columns, "rows": body, "verdict": _verdict(nulls)}


def _verdict(nulls: Sequence[Mapping[str, Any]]) -> str:
    """Return one sentence where there is a score that more of is better: accuracy, AUROC, or explained variance."""
    judged = ("accuracy", "auroc", "explained")
    name = next((n for n in judged if all(row["scores"].get(n) is not None for row in nulls)), None)
    if name is None or len(nulls) < 2:
        return ""
    best = max(nulls[1:], key=lambda row: row["scores"][name])
    own, other = nulls[0]["scores"][name], best["scores"][name]
    heading, written = COLUMNS[name][:2]
    word, ours, theirs = heading if heading.isupper() else heading.lower(), written(own), written(other)
    relation = "equal to" if ours == theirs else "above" if own > other else "below"  # as far as is shown
    return f"In {word}, {nulls[0]['name']} ({ours}) is {relation} the best null row, {best['name']} ({theirs})."


def _parameters(model: Any) -> list[dict[str, Any]]:
    """Return the constructor's parameters as texts, and whether each was changed from its default."""
    default = _defaults(type(model))
    params = model.get_params(deep=False)
    return [{"name": k, "value": _plain(_short(v)), "changed": repr(v) != repr(default[k])} for k, v in params.items()]


def _plain(value: Any, limit: int = 300) -> str:
    if isinstance(value, Mapping):
        text = ", ".join(f"{k}: {v}" for k, v in value.items())
    else:
        text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= limit else text[:limit] + " …"


def _versions(record: dict[str, Any]) -> dict[str, str]:
    """Return the versions the record names, else those of this process."""
    if isinstance(record.get("versions"), Mapping):
        return {str(k): str(v) for k, v in record["versions"].items()}
    found = versions(("steinmix", "torch", "numpy", "scikit-learn"))
    return {"Python": found.pop("python"), **found}
