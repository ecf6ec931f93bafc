"""Where F is linear and alpha is one, NSVGD in the real loop moves as the SVGD of BlackJAX, another library's."""

import math

import numpy as np
import optax
import pytest
import torch
from jax import numpy as jnp

from oracles.blackjax_svgd import trajectory
from steinmix import NSVGD, RBF
from steinmix.diversify import Median

CENTRE = [1.0, -2.0, 0.5]


def log_density(theta):
    """Two modes, one twice as heavy; theta (p,) in JAX."""
    left, right = -((theta + jnp.array(CENTRE)) ** 2).sum(), -((theta - jnp.array(CENTRE)) ** 2).sum()
    return jnp.logaddexp(left, right + math.log(2))


def mean_log_density(theta):
    """F(Theta) for particles (m, p) in torch."""
    centre = torch.tensor(CENTRE, dtype=theta.dtype)
    left, right = -(theta + centre).square().sum(-1), -(theta - centre).square().sum(-1)
    return torch.logaddexp(left, right + math.log(2)).mean()


def rule_of_blackjax(theta):
    """length_scale = 2 h^2 = med^2 / log m."""
    return Median()(theta) / math.sqrt(2 * math.log(len(theta)))


CASES = {
    "fixed": (0.7, 2 * 0.7**2, "sgd", optax.sgd),
    "its own rule": (rule_of_blackjax, None, "sgd", optax.sgd),
    "adam": (0.7, 2 * 0.7**2, "adam", optax.adam),
}


@pytest.mark.parametrize(("bandwidth", "length_scale", "name", "optimizer"), CASES.values(), ids=CASES)
def test_every_step_is_that_of_blackjax(normal, optimise, bandwidth, length_scale, name, optimizer):
    start = normal(20, 3)
    found = optimise(start, NSVGD(1.0, RBF(bandwidth)), mean_log_density, steps=100, optimizer=name, lr=0.1)
    expected = trajectory(start.numpy(), log_density, optimizer(0.1), 100, length_scale)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-10)
    assert np.abs(expected[-1] - expected[0]).max() > 0.5


@pytest.mark.parametrize("alpha", [0.25, 3.0])
def test_other_alphas_temper_the_density(normal, optimise, alpha):
    """F + alpha H = alpha (E log p^(1/alpha) + H): steps of eps for NSVGD, of alpha eps for SVGD of p^(1/alpha)."""
    start = normal(20, 3)
    found = optimise(start, NSVGD(alpha, RBF(0.7)), mean_log_density, steps=100, lr=0.1)
    tempered = lambda theta: log_density(theta) / alpha  # noqa: E731
    expected = trajectory(start.numpy(), tempered, optax.sgd(0.1 * alpha), 100, 2 * 0.7**2)
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-10)
