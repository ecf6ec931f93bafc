"""Ways to start a mixture from points: random, k-means, EM, linkage, graph. No label is ever seen here.

Each start sets the mixture's parameters in place and returns the hard assignment it came from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..numerics.graphs import joined, knn_graph
from ..numerics.partitions import agreed_start, best_start, graph_clusters
from ..numerics.shared import without_convergence_warnings
from ..random import Streams
from .base import AbstractMixture

__all__ = ["STARTS", "Backing", "Start", "em_", "separate_duplicates_", "start_from_labels", "start_mixture"]

CHUNK_ENTRIES = 2**22
"""Numbers in the largest temporary of an E-step, which differences every point with every component."""


LINKAGE_ROWS = 4000
"""Points up to which every pair may be merged: the distances of all pairs take 64 MB then."""


@dataclass(frozen=True)
class Backing:
    """What a start may know beside its points.

    Attributes
    ----------
    rows : Tensor (n, f), optional
        Those whose codes the points are.
    judge : callable, optional
        Labels (n,) -> probabilities (n, m), mended by what is known of the rows; settles between near equals.
    """

    rows: Tensor | None = None
    judge: Callable[[np.ndarray], np.ndarray] | None = None


Start = Callable[[AbstractMixture, Tensor, Backing, Streams], np.ndarray]
"""(mixture, points (n, d), what stands behind them, streams) -> labels (n,)."""


def from_labels_(mixture: AbstractMixture, z: Tensor, labels: np.ndarray | Tensor) -> None:
    """Set the mixture to the moments of labelled groups of points."""
    one_hot = torch.nn.functional.one_hot(torch.as_tensor(labels, device=z.device).long(), mixture.n_components).to(z)
    mixture.m_step_(z, one_hot)


def random_start(mixture: AbstractMixture, z: Tensor, backing: Backing, streams: Streams) -> np.ndarray:
    """Means uniform in the box of the points, the variance of all points, equal weights (the toy study's start)."""
    low, high = z.amin(0), z.amax(0)
    uniform = torch.rand(mixture.n_components, z.shape[1], generator=streams.torch("start", "cpu"), dtype=z.dtype)
    mixture.set_moments_(low + (high - low) * uniform.to(z), z.var(0, correction=0).expand(mixture.n_components, -1))
    return mixture.responsibilities(z).argmax(-1).cpu().numpy()


def kmeans_start(mixture: AbstractMixture, z: Tensor, backing: Backing, streams: Streams) -> np.ndarray:
    """The moments of k-means clusters (best of ten by inertia)."""
    from sklearn.cluster import KMeans

    n_clusters = min(mixture.n_components, len(z))
    kmeans = KMeans(n_clusters, n_init=10, random_state=streams.integer("k-means"))
    with without_convergence_warnings():  # fewer distinct rows than clusters: answered by empty components
        labels = kmeans.fit_predict(z.cpu().double().numpy())
    from_labels_(mixture, z, labels)
    return labels.astype(np.int64)


def em_start(mixture: AbstractMixture, z: Tensor, backing: Backing, streams: Streams) -> np.ndarray:
    """Expectation maximisation from k-means."""
    kmeans_start(mixture, z, backing, streams)
    em_(mixture, z)
    return mixture.responsibilities(z).argmax(-1).cpu().numpy()


def seeded_start(mixture: AbstractMixture, z: Tensor, backing: Backing, streams: Streams) -> np.ndarray:
    """EM from the points nearest to each of some that k-means++ draws.

    The best of ten k-means is nearly always the same one, so EM from it ends at the same maximum with every seed; from
    single points it ends at many, among which restarts can choose.
    """
    from sklearn.cluster import kmeans_plusplus
    from sklearn.metrics import pairwise_distances_argmin

    points = z.cpu().double().numpy()
    n_drawn = min(mixture.n_components, len(points))
    drawn, _ = kmeans_plusplus(points, n_drawn, random_state=streams.integer("k-means++"))
    from_labels_(mixture, z, pairwise_distances_argmin(points, drawn))
    em_(mixture, z)
    return mixture.responsibilities(z).argmax(-1).cpu().numpy()


def graph_start(mixture: AbstractMixture, z: Tensor, backing: Backing, streams: Streams) -> np.ndarray:
    """The moments of the spectral clusters of a nearest-neighbour graph.

    Where rows stand behind the points, the graph of either is tried: few rows make poor codes, many make better ones
    than raw rows. `best_start` chooses, with the judge, if there is one. Where rows are dithered, codes fall into
    patterns as rows did, and only both graphs together can tell: `agreed_start`.
    """
    rows = None if backing.rows is None else dithered(backing.rows, streams)
    spaces = [z] if rows is None else [z, rows]
    found = [graph_clusters(space.cpu().numpy(), mixture.n_components, streams) for space in spaces]
    labels = best_start(found, backing.judge) if rows is backing.rows else agreed_start(*found)
    from_labels_(mixture, z, labels)
    return labels


def dithered(rows: Tensor, streams: Streams) -> Tensor:
    """Return rows (n, f) whose columns of two values are spread evenly about them, if other columns are measured.

    A step from one of two values to the other is longer than all steps inside a cluster together. Neighbours then have
    the same values in all such columns, and the graph falls into their patterns in place of clusters. A spread column
    is then made as narrow as it was: where one of the values is rare, even noise as wide as the step varies many times
    more than the column, and would drown all others.
    """
    low, high, variance = rows.amin(0), rows.amax(0), rows.var(0, correction=0)
    step, two = high - low, ((rows == low) | (rows == high)).all(0)
    wide = two & (variance > 0.5 * variance.mean())  # not a pixel at the edge that is set once
    if bool(two.all()) or not bool(wide.any()):
        return rows
    noise = torch.rand(len(rows), int(wide.sum()), generator=streams.torch("dither", "cpu"), dtype=rows.dtype) - 0.5
    step, variance, rows = step[wide], variance[wide], rows.clone()
    narrower = (variance / (variance + step.square() / 12)).sqrt()  # a twelfth is what even noise one wide has
    rows[:, wide] = narrower * (rows[:, wide] + step * noise.to(rows))
    return rows


def linkage_start(mixture: AbstractMixture, z: Tensor, backing: Backing, streams: Streams) -> np.ndarray:
    """The moments of Ward's agglomerative clusters.

    Of more than `LINKAGE_ROWS` points only neighbours are merged, in memory that grows with their number and not with
    its square.
    """
    from sklearn.cluster import AgglomerativeClustering

    points = z.cpu().double().numpy()
    graph = joined(knn_graph(points), points) if len(points) > LINKAGE_ROWS else None
    n_clusters = min(mixture.n_components, len(points))
    labels = AgglomerativeClustering(n_clusters, connectivity=graph).fit_predict(points) if len(points) > 1 else [0]
    from_labels_(mixture, z, np.asarray(labels))
    return np.asarray(labels, dtype=np.int64)


STARTS: dict[str, Start] = {
    "em": em_start,
    "graph": graph_start,
    "k-means++": seeded_start,
    "kmeans": kmeans_start,
    "linkage": linkage_start,
    "random": random_start,
}


@torch.no_grad()
def em_(mixture: AbstractMixture, z: Tensor, max_iter: int = 100, tol: float = 1e-4) -> list[float]:
    """Maximise the likelihood of points `z` (n, d) by EM, in place.

    Returns
    -------
    list of float
        Mean log-likelihood before each step. It does not decrease, but for what `m_step_` adds to full covariances.
    """
    history: list[float] = []
    rows = max(1, CHUNK_ENTRIES // (mixture.n_components * mixture.n_features))
    for _ in range(max_iter):
        joint = torch.cat([mixture.joint_log_prob(part) for part in z.split(rows)])
        history.append(float(torch.logsumexp(joint, dim=-1).double().mean()))
        if len(history) > 1 and abs(history[-1] - history[-2]) < tol:
            break
        mixture.m_step_(z, torch.softmax(joint, dim=-1))
    return history


@torch.no_grad()
def separate_duplicates_(mixture: AbstractMixture, generator: torch.Generator) -> int:
    """Move components that coincide apart by a little noise; returns how many there were.

    Equal particles feel no repulsion from each other (its sum is exactly zero) and would stay equal for ever.
    """
    theta = mixture.particles().rows()
    distance = torch.cdist(theta, theta, compute_mode="donot_use_mm_for_euclid_dist")
    repeated = (distance < 1e-6).tril(-1).any(-1)
    means = mixture.component_parameters()[0]
    rounding = 16 * torch.finfo(means.dtype).eps * means.abs().amax()  # less would be lost in means far from 0
    scale = torch.maximum(1e-4 * means.std(0, correction=0).mean().clamp(min=1.0), rounding)
    noise = torch.randn(means.shape, generator=generator, dtype=means.dtype, device=generator.device).to(means.device)
    means[repeated] += scale * noise[repeated]
    return int(repeated.sum())


def start_from_labels(mixture: AbstractMixture, z: Tensor, labels: Tensor, streams: Streams) -> None:
    """Start `mixture` from labelled points `z` (n, d).

    Parameters
    ----------
    mixture : AbstractMixture
        Set in place.
    z : Tensor (n, d)
        Points.
    labels : Tensor of int (n,)
        The component of each point.
    streams : Streams
        Draws what parts components that would coincide.
    """
    with torch.no_grad():
        from_labels_(mixture, z, labels)
        separate_duplicates_(mixture, streams.torch("separate"))


def start_mixture(
    name: str, mixture: AbstractMixture, z: Tensor, streams: Streams, backing: Backing | None = None
) -> np.ndarray:
    """Start `mixture` from points `z` (n, d) in the way `name`; return labels.

    Parameters
    ----------
    name : str
        A key of `STARTS`.
    mixture : AbstractMixture
        Set in place.
    z : Tensor (n, d)
        Points.
    streams : Streams
        Where chance comes from.
    backing : Backing, optional
        What a graph start may look at beside the points.
    """
    with torch.no_grad():
        labels = STARTS[name](mixture, z, backing or Backing(), streams)
        separate_duplicates_(mixture, streams.torch("separate"))
    return labels
