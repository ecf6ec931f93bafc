from dataclasses import dataclass, field

import pytest
from sklearn.base import clone

from steinmix import NSVGD, RBF, ConfigError, Training
from steinmix._params import Configuration
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
    assert Outer().set_params(inner=Inner(2), inner__size=5).inner == Inner(5)


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
