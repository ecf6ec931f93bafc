"""Checks of parameters; each names the parameter, what was got and what was expected."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import torch

from .._params import check_at_least, is_number
from ..diversify import NSVGD
from ..errors import ConfigError, DataError, UnboundedWarning
from ..training import Training

__all__ = [
    "check_count",
    "check_family",
    "check_parts",
    "check_width",
    "check_widths",
    "warn_unbounded",
]


def check_count(name: str, value: Any, n_rows: int) -> int:
    """Return a number of components, which must be whole, positive and at most the number of rows.

    Parameters
    ----------
    name : str
        The parameter, for the message.
    value : object
        What was given.
    n_rows : int
        Rows of the data.

    Raises
    ------
    ConfigError
        If it is no positive whole number.
    DataError
        If there are fewer rows than that.
    """
    check_at_least(name, value, 1)
    if value > n_rows:
        raise DataError(f"n_samples={n_rows} should be >= {name}={value}; give more rows or fewer components.")
    return int(value)


def check_width(name: str, value: Any) -> int:
    """Return the width of a layer if it is a whole number from 1 up, else raise ConfigError.

    Parameters
    ----------
    name : str
        The parameter, for the message.
    value : object
        What was given.
    """
    if not is_number(value, whole=True) or value < 1:
        raise ConfigError(f"{name} has the width {value!r}; expected whole numbers >= 1.")
    return int(value)


def check_widths(name: str, values: Any) -> list[int]:
    """Return widths of layers if they are a sequence of whole numbers from 1 up, else raise ConfigError.

    Parameters
    ----------
    name : str
        The parameter, for the message.
    values : object
        What was given.
    """
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ConfigError(f"{name} is {values!r}; expected widths such as (128, 64).")
    return [check_width(name, value) for value in values]


def check_family(diversifier: Any, family: str) -> None:
    """Raise ConfigError if the kernel of a diversifier takes its particles for those of another family.

    Parameters
    ----------
    diversifier : Diversifier or None
        What was given. A kernel that has no ``family``, such as `RBF`, does for all.
    family : str
        Of the components that it is to act on, by the words of `steinmix.diversify.features`.
    """
    while (inner := getattr(diversifier, "diversifier", None)) is not None:
        diversifier = inner
    kernel = getattr(diversifier, "kernel", None)
    if (got := getattr(kernel, "family", family)) != family:
        kind = type(kernel).__name__
        raise ConfigError(f"diversifier: {kind} has family {got!r}; the components here are {family!r}, give it that.")


def check_parts(estimator: Any) -> None:
    """Refuse objects of another kind where settings or a diversifier are expected, before anything is done."""
    training = estimator.training
    if training is not None and not isinstance(training, Training):
        raise ConfigError(f"training is {training!r}; expected a Training or None.")
    diversifier = getattr(estimator, "diversifier", None)
    if diversifier is not None and (isinstance(diversifier, type) or not callable(diversifier)):
        raise ConfigError(f"diversifier is {diversifier!r}; expected an object such as NSVGD() or None.")
    pretraining = getattr(estimator, "pretraining", None)
    if pretraining is not None and not hasattr(pretraining, "check"):
        raise ConfigError(f"pretraining is {pretraining!r}; expected a Pretraining or None.")


def warn_unbounded(diversifier: Any) -> None:
    """Warn the caller of `fit` of an entropy that no prior bounds."""
    if isinstance(diversifier, NSVGD) and diversifier.prior is None and (torch.as_tensor(diversifier.alpha) > 0).any():
        warnings.warn(
            "NSVGD has alpha > 0 and no prior: F + alpha H has no maximum where F is bounded, and a component may "
            "drift away from the data. Give NSVGD(prior=NormalPrior(...)) or keep alpha small.",
            UnboundedWarning,
            stacklevel=3,
        )
