r"""Targets of self-training: from what a clustering believes to what it should believe next.

Both divide by the mass of a cluster or its root, so that large clusters do not swallow small ones.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

__all__ = ["TARGETS", "balanced_targets", "sharpened_targets"]

SMALLEST = 1e-8
"""Added to the mass of a cluster: an empty one would give 0 / 0."""


def balanced_targets(p: Tensor) -> Tensor:
    r"""Return :math:`q_{ik} \propto p_{ik} / (\sum_{i'} p_{i'k})^{1/2}`, (n, m), rows summing to one.

    The closed form of Dizaji et al. (2017, Eq. 6) for given :math:`p` (n, m); it evens out the clusters.
    """
    return _normalised(p / (p.sum(0) + SMALLEST).sqrt())


def sharpened_targets(p: Tensor) -> Tensor:
    r"""Return :math:`q_{ik} \propto p_{ik}^2 / \sum_{i'} p_{i'k}`, (n, m), rows summing to one.

    The target of DEC (Xie et al., 2016), which DEPICT's released code uses too; it also sharpens.
    """
    return _normalised(p.square() / (p.sum(0) + SMALLEST))


def _normalised(weights: Tensor) -> Tensor:
    return weights / weights.sum(-1, keepdim=True)


TARGETS: dict[str, Callable[[Tensor], Tensor]] = {"balanced": balanced_targets, "sharpened": sharpened_targets}
"""By name: "balanced" is DEPICT's paper, "sharpened" its code."""
