import math

import numpy as np
import pytest
import torch
from torch import distributions as dist

from steinmix.numerics import densities


def tril(normal, *shape):
    raw = normal(*shape, shape[-1])
    return raw.tril(-1) + torch.diag_embed(raw.diagonal(dim1=-2, dim2=-1).exp())


@pytest.mark.parametrize("r", [(), (2,), (2, 3)])
def test_diagonal_normals_equal_torch(normal, r):
    z, means, log_vars = normal(*r, 7, 3), normal(*r, 4, 3), normal(*r, 4, 3)
    found = densities.diagonal_log_prob(z, means, log_vars)
    parts = dist.Independent(dist.Normal(means.unsqueeze(-3), (0.5 * log_vars).exp().unsqueeze(-3)), 1)
    assert found.shape == (*r, 7, 4)
    torch.testing.assert_close(found, parts.log_prob(z.unsqueeze(-2)), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("r", [(), (2,), (2, 3)])
@pytest.mark.parametrize("d", [1, 3])
def test_full_normals_equal_torch(normal, r, d):
    z, means, factor = normal(*r, 7, d), normal(*r, 4, d), tril(normal, *r, 4, d)
    found = densities.cholesky_log_prob(z, means, factor)
    parts = dist.MultivariateNormal(means.unsqueeze(-3), scale_tril=factor.unsqueeze(-4))
    assert found.shape == (*r, 7, 4)
    torch.testing.assert_close(found, parts.log_prob(z.unsqueeze(-2)), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("far", [1e3, 1e6])
def test_points_far_away_stay_finite_with_finite_gradients(far):
    z = torch.tensor([[far, -far]])
    means, log_vars = torch.zeros(2, 2, requires_grad=True), torch.tensor([[-3.0, 0.0], [0.0, 3.0]], requires_grad=True)
    factor = torch.eye(2).expand(2, 2, 2).clone().requires_grad_()
    for log_prob in (densities.diagonal_log_prob(z, means, log_vars), densities.cholesky_log_prob(z, means, factor)):
        mixture = torch.logsumexp(log_prob, -1).sum()
        assert bool(torch.isfinite(mixture))
        assert float(mixture.detach()) < -1e5
    gradients = torch.autograd.grad(
        densities.diagonal_log_prob(z, means, log_vars).logsumexp(-1).sum()
        + densities.cholesky_log_prob(z, means, factor).logsumexp(-1).sum(),
        [means, log_vars, factor],
    )
    assert all(bool(torch.isfinite(g).all()) for g in gradients)


@pytest.mark.parametrize("variance", [0.5, 1.0, 3.0])
def test_one_fixed_variance_equals_torch(normal, variance):
    x, mean = normal(5, 4), normal(5, 4)
    expected = dist.Normal(mean, math.sqrt(variance)).log_prob(x).sum(-1)
    torch.testing.assert_close(densities.normal_log_prob(x, mean, variance), expected)


def test_entropy_equals_torch(normal):
    log_var = normal(6, 4)
    expected = dist.Independent(dist.Normal(0.0, (0.5 * log_var).exp()), 1).entropy()
    torch.testing.assert_close(densities.normal_entropy(log_var), expected)


def test_kl_from_the_standard_normal_equals_torch_and_monte_carlo(normal):
    mean, log_var = normal(3, 2), normal(3, 2) * 0.5
    q, p = dist.Normal(mean, (0.5 * log_var).exp()), dist.Normal(torch.zeros(2).double(), 1.0)
    found = densities.standard_normal_kl(mean, log_var)
    torch.testing.assert_close(found, dist.kl_divergence(q, p).sum(-1))
    z = mean + (0.5 * log_var).exp() * normal(50_000, 3, 2)
    draws = (q.log_prob(z) - p.log_prob(z)).sum(-1)
    standard_error = draws.std(0) / math.sqrt(len(draws))
    assert bool(((draws.mean(0) - found).abs() < 4.5 * standard_error).all())


def test_kl_between_normals_equals_torch(normal):
    mean, log_var, prior_mean, prior_log_var = normal(4, 6, 3)
    q, p = dist.Normal(mean, (0.5 * log_var).exp()), dist.Normal(prior_mean, (0.5 * prior_log_var).exp())
    found = densities.normal_kl(mean, log_var, prior_mean, prior_log_var)
    torch.testing.assert_close(found, dist.kl_divergence(q, p).sum(-1))


def test_categorical_kl_equals_torch_and_has_a_finite_gradient_at_certainty(normal):
    a, b = normal(6, 4), normal(6, 4)
    found = densities.categorical_kl(a.log_softmax(-1), b.log_softmax(-1))
    expected = dist.kl_divergence(dist.Categorical(logits=a), dist.Categorical(logits=b))
    torch.testing.assert_close(found, expected)
    certain = torch.tensor([[0.0, -400.0]], requires_grad=True)
    densities.categorical_kl(certain.log_softmax(-1), torch.tensor([0.5, 0.5]).log()).sum().backward()
    assert bool(torch.isfinite(certain.grad).all())


@pytest.mark.parametrize("function", ["diagonal_log_prob", "cholesky_log_prob"])
def test_densities_integrate_to_one(function):
    grid = torch.linspace(-12, 12, 401, dtype=torch.float64)
    z = torch.cartesian_prod(grid, grid)
    means = torch.tensor([[0.5, -1.0], [2.0, 2.0]], dtype=torch.float64)
    log_vars, factor = torch.tensor([[0.0, 1.0], [-1.0, 0.5]]), torch.tensor([[[1.0, 0.0], [0.7, 0.5]]] * 2)
    shape = log_vars if function == "diagonal_log_prob" else factor
    mass = getattr(densities, function)(z, means, shape.double()).exp().sum(0) * float(grid[1] - grid[0]) ** 2
    np.testing.assert_allclose(mass.numpy(), 1.0, rtol=1e-6)
