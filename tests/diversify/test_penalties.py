import pytest
import torch

from oracles.kernels import KERNELS
from steinmix import IMQ, NSVGD, RBF, LogDet, NoDiversity, Pairwise
from steinmix.diversify import is_neutral

LIBRARY = {"rbf": RBF, "imq": IMQ}


def gram(kernel, theta, h):
    """The Gram matrix, differentiable in the particles; the bandwidth is a number."""
    return torch.stack([torch.stack([kernel(a, b, h) for b in theta]) for a in theta])


def gradient(function, theta):
    theta = theta.clone().requires_grad_()
    return torch.autograd.grad(function(theta), theta)[0]


@pytest.mark.parametrize("rule", [0.9, "median", "median_squared_with_zeros"])
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("m", [2, 7])
def test_pairwise_is_the_gradient_of_minus_the_similarity(normal, name, rule, m):
    theta, ascent, alpha = normal(m, 3), normal(m, 3), 0.7
    diversifier = Pairwise(alpha, LIBRARY[name](rule))
    h = bandwidth(rule, theta)

    def penalty(theta):
        k = gram(KERNELS[name], theta, h)
        return -alpha * sum(k[i, j] for i in range(m) for j in range(m) if i != j)

    torch.testing.assert_close(diversifier(theta, ascent), ascent + gradient(penalty, theta), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("rule", [0.9, "median"])
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("m", [2, 7])
@pytest.mark.parametrize("jitter", [1e-4, 0.5])
def test_logdet_is_the_gradient_of_the_log_determinant(normal, name, rule, m, jitter):
    theta, ascent, alpha = normal(m, 3), normal(m, 3), 0.7
    diversifier = LogDet(alpha, LIBRARY[name](rule), jitter)
    h = bandwidth(rule, theta)

    def penalty(theta):
        return alpha * torch.logdet(gram(KERNELS[name], theta, h) + jitter * torch.eye(m, dtype=theta.dtype))

    torch.testing.assert_close(diversifier(theta, ascent), ascent + gradient(penalty, theta), rtol=1e-8, atol=1e-9)


def bandwidth(rule, theta):
    from oracles import bandwidths

    return rule if isinstance(rule, float) else float(getattr(bandwidths, rule)(theta))


def test_logdet_stays_finite_where_particles_meet():
    theta = torch.tensor([[1.0, 2.0], [1.0, 2.0], [3.0, 0.0]])
    found = LogDet(1.0)(theta, torch.zeros_like(theta))
    assert found.dtype == torch.float32
    assert bool(torch.isfinite(found).all())
    assert torch.equal(found[0], found[1])


@pytest.mark.parametrize("diversifier", [None, NoDiversity(), Pairwise(0.0), LogDet(torch.zeros(3))])
def test_what_changes_nothing_is_neutral(diversifier):
    assert is_neutral(diversifier)


@pytest.mark.parametrize("diversifier", [NSVGD(0.0), Pairwise(0.1), LogDet(torch.tensor([0.0, 0.1])), lambda *a: a[1]])
def test_what_may_change_something_is_not(diversifier):
    assert not is_neutral(diversifier)
