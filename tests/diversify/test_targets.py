"""Where particles come to rest: the density proportional to exp(f / alpha), in the second moment and in the skew."""

import numpy as np
import torch

from oracles.svgd import moments
from steinmix import NSVGD, NormalPrior
from steinmix.training import Cosine

ALPHAS = (0.25, 0.5, 1.0, 2.0, 4.0)
SEEDS = 2


def rest(optimise, normal, alphas, f, prior=None, lr=0.3, steps=250, m=100, spread=2.0):
    """Run every alpha from every seed as one tensor; returns the first three central moments, (alphas, seeds) each."""
    alpha = torch.tensor(alphas, dtype=torch.float64)[:, None].expand(-1, SEEDS)
    start = spread * normal(len(alphas), SEEDS, m, 1) + 0.5
    ascend = None if f is None else lambda theta: f(theta).mean(-2).sum()
    theta = optimise(start, NSVGD(alpha, prior=prior), ascend, steps, "adam", lr, schedule=Cosine())[-1].squeeze(-1)
    mean = theta.mean(-1, keepdim=True)
    return mean.squeeze(-1).numpy(), *((theta - mean).pow(k).mean(-1).numpy() for k in (2, 3))


def test_a_normal_target_is_found_at_every_temperature(optimise, normal):
    mean, variance, _ = rest(optimise, normal, ALPHAS, lambda theta: -((theta - 1) ** 2) / (2 * 4), lr=0.6)
    np.testing.assert_allclose(mean, 1.0, atol=0.03)
    np.testing.assert_allclose(variance / np.array(ALPHAS)[:, None], 4.0, rtol=0.03)


def test_a_skewed_target_is_found_with_its_skew(optimise, normal):
    """f = 4 theta - exp(theta), a log-gamma: with a turned sign or a wrong temperature it would be another one."""
    alphas = (0.25, 0.5, 1.0)
    found = rest(optimise, normal, alphas, lambda theta: 4 * theta - theta.exp(), lr=0.1, spread=0.6)
    for i, alpha in enumerate(alphas):
        mean, variance = moments(lambda x: 4 * x - np.exp(x), -30, 10, 1 / alpha)
        np.testing.assert_allclose(found[0][i], mean, atol=0.02 * variance**0.5)
        np.testing.assert_allclose(found[1][i], variance, rtol=0.05)
        assert (found[2][i] / variance**1.5 < -0.05).all()


def test_with_a_prior_and_no_f_particles_come_to_rest_on_the_prior(optimise, normal):
    """-alpha KL(rho | p0) is greatest at rho = p0 whatever alpha is."""
    mean, variance, _ = rest(optimise, normal, (0.5, 2.0), None, NormalPrior(-1.0, 1.5))
    np.testing.assert_allclose(mean, -1.0, atol=0.03)
    np.testing.assert_allclose(variance, 1.5**2, rtol=0.03)


def test_prior_and_f_multiply(optimise, normal):
    """p0 exp(f / alpha) with f = log N(1, 2^2): precisions 1 / scale^2 + 1 / (4 alpha) add."""
    alphas = np.array([0.5, 2.0])
    found = rest(optimise, normal, alphas.tolist(), lambda t: -((t - 1) ** 2) / 8, NormalPrior(-1.0, 1.5))
    precision = 1 / 1.5**2 + 1 / (4 * alphas)
    mean = (-1 / 1.5**2 + 1 / (4 * alphas)) / precision
    np.testing.assert_allclose(found[0], mean[:, None].repeat(SEEDS, 1), atol=0.03)
    np.testing.assert_allclose(found[1] * precision[:, None], 1.0, rtol=0.03)
