"""The choice among restarts, and how far they agree.

Nothing here looks at labels of the data: restarts are judged by their objective or by one another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from .._params import check_at_least, check_choice, is_number
from ..errors import ConfigError, DivergedError
from ..metrics.agreement import cluster_stability, consensus_labels, pairwise_agreement, row_stability

__all__ = ["SELECTIONS", "Outcome", "Rule", "by_objective", "check_restarts", "compare", "select"]


@dataclass
class Outcome:
    """What is left of one restart.

    Attributes
    ----------
    seed : int
        ``random_state=seed`` and one restart give the same model.
    state : dict of Tensor
        Of the module.
    streams : dict
        Where its generators stood at the end.
    history : list of dict
    labels : ndarray (n,), optional
        The method's own, of methods that have some.
    error : DivergedError, optional
        Why it cannot be chosen.
    loss : float, optional
        Of the model that is kept, where that may not be what the last epoch had.
    """

    seed: int
    state: dict[str, Tensor]
    streams: dict[str, Any]
    history: list[dict[str, Any]]
    labels: np.ndarray | None = None
    error: DivergedError | None = None
    loss: float | None = None

    @property
    def objective(self) -> float | None:
        """Mean loss, of the model that is kept or over the last epoch of the last phase; None without one."""
        if self.error or not self.history:
            return None
        return self.history[-1]["loss"] if self.loss is None else self.loss

    def record(self) -> dict[str, Any]:
        """Return what the user sees, as plain values."""
        error = None if self.error is None else str(self.error)
        return {"seed": self.seed, "objective": self.objective, "error": error, "history": self.history}


def by_objective(outcomes: Sequence[Outcome]) -> np.ndarray:
    """Minus the objective of each."""
    return np.array([-np.inf if o.objective is None else -o.objective for o in outcomes])


def by_agreement(outcomes: Sequence[Outcome]) -> np.ndarray:
    """The mean adjusted Rand index with the other restarts."""
    matrix = _agreement(outcomes)
    return np.where(np.isnan(np.diag(matrix)), -np.inf, np.nansum(matrix, axis=1))


Rule = Callable[[Sequence[Outcome]], np.ndarray]

SELECTIONS: dict[str, Rule] = {
    "agreement": by_agreement,
    "objective": by_objective,
}
"""Rules that choose a restart: each gives a number for every one, high is good. None of them knows a label."""


def check_restarts(estimator: Any) -> None:
    """Raise ConfigError for a number of restarts, of processes, or a rule that cannot work."""
    check_at_least("n_init", estimator.n_init, 1)
    n_jobs = estimator.n_jobs
    if n_jobs is not None and not (is_number(n_jobs, whole=True) and n_jobs != 0):
        raise ConfigError(f"n_jobs is {n_jobs!r}; expected a whole number other than 0, or None.")
    check_choice("selection", estimator.selection, estimator._selections)


def _agreement(outcomes: Sequence[Outcome]) -> np.ndarray:
    matrix = np.full((len(outcomes), len(outcomes)), np.nan)
    sound = {r: outcome.labels for r, outcome in enumerate(outcomes) if outcome.labels is not None}
    if sound:
        matrix[np.ix_(list(sound), list(sound))] = pairwise_agreement(np.stack(list(sound.values())))
    return matrix


def select(outcomes: Sequence[Outcome], rule: Rule) -> int:
    """Return the number of the restart that the rule puts first; of equal ones the first."""
    return int(np.argmax(rule(outcomes)))


def compare(outcomes: Sequence[Outcome], best: int, n_clusters: int) -> dict[str, np.ndarray]:
    """Return the fitted attributes that tell how far the restarts agree; the chosen one's clusters name all others'."""
    chosen = np.asarray(outcomes[best].labels)
    labels = np.stack([np.full_like(chosen, -1) if o.labels is None else o.labels for o in outcomes])
    sound = labels[[o.labels is not None for o in outcomes]]
    others = labels[[o.labels is not None and r != best for r, o in enumerate(outcomes)]]
    return {
        "restart_labels_": labels,
        "agreement_": _agreement(outcomes),
        "stability_": cluster_stability(others, chosen, n_clusters),
        "row_stability_": row_stability(others, chosen),
        "consensus_labels_": consensus_labels(sound, chosen),
    }
