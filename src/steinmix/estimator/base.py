"""`DeepEstimator`: scikit-learn's contract around a module and a list of phases."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

import numpy as np
import torch
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted, validate_data
from torch import Tensor, nn

from .._typing import Source
from ..data.prepare import ColumnStatistics, choose_scaling, column_statistics
from ..data.sources import as_source
from ..diversify import NSVGD
from ..errors import ConfigError, DataError, UnboundedWarning
from ..objective import Phase
from ..random import Streams, seed_of
from ..training import Callback, Loader, Progress, Training, run
from ..training.checkpoint import Checkpoint
from ..training.loader import CHUNK_ROWS
from .persistence import plain_params, save_estimator
from .preparation import Preparation

__all__ = [
    "DeepEstimator",
    "FitContext",
    "check_choice",
    "check_count",
    "epochs_for_steps",
    "evaluating",
    "map_chunks",
]


@dataclass(frozen=True)
class FitContext:
    """What a method may use to build its phases.

    Attributes
    ----------
    loader : Loader
    streams : Streams
    training : Training
    plan : dict
        What `_plan` decided.
    """

    loader: Loader
    streams: Streams
    training: Training
    plan: dict[str, Any]

    @property
    def epochs(self) -> int:
        """Epochs of the main phase: the user's, else the plan's."""
        return self.plan["epochs"] if self.training.epochs is None else self.training.epochs


class DeepEstimator(BaseEstimator, ABC):
    """Base of all estimators. A method writes `_plan`, `_module` and `_phases`; everything else is here, once.

    The constructor of a subclass only stores its arguments, among them ``scaling``, ``training`` and ``random_state``.
    """

    scaling: str
    training: Training | None
    random_state: Any
    _lr = 1e-3

    @abstractmethod
    def _plan(self, source: Source, stats: ColumnStatistics, prepared: tuple[float, float]) -> dict[str, Any]:
        """Check the parameters and resolve what was left open, as plain JSON values; `_module` needs no more than this.

        `prepared` is the range of the prepared values.
        """

    @abstractmethod
    def _module(self, plan: Mapping[str, Any], streams: Streams) -> nn.Module:
        """Build the network from the plan."""

    @abstractmethod
    def _phases(self, module: Any, context: FitContext) -> list[Phase]:
        """Return what to minimise, over what, when."""

    def _finish(self, loader: Loader) -> None:
        """Set the fitted attributes that come from the trained module."""

    def _watchers(self, module: Any, context: FitContext) -> list[Callback]:
        """Return callbacks of the method's own."""
        return []

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
            Go on from the newest sound checkpoint there, to the same bits as an uninterrupted run on this device.

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
        training = Training() if self.training is None else clone(self.training)
        training.check()
        if hasattr(self, "history_"):  # a refit that fails must not leave the old record beside a new module
            del self.history_
        source = self._source(X, reset=True)
        device, seed = training.torch_device(), seed_of(self.random_state)
        streams = Streams(seed, device)
        stats = column_statistics(source)
        scaling = choose_scaling(stats, self.scaling, source.dtype)
        prepared = (np.stack([stats.minimum, stats.maximum]) - scaling.shift) / scaling.scale
        plan = self._plan(source, stats, (float(prepared.min()), float(prepared.max())))
        self._warn_unbounded()
        preparation = Preparation(scaling).to(device)
        module = self._module(plan, streams).to(device)
        loader = Loader(source, preparation, training.batch_size, device, streams, training.resident_bytes)
        context = FitContext(loader, streams, training, plan)
        self.seed_, self.plan_, self.module_, self.preparation_ = seed, plan, module, preparation
        store = checkpoint and Checkpoint(checkpoint, self._fingerprint(source), resume)
        watchers = [*self._watchers(module, context), *training.callbacks, Progress(training.progress)]
        phases = self._phases(module, context)
        self.history_ = run(module, phases, loader, training, streams, self._lr, watchers, store or None)
        module.eval()
        self._finish(loader)
        return self

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
        return source

    def _map(self, function: Callable[[Tensor], Tensor], X: Any) -> np.ndarray:
        """Apply `function` to prepared chunks of X and return the results (n, ...) in row order."""
        check_is_fitted(self)
        device = self.preparation_.shift.device
        loader = Loader(
            self._source(X, reset=False), self.preparation_, CHUNK_ROWS, device, Streams(0), resident_bytes=0
        )
        return map_chunks(function, loader)

    def _fingerprint(self, source: Source) -> dict[str, Any]:
        """Name the configuration and the data, for checkpoints."""
        params = plain_params(self.get_params(deep=False) | {"random_state": None}, strict=False)
        for watching in ("callbacks", "progress", "resident_bytes"):  # they leave no trace in the result
            (params.get("training") or {}).get("params", {}).pop(watching, None)
        return {
            "class": type(self).__name__,
            "params": params,
            "seed": str(self.seed_),
            "data": source.describe(),
        }

    def _warn_unbounded(self) -> None:
        diversifier = getattr(self, "diversifier", None)
        if isinstance(diversifier, NSVGD) and diversifier.prior is None and np.any(np.asarray(diversifier.alpha) > 0):
            warnings.warn(
                "NSVGD has alpha > 0 and no prior: F + alpha H has no maximum where F is bounded, and a component may "
                "drift away from the data. Give NSVGD(prior=NormalPrior(...)) or keep alpha small.",
                UnboundedWarning,
                stacklevel=3,
            )


def map_chunks(function: Callable[[Tensor], Tensor], loader: Loader, index: Tensor | None = None) -> np.ndarray:
    """Apply `function` to padded chunks of all rows (or of the rows `index`), without gradients, in row order."""
    n_rows, done = loader.n_rows if index is None else len(index), 0
    results = np.empty(0)
    with torch.inference_mode():
        for chunk in loader.chunks(index):
            rows = len(chunk.x)
            x = torch.cat([chunk.x, chunk.x[:1].expand(CHUNK_ROWS - rows, -1)]) if rows < CHUNK_ROWS else chunk.x
            part = function(x)[:rows].cpu().numpy()
            if not done:
                results = np.empty((n_rows, *part.shape[1:]), part.dtype)
            results[done : done + rows] = part
            done += rows
    return results


@contextmanager
def evaluating(module: Any) -> Iterator[None]:
    """Look at a module in the middle of training as it will be used: with the running moments of batch norms."""
    training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(training)


def check_count(name: str, value: Any, n_rows: int) -> int:
    """Return a number of components, which must be whole, positive and at most the number of rows.

    Raises
    ------
    ConfigError
        If it is no positive whole number.
    DataError
        If there are fewer rows than that.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ConfigError(f"{name} is {value!r}; expected a whole number >= 1.")
    if value > n_rows:
        raise DataError(f"n_samples={n_rows} should be >= {name}={value}; give more rows or fewer components.")
    return int(value)


def check_choice(name: str, value: Any, known: Iterable[str]) -> str:
    """Return `value` if it is one of the `known` words, else raise ConfigError."""
    if not isinstance(value, str) or value not in known:
        raise ConfigError(f"{name} is {value!r}; expected one of {', '.join(sorted(known))}.")
    return value


def epochs_for_steps(steps: int, n_rows: int, most: int, batch_size: int = 256) -> int:
    """Return the epochs that make about `steps` steps on `n_rows` rows, at most `most`."""
    return max(1, min(most, round(steps * batch_size / max(n_rows, batch_size))))
