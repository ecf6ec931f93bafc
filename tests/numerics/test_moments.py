import numpy as np
import pytest
import torch

from oracles import dagmm as oracle
from steinmix.numerics import moments


@pytest.fixture
def shares(normal):
    return lambda *shape: torch.softmax(normal(*shape), dim=-1)


@pytest.mark.parametrize("r", [(), (2,), (2, 3)])
def test_moments_equal_the_printed_sums(normal, shares, r):
    z, gamma = normal(*r, 9, 3), shares(*r, 9, 4)
    found = moments.weighted_moments(z, gamma)
    assert [t.shape for t in found] == [(*r, 4), (*r, 4, 3), (*r, 4, 3, 3)]
    flat = zip(z.reshape(-1, 9, 3), gamma.reshape(-1, 9, 4), *(t.reshape(-1, *t.shape[len(r) :]) for t in found))
    for points, memberships, *got in flat:
        for value, expected in zip(got, oracle.moments(points.numpy(), memberships.numpy())):
            np.testing.assert_allclose(value.numpy(), expected, rtol=1e-12, atol=1e-12)


def test_a_tight_group_far_away_keeps_its_covariance(normal):
    z = normal(50, 3)
    near, far = (moments.weighted_moments(z * 1e-3 + shift, torch.ones(50, 1).double()) for shift in (0.0, 1e5))
    torch.testing.assert_close(near.covariances, far.covariances, rtol=1e-4, atol=0)


@pytest.mark.parametrize("sizes", [[5, 4], [1, 1, 7], [9], [2, 3, 4]])
def test_parts_merge_to_the_whole(normal, shares, sizes):
    z, gamma = normal(9, 3) + 100, shares(9, 4)
    parts = zip(sizes, z.split(sizes), gamma.split(sizes))
    merged = moments.merged_moments((n, moments.weighted_moments(*part)) for n, *part in parts)
    for value, expected in zip(merged, moments.weighted_moments(z, gamma)):
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-9)


def test_an_empty_group_in_a_part_does_no_harm(normal):
    z, gamma = normal(6, 2), torch.tensor([[1.0, 0.0]] * 3 + [[0.0, 1.0]] * 3).double()
    merged = moments.merged_moments((3, moments.weighted_moments(z[i : i + 3], gamma[i : i + 3])) for i in (0, 3))
    for value, expected in zip(merged, moments.weighted_moments(z, gamma)):
        torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)


def test_a_group_that_is_empty_everywhere_stays_finite(normal):
    """Merged, in the density, and in the energy of the variational form, which multiplies the density by no share."""
    z, gamma = normal(6, 2), torch.tensor([[1.0, 0.0]] * 6).double()
    merged = moments.merged_moments((3, moments.weighted_moments(z[i : i + 3], gamma[i : i + 3])) for i in (0, 3))
    assert all(bool(torch.isfinite(value).all()) for value in merged)
    assert bool(torch.isfinite(merged.joint_log_prob(z)).all())


@pytest.mark.parametrize("r", [(), (2,)])
def test_the_joint_density_is_the_printed_one(normal, shares, r):
    z, gamma = normal(*r, 9, 3), shares(*r, 9, 4)
    found = moments.weighted_moments(z, gamma)
    energy = -torch.logsumexp(found.joint_log_prob(z), -1)
    flat = zip(z.reshape(-1, 9, 3), energy.reshape(-1, 9), *(t.reshape(-1, *t.shape[len(r) :]) for t in found))
    for points, energies, *parts in flat:
        expected = [oracle.energy(point, *(p.numpy() for p in parts), jitter=1e-6) for point in points.numpy()]
        np.testing.assert_allclose(energies.numpy(), expected, rtol=1e-8)


def test_inverse_variances(normal, shares):
    found = moments.weighted_moments(normal(9, 3), shares(9, 4))
    expected = oracle.inverse_variances(found.covariances.numpy())
    assert float(found.inverse_variances()) == pytest.approx(expected, rel=1e-12)


SINGULAR = {
    "equal points": lambda z: z[:1].expand(9, -1) * 1e3,
    "one point": lambda z: z[:1],
    "a line": lambda z: z[:, :1] * torch.tensor([[1.0, 2.0, 3.0]]).double(),
    "huge": lambda z: z * 1e6,
    "tiny": lambda z: z * 1e-12,
    "huge line": lambda z: z[:, :1] * torch.tensor([[1e6, 2e6, 1e-6]]).double(),
}


@pytest.mark.parametrize("kind", SINGULAR)
def test_no_covariance_is_too_poor(normal, shares, kind):
    z = SINGULAR[kind](normal(9, 3)).clone().requires_grad_()
    found = moments.weighted_moments(z, shares(len(z), 4))
    loss = -torch.logsumexp(found.joint_log_prob(z), -1).mean() + found.inverse_variances()
    assert bool(torch.isfinite(loss))
    (gradient,) = torch.autograd.grad(loss, z)
    assert bool(torch.isfinite(gradient).all())


def test_the_factor_is_that_of_the_matrix_plus_jitter(normal):
    a = normal(4, 3, 3)
    sigma = a @ a.mT
    factor = moments.safe_cholesky(sigma)
    expected = torch.linalg.cholesky(sigma + moments.SMALLEST_VARIANCE * torch.eye(3).double())
    torch.testing.assert_close(factor, expected, rtol=1e-6, atol=1e-8)
