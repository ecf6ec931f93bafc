"""Checks of parameters; each names the parameter, what was got and what was expected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._params import check_at_least, is_number
from ..errors import ConfigError, DataError

__all__ = ["check_choice", "check_count", "check_family", "check_width", "check_widths"]


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


def check_choice(name: str, value: Any, known: Iterable[str]) -> str:
    """Return `value` if it is one of the `known` words, else raise ConfigError.

    Parameters
    ----------
    name : str
        The parameter, for the message.
    value : object
        What was given.
    known : iterable of str
        The words that will do.
    """
    if not isinstance(value, str) or value not in known:
        raise ConfigError(f"{name} is {value!r}; expected one of {', '.join(sorted(known))}.")
    return value


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
