import copy
import math

import numpy as np
import pytest
import torch

from oracles.mixtures import FAMILIES, components, posterior, random_mixture, whole
from steinmix.errors import ConfigError
from steinmix.mixtures import SignedCholeskyMixture

FAMILY = pytest.mark.parametrize("family", FAMILIES)


@FAMILY
@pytest.mark.parametrize("learn_weights", [True, False])
def test_log_densities_equal_torch(normal, family, learn_weights):
    mixture, z = random_mixture(family, 4, 3, normal, learn_weights), normal(9, 3) * 3
    torch.testing.assert_close(mixture.log_prob(z), whole(mixture).log_prob(z), rtol=1e-9, atol=1e-9)
    each = components(mixture).log_prob(z[:, None])
    torch.testing.assert_close(mixture.component_log_prob(z), each, rtol=1e-9, atol=1e-9)


@FAMILY
def test_responsibilities_are_the_posterior(normal, family):
    mixture, z = random_mixture(family, 4, 3, normal), normal(9, 3) * 2
    expected = posterior(mixture, z)
    torch.testing.assert_close(mixture.responsibilities(z), expected, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(mixture.log_responsibilities(z).exp(), expected, rtol=1e-8, atol=1e-10)
    torch.testing.assert_close(mixture.responsibilities(z).sum(-1), torch.ones(9).double())


@FAMILY
def test_a_power_of_weights_acts_on_the_posterior_and_on_no_density(normal, family):
    mixture, z = random_mixture(family, 4, 3, normal), normal(9, 3) * 2
    density = mixture.log_prob(z)
    mixture.weight_power = 3.0
    expected = torch.log_softmax(components(mixture).log_prob(z[:, None]) + 3 * mixture.log_weights(), -1)
    torch.testing.assert_close(mixture.log_responsibilities(z), expected)
    torch.testing.assert_close(mixture.responsibilities(z), expected.exp())
    assert torch.equal(mixture.log_prob(z), density)


@FAMILY
def test_weights_sum_to_one_and_stay_uniform_if_not_learnt(normal, family):
    assert random_mixture(family, 5, 2, normal).log_weights().exp().sum().item() == pytest.approx(1)
    fixed = random_mixture(family, 5, 2, normal, learn_weights=False)
    np.testing.assert_allclose(fixed.log_weights().exp(), 0.2, rtol=1e-6)
    assert "logits" not in dict(fixed.named_parameters())


@FAMILY
def test_points_far_from_every_component_keep_probabilities_and_gradients(family):
    mixture = FAMILIES[family](3, 2)
    with torch.no_grad():
        mixture.means.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]]))
    z = torch.tensor([[1e4, 1e4], [-1e4, 0.0]])
    log_prob = mixture.log_prob(z)
    assert bool(torch.isfinite(log_prob).all())
    np.testing.assert_allclose(mixture.responsibilities(z).detach().sum(-1), 1.0, rtol=1e-6)
    (log_prob.sum() + mixture.log_responsibilities(z).sum()).backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in mixture.parameters())


@FAMILY
def test_expected_log_density_equals_monte_carlo_within_its_standard_error(normal, family):
    mixture = random_mixture(family, 3, 2, normal)
    mean, log_var = normal(4, 2), normal(4, 2) * 0.5
    z = mean + (0.5 * log_var).exp() * normal(40_000, 4, 2)
    draws = components(mixture).log_prob(z.unsqueeze(-2)).detach()
    error = draws.std(0) / math.sqrt(len(draws))
    found = mixture.expected_component_log_prob(mean, log_var).detach()
    assert bool(((found - draws.mean(0)).abs() < 4.5 * error).all())
    assert bool((mixture.component_log_prob(mean) - found > 20 * error).all())  # so a dropped half would be seen


@FAMILY
def test_expected_log_density_of_a_point_is_its_log_density(normal, family):
    mixture, mean = random_mixture(family, 3, 2, normal), normal(4, 2)
    found = mixture.expected_component_log_prob(mean, torch.full_like(mean, -60.0))
    torch.testing.assert_close(found, mixture.component_log_prob(mean))


@FAMILY
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16, torch.float64])
def test_expected_log_density_takes_codes_of_any_type(normal, family, kind):
    mixture, mean, log_var = random_mixture(family, 3, 2, normal).float(), normal(5, 2).to(kind), normal(5, 2).to(kind)
    expected = mixture.expected_component_log_prob(mean.float(), log_var.float())
    found = mixture.expected_component_log_prob(mean, log_var).float()
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.02)


@FAMILY
def test_autocast_of_the_caller_does_not_round_a_mixture(normal, family):
    z, responsibilities = normal(40, 2).float(), normal(40, 3).float().softmax(-1)
    given = random_mixture(family, 3, 2, normal).float()

    @torch.no_grad()
    def said(mixture):
        before = mixture.expected_component_log_prob(z, z), mixture.covariances()
        draws = mixture.standard_draw(torch.arange(40) % 3, z)
        mixture.m_step_(z, responsibilities)
        return *before, draws, mixture.component_means(), mixture.covariances()

    expected = said(copy.deepcopy(given))
    with torch.autocast("cpu", torch.bfloat16):
        assert all(torch.equal(a, b) for a, b in zip(said(given), expected))


@FAMILY
def test_covariances_and_draws_have_the_components_moments(normal, generator, family):
    mixture, n = random_mixture(family, 3, 2, normal), 40_000
    parts = components(mixture)
    expected = torch.diag_embed(parts.variance) if family != "full" else parts.covariance_matrix
    torch.testing.assert_close(mixture.covariances(), expected, rtol=1e-9, atol=1e-9)
    for c in range(3):
        draws = mixture.sample(torch.full((n,), c), generator)
        white = torch.linalg.solve(torch.linalg.cholesky(expected[c]), (draws - mixture.means[c]).T).T.detach()
        assert bool((white.mean(0).abs() < 4.5 / math.sqrt(n)).all())
        np.testing.assert_allclose(np.cov(white.numpy().T), np.eye(2), atol=0.04)


@FAMILY
def test_components_are_drawn_by_their_weights(normal, generator, family):
    mixture, n = random_mixture(family, 4, 2, normal), 50_000
    share = torch.bincount(mixture.sample_component(n, generator), minlength=4) / n
    weights = mixture.log_weights().exp().detach()
    assert bool(((share - weights).abs() < 4.5 * (weights * (1 - weights) / n).sqrt()).all())


@FAMILY
@torch.no_grad()
def test_sure_draws_are_those_of_all_draws_that_are_sure(normal, generator, family):
    mixture, component = random_mixture(family, 3, 2, normal), torch.zeros(20_000, dtype=torch.long)
    every = mixture.sample(component, generator)
    own = mixture.responsibilities(every)[:, 0]
    least = float(own.median())
    kept, sure = every[own >= least], mixture.sample(component, generator, least)
    assert float(mixture.responsibilities(sure)[:, 0].min()) >= least
    error = (sure.var(0) / len(sure) + kept.var(0) / len(kept)).sqrt()
    assert ((sure.mean(0) - kept.mean(0)).abs() < 4 * error).all()


def test_a_component_without_sure_draws_says_so(normal, generator):
    mixture = random_mixture("diag", 2, 2, normal)
    mixture.set_moments_(torch.zeros(2, 2).double(), torch.ones(2, 2).double())
    with pytest.raises(ConfigError, match="ask for a lower min_posterior"):
        mixture.sample(torch.zeros(3, dtype=torch.long), generator, 0.9)


@FAMILY
def test_a_particle_holds_all_parameters_of_one_component_but_its_weight(normal, family):
    mixture = random_mixture(family, 4, 3, normal)
    rows = mixture.particles().rows()
    assert rows.shape == (4, {"diag": 6, "full": 12, "unit": 3}[family])
    assert torch.equal(rows[:, :3], mixture.means.detach())


@FAMILY
def test_permuted_components_are_the_same_mixture(normal, generator, family):
    mixture, z = random_mixture(family, 4, 3, normal), normal(6, 3)
    before, parts = mixture.log_prob(z).detach(), mixture.component_log_prob(z).detach()
    order = torch.randperm(4, generator=generator)
    with torch.no_grad():
        for parameter in mixture.parameters():
            parameter.copy_(parameter[order].clone())
    torch.testing.assert_close(mixture.log_prob(z).detach(), before)
    assert torch.equal(mixture.component_log_prob(z).detach(), parts[:, order])


@FAMILY
def test_set_moments_sets_them(normal, family):
    mixture = FAMILIES[family](3, 2).double()
    means, root = normal(3, 2), normal(3, 2, 2)
    covariances = root @ root.mT + 0.5 * torch.eye(2, dtype=torch.float64)
    mixture.set_moments_(means, covariances)
    expected = {"diag": torch.diag_embed(covariances.diagonal(dim1=-2, dim2=-1)), "full": covariances}
    assert torch.equal(mixture.means.detach(), means)
    unit = torch.eye(2, dtype=torch.float64).expand(3, 2, 2)
    torch.testing.assert_close(mixture.covariances().detach(), expected.get(family, unit), rtol=1e-4, atol=1e-4)
    mixture.set_moments_(means, covariances.diagonal(dim1=-2, dim2=-1))
    diagonal = unit if family == "unit" else expected["diag"]
    torch.testing.assert_close(mixture.covariances().detach(), diagonal, rtol=1e-4, atol=1e-4)


def test_log_variances_are_projected_into_their_range():
    mixture = FAMILIES["diag"](2, 1, log_var_range=(-3.0, 3.0))
    with torch.no_grad():
        mixture.log_vars.copy_(torch.tensor([[-9.0], [4.0]]))
    mixture.project_()
    assert mixture.log_vars.flatten().tolist() == [-3.0, 3.0]
    mixture.set_moments_(torch.zeros(2, 1), torch.tensor([[0.0], [1e3]]))
    assert mixture.log_vars.flatten().tolist() == [-3.0, 3.0]


def test_widening_raises_small_variances_to_a_share_of_the_whole(normal):
    mixture = random_mixture("diag", 4, 3, normal)
    before, least = mixture.log_vars.detach().exp(), 0.2 * whole(mixture).variance.mean().detach()
    assert 0 < int((before < least).sum()) < 12
    mixture.widen_(0.2)
    torch.testing.assert_close(mixture.log_vars.detach().exp(), before.clamp(min=least))
    mixture.log_var_range = (-10.0, 0.0)
    mixture.widen_(0.2)
    assert float(mixture.log_vars.detach().max()) == 0.0


@pytest.mark.parametrize("family", ["diag", "full"])
def test_a_singular_group_gets_a_usable_covariance(family):
    mixture = FAMILIES[family](1, 3)
    mixture.set_moments_(torch.zeros(1, 3), torch.ones(1, 3, 3))
    assert bool(torch.isfinite(mixture.log_prob(torch.zeros(2, 3))).all())
    mixture.set_moments_(torch.zeros(1, 3), torch.zeros(1, 3, 3))
    assert bool(torch.isfinite(mixture.log_prob(torch.zeros(2, 3))).all())


def test_a_covariance_that_rounding_made_indefinite_is_set_all_the_same():
    mixture, covariance = FAMILIES["full"](1, 3).double(), torch.diag(torch.tensor([-1e-4, 1.0, 4.0])).double()
    covariance[1, 2] = covariance[2, 1] = 0.5  # the variance below zero is beyond the first jitter
    mixture.set_moments_(torch.zeros(1, 3), covariance[None])
    torch.testing.assert_close(mixture.covariances().detach()[0], covariance, rtol=0, atol=0.01)


@FAMILY
def test_the_variance_of_a_mixture_is_that_of_torch(normal, family):
    mixture = random_mixture(family, 4, 3, normal)
    torch.testing.assert_close(mixture.variance(), whole(mixture).variance, rtol=1e-9, atol=1e-9)


@pytest.fixture
def signed(normal):
    """A mixture of three components in four dimensions with the released code's parameters."""
    mixture = SignedCholeskyMixture(3, 4, learn_weights=False).double()
    with torch.no_grad():
        for parameter in mixture.component_parameters():
            parameter.copy_(normal(*parameter.shape))
    return mixture


def test_signed_densities_are_those_of_the_raw_factor(signed, normal):
    z, raw = normal(7, 4), signed.raw_tril.detach().tril()
    raw += torch.diag_embed(1e-4 * raw.diagonal(dim1=-2, dim2=-1).sign())
    components = torch.distributions.MultivariateNormal(signed.means, covariance_matrix=raw @ raw.mT)
    torch.testing.assert_close(signed.component_log_prob(z), components.log_prob(z[:, None]), rtol=1e-9, atol=0)
    torch.testing.assert_close(signed.covariances(), raw @ raw.mT)


def test_a_column_may_change_its_sign(signed, normal):
    z = normal(7, 4)
    before = signed.log_prob(z)
    signed.raw_tril.data[..., 1] *= -1
    assert torch.equal(signed.log_prob(z), before)


def test_a_diagonal_at_zero_is_no_singularity(signed):
    signed.raw_tril.data.diagonal(dim1=-2, dim2=-1).zero_()
    log_prob = signed.log_prob(torch.zeros(1, 4).double())
    log_prob.sum().backward()
    assert torch.isfinite(log_prob).all()
    assert torch.isfinite(signed.raw_tril.grad).all()


def test_signed_moments_are_set(signed, normal):
    factor = normal(3, 4, 4)
    covariances = factor @ factor.mT + torch.eye(4)
    signed.set_moments_(normal(3, 4), covariances)
    torch.testing.assert_close(signed.covariances(), covariances, rtol=1e-5, atol=1e-4)
