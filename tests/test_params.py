from dataclasses import dataclass, field

import numpy as np
import pytest
from sklearn.base import clone

from steinmix import NSVGD, RBF, ConfigError, Training
from steinmix._params import Configuration, check_at_least
from steinmix.training import StepDecay


@dataclass
class Inner(Configuration):
    size: int = 1


@dataclass
class Outer(Configuration):
    inner: Inner = field(default_factory=Inner)
    name: str = "a"
    derived: int = field(default=0, init=False)


def test_params_are_the_fields_of_the_constructor_nested_ones_included():
    outer = Outer(Inner(3))
    assert outer.get_params(deep=False) == {"inner": Inner(3), "name": "a"}
    assert outer.get_params() == {"inner": Inner(3), "name": "a", "inner__size": 3}


def test_set_params_reaches_nested_fields_and_returns_the_object():
    outer = Outer()
    assert outer.set_params(name="b", inner__size=7) is outer
    assert outer == Outer(Inner(7), "b")


def test_a_nested_object_and_its_field_can_be_set_together():
    earlier = Inner(9)
    assert Outer(earlier).set_params(inner=Inner(2), inner__size=5).inner == Inner(5)
    assert Outer(earlier).set_params(inner__size=5, inner=Inner(2)).inner == Inner(5)  # whatever their order
    assert earlier == Inner(9)


@pytest.mark.parametrize("params", [{"width": 1}, {"inner__width": 1}, {"derived": 1}, {"width__size": 1}])
def test_an_unknown_name_is_answered_with_the_known_ones(params):
    with pytest.raises(ConfigError, match=r"has no parameter '(width|derived)'; it has (inner, name|size)"):
        Outer().set_params(**params)


@pytest.mark.parametrize(("inner", "said"), [(None, "None"), (3, "3"), (Inner, "<class")])
def test_a_field_of_what_has_none_is_named(inner, said):
    with pytest.raises(ConfigError, match=rf"inner is {said}.* has no 'size' to set; pass inner="):
        Outer(inner).set_params(inner__size=2)


def test_defaults_are_not_shared():
    assert Outer().inner is not Outer().inner
    assert NSVGD().kernel is not NSVGD().kernel


def test_clone_copies_deeply():
    training = Training(lr=0.5, schedule=StepDecay(3))
    copied = clone(training)
    assert copied == training
    assert copied.schedule is not training.schedule
    copied.set_params(schedule__every=9)
    assert training.schedule.every == 3


def test_a_clone_of_a_diversifier_equals_it():
    diversifier = NSVGD(0.3, RBF(0.7), row_normalised=True)
    assert clone(diversifier) == diversifier


@pytest.mark.parametrize(
    ("value", "least"),
    [(2, 1), (np.int64(2), 1), (np.uint8(1), 1), (0.5, 0.0), (1, 0.0), (np.float32(0.5), 0.0), (np.int16(3), 0.0)],
)
def test_numbers_of_python_and_of_numpy_are_numbers(value, least):
    check_at_least("size", value, least)


@pytest.mark.parametrize(
    ("value", "least"),
    [
        (0, 1),
        (True, 1),
        (2.0, 1),
        ("2", 1),
        (None, 1),
        (-0.1, 0.0),
        (float("nan"), 0.0),
        (float("inf"), 0.0),
        (1j, 0.0),
    ],
)
def test_other_values_are_named(value, least):
    whole = "whole " if least else ""
    with pytest.raises(ConfigError, match=rf"^size is .*; expected a {whole}number >= {least}\.$"):
        check_at_least("size", value, least)


def test_none_will_do_where_it_may():
    check_at_least("size", None, 1, optional=True)
    with pytest.raises(ConfigError, match=r"^size is 0; expected a whole number >= 1 or None\.$"):
        check_at_least("size", 0, 1, optional=True)


def test_what_is_refused_leaves_no_trace():
    schedule = StepDecay()
    with pytest.raises(ConfigError):
        schedule.set_params(rate=5)
    assert schedule == StepDecay()
    kept = NSVGD(0.5)
    with pytest.raises(ConfigError):
        kept.set_params(alpha=2.0, kernel="rbf")
    assert (kept.alpha, kept.kernel) == (0.5, RBF())
