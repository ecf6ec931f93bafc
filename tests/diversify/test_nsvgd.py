import math

import numpy as np
import pytest
import torch

from oracles.kernels import KERNELS, kernel_sums, nsvgd
from oracles.svgd import trajectory
from steinmix import IMQ, NSVGD, RBF, ConfigError, LogDet, NoDiversity, NormalPrior, Pairwise
from steinmix.diversify import Identity, MeansOnly, Wasserstein
from steinmix.diversify.released import ReleasedNSVGD

LIBRARY = {"rbf": RBF, "imq": IMQ}


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("m", [1, 2, 9, 150])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 3.0])
def test_direction_is_equation_1_of_the_paper(normal, name, m, alpha):
    theta, ascent = normal(m, 3), normal(m, 3)
    found = NSVGD(alpha, LIBRARY[name](1.1))(theta, ascent)
    torch.testing.assert_close(found, nsvgd(KERNELS[name], theta, ascent, 1.1, alpha), rtol=1e-9, atol=1e-10)


def test_row_normalised_is_the_released_code(normal):
    """u_i = (sum_j K_ij g_j + T R_i) / sum_j K_ij with R_i = 2/med sum_j K_ij (theta_i - theta_j), T = alpha / m."""
    m, temperature = 7, 0.05
    theta, g = normal(m, 3).numpy(), normal(m, 3).numpy()
    squared = np.array([[((a - b) ** 2).sum() for b in theta] for a in theta])
    med = np.median(squared)
    k = np.exp(-squared / med)
    away = np.array([sum(2 / med * k[i, j] * (theta[i] - theta[j]) for j in range(m)) for i in range(m)])
    expected = (k @ g + temperature * away) / k.sum(1, keepdims=True)
    diversifier = NSVGD(temperature * m, RBF("median_squared_with_zeros"), row_normalised=True)
    found = diversifier(torch.from_numpy(theta), torch.from_numpy(g))
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-10)


def test_where_f_is_linear_the_loop_runs_svgd(normal, optimise):
    """F(Theta) = mean_i log p(theta_i) and alpha = 1: every one of 300 steps is that of Liu and Wang (2016)."""
    start = normal(20, 2)
    centre, scale = torch.tensor([1.0, -2.0], dtype=torch.float64), torch.tensor([0.5, 2.0], dtype=torch.float64)

    def mean_log_density(theta):
        return -0.5 * ((theta - centre) / scale).square().sum(-1).mean()

    found = optimise(start, NSVGD(1.0), mean_log_density, steps=300, lr=0.3)
    score = lambda x: (centre.numpy() - x) / scale.numpy() ** 2  # noqa: E731
    np.testing.assert_allclose(found.numpy(), trajectory(start.numpy(), score, 0.3, 300), rtol=1e-7, atol=1e-8)


def test_two_particles_by_hand():
    """h = d = 1: k = exp(-1/2), R = k (theta_i - theta_j), phi_1 = g_1 + k g_2 - alpha/2 k."""
    theta, g = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [-1.0]])
    k = math.exp(-0.5)
    expected = [2 - k - 3 / 2 * k, -1 + 2 * k + 3 / 2 * k]
    assert NSVGD(3.0)(theta, g).flatten().tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("m", [6, 70])
def test_duplicating_every_particle_leaves_the_velocities(normal, m):
    """The measure is the same; the gradient of F halves as each copy has half the mass."""
    theta, ascent = normal(m, 2), normal(m, 2)
    for kernel in (RBF(0.8), IMQ(0.8)):
        once = NSVGD(0.7, kernel)(theta, ascent)
        twice = NSVGD(0.7, kernel)(theta.repeat_interleave(2, 0), ascent.repeat_interleave(2, 0) / 2)
        torch.testing.assert_close(twice, once.repeat_interleave(2, 0))


ALL = {
    "nsvgd": NSVGD(0.7),
    "nsvgd imq": NSVGD(0.7, IMQ()),
    "row_normalised": NSVGD(0.7, row_normalised=True),
    "pairwise": Pairwise(0.7),
    "logdet": LogDet(0.7),
    "none": NoDiversity(),
}


@pytest.mark.parametrize("m", [6, 70])
@pytest.mark.parametrize("name", ALL)
def test_permuted_particles_get_permuted_directions(normal, generator, name, m):
    theta, ascent = normal(m, 3), normal(m, 3)
    order = torch.randperm(m, generator=generator)
    found = ALL[name](theta[order], ascent[order])
    torch.testing.assert_close(found, ALL[name](theta, ascent)[order], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("m", [6, 70])
@pytest.mark.parametrize("name", ALL)
def test_translated_particles_get_the_same_directions(normal, name, m):
    theta, ascent = normal(m, 3), normal(m, 3)
    torch.testing.assert_close(ALL[name](theta + 5, ascent), ALL[name](theta, ascent), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("m", [6, 70])
@pytest.mark.parametrize("name", ALL)
def test_rotated_particles_get_rotated_directions(normal, name, m):
    theta, ascent = normal(m, 3), normal(m, 3)
    rotation = torch.linalg.qr(normal(3, 3)).Q
    found = ALL[name](theta @ rotation, ascent @ rotation)
    torch.testing.assert_close(found, ALL[name](theta, ascent) @ rotation, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("m", [6, 70])
@pytest.mark.parametrize("name", ALL)
def test_scaled_particles_scale_the_repulsion_inversely(normal, name, m):
    """With the median bandwidth k is unchanged by units and grad k has the unit 1 / theta, as the gradient of any F."""
    theta, ascent = normal(m, 3), normal(m, 3)
    found = ALL[name](10 * theta, ascent / 10)
    torch.testing.assert_close(found, ALL[name](theta, ascent) / 10, rtol=1e-8, atol=1e-9)


NEUTRAL = {
    "no diversity": NoDiversity(),
    "identity kernel": NSVGD(2.0, Identity()),
    "identity kernel, row_normalised": NSVGD(2.0, Identity(), row_normalised=True),
    "pairwise 0": Pairwise(0.0),
    "logdet 0": LogDet(0.0),
}


@pytest.mark.parametrize("name", NEUTRAL)
@pytest.mark.parametrize("m", [1, 5, 80])
def test_neutral_elements_return_the_gradient_exactly(normal, name, m):
    theta, ascent = normal(m, 3, dtype=torch.float32), normal(m, 3, dtype=torch.float32)
    assert torch.equal(NEUTRAL[name](theta, ascent), ascent)


@pytest.mark.parametrize("diversifier", [*ALL.values(), NSVGD(2.0, RBF("median_log")), NSVGD(2.0, RBF(0.1))])
def test_one_particle_gets_its_gradient_exactly(normal, diversifier):
    theta, ascent = normal(1, 4, dtype=torch.float32), normal(1, 4, dtype=torch.float32)
    assert torch.equal(diversifier(theta, ascent), ascent)


def test_nsvgd_without_entropy_still_smooths(normal):
    theta, ascent = normal(5, 3), normal(5, 3)
    smoothed = kernel_sums(KERNELS["rbf"], theta, ascent, 1.0)[0]
    found = NSVGD(0.0, RBF(1.0))(theta, ascent)
    torch.testing.assert_close(found, smoothed)
    assert not torch.allclose(found, ascent, atol=0.1)


@pytest.mark.parametrize("kind", [NSVGD, Pairwise, LogDet])
@pytest.mark.parametrize("m", [5, 70])
def test_a_grid_of_alphas_equals_separate_calls(normal, kind, m):
    theta, ascent = normal(2, 3, m, 2), normal(2, 3, m, 2)
    alpha = torch.tensor([[0.0, 0.1, 1.0], [2.0, 5.0, 0.5]], dtype=torch.float64)
    found = kind(alpha)(theta, ascent)
    for r in np.ndindex(2, 3):
        torch.testing.assert_close(found[r], kind(float(alpha[r]))(theta[r], ascent[r]))


def test_a_grid_of_alphas_reaches_the_prior_too(normal):
    theta, ascent = normal(2, 5, 2), normal(2, 5, 2)
    found = NSVGD(torch.tensor([0.5, 2.0]).double(), prior=NormalPrior(1.0, 3.0))(theta, ascent)
    for r, alpha in enumerate((0.5, 2.0)):
        alone = NSVGD(alpha, prior=NormalPrior(1.0, 3.0))(theta[r], ascent[r])
        torch.testing.assert_close(found[r], alone)


@pytest.mark.parametrize("kind", [NSVGD, Pairwise, LogDet])
@pytest.mark.parametrize(
    "alpha", [-0.1, math.inf, math.nan, torch.tensor([1.0, -1.0]), torch.tensor([math.nan, 0.0]), "1", None]
)
def test_alpha_must_be_finite_and_not_negative(kind, alpha):
    for make in (lambda: kind(alpha), lambda: kind().set_params(alpha=alpha)):
        with pytest.raises(ConfigError, match=r"alpha is .*expected a finite number >= 0"):
            make()


@pytest.mark.parametrize("kind", [NSVGD, Pairwise, LogDet])
@pytest.mark.parametrize("alpha", [-0.1, math.nan, torch.tensor(-1.0)])
def test_an_alpha_that_was_changed_by_hand_is_checked_when_it_is_used(kind, alpha):
    diversifier = kind(1.0)
    diversifier.alpha = alpha
    with pytest.raises(ConfigError, match=r"alpha is .*expected a finite number >= 0"):
        diversifier(torch.zeros(2, 1), torch.zeros(2, 1))


def test_parameters_are_reached_by_grid_search():
    diversifier = NSVGD(1.0, RBF("median")).set_params(alpha=2.0, kernel__bandwidth=0.3)
    assert diversifier == NSVGD(2.0, RBF(0.3))
    assert NSVGD(1.0).kernel is not NSVGD(1.0).kernel


@pytest.mark.parametrize("kind", [NSVGD, Pairwise, LogDet, Wasserstein, MeansOnly])
@pytest.mark.parametrize("wrong", ["rbf", RBF, None])
def test_a_kernel_of_another_kind_is_named(kind, wrong):
    with pytest.raises(ConfigError, match=r"^kernel is .*; expected an object such as RBF\(\)\.$"):
        kind(kernel=wrong)


def test_a_prior_of_another_kind_is_named():
    with pytest.raises(ConfigError, match=r"^prior is 3\.0; expected an object such as NormalPrior\(\) or None\.$"):
        NSVGD(prior=3.0)


def test_a_wrong_jitter_is_named():
    with pytest.raises(ConfigError, match=r"^jitter is -1; expected a number >= 0"):
        LogDet(jitter=-1)


@pytest.mark.parametrize("make", [NSVGD, Pairwise, LogDet])
@pytest.mark.parametrize(
    ("theta", "ascent"),
    [
        (torch.zeros(5, 3), torch.zeros(5, 1)),
        (torch.zeros(5, 3), torch.zeros(3)),
        (torch.zeros(5, 3), torch.zeros(5, 3).double()),
        (torch.zeros(5, 3, dtype=torch.long), torch.zeros(5, 3, dtype=torch.long)),
        (torch.zeros(3), torch.zeros(3)),
        (torch.zeros(0, 3), torch.zeros(0, 3)),
    ],
)
def test_an_ascent_of_another_shape_or_type_is_not_spread_out(make, theta, ascent):
    with pytest.raises(ConfigError, match=r"theta is .* and ascent .*; expected both of one shape \(\.\.\., m, p\)"):
        make()(theta, ascent)


@pytest.mark.parametrize("make", [NSVGD, Pairwise, LogDet, ReleasedNSVGD])
@pytest.mark.parametrize(("m", "p"), [(4, 3), (70, 20)])
def test_parameters_may_be_given_as_they_are(normal, make, m, p):
    theta, ascent = normal(m, p), normal(m, p)
    found = make()(torch.nn.Parameter(theta), ascent)
    assert not found.requires_grad
    assert torch.equal(found, make()(theta, ascent))


@pytest.mark.parametrize("make", [NSVGD, Pairwise, LogDet])
def test_arrays_and_lists_are_no_particles(make):
    with pytest.raises(ConfigError, match=r"theta is a ndarray and ascent a list; expected two tensors"):
        make()(np.zeros((2, 1)), [[0.0], [0.0]])


@pytest.mark.parametrize("make", [NSVGD, Pairwise, LogDet])
@pytest.mark.parametrize(("alpha", "leading"), [([0.5], ()), ([0.5, 1.0], ()), ([0.5, 1.0], (3,))])
def test_a_grid_of_strengths_fits_the_leading_dimensions(normal, make, alpha, leading):
    theta = normal(*leading, 5, 3)
    with pytest.raises(ConfigError, match=r"the strength is of shape .* or one for each leading index"):
        make(torch.tensor(alpha))(theta, theta)
    make(torch.tensor(0.5))(theta, theta)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, "wide", torch.tensor([1.0, 0.0])])
def test_a_prior_has_a_positive_scale(scale):
    with pytest.raises(ConfigError, match=r"scale is .*; expected finite numbers > 0"):
        NormalPrior(0.0, scale)
