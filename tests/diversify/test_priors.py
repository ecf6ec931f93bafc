import numpy as np
import pytest
import torch
from torch import distributions as dist

from oracles.kernels import KERNELS, nsvgd
from steinmix import NSVGD, RBF, ConfigError, NormalPrior


@pytest.mark.parametrize(
    ("loc", "scale"), [(0.0, 1.0), (2.0, 0.5), (torch.tensor([1.0, -1.0, 0.0]), torch.tensor([0.1, 1.0, 10.0]))]
)
def test_score_is_the_gradient_of_the_log_density(normal, loc, scale):
    theta = normal(2, 4, 3).requires_grad_()
    density = dist.Normal(torch.as_tensor(loc), torch.as_tensor(scale)).log_prob(theta).sum()
    expected = torch.autograd.grad(density, theta)[0]
    torch.testing.assert_close(NormalPrior(loc, scale).score(theta.detach()), expected, rtol=1e-6, atol=1e-6)


def test_the_prior_adds_alpha_over_m_of_its_score_to_the_gradient(normal):
    theta, ascent, alpha, m = normal(6, 2), normal(6, 2), 0.4, 6
    score = (3.0 - theta) / 2.0**2
    expected = nsvgd(KERNELS["rbf"], theta, ascent + alpha / m * score, 1.0, alpha)
    torch.testing.assert_close(NSVGD(alpha, RBF(1.0), NormalPrior(3.0, 2.0))(theta, ascent), expected)


def test_the_score_of_a_narrow_prior_does_not_overflow_in_half_precision(normal):
    theta, ascent, diversify = normal(8, 4).half(), normal(8, 4).half(), NSVGD(0.01, prior=NormalPrior(0.0, 0.003))
    expected = diversify(theta.double(), ascent.double())
    torch.testing.assert_close(diversify(theta, ascent).double(), expected, rtol=0.01, atol=1.0)


def test_a_prior_of_another_shape_is_not_spread_out_and_its_mean_is_finite(normal):
    for prior in (NormalPrior(loc=torch.zeros(4, 1)), NormalPrior(scale=np.ones(3)), NormalPrior(torch.zeros(1, 1, 2))):
        with pytest.raises(ConfigError, match=r"of shape .* expected a number, or one for each coordinate, \(2,\)"):
            prior.score(normal(4, 2))
    for loc in (float("nan"), np.array([0.0, np.inf]), "left"):
        with pytest.raises(ConfigError, match="loc is"):
            NormalPrior(loc)
