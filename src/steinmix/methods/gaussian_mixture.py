r"""Gaussian mixture by minibatch gradient ascent, with any diversifier: the model of the toy study.

Reference: D. Wang and Q. Liu, *Nonlinear Stein Variational Gradient Descent for Learning Diversified Mixture Models*,
ICML 2019, Section 5.1 (key ``wang2019``).

.. math:: F(\Theta) = E_x \log \sum_{c=1}^m \pi_c\, N(x; \mu_c, \Sigma_c), \qquad \pi_c = 1/m \text{ in the paper.}

====================================  ================================================
paper                                 here
====================================  ================================================
:math:`\theta_i`                      `DiagonalMixture`: :math:`[\mu_i, \log \sigma_i^2]`
:math:`m`                             `n_components`
:math:`F(\Theta)`                     minus the term ``negative_log_likelihood``
GMM, GMM-PT, GMM-LogDet, NSVGD        `diversifier` None, Pairwise, LogDet, NSVGD
====================================  ================================================

Deviations: a particle holds :math:`\log \sigma_i^2` (the paper's :math:`\sigma_i`), and columns are standardised unless
``scaling="none"``, so alpha, h and a prior are in those units; weights are learnt unless ``learn_weights=False``; the
start is EM unless ``start="random"``, whose means lie in the box of the rows (the paper's in [-m, m]), and without a
diversifier it is kept where training ends at a lower likelihood; log-variances are clipped to [-10, 10] (the paper's to
[-3, 3]); Adam at 0.01 steps (the paper: Adagrad at 0.05); full covariances are stepped in their own units.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from sklearn.base import ClusterMixin, DensityMixin
from torch import Tensor, nn
from torch.optim import Optimizer

from .._typing import RandomState, Source
from ..data.prepare import ColumnStatistics
from ..diversify import Diversifier, is_neutral
from ..errors import ScaleWarning
from ..estimator import (
    FitContext,
    MixtureShell,
    check_choice,
    check_count,
    check_family,
    empty_labels,
    epochs_for_steps,
    map_chunks,
)
from ..mixtures import COVARIANCES, STARTS, AbstractMixture, CholeskyMixture, step_in_own_units
from ..objective import Batch, Objective, Phase, Term
from ..random import Streams
from ..training import Loader, Training

__all__ = ["GaussianMixture"]

SCALES = 0.05, 148.0
"""Standard deviations of columns that the mixture can follow: its steps are made for about 1, and its components have
some from 0.007 to 148 (`DiagonalMixture.log_var_range`) and are up to several times narrower than the data."""

FARTHEST_MEAN = 1e5
"""Standard deviations of a column from 0 to its mean: float32 has seven digits, and two of them are for the values."""


class _Density(nn.Module):
    """A mixture in the space of the prepared data."""

    start_labels: Tensor

    def __init__(self, mixture: AbstractMixture, n_rows: int, keeps_start: bool) -> None:
        super().__init__()
        self.mixture, self.keeps_start = mixture, keeps_start
        self.register_buffer("start_labels", empty_labels(n_rows))
        if keeps_start:  # in buffers, as a checkpoint has to keep it too
            for name, value in mixture.state_dict().items():
                self.register_buffer(f"start_{name}", value.clone())

    def begun(self) -> dict[str, Tensor]:
        """Return the state that the mixture was started from."""
        return {name: getattr(self, f"start_{name}") for name in self.mixture.state_dict()}

    def embed(self, x: Tensor) -> Tensor:
        return x

    def score(self, x: Tensor) -> Tensor:
        return self.mixture.log_prob(x)

    def generate(self, z: Tensor) -> Tensor:
        return z

    def terms(self, batch: Batch) -> dict[str, Term]:
        """-F(Theta), a mean over rows."""
        return {"negative_log_likelihood": Term(-batch.expand(self.mixture.log_prob(batch.x)).mean(-1))}


class GaussianMixture(DensityMixin, MixtureShell):
    """Gaussian mixture whose components a diversifier can keep apart.

    Parameters
    ----------
    n_components : int, default=1
        Number of components.
    covariance_type : {"diag", "full", "unit"}, default="diag"
        Diagonal, full by Cholesky factors, or the identity in the units of the scaled data.
    start : {"em", "kmeans", "k-means++", "graph", "linkage", "random"}, default="em"
        Where components begin: "kmeans" by the best of ten k-means, "em" by EM from there, "k-means++" by EM from rows
        that k-means++ draws, "graph" by spectral clusters of a neighbour graph, "linkage" by Ward's tree, "random" with
        means uniform in the box of the rows. With ``n_init > 1`` take "k-means++": restarts of "em" hardly differ.
        Without a diversifier the start is kept where training ends at a lower likelihood.
    learn_weights : bool, default=True
        Learn the weights, or keep them uniform as the paper does.
    diversifier : Diversifier, optional
        `NSVGD`, `Pairwise`, `LogDet`; None for plain maximum likelihood.
    scaling : {"standard", "none", "common", "range", "minmax", "auto"}, default="standard"
        How columns are scaled before training; densities and samples are in the units of the data all the same. With
        "none" columns whose standard deviation is far from 1 draw a `ScaleWarning`.
    collapse : {"warn", "raise", "ignore"}, default="warn"
        What to do when a component ends without a row.
    training : Training, optional
        Epochs, batch size, optimiser, precision, device.
    n_init : int, default=1
        Restarts, each with a seed of its own; all are kept in ``restarts_`` and compared.
    n_jobs : int, optional
        Processes for the restarts. None runs those of a small model as one program, and those of a large one as
        joblib's context has it, else on all cores.
    selection : {"objective", "agreement"}, default="objective"
        Which restart is kept: of lowest final loss, or in best agreement with the others.
    random_state : int, RandomState or None
        Seed of all that is drawn: first weights, order of the rows, noise, samples. A fit with a whole number can be
        repeated; None takes fresh entropy from the operating system.

    Attributes
    ----------
    weights_, means_, covariances_ : ndarray of shape (m,), (m, f), (m, f, f)
        In the units of the data.
    labels_, initial_labels_ : ndarray of shape (n,)
    n_active_ : int
        Number of components that have rows.
    history_, diagnostics_ : list of dict
    restarts_, agreement_, stability_, row_stability_, consensus_labels_ : list of dict, ndarray
        With ``n_init > 1``; see `DeepEstimator`.

    References
    ----------
    Wang and Liu (2019), key ``wang2019``.

    Examples
    --------
    >>> import steinmix as sm
    >>> X = sm.datasets.load_toy(n_components=3, random_state=0).data
    >>> model = sm.GaussianMixture(n_components=3, random_state=0).fit(X)
    >>> model.predict_proba(X).shape
    (6000, 3)
    """

    _lr = 0.01
    _stack_limit = 100_000
    _knows_distinct_rows = True
    module_: _Density
    score = MixtureShell.score  # DensityMixin's comes first and gives nothing
    fit_predict = ClusterMixin.fit_predict  # scikit-learn's mixtures have it, and are no clusterers either

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "diag",
        start: str = "em",
        learn_weights: bool = True,
        diversifier: Diversifier | None = None,
        scaling: str = "standard",
        collapse: str = "warn",
        training: Training | None = None,
        n_init: int = 1,
        n_jobs: int | None = None,
        selection: str = "objective",
        random_state: RandomState = None,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.start = start
        self.learn_weights = learn_weights
        self.diversifier = diversifier
        self.scaling = scaling
        self.collapse = collapse
        self.training = training
        self.n_init = n_init
        self.n_jobs = n_jobs
        self.selection = selection
        self.random_state = random_state

    def _plan(self, source: Source, stats: ColumnStatistics, prepared: ColumnStatistics) -> dict[str, Any]:
        check_choice("start", self.start, STARTS)
        covariance_type = check_choice("covariance_type", self.covariance_type, COVARIANCES)
        check_family(self.diversifier, covariance_type)
        if self.scaling == "none":
            _warn_of_scales(prepared)
        return {
            "n_components": check_count("n_components", self.n_components, source.n_rows),
            "n_features": source.n_features,
            "n_rows": source.n_rows,
            "covariance_type": covariance_type,
            "learn_weights": self.learn_weights,
            "keeps_start": is_neutral(self.diversifier),
            "epochs": epochs_for_steps(1000, source.n_rows, most=100),
        }

    def _module(self, plan: Mapping[str, Any], streams: Streams) -> _Density:
        family = COVARIANCES[plan.get("covariance_type", self.covariance_type)]  # models saved before have none
        learn_weights = plan.get("learn_weights", self.learn_weights)
        mixture = family(plan["n_components"], plan["n_features"], learn_weights).float()
        return _Density(mixture, plan["n_rows"], plan.get("keeps_start", False))

    def _phases(self, module: _Density, context: FitContext) -> list[Phase]:
        mixture = module.mixture
        params, optimizer = list(mixture.parameters()), partial(self._optimizer, mixture, context.training)
        objective = Objective(module.terms, params, mixture.particles(), self.diversifier, optimizer)
        start = partial(self._start, module, context)
        end = partial(self._end, module, context.loader) if module.keeps_start else None
        return [Phase("mixture", context.epochs, [objective], before=start, after_step=mixture.project_, after=end)]

    def _start(self, module: _Density, context: FitContext) -> None:
        super()._start(module, context)
        if module.keeps_start:
            for name, value in module.begun().items():
                value.copy_(module.mixture.state_dict()[name])

    def _end(self, module: _Density, loader: Loader) -> None:
        """Go back to the start where training has lost: steps end somewhere about the maximum that EM stands on."""
        trained = {name: value.clone() for name, value in module.mixture.state_dict().items()}
        after = _mean_score(module, loader)
        module.mixture.load_state_dict(module.begun())
        before = _mean_score(module, loader)
        if after >= before:
            module.mixture.load_state_dict(trained)

    def _loss_of(self, module: _Density, loader: Loader) -> float:
        return -_mean_score(module, loader)

    def _optimizer(self, mixture: AbstractMixture, training: Training, params: list[nn.Parameter]) -> Optimizer:
        optimizer = training.build_optimizer(params, self._lr if training.lr is None else training.lr)
        if isinstance(mixture, CholeskyMixture):
            step_in_own_units(optimizer, mixture)
        return optimizer

    @property
    def means_(self) -> np.ndarray:
        """Means of the components in the units of the data, (m, f)."""
        scale, shift = (self.preparation_.scale.cpu().numpy(), self.preparation_.shift.cpu().numpy())
        return super().means_ * scale + shift

    @property
    def covariances_(self) -> np.ndarray:
        """Covariance matrices of the components in the units of the data, (m, f, f)."""
        scale = self.preparation_.scale.cpu().numpy()
        return super().covariances_ * scale * scale[:, None]


def _mean_score(module: _Density, loader: Loader) -> float:
    return float(map_chunks(module.score, loader).mean(dtype=np.float64))


def _warn_of_scales(prepared: ColumnStatistics) -> None:
    varies = prepared.variance > 0
    if not varies.any():
        return
    spread = np.sqrt(prepared.variance[varies])
    distance = (np.abs(prepared.mean[varies]) / spread).max()
    low, high = SCALES
    if spread.min() < low or spread.max() > high:
        got = f"columns have standard deviations from {spread.min():.3g} to {spread.max():.3g}"
        expected = f"{low:g} to {high:g}, beyond which means and variances are hardly learnt"
    elif distance > FARTHEST_MEAN:
        got = f"a column's mean is {distance:.3g} standard deviations from 0"
        expected = f"at most {FARTHEST_MEAN:g}, beyond which float32 no longer tells values apart"
    else:
        return
    advice = "Use scaling='standard': densities, means and samples stay in the units of the data."
    warnings.warn(f"scaling is 'none' and {got}; expected {expected}. {advice}", ScaleWarning, stacklevel=5)
