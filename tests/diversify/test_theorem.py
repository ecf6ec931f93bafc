"""Theorem 2 of Wang and Liu (2019) for a mixture's likelihood: DF[rho](theta_i) = m grad_i F(Theta)."""

import numpy as np
import pytest
import torch
from torch import nn

from steinmix import NSVGD, RBF
from steinmix.mixtures import DiagonalMixture


def functional(particles, masses, x):
    """F[rho] = E_x log E_rho p(x | theta), particles [mu, log var], by loops in NumPy."""
    total = 0.0
    for point in x:
        density = 0.0
        for theta, mass in zip(particles, masses):
            mu, log_var = np.split(theta, 2)
            var = np.exp(log_var)
            density += mass * np.prod(np.exp(-((point - mu) ** 2) / (2 * var)) / np.sqrt(2 * np.pi * var))
        total += np.log(density)
    return total / len(x)


@pytest.fixture
def mixture(normal):
    """A mixture of 4 components in 2 dimensions in float64, with the gradient of minus its mean log-likelihood."""
    mixture = DiagonalMixture(4, 2, learn_weights=False).double()
    with torch.no_grad():
        mixture.means.copy_(normal(4, 2) * 2)
        mixture.log_vars.copy_(normal(4, 2) * 0.3)
    mixture.x = normal(25, 2) * 3
    (-mixture.log_prob(mixture.x).mean()).backward()
    return mixture


def ascent_of(mixture: nn.Module):
    return -torch.cat([mixture.means.grad, mixture.log_vars.grad], -1).numpy()


def test_the_likelihood_is_the_functional(mixture):
    masses = np.full(4, 0.25)
    expected = functional(mixture.particles().rows().numpy(), masses, mixture.x.numpy())
    assert float(mixture.log_prob(mixture.x).mean().detach()) == pytest.approx(expected, rel=1e-12)


def test_m_times_the_gradient_is_the_derivative_along_a_transport(mixture):
    """d/de F[(1 + e phi) rho] = E_rho DF . phi for a vector field phi that is no kernel's."""
    theta, masses, x, e = mixture.particles().rows().numpy(), np.full(4, 0.25), mixture.x.numpy(), 1e-5
    field = np.sin(theta @ np.arange(16).reshape(4, 4)) + 0.3
    transported = [functional(theta + sign * e * field, masses, x) for sign in (1, -1)]
    derivative = (transported[0] - transported[1]) / (2 * e)
    assert (4 * ascent_of(mixture) * field).sum(1).mean() == pytest.approx(derivative, rel=1e-7)


def test_m_times_the_gradient_is_the_gradient_of_the_first_variation(mixture):
    """Put a little more mass at theta and see how the gain changes with theta, at theta_i (Theorem 3)."""
    theta, x, mass, e = mixture.particles().rows().numpy(), mixture.x.numpy(), 1e-4, 1e-4
    base = functional(theta, np.full(4, 0.25), x)

    def variation(place):
        more = functional([*theta, place], [*np.full(4, 0.25), mass], x)
        less = functional([*theta, place], [*np.full(4, 0.25), -mass], x)
        assert more > base > less
        return (more - less) / (2 * mass)

    for i in range(4):
        slope = [(variation(theta[i] + e * d) - variation(theta[i] - e * d)) / (2 * e) for d in np.eye(4)]
        np.testing.assert_allclose(4 * ascent_of(mixture)[i], slope, rtol=1e-4, atol=1e-6)


def test_the_stein_direction_increases_the_likelihood_as_its_norm_says(mixture):
    """With alpha = 0 the rate of F along phi is g' K g, which is positive."""
    theta, g = mixture.particles().rows(), torch.from_numpy(ascent_of(mixture))
    phi = NSVGD(0.0, RBF(1.5))(theta, g).numpy()
    masses, x, e = np.full(4, 0.25), mixture.x.numpy(), 1e-5
    up, down = (functional(theta.numpy() + s * e * phi, masses, x) for s in (1, -1))
    k = RBF(1.5).matrices(theta)[0].numpy()
    rate = float(np.trace(g.numpy().T @ k @ g.numpy()))
    assert rate > 0
    assert (up - down) / (2 * e) == pytest.approx(rate, rel=1e-6)
