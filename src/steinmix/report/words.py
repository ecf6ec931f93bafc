"""How numbers are written on the page, and what its words mean."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime
from functools import partial

from .._machine import counted

__all__ = ["COLUMNS", "FILTERS", "GROUP_LIMIT", "METRICS", "PHASES", "SHAPES", "TERMS", "meaning"]

NOTHING = "–"
GROUP_LIMIT = 49
"""Colours times shapes: more classes cannot be told apart on a map."""


def figure(value: float | None) -> str:
    """Return a number with three digits that count, whole numbers whole, and no exponent unless it is needed."""
    if value is None or not math.isfinite(value):
        return NOTHING
    if value and not 1e-3 <= abs(value) < 1e7:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa}e{int(exponent)}".replace("-", "−")
    exponent = int(f"{value:.2e}".partition("e")[2])  # of the rounded number: 0.9999 is 1.00
    digits = 0 if float(value).is_integer() else max(0, 2 - exponent)
    return f"{value:,.{digits}f}".replace("-", "−")


def hundredths(value: float | None) -> str:
    """Return a number with two decimals."""
    return NOTHING if value is None else f"{value:.2f}"


def wide(images: int, side: int) -> str:
    """Return the width of a strip in images: its gaps are one pixel each."""
    return f"{(images * (side + 1) - 1) / side:.3f}"


def percent(value: float | None) -> str:
    """Return a share as a percentage with one decimal."""
    return NOTHING if value is None or not math.isfinite(value) else f"{100 * value:.1f} %".replace("-", "−")


def index(value: float | None) -> str:
    """Return a score around [0, 1] with three decimals."""
    return NOTHING if value is None or not math.isfinite(value) else f"{value:.3f}".replace("-", "−")


def count(value: int) -> str:
    """Return a whole number with commas."""
    return f"{value:,}"


def duration(seconds: float) -> str:
    """Return seconds, or minutes and hours where they are many."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def signed(value: float | None) -> str:
    """Return a number with its sign and one decimal."""
    return NOTHING if value is None else f"{value:+.1f}".replace("-", "−")


def when(stamp: str) -> str:
    """Return a date and time of ISO 8601 in plain words; any other text as it is."""
    try:
        time = datetime.fromisoformat(stamp)
    except (TypeError, ValueError):
        return stamp
    return f"{time.day} {time:%B %Y, %H:%M} {time.tzname() or ''}".rstrip()


def size(n_bytes: float) -> str:
    """Return bytes as MiB or GiB."""
    return f"{n_bytes / 2**30:.1f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.0f} MiB"


FILTERS: dict[str, Callable[..., str]] = {
    "count": count,
    "counted": partial(counted, form=","),
    "duration": duration,
    "figure": figure,
    "hundredths": hundredths,
    "index": index,
    "percent": percent,
    "signed": signed,
    "size": size,
    "when": when,
    "wide": wide,
}

COLUMNS: dict[str, tuple[str, Callable[[float | None], str], str, str]] = {
    "accuracy": (
        "Accuracy",
        percent,
        "against your labels, clusters matched one to one",
        "share of rows whose cluster, under the best one-to-one matching of clusters to your labels, is right. Higher "
        "is better.",
    ),
    "nmi": (
        "NMI",
        index,
        "normalised mutual information with your labels",
        "normalised mutual information with your labels (geometric mean), 0 to 1. Higher is better.",
    ),
    "ari": (
        "ARI",
        index,
        "adjusted Rand index with your labels",
        "adjusted Rand index with your labels: pairs of rows treated alike, 0 in the mean by chance, 1 at best. Higher "
        "is better.",
    ),
    "purity": (
        "Purity",
        percent,
        "share of rows in the majority of their cluster",
        "share of rows that carry the most frequent label of their cluster. Higher is better, at an equal number of "
        "clusters.",
    ),
    "auroc": (
        "AUROC",
        index,
        "chance that one of your outliers scores below another row",
        "probability that one of your outliers is more unusual than one of the other rows; 0.5 by chance, 1 at best.",
    ),
    "average_precision": (
        "Average precision",
        index,
        "precision over all thresholds",
        "area under precision over recall; by chance the share of your outliers, 1 at best.",
    ),
    "f1": (
        "F1",
        index,
        "of the rows flagged",
        "harmonic mean of the share of flagged rows that are outliers by your labels, and of the share of outliers "
        "that are flagged. Every line of the table flags as many.",
    ),
    "shared_flags": (
        "Shared flags",
        percent,
        "",
        "share of the rows flagged by the method that are flagged here too, where as many are. Near 100 % what less "
        "gives is the same; by chance it is the share of rows flagged.",
    ),
    "explained": (
        "Explained variance",
        percent,
        "what is left of the rows after coding and decoding",
        "share of the variance of the prepared rows that survives coding and decoding. Higher is better; negative is "
        "worse than the column means.",
    ),
    "squared_error": (
        "Squared error",
        figure,
        "per value",
        "mean squared difference between a prepared value and its reconstruction. Lower is better.",
    ),
    "effective_clusters": (
        "Effective clusters",
        hundredths,
        "",
        "exponential of the entropy of the shares of rows, each counted in one cluster: the number of clusters if all "
        "are equally large, 1 if one holds everything.",
    ),
    "smallest_share": ("Smallest cluster", percent, "", "share of rows in the smallest cluster; 0 means an empty one."),
    "agreement": (
        "Agreement",
        index,
        "",
        "adjusted Rand index with the labels of the method itself. A null row near 1 finds the same clusters.",
    ),
    "silhouette": (
        "Silhouette",
        index,
        "",
        "how much nearer rows are to their own cluster than to the next one, by Euclidean distance between prepared "
        "rows (at most 2,000), −1 to 1. It favours k-means, which minimises that distance, and "
        "cannot see curved clusters.",
    ),
}
"""Column -> heading, format, short note, meaning."""

PHASES = {
    "pretrain": "the network learns to rebuild rows of which some values are hidden",
    "labels": "clusters are found in a neighbour graph, and a classifier of the rows learns them",
    "smoothing": "that classifier is made to keep its answer around each row; what it then says is the start",
    "anchor": "the mixture is started and each row's cluster is held at the start's, until networks and mixture agree",
    "undiversified": "the method's own objective, before the diversifier acts",
    "mixture": "the method's own objective: clusters are free",
    "elbo": "the variational bound",
}

TERMS = {
    "loss": "the weighted sum of the terms, which is minimised; not comparable between phases",
    "reconstruction": "how badly a row is rebuilt from its code: minus log p(x | z); in DAGMM and DEPICT the squared "
    "error",
    "hidden": "how badly the decoder rebuilds this hidden layer of the encoder",
    "latent": "how far codes lie from the components they are given to",
    "cluster": "how unlikely the chosen clusters are by their weights",
    "latent_entropy": "minus the entropy of a row's code: it falls as codes are spread wider",
    "cluster_entropy": "minus the entropy of a row's cluster: 0 if every row is certain",
    "conditional_prior": "how far a row's code is from the components it is given to, at its style",
    "w_prior": "how far a row's style is from the standard normal prior",
    "z_prior": "how far the probabilities of a row's clusters (or the sizes of clusters, if the prior is of shares) "
    "are from equal; counted from the free bits on",
    "z_information": "how much is known of a row's cluster: 0 if all are as likely, log K if it is certain; no part of "
    "the loss",
    "violation": "how unsure a row's cluster is by its code and style",
    "head": "how badly the network of the clusters knows those of the start",
    "neighbours": "how far codes and clusters of neighbouring rows are apart",
    "guidance": "how far a row's cluster is from what the smoothed start says of it",
    "smoothness": "how much the classifier's answer changes in a small step from a row",
    "labels": "how badly the classifier knows the clusters of the start",
    "entropy": "how unsure the classifier is of a row",
    "balance": "how far the sizes of its clusters are from those of the start",
    "clustering": "how far a row's cluster is from its target",
    "changed": "share of rows whose cluster has changed since the last epoch; no part of the loss",
    "kl": "how far a row's code is from the standard normal prior",
    "energy": "how unusual a row's code is: minus its log-density under the mixture, or a bound of it",
    "inverse_variance": "sum of the inverse variances of the components: it keeps them from shrinking to points",
    "negative_log_likelihood": "minus the mean log-density of the prepared rows",
}


METRICS = {
    "accuracy": "share of rows whose cluster is right, under the best one-to-one matching of clusters to classes",
    "nmi": "normalised mutual information of clusters and classes (geometric mean), 0 to 1",
    "nmi_arithmetic": "mutual information of clusters and classes over the arithmetic mean of their entropies, 0 to 1",
    "ari": "adjusted Rand index: pairs of rows that clusters and classes treat alike; 0 by chance, 1 at best",
    "initial_accuracy": "accuracy of the clusters that the training began with",
    "exemplar_accuracy": "accuracy where each cluster takes the class of its most certain row, which one label tells",
    "purity": "share of rows that have the most frequent class of their cluster",
    "objective": "what the method maximises, in the mean over rows; comparable between seeds of one row of the table",
    "precision": "share of the flagged rows that are outliers",
    "recall": "share of the outliers that are flagged",
    "f1": "harmonic mean of precision (flagged rows that are outliers) and recall (outliers that are flagged)",
    "auroc": "probability that an outlier is more unusual than another row; 0.5 by chance, 1 at best",
    "average_precision": "area under precision over recall; by chance the share of outliers, 1 at best",
    "knn_error_3": "share of test rows that most of their 3 nearest training rows, by the codes, mislabel",
    "knn_error_5": "share of test rows that most of their 5 nearest training rows, by the codes, mislabel",
    "knn_error_10": "share of test rows that most of their 10 nearest training rows, by the codes, mislabel",
    "mode_error": "mean distance of the true modes to the nearest mean that was learnt",
    "variance_error": "distance of the variance ratio from 1",
    "variance_ratio": "total variance of the learnt mixture over that of the true one; 1 is ideal",
    "effective_components": "exponential of the entropy of the components' shares: their number if all are as large",
    "distinct_components": "exponential of what a row tells of its component: how many components rows tell apart",
    "mixture_distinct_components": "how many components the mixture itself tells apart, by a row's code and style",
    "used_components": "components to which more than 1 % of the rows are given",
    "ambiguity": "one minus the largest probability of a row, in the mean: the error a model expects of its labels",
    "one_class": "share of a component's samples that the judge, a network trained with labels, gives one class",
    "classes": "classes that are the most frequent one among some component's samples, by the judge",
    "one_class_sure": "samples of one class, of those that belong to their component with 0.999 or more",
    "judge_error": "share of rows held out that the judge, a network trained with labels, gets wrong",
}
"""Metric of an experiment -> meaning."""


def meaning(name: str) -> str | None:
    """Return what a term is, also one of several that have numbers, such as hidden_1."""
    return TERMS.get(name) or TERMS.get(re.sub(r"_\d+$", "", name))


SHAPES = ("circle", "square", "triangle", "diamond", "wedge", "plus", "cross")
"""Names of `figures.MARKERS`, in the same order, for the legend."""
