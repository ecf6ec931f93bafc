"""Every parameter that a user can set is described where it is documented."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import pytest

import steinmix

PACKAGES = ("data", "data.datasets", "diversify", "estimator", "methods", "metrics", "mixtures", "nn", "training")
SECTIONS = {"Parameters", "Attributes"}  # the fields of a record are its attributes


def described(thing: Any) -> set[str]:
    """Return the names that have a line of their own in a docstring's sections, and a text under it."""
    lines, names, inside = inspect.cleandoc(thing.__doc__ or "").splitlines(), set(), False
    for line, after in zip(lines, [*lines[1:], ""]):
        if after and set(after) == {"-"}:
            inside = line in SECTIONS
        elif inside and re.match(r"\S.* : ", line) and after.startswith("    "):
            names |= {name.strip() for name in line.partition(" : ")[0].split(",")}
    return names


def parameters(thing: Callable) -> set[str]:
    found = inspect.signature(thing).parameters.values()
    return {p.name for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)} - {"self", "cls"}


def is_documented_here(thing: Any) -> bool:
    ours = (inspect.isclass(thing) or inspect.isfunction(thing)) and thing.__module__.startswith("steinmix")
    apart = inspect.isclass(thing) and (issubclass(thing, BaseException) or getattr(thing, "_is_protocol", False))
    return ours and not apart


def public() -> Iterator[tuple[str, Callable]]:
    """Give functions and classes of the public packages, and all methods of what ``steinmix`` itself has."""
    for name in steinmix.__all__:
        thing = getattr(steinmix, name)
        if is_documented_here(thing):
            yield name, thing
        for method, function in inspect.getmembers(thing, inspect.isfunction) if inspect.isclass(thing) else ():
            if not method.startswith("_") and function.__module__.startswith("steinmix"):
                yield f"{name}.{method}", function
    for package in PACKAGES:
        module = import_module(f"steinmix.{package}")
        for name in set(module.__all__) - set(steinmix.__all__):
            if is_documented_here(getattr(module, name)):
                yield f"{package}.{name}", getattr(module, name)


PUBLIC = dict(sorted(public()))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_parameter_is_described(name):
    missing = parameters(PUBLIC[name]) - described(PUBLIC[name])
    assert not missing, f"{name} does not describe {', '.join(sorted(missing))}"


def test_a_name_alone_is_no_description():
    def bare(a, b, *rest):
        """Return nothing.

        Parameters
        ----------
        a, b : int
        rest : int
            Described.
        """

    assert parameters(bare) == {"a", "b"}
    assert described(bare) == {"rest"}
