"""Kernels at features of a component, against autograd of the same kernel and by their invariances."""

import pytest
import torch
from torch.nn import functional as F

from oracles.kernels import KERNELS, kernel_sums
from steinmix import IMQ, NSVGD, RBF, ConfigError, GaussianMixture, LogDet, NormalPrior, Pairwise, Training, load
from steinmix.diversify import Identity, MeansOnly, Standardised, Wasserstein
from steinmix.mixtures import CholeskyMixture, SignedCholeskyMixture

LIBRARY = {"rbf": RBF, "imq": IMQ}
WIDTHS = {"diag": 6, "full": 12, "cholesky": 12, "unit": 3}
H = 1.3


def distribution(theta, family):
    """Mean and square root of the covariance of components with three features, from what the mixtures say of them."""
    means, scales = theta[..., :3], theta[..., 3:]
    if family == "unit":
        return means
    if family == "diag":
        return torch.cat([means, scales.exp().sqrt()], -1)
    raw = scales.reshape(*scales.shape[:-1], 3, 3)
    diagonal = raw.diagonal(dim1=-2, dim2=-1)
    factor = torch.tril(raw, -1) + torch.diag_embed(F.softplus(diagonal))
    if family == "cholesky":
        factor = torch.tril(raw) * diagonal.sign().unsqueeze(-2)
    return torch.cat([means, factor.flatten(-2)], -1)


def divided(theta, whole):
    """Each block over the square root of its mean squared deviation, by a loop."""
    parts = []
    for block, all_rows in ((theta[..., :3], whole[:, :3]), (theta[..., 3:], whole[:, 3:])):
        deviations = [(row - all_rows.mean(0)).square().mean() for row in all_rows]
        parts.append(block / torch.stack(deviations).mean().sqrt())
    return torch.cat(parts, -1)


def check(kernel, twin, theta, ascent):
    smoothed, away, mass = kernel_sums(twin, theta, ascent, H)
    torch.testing.assert_close(kernel.direction(theta, ascent, 0.0), smoothed, rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(kernel.direction(theta, 0 * ascent, 1.0), away, rtol=1e-9, atol=1e-10)
    normalised = kernel.direction(theta, ascent, 0.7, normalised=True)
    torch.testing.assert_close(normalised, (smoothed + 0.7 * away) / mass, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("base", KERNELS)
@pytest.mark.parametrize("family", WIDTHS)
@pytest.mark.parametrize("m", [2, 7, 70])
def test_wasserstein_equals_autograd_through_the_distribution(normal, base, family, m):
    theta, ascent = normal(m, WIDTHS[family]), normal(m, WIDTHS[family])

    def twin(a, b, h):
        return KERNELS[base](distribution(a, family), distribution(b, family), h)

    check(Wasserstein(LIBRARY[base](H), family), twin, theta, ascent)


@pytest.mark.parametrize("base", KERNELS)
@pytest.mark.parametrize("family", ["diag", "full"])
def test_standardised_equals_autograd_with_the_spreads_held(normal, base, family):
    theta, ascent = normal(5, WIDTHS[family]), normal(5, WIDTHS[family])

    def twin(a, b, h):
        return KERNELS[base](divided(a, theta), divided(b, theta), h)

    check(Standardised(LIBRARY[base](H), family), twin, theta, ascent)


TWINS = {
    "wasserstein": (Wasserstein, lambda theta, family, held: distribution(theta, family)),
    "standardised": (Standardised, lambda theta, family, held: divided(theta, held)),
    "means only": (MeansOnly, lambda theta, family, held: theta[..., :3]),
}


@pytest.mark.parametrize("base", KERNELS)
@pytest.mark.parametrize("family", ["diag", "full", "cholesky"])
@pytest.mark.parametrize("name", TWINS)
def test_a_penalty_is_the_gradient_of_minus_the_similarity(normal, base, family, name):
    theta, ascent = normal(5, WIDTHS[family]), normal(5, WIDTHS[family])
    kind, features = TWINS[name]
    moving = theta.clone().requires_grad_()
    seen = features(moving, family, theta)
    similarity = KERNELS[base](seen.unsqueeze(1), seen.unsqueeze(0), H).sum()  # the diagonal is constant
    gradient = torch.autograd.grad(-0.7 * similarity, moving)[0]
    found = Pairwise(0.7, kind(LIBRARY[base](H), family))(theta, ascent)
    torch.testing.assert_close(found, ascent + gradient, rtol=1e-9, atol=1e-10)


def test_a_penalty_of_half_types_is_taken_in_float32(normal):
    theta, penalty = normal(4, 6), Pairwise(0.5, Wasserstein(RBF(H)))
    found = penalty(theta.half(), 0 * theta.half())
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.double(), penalty(theta, 0 * theta), rtol=0.01, atol=0.01)


def test_a_penalty_of_half_types_may_have_squares_beyond_them(normal):
    theta, penalty = torch.cat([300 * normal(4, 3), normal(4, 3)], -1).half(), Pairwise(1e4, Wasserstein(RBF(300.0)))
    expected = penalty(theta.double(), 0 * theta.double())
    assert float(expected.abs().max()) > 1
    torch.testing.assert_close(penalty(theta, 0 * theta).double(), expected, rtol=0.01, atol=0.01)


def test_the_repulsion_of_components_far_from_zero_keeps_its_digits(normal):
    theta = (64 * normal(6, 6)).round().float() / 64  # so that nothing is lost by the shift
    kernel, shift = Wasserstein(RBF(H)), torch.tensor([2.0**17] * 3 + [0.0] * 3)
    found = kernel.direction(theta + shift, 0 * theta, 1.0)
    torch.testing.assert_close(found, kernel.direction(theta, 0 * theta, 1.0), rtol=1e-4, atol=1e-5)


def test_distance_for_diagonal_covariances_is_two_wasserstein():
    """Gelbrich: |mu - mu'|^2 + sum (sigma - sigma')^2; N(0, 1) and N(3, 25) lie 5 apart, k = exp(-25 / (2 h^2))."""
    theta = torch.tensor([[0.0, 0.0], [3.0, 25.0]], dtype=torch.float64)
    theta[1, 1] = theta[1, 1].log()
    smoothed = Wasserstein(RBF(2.0), "diag").direction(theta, torch.eye(2, dtype=torch.float64), 0.0)
    assert float(smoothed[0, 1]) == pytest.approx(float(torch.tensor(-25 / 8).exp()), abs=1e-7)


def test_equal_distributions_count_as_one(normal):
    """What stands above the diagonal of a raw factor is no part of the distribution, and not moved."""
    mixture = CholeskyMixture(2, 3).double()
    theta = normal(1, 12).repeat(2, 1)
    theta[1, [4, 5, 8]] += 5.0  # entries (0, 1), (0, 2), (1, 2) of the factor
    mixture.means.data, mixture.raw_tril.data = theta[:, :3], theta[:, 3:].reshape(2, 3, 3)
    assert torch.equal(*mixture.covariances())
    assert not Wasserstein(RBF(1.0), "full").direction(theta, 0 * theta, 1.0).any()
    assert RBF(1.0).direction(theta, 0 * theta, 1.0).any()


def test_equal_distributions_of_signed_factors_count_as_one(normal):
    """A column of either sign gives the same covariance; so does what stands above the diagonal."""
    mixture = SignedCholeskyMixture(2, 3).double()
    theta = normal(1, 12).repeat(2, 1)
    theta[1, [4, 7, 10]] *= -1.0  # column 1 of the factor, the first entry above the diagonal
    mixture.means.data, mixture.raw_tril.data = theta[:, :3], theta[:, 3:].reshape(2, 3, 3)
    assert torch.equal(*mixture.covariances())
    assert not Wasserstein(RBF(1.0), "cholesky").direction(theta, 0 * theta, 1.0).any()
    assert Wasserstein(RBF(1.0), "full").direction(theta, 0 * theta, 1.0).any()


def test_distances_of_plain_factors_are_those_of_draws_with_shared_noise(normal):
    factors = torch.linalg.cholesky(torch.eye(3).double() + (x := normal(2, 3, 3)) @ x.mT)
    theta = torch.cat([normal(2, 3), factors.flatten(-2)], dim=-1)
    k = Wasserstein(RBF(3.0), "cholesky").direction(theta, torch.eye(2, 12).double(), 0.0)[0, 1]
    noise = normal(100_000, 3)
    first, second = (mean + noise @ factor.T for mean, factor in zip(theta[:, :3], factors))
    squared = (first - second).square().sum(-1).mean()
    assert float(k) == pytest.approx(float((-squared / 18).exp()), rel=0.02)


@pytest.mark.parametrize("family", ["diag", "full"])
def test_units_of_a_block_do_not_matter_to_the_standardised_kernel(normal, family):
    theta, ascent = normal(6, WIDTHS[family]), normal(6, WIDTHS[family])
    units = torch.ones(WIDTHS[family], dtype=torch.float64)
    units[3:] = 100.0
    kernel = Standardised(RBF("median"), family)
    found = kernel.direction(units * theta, ascent / units, 1.0)
    torch.testing.assert_close(found, kernel.direction(theta, ascent, 1.0) / units, rtol=1e-9, atol=1e-10)
    plain = RBF("median").direction
    assert not torch.allclose(plain(units * theta, ascent / units, 1.0), plain(theta, ascent, 1.0) / units, rtol=0.1)


def test_a_spread_counts_from_a_millionth_on(normal):
    theta, ascent, kernel = normal(6, 3), normal(6, 3), Standardised(RBF(H), "unit")
    for unit in (1e-4, 1e4):
        found = kernel.direction(unit * theta, ascent / unit, 1.0)
        torch.testing.assert_close(found, kernel.direction(theta, ascent, 1.0) / unit, rtol=1e-9, atol=1e-10)
    alike = 1e-8 * theta
    torch.testing.assert_close(kernel.direction(alike, ascent, 1.0), RBF(H).direction(alike, ascent, 1.0))


@pytest.mark.parametrize("normalised", [False, True])
def test_means_only_leaves_scales_their_own_gradient(normal, normalised):
    theta, ascent = normal(6, 12), normal(6, 12)
    found = MeansOnly(IMQ(H), "full").direction(theta, ascent, 2.0, normalised)
    assert torch.equal(found[:, 3:], ascent[:, 3:])
    alone = IMQ(H).direction(theta[:, :3], ascent[:, :3], 2.0, normalised)
    torch.testing.assert_close(found[:, :3], alone)


KERNELS_HERE = {"wasserstein": Wasserstein, "standardised": Standardised, "means only": MeansOnly}


@pytest.mark.parametrize("kind", KERNELS_HERE.values(), ids=KERNELS_HERE)
class TestAll:
    @pytest.mark.parametrize("family", WIDTHS)
    def test_one_particle_gets_its_gradient_exactly(self, normal, kind, family):
        theta, ascent = normal(1, WIDTHS[family]), normal(1, WIDTHS[family])
        for normalised in (False, True):
            found = NSVGD(2.0, kind(RBF(), family), row_normalised=normalised)(theta, ascent)
            assert torch.equal(found, ascent)

    def test_of_unit_components_it_is_the_kernel_itself(self, normal, kind):
        theta, ascent = normal(6, 3), normal(6, 3)
        found = NSVGD(0.5, kind(RBF("median"), "unit"))(theta, ascent)
        torch.testing.assert_close(found, NSVGD(0.5)(theta, ascent))

    def test_the_identity_inside_passes_the_direction_on(self, normal, kind):
        theta, ascent = normal(5, 6), normal(5, 6)
        torch.testing.assert_close(NSVGD(2.0, kind(Identity(), "diag"))(theta, ascent), ascent)

    def test_leading_axes_equal_separate_calls(self, normal, kind):
        theta, ascent, alpha = normal(2, 5, 6), normal(2, 5, 6), torch.tensor([0.3, 2.0]).double()
        found = NSVGD(alpha, kind())(theta, ascent)
        for r in range(2):
            torch.testing.assert_close(found[r], NSVGD(float(alpha[r]), kind())(theta[r], ascent[r]))

    @pytest.mark.parametrize("diversify", [NSVGD, Pairwise])
    def test_autocast_of_the_caller_does_not_round_a_direction(self, normal, kind, diversify):
        theta, ascent = normal(5, 6).float(), normal(5, 6).float()
        expected = diversify(0.7, kind())(theta, ascent)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(diversify(0.7, kind())(theta, ascent), expected)

    def test_alike_components_stay_finite(self, kind):
        theta = torch.ones(3, 6)
        found = NSVGD(1.0, kind())(theta, theta)
        assert torch.equal(found[:, :3], 3 * theta[:, :3])
        assert torch.isfinite(found).all()

    def test_a_saved_model_keeps_it(self, rng, kind, tmp_path):
        diversifier = NSVGD(0.1, kind(IMQ("median_log"), "full"), NormalPrior())
        model = GaussianMixture(2, covariance_type="full", diversifier=diversifier, random_state=0)
        model.set_params(training=Training(epochs=1)).fit(rng.normal(size=(40, 2))).save(tmp_path / "m")
        assert load(tmp_path / "m").diversifier == diversifier

    def test_mistakes_are_told(self, normal, kind):
        theta = normal(4, 7)
        with pytest.raises(ConfigError, match=r"particles of 7 numbers.*'diag'"):
            kind().direction(theta, theta, 1.0)
        with pytest.raises(ConfigError, match="family is 'tied'; expected one of"):
            kind(family="tied").direction(theta, theta, 1.0)
        with pytest.raises(ConfigError, match=f"{kind.__name__} has no matrices"):
            LogDet(1.0, kind())(theta, theta)
