import pytest
import torch

from oracles import depict as oracle
from steinmix.numerics.targets import TARGETS, balanced_targets, sharpened_targets

FORMS = {"balanced": (1, 0.5), "sharpened": (2, 1)}


@pytest.fixture
def p(normal):
    return torch.softmax(2 * normal(7, 4), -1)


def test_the_battery_knows_every_form():
    assert FORMS.keys() == TARGETS.keys()


@pytest.mark.parametrize("name", FORMS)
def test_targets_equal_the_loops(p, name):
    expected = torch.tensor(oracle.targets(p.tolist(), *FORMS[name]), dtype=p.dtype)
    torch.testing.assert_close(TARGETS[name](p), expected, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", FORMS)
def test_an_empty_cluster_gives_no_nan(name):
    p = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    torch.testing.assert_close(TARGETS[name](p), p)


@pytest.mark.parametrize("name", FORMS)
def test_targets_are_more_balanced_than_beliefs(normal, name):
    p = torch.softmax(normal(500, 3) + torch.tensor([1.5, 0.0, -1.0]), -1)
    assert oracle.kl_uniform(TARGETS[name](p).tolist()) < oracle.kl_uniform(p.tolist())


def test_only_one_form_sharpens():
    p = torch.tensor([[0.7, 0.3], [0.3, 0.7]])
    torch.testing.assert_close(balanced_targets(p), p)
    assert float(sharpened_targets(p)[0, 0]) == pytest.approx(0.49 / 0.58)
