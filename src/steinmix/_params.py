"""Configuration objects that scikit-learn's ``clone`` and grid search can reach (``training__lr=1e-4``), and numbers.

A check names the parameter, what was got and what was expected.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import fields
from typing import Any, Self, TypeGuard

import numpy as np

from .errors import ConfigError

__all__ = [
    "Configuration",
    "check_at_least",
    "check_choice",
    "check_index",
    "check_share",
    "is_number",
    "with_settings",
]


def with_settings(name: str, value: Any, setting: str, example: str = "...") -> Any:
    """Return the value of a parameter if it has settings of its own, else raise ConfigError.

    Parameters
    ----------
    name : str
        The parameter.
    value : object
        What it is.
    setting : str
        What is to be set, for the message.
    example : str
        A value that would do, for the message.
    """
    if isinstance(value, type) or not hasattr(value, "set_params"):
        raise ConfigError(f"{name} is {value!r} and has no {setting!r} to set; pass {name}={example} first.")
    return value


class Configuration:
    """Mixin that gives a dataclass scikit-learn's ``get_params`` and ``set_params``."""

    def __post_init__(self) -> None:
        """Raise ConfigError for a value that cannot work; called again when fields are set."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the fields by name; with ``deep``, those of nested configurations as ``outer__inner``.

        Parameters
        ----------
        deep : bool, default=True
            Whether to add the fields of nested configurations.
        """
        params: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self) if f.init}  # type: ignore[arg-type]
        if deep:
            for name, value in list(params.items()):
                if hasattr(value, "get_params") and not isinstance(value, type):
                    params |= {f"{name}__{key}": v for key, v in value.get_params().items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set fields by name and return the object.

        Raises
        ------
        ConfigError
            If there is no such field, a value cannot work, or a nested one is of what has no fields.
        """
        known = self.get_params(deep=False)
        try:
            for key, value in sorted(params.items(), key=lambda item: "__" in item[0]):  # objects before their fields
                name, _, rest = key.partition("__")
                if name not in known:
                    raise ConfigError(f"{type(self).__name__} has no parameter {name!r}; it has {', '.join(known)}.")
                if rest:
                    with_settings(name, getattr(self, name), rest).set_params(**{rest: value})
                else:
                    setattr(self, name, value)
            self.__post_init__()
        except ConfigError:  # what is refused leaves no trace
            for name, value in known.items():
                setattr(self, name, value)
            raise
        return self


def is_number(value: Any, whole: bool = False) -> TypeGuard[float]:
    """Whether `value` is a real number of Python or NumPy, and a whole one if that is asked; True and False are none.

    Parameters
    ----------
    value : object
        What was given.
    whole : bool, default=False
        Whether 2.0 will not do.
    """
    kinds = int | np.integer if whole else int | float | np.integer | np.floating
    return isinstance(value, kinds) and not isinstance(value, bool)


def check_at_least(name: str, value: Any, least: float, optional: bool = False) -> None:
    """Raise ConfigError unless `value` is a number from `least` up, and a whole one if `least` is.

    Parameters
    ----------
    name : str
        The parameter, for the message.
    value : object
        What was given.
    least : int or float
        The smallest value that will do.
    optional : bool, default=False
        Whether None will do too.
    """
    whole = isinstance(least, int)
    if (value is None and optional) or (is_number(value, whole) and least <= value < math.inf):
        return
    expected = f"a {'whole ' if whole else ''}number >= {least}{' or None' if optional else ''}"
    raise ConfigError(f"{name} is {value!r}; expected {expected}.")


def check_share(name: str, value: Any) -> None:
    """Raise ConfigError unless `value` is a number from 0 to 1.

    Parameters
    ----------
    name : str
        The parameter, for the message.
    value : object
        What was given.
    """
    if not is_number(value) or not 0 <= value <= 1:
        raise ConfigError(f"{name} is {value!r}; expected a number from 0 to 1.")


def check_index(name: str, value: Any, n: int) -> None:
    """Raise ConfigError unless `value` counts one of `n` things from 0.

    Parameters
    ----------
    name : str
        The parameter, for the message.
    value : object
        What was given.
    n : int
        How many there are.
    """
    if not is_number(value, whole=True) or not 0 <= value < n:
        raise ConfigError(f"{name} is {value!r}; expected a whole number from 0 to {n - 1}.")


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
