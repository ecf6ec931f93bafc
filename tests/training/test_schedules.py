import pytest

from steinmix.training import Constant, Cosine, Fade, StepDecay


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


def test_fade_falls_in_a_line_and_stays_at_zero():
    assert [Fade(0.5)(e, 8) for e in range(8)] == pytest.approx([1, 0.75, 0.5, 0.25, 0, 0, 0, 0])
    assert [Fade(1.0)(e, 4) for e in range(4)] == pytest.approx([1, 0.75, 0.5, 0.25])
    assert [Fade()(e, 1) for e in (0, 1)] == [1, 0]
    assert Fade(0.0)(1, 10) == 0
