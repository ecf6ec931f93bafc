"""What outlier detectors share: scores, thresholds, and p-values that need no assumption on the scores."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from sklearn.base import OutlierMixin
from sklearn.utils.validation import check_is_fitted
from torch import Tensor, nn

from .._params import is_number
from .._typing import Source
from ..errors import CollapseWarning, ConfigError, DataError
from ..metrics.anomaly import conformal_pvalues
from ..training import Callback, Diagnose, Loader, Training
from .chunks import map_chunks
from .codes import CodesMixin
from .consensus import Consensus, DetectorModule
from .job import FitContext, Job
from .selection import SELECTIONS, Outcome, Rule, by_objective
from .watching import diagnosing

__all__ = ["DetectorShell"]


@dataclass(frozen=True)
class _Rows:
    """All prepared rows of a loader in chunks, as often as one asks for them."""

    loader: Loader

    def __iter__(self) -> Iterator[Tensor]:
        return (chunk.x for chunk in self.loader.chunks())


class DetectorShell(OutlierMixin, CodesMixin):
    """Predictions of a fitted detector.

    Scores follow scikit-learn: **high is normal**, and `predict` gives -1 for outliers. `anomaly_score` is high for
    abnormal rows, as `steinmix.metrics` wants it.

    Attributes
    ----------
    offset_ : float
        Threshold on `score_samples`: rows below it are outliers.
    history_ : list of dict
        One record per epoch.
    diagnostics_ : list of dict
        Occupancy, effective number of components, closest pair, overlap, after each epoch.
    """

    contamination: float
    plan_: dict[str, Any]
    _selections: ClassVar[Mapping[str, Rule]] = SELECTIONS | {"consensus": by_objective}

    def score_samples(self, X: Any) -> np.ndarray:
        """Return how normal each row is, (n,); for densities the log-density of its code. High is normal.

        Rows so far off that the network has no number for them get -inf, and so are outliers.

        Parameters
        ----------
        X : as in `fit`, of shape (n, f)
            Rows in the units and columns of the training data.
        """
        return self._map(self._scored, X)

    def anomaly_score(self, X: Any) -> np.ndarray:
        """Return minus `score_samples`, (n,): high is abnormal.

        Parameters
        ----------
        X : as in `fit`, of shape (n, f)
            Rows in the units and columns of the training data.
        """
        return -self.score_samples(X)

    def decision_function(self, X: Any) -> np.ndarray:
        """Return `score_samples` less `offset_`, (n,): below zero are outliers.

        Parameters
        ----------
        X : as in `fit`, of shape (n, f)
            Rows in the units and columns of the training data.
        """
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> np.ndarray:
        """Return -1 for outliers and +1 for the others, (n,).

        Parameters
        ----------
        X : as in `fit`, of shape (n, f)
            Rows in the units and columns of the training data.
        """
        return np.where(self.decision_function(X) < 0, -1, 1)

    def set_threshold(self, offset: float | None = None, *, X: Any = None, contamination: float | None = None) -> Self:
        """Move the threshold of `predict`.

        Parameters
        ----------
        offset : float, optional
            The new `offset_`, in the units of `score_samples`.
        X : as in `fit`, of shape (n, f), optional
            Rows of which the share `contamination` (by default the constructor's) shall lie below the threshold.
        contamination : float, optional
            Share of the rows `X`, above 0 and at most 0.5, that shall lie below; None takes the constructor's.

        Returns
        -------
        self

        Raises
        ------
        ConfigError
            Unless exactly one of `offset` and `X` is given, if `contamination` is given without `X`, or if a value
            cannot work.
        """
        check_is_fitted(self)
        if (offset is None) == (X is None):
            raise ConfigError("set_threshold got both or neither of offset and X; give the one or the other.")
        if X is None and contamination is not None:
            raise ConfigError("set_threshold got contamination and no X; give the rows that it is a share of.")
        if offset is None:
            share = self.contamination if contamination is None else contamination
            offset = self._quantile(self.score_samples(X), share)
        if not is_number(offset) or not np.isfinite(offset):
            raise ConfigError(f"offset is {offset!r}; expected a finite number.")
        self.offset_ = float(offset)
        return self

    def anomaly_pvalues(self, X: Any, calibration: Any) -> np.ndarray:
        """Return a p-value (n,) per row, for the hypothesis that it is as normal as the calibration rows.

        Parameters
        ----------
        X : as in `fit`, of shape (n, f)
            Rows to judge.
        calibration : as in `fit`, of shape (k, f)
            Normal rows that were **not** trained on.

        Returns
        -------
        ndarray of shape (n,)
            For a normal row P(p <= t) <= t, whatever the model is worth. `steinmix.metrics.false_discovery_control`
            turns them into flags of which a given share at most is wrong.
        """
        return conformal_pvalues(self.anomaly_score(X), self.anomaly_score(calibration))

    @property
    def _n_features_out(self) -> int:
        return self.module_.embed(torch.zeros(1, self.n_features_in_, device=self.preparation_.device)).shape[-1]

    def _job(self, source: Source, training: Training) -> Job:
        job = super()._job(source, training)
        together = self.selection == "consensus" and self.n_init > 1
        return replace(job, plan=job.plan | {"consensus": together})  # what is fitted outlives a changed parameter

    def _scored(self, x: Tensor) -> Tensor:
        score = self.module_.score(x).double()
        return score.where(score.isfinite(), -torch.inf)  # NaN would be no outlier: it is below no threshold

    def _watchers(self, module: DetectorModule, context: FitContext) -> list[Callback]:
        self._quantile(np.zeros(1), self.contamination)  # a wrong value is told before training
        return [Diagnose(diagnosing(module.groups, context.loader), phases=("mixture",))]

    def _labels_of(self, module: DetectorModule, loader: Loader) -> np.ndarray:
        return map_chunks(lambda x: module.groups(x)[0].argmax(-1), loader)

    def _empty_module(self) -> nn.Module:
        """Return the empty module of one restart, or of all that did not diverge, if they score together."""
        empty = super()._empty_module
        if not self.plan_.get("consensus"):
            return empty()
        sound = [r for r, record in enumerate(self.restarts_) if record["error"] is None]
        return Consensus([empty() for _ in sound], sound.index(self.best_restart_))

    def _revive_(self, module: nn.Module, outcomes: Sequence[Outcome], best: int) -> None:
        if not isinstance(module, Consensus):
            return super()._revive_(module, outcomes, best)
        for member, outcome in zip(module.members, (it for it in outcomes if it.error is None), strict=True):
            member.load_state_dict(outcome.state)

    def _finish(self, loader: Loader) -> None:
        self.module_.settle_(_Rows(loader))
        if isinstance(self.module_, Consensus):
            flat = self.module_.measure_(map_chunks(self.module_.each, loader))
            if flat.any():
                text = f"{flat.sum()} of {len(flat)} restarts give most training rows one score and have no part in it."
                warnings.warn(text, CollapseWarning, stacklevel=4)
        found = map_chunks(self._scored, loader)
        if not np.isfinite(found).all():
            raise DataError(f"{int((~np.isfinite(found)).sum())} training rows have no finite score; scale the data.")
        self.offset_ = self._quantile(found, self.contamination)
        self.diagnostics_ = [r["diagnostics"] for r in self.history_ if "diagnostics" in r]
        distinct = len(np.unique(found))
        if distinct == 1 and len(found) > 1:
            text = f"all {len(found)} training rows have one and the same score; the detector cannot rank them."
            warnings.warn(text, CollapseWarning, stacklevel=4)

    @staticmethod
    def _quantile(scores: np.ndarray, share: Any) -> float:
        if not is_number(share) or not 0 < share <= 0.5:
            raise ConfigError(f"contamination is {share!r}; expected a share above 0 and at most 0.5.")
        with np.errstate(invalid="ignore"):  # between two rows of -inf
            return float(np.percentile(scores, 100 * share))
