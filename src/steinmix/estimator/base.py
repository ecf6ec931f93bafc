"""`DeepEstimator`: scikit-learn's contract around a module and a list of phases."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Self, final

import numpy as np
import torch
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from .._params import with_settings
from .._typing import Source
from ..data.arrays import held
from ..data.prepare import ColumnStatistics, check_finite, choose_scaling, column_statistics
from ..data.sources import as_source
from ..errors import ConfigError, DataError
from ..numerics.precision import undisturbed
from ..objective import Phase
from ..random import Streams, seed_of
from ..training import Callback, Loader, Progress, Training, run
from ..training.checkpoint import Checkpoints, root_seed
from ..training.distributed import check_same_rows, connect, from_main
from ..training.loader import CHUNK_ROWS
from .checks import check_parts, warn_unbounded
from .chunks import map_chunks
from .job import FitContext, Job, Launch
from .persistence import fitted_names, plain_params, save_estimator
from .pretraining import Pretraining
from .restarts import fit_restarts
from .selection import SELECTIONS, Outcome, Rule, check_restarts, compare, select

__all__ = ["DeepEstimator"]

FARTHEST = 1e15
"""Where a prepared value ends when rows are only read: float32 has no sum of squares of farther ones over small
variances, and nothing could be said of such a row."""


UNFINISHED = ("module_", "plan_", "preparation_", "seed_", "n_features_in_", "feature_names_in_")
"""What a fit that fails leaves: its last finite state, and what that is of."""


class DeepEstimator(BaseEstimator, ABC):
    """Base of all estimators. A method writes `_plan`, `_module` and `_phases`; everything else is here, once.

    The constructor of a subclass only stores its arguments, among them ``scaling``, ``training`` and ``random_state``.

    Attributes
    ----------
    restarts_ : list of dict
        With ``n_init > 1``, as all that follows. One record per restart: seed, objective (mean loss over the last
        epoch), error (why it was dropped, or None), history.
    best_restart_ : int
        The restart that the rule `selection` chose; everything else is said of its model.
    restart_labels_ : ndarray of shape (n_init, n)
        Labels by every restart, -1 where it was dropped.
    agreement_ : ndarray of shape (n_init, n_init)
        Adjusted Rand index of each pair of restarts.
    stability_ : ndarray of shape (m,)
        How well each cluster is found again by the other restarts: mean of the best Jaccard index (Hennig, 2007).
    row_stability_ : ndarray of shape (n,)
        Share of the other restarts that, with their clusters matched to the chosen one's, label the row alike.
    consensus_labels_ : ndarray of shape (n,)
        Vote of all restarts, matched to the chosen one, which decides where votes are equal.
    """

    scaling: str
    training: Training | None
    random_state: Any
    module_: Any
    n_init: int = 1
    n_jobs: int | None = None
    selection: str = "objective"
    restarts_: list[dict[str, Any]]
    best_restart_: int
    restart_labels_: np.ndarray
    agreement_: np.ndarray
    stability_: np.ndarray
    row_stability_: np.ndarray
    consensus_labels_: np.ndarray
    _lr = 1e-3
    _stack_limit = 0
    """Restarts are stacked (see `restarts`) while parameters x batch size stay below this: found by measurement, and 0
    unless the method's terms take parameters (r, ...) and rows (r, b, f) and give values (r,)."""

    _selections: ClassVar[Mapping[str, Rule]] = SELECTIONS
    """Name -> which restart is chosen."""

    _made: ClassVar[Mapping[str, Callable[[], Any]]] = {"training": Training, "pretraining": Pretraining}
    """Parameter -> what None stands for, once a setting of it is set."""

    _knows_distinct_rows = False
    """Whether the terms are of batches that hold each distinct row once too, by way of `Batch.expand`."""

    @abstractmethod
    def _plan(self, source: Source, stats: ColumnStatistics, prepared: ColumnStatistics) -> dict[str, Any]:
        """Check the parameters and resolve what was left open, as plain JSON values; `_module` needs no more than this.

        `stats` are of the raw columns, `prepared` of the scaled ones.
        """

    @abstractmethod
    def _module(self, plan: Mapping[str, Any], streams: Streams) -> nn.Module:
        """Build the network from the plan."""

    @abstractmethod
    def _phases(self, module: Any, context: FitContext) -> list[Phase]:
        """Return what to minimise, over what, when."""

    def _finish(self, loader: Loader) -> None:
        """Set the fitted attributes that come from the trained module."""

    def _labels_of(self, module: Any, loader: Loader) -> np.ndarray | None:
        """Return the method's own labels (n,) of the training rows, by which restarts are compared; None without."""
        return None

    def _loss_of(self, module: Any, loader: Loader) -> float | None:
        """Return the mean loss of a trained module that may not be what its last epoch left; None where it is."""
        return None

    def _compare(self, outcomes: Sequence[Outcome], best: int) -> None:
        """Set the fitted attributes that tell of all restarts."""
        self.restarts_, self.best_restart_ = [outcome.record() for outcome in outcomes], best
        if outcomes[best].labels is not None:
            m = self.plan_["n_clusters" if "n_clusters" in self.plan_ else "n_components"]
            for name, value in compare(outcomes, best, m).items():
                setattr(self, name, value)

    def _watchers(self, module: Any, context: FitContext) -> list[Callback]:
        """Return callbacks of the method's own."""
        return []

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name; one of `training` or `pretraining` makes these settings where they are None.

        Parameters
        ----------
        **params : object
            Such as ``scaling="none"`` or ``training__lr=1e-4``.

        Returns
        -------
        self

        Raises
        ------
        ConfigError
            If a nested parameter is of something that has none.
        """
        known = self.get_params(deep=False)
        for key in list(params):
            name, _, rest = key.partition("__")
            if rest and name in known:
                params[name] = self._with_settings(name, params.get(name, known[name]), rest)
        return super().set_params(**params)

    def _with_settings(self, name: str, value: Any, setting: str) -> Any:
        if value is None and name in self._made:
            return self._made[name]()
        return with_settings(name, value, setting, example="NSVGD(...)" if name == "diversifier" else "...")

    @final
    def fit(self, X: Any, y: Any = None, *, checkpoint: str | Path | None = None, resume: bool = False) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : array-like, DataFrame, sparse matrix, path or Source of shape (n, f)
            Rows in memory, or a ``.npy``, Parquet or CSV file that is read as training goes.
        y : Ignored
            There for scikit-learn; labels are never looked at.
        checkpoint : path, optional
            Folder for a checkpoint after every epoch.
        resume : bool, default=False
            Go on from the newest sound checkpoint there, to the same bits as an uninterrupted run on this device;
            without `random_state` by the seed of that run.

        Returns
        -------
        self

        Raises
        ------
        DataError
            If the data cannot be used.
        ConfigError
            If a parameter cannot work.
        DivergedError
            If training becomes non-finite; ``module_`` then holds the last finite state.
        """
        check_parts(self)
        training = _own(self.training)
        training.check()
        check_restarts(self)
        if resume and checkpoint is None:
            raise ConfigError("resume is True and checkpoint is None; expected the folder to go on from, pass both.")
        with self._fitting(training.torch_device()):
            source = self._source(X, reset=True)
            connect(training.torch_device())
            job, self.seed_ = self._job(source, training), from_main(lambda: self._seed(checkpoint, resume))
            check_same_rows(source.n_rows, source.n_features, job.checksum)
            warn_unbounded(getattr(self, "diversifier", None))
            self.plan_, self.preparation_ = job.plan, job.preparation()
            store = Checkpoints(checkpoint, self._fingerprint(job), resume)
            loader = self._run(job, store) if self.n_init == 1 else self._run_restarts(job, store)
            self.module_.eval()
            self._finish(loader)
        return self

    def _seed(self, checkpoint: str | Path | None, resume: bool) -> int:
        """Return the root seed; where none is asked for, a run that goes on keeps its own."""
        found = root_seed(checkpoint) if checkpoint is not None and resume and self.random_state is None else None
        return seed_of(self.random_state) if found is None else found

    @contextmanager
    def _fitting(self, device: torch.device) -> Iterator[None]:
        """Let a fit train whatever the caller has turned off or on, and count as fitted only if it comes to its end."""
        self._forget()
        with torch.inference_mode(False), torch.enable_grad(), undisturbed(device):
            try:
                yield
            except BaseException:
                self._forget(kept=UNFINISHED)
                raise

    def _forget(self, kept: Collection[str] = ()) -> None:
        """Drop the fitted attributes, those of an earlier fit too."""
        for name in fitted_names(self):
            if name not in kept:
                delattr(self, name)

    def _job(self, source: Source, training: Training) -> Job:
        """Look at the data and decide what the method left open."""
        if training.distinct_rows and not self._knows_distinct_rows:
            raise ConfigError(f"training.distinct_rows is set, and {type(self).__name__} has no use for it; unset it.")
        source = held(source, training.resident_bytes)
        stats = column_statistics(source)
        scaling = choose_scaling(stats, self.scaling, source.dtype)
        plan = self._plan(source, stats, scaling.statistics(stats))
        return Job(source, scaling, plan, training, stats.checksum)

    def _launch(self, job: Job, seed: int, sibling: Loader | None = None) -> Launch:
        """Build what one restart needs from its seed; the rows of a `sibling` loader are shared."""
        streams = Streams(seed, job.device)
        module = self._module(job.plan, streams).to(job.device)
        loader = job.loader(streams) if sibling is None else sibling.sibling(streams)
        context = FitContext(loader, streams, job.training, job.plan)
        callbacks = [*self._watchers(module, context), *job.training.callbacks]
        return Launch(module, context, callbacks, self._phases(module, context))

    def _run(self, job: Job, store: Checkpoints) -> Loader:
        launch = self._launch(job, self.seed_)
        self.module_, loader = launch.module, launch.context.loader
        watchers = [*launch.callbacks, Progress(job.training.progress)]
        streams, (own,) = launch.context.streams, store.of({".": self.seed_})
        self.history_ = run(launch.module, launch.phases, loader, job.training, streams, self._lr, watchers, own)
        return loader

    def _run_restarts(self, job: Job, store: Checkpoints) -> Loader:
        outcomes = fit_restarts(self, job, self.seed_, store)
        best = select(outcomes, self._selections[self.selection])
        streams = Streams(outcomes[best].seed, job.device)
        streams.load_state_dict(outcomes[best].streams)
        self.history_ = outcomes[best].history
        self._compare(outcomes, best)
        self.module_ = self._empty_module()
        self._revive_(self.module_, outcomes, best)
        self.module_.to(job.device)
        return job.loader(streams)

    def _empty_module(self) -> nn.Module:
        """Return the module of the fitted model without what it has learnt."""
        return self._module(self.plan_, Streams(0))

    def _revive_(self, module: nn.Module, outcomes: Sequence[Outcome], best: int) -> None:
        """Put what restarts have learnt into the empty module."""
        module.load_state_dict(outcomes[best].state)

    def score_samples(self, X: Any) -> np.ndarray:
        """Return the log-density of each row in the units of the data, or a bound of it, (n,). High is normal.

        Where a method has no density of codes it is the log-likelihood of the row at its own code.

        Parameters
        ----------
        X : as in `fit`, of shape (n, f)
            Rows in the units and columns of the training data.
        """
        return self._map(lambda x: self.module_.score(x).double(), X) + self.preparation_.log_jacobian()

    def score(self, X: Any, y: Any = None) -> float:
        """Return the mean of `score_samples`.

        Parameters
        ----------
        X : as in `fit`, of shape (n, f)
            Rows in the units and columns of the training data.
        y : Ignored
            There for scikit-learn.
        """
        return float(self.score_samples(X).mean())

    def save(self, path: str | Path) -> None:
        """Write the fitted model to a folder of two files, ``model.safetensors`` and ``model.json``.

        Parameters
        ----------
        path : path
            A new folder, or an earlier model to replace. The write is atomic.

        Raises
        ------
        ModelFileError
            If it cannot be written.
        ConfigError
            If a parameter has no plain form, such as a function.
        """
        check_is_fitted(self)
        save_estimator(self, path)

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "history_")

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.non_deterministic = False
        return tags

    def _source(self, X: Any, reset: bool) -> Source:
        """Turn the user's data into a source and check its width and feature names as scikit-learn does."""
        source = as_source(X)
        try:
            if hasattr(X, "shape") or isinstance(X, list | tuple):
                validate_data(self, X=X, reset=reset, skip_check_array=True)
            elif reset:
                self.n_features_in_ = source.n_features
        except ValueError as error:
            raise DataError(str(error)) from error
        if not reset and source.n_features != self.n_features_in_:
            raise DataError(
                f"X has {source.n_features} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                "features as input."
            )
        self._check_names(source.feature_names, reset)
        return source

    def _check_names(self, names: Sequence[Any] | None, reset: bool) -> None:
        """Keep or compare the names of columns, of files too: scikit-learn knows those of data frames alone."""
        named = None if names is None or not all(isinstance(name, str) for name in names) else list(names)
        if reset:
            self.__dict__.pop("feature_names_in_", None)
            if named:
                self.feature_names_in_ = np.asarray(named, dtype=object)
            return
        pairs = zip(named or (), getattr(self, "feature_names_in_", ()))
        for j, (got, fitted) in enumerate(pairs):
            if got != fitted:
                raise DataError(
                    "The feature names should match those that were passed during fit: column "
                    f"{j} of X is {got!r}, and was {fitted!r}. Give the columns of the fit in their order."
                )

    def _map(self, function: Callable[[Tensor], Tensor], X: Any) -> np.ndarray:
        """Apply `function` to prepared chunks of X and return the results (n, ...) in row order."""
        check_is_fitted(self)
        device = self.preparation_.device

        def prepare(x: Tensor) -> Tensor:
            return self.preparation_(x).clamp_(-FARTHEST, FARTHEST)

        source = self._source(X, reset=False)
        loader = Loader(source, prepare, CHUNK_ROWS, device, Streams(0), resident_bytes=0)
        loader.inspect = partial(check_finite, names=source.feature_names)  # values of files are not yet known
        return map_chunks(function, loader)

    def _fingerprint(self, job: Job) -> dict[str, Any]:
        """Name the configuration and the data, for checkpoints."""
        params = plain_params(self.get_params(deep=False) | {"random_state": None}, strict=False)
        for watching in ("callbacks", "progress", "resident_bytes"):  # no trace in the result that `data` does not tell
            (params.get("training") or {}).get("params", {}).pop(watching, None)
        for choice in ("n_jobs", "selection"):  # nor of these in a restart
            params.pop(choice, None)
        return {
            "class": type(self).__name__,
            "params": params,
            "root_seed": str(self.seed_),
            "data": job.description(),
            "callbacks": [rule for c in job.training.callbacks if (rule := c.fingerprint()) is not None],
        }


def _own(training: Training | None) -> Training:
    """Return settings that stay as they are during a fit; their parts, above all callbacks, are the user's own."""
    return Training() if training is None else replace(training)
