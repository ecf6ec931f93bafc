import pytest

from steinmix import ConfigError, Training
from steinmix.training import Constant, Cosine, EarlyStopping, Fade, StepDecay


def test_constant_is_one():
    assert [Constant()(e, 5) for e in range(5)] == [1.0] * 5


def test_step_decay_by_hand():
    """VaDE on MNIST: 0.002, times 0.9 every 10 epochs, never below 0.0002."""
    schedule = StepDecay(10, 0.9, 0.1)
    assert [schedule(e, 3000) for e in (0, 9, 10, 19, 20, 2999)] == pytest.approx([1, 1, 0.9, 0.9, 0.81, 0.1])


def test_cosine_falls_from_one_towards_its_floor():
    assert [Cosine()(e, 4) for e in (0, 2, 4)] == pytest.approx([1.0, 0.5, 0.0])
    assert [Cosine(0.2)(e, 4) for e in (0, 2, 4)] == pytest.approx([1.0, 0.6, 0.2])
    values = [Cosine()(e, 30) for e in range(30)]
    assert values == sorted(values, reverse=True)
    assert Cosine(0.2)(0, 0) == 1.0


def test_fade_falls_in_a_line_and_stays_at_zero():
    assert [Fade(0.5)(e, 8) for e in range(8)] == pytest.approx([1, 0.75, 0.5, 0.25, 0, 0, 0, 0])
    assert [Fade(1.0)(e, 4) for e in range(4)] == pytest.approx([1, 0.75, 0.5, 0.25])
    assert [Fade()(e, 1) for e in (0, 1)] == [1, 0]
    assert Fade(0.0)(1, 10) == 0


@pytest.mark.parametrize(
    ("kind", "setting"),
    [
        (StepDecay, {"every": 0}),
        (StepDecay, {"every": 2.5}),
        (StepDecay, {"rate": "0.9"}),
        (StepDecay, {"rate": 1.1}),
        (StepDecay, {"floor": -0.1}),
        (Cosine, {"floor": 2.0}),
        (Fade, {"until": 2.0}),
        (Cosine, {"floor": None}),
        (Fade, {"until": float("nan")}),
        (EarlyStopping, {"patience": 0}),
        (EarlyStopping, {"tol": float("nan")}),
        (EarlyStopping, {"tol": "0.1"}),
    ],
)
def test_what_cannot_work_is_named_at_once_and_when_it_is_set_later(kind, setting):
    (name,) = setting
    for make in (lambda: kind(**setting), lambda: kind().set_params(**setting)):
        with pytest.raises(ConfigError, match=f"^{name} is .*expected a"):
            make()


def test_a_search_cannot_set_what_does_not_work():
    with pytest.raises(ConfigError, match=r"^every is 0; expected a whole number >= 1\.$"):
        Training(schedule=StepDecay()).set_params(schedule__every=0)
