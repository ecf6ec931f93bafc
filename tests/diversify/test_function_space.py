"""Kernels over what particles give, against autograd through the whole map."""

import pytest
import torch

from oracles.kernels import KERNELS, kernel_sums
from steinmix import IMQ, NSVGD, RBF, ConfigError, LogDet, NoDiversity, NormalPrior, Pairwise
from steinmix.diversify import FunctionSpace, MeansOnly, Median, Standardised, Wasserstein, in_function_space
from steinmix.mixtures import ConditionalMixture
from steinmix.random import Streams
from steinmix.training import Annealed

LIBRARY = {"rbf": RBF, "imq": IMQ}
H = 1.3


@pytest.fixture
def weights(normal):
    """A linear map of particles of 5 numbers to means at 3 inputs and log-variances at 3 inputs."""
    return normal(5, 6)


@pytest.fixture
def mixture():
    return ConditionalMixture(4, 2, 3, 7, Streams(0).torch("weights")).double()


@pytest.mark.parametrize("base", KERNELS)
def test_the_direction_equals_autograd_through_the_map(normal, weights, base):
    theta, ascent = normal(4, 5), normal(4, 5)

    def twin(a, b, h):
        (mean, log_var), (mean_b, log_var_b) = ((x @ weights).split(3, -1) for x in (a, b))
        seen = torch.cat([mean, (log_var / 2).exp()], -1), torch.cat([mean_b, (log_var_b / 2).exp()], -1)
        return KERNELS[base](*seen, h)

    smoothed, away, mass = kernel_sums(twin, theta, ascent, H)
    for linear in (False, True):
        kernel = FunctionSpace(Wasserstein(LIBRARY[base](H)), lambda x: x @ weights, linear)
        torch.testing.assert_close(kernel.direction(theta, ascent, 0.0), smoothed)
        with torch.no_grad():  # it needs none of the caller's
            torch.testing.assert_close(kernel.direction(theta, 0 * ascent, 1.0), away)
        found = kernel.direction(theta, ascent, 0.7, normalised=True)
        torch.testing.assert_close(found, (smoothed + 0.7 * away) / mass)


@pytest.mark.parametrize("base", KERNELS)
def test_each_particle_has_a_jacobian_of_its_own_where_the_map_bends(normal, base):
    """An ensemble of networks 1-5-1, whose outputs at 8 inputs count as they are."""
    theta, ascent, inputs = 2 * normal(6, 16), normal(6, 16), torch.linspace(-2, 2, 8).double()

    def outputs(theta):
        w, b, v, c = theta.split([5, 5, 5, 1], dim=-1)
        return (v.unsqueeze(-1) * (w.unsqueeze(-1) * inputs + b.unsqueeze(-1)).tanh()).sum(-2) + c

    h = float(Median()(outputs(theta)))
    smoothed, away, mass = kernel_sums(lambda a, b, h: KERNELS[base](outputs(a), outputs(b), h), theta, ascent, h)
    placed = in_function_space(NSVGD(1.0, LIBRARY[base]()), outputs, family="unit")
    torch.testing.assert_close(placed(theta, 0 * ascent), away / 6)
    torch.testing.assert_close(placed(theta, ascent), smoothed + away / 6)
    torch.testing.assert_close(placed.kernel.direction(theta, ascent, 2.0, True), (smoothed + 2 * away) / mass)


@pytest.mark.parametrize("base", KERNELS)
def test_a_penalty_is_the_gradient_of_minus_the_similarity(normal, weights, base):
    theta, ascent = normal(4, 5), normal(4, 5)
    moving = theta.clone().requires_grad_()
    mean, log_var = (moving @ weights).tanh().split(3, -1)
    seen = torch.cat([mean, (log_var / 2).exp()], -1)
    similarity = KERNELS[base](seen.unsqueeze(1), seen.unsqueeze(0), H).sum()
    gradient = torch.autograd.grad(-0.7 * similarity, moving)[0]
    placed = in_function_space(Pairwise(0.7, LIBRARY[base](H)), lambda x: (x @ weights).tanh())
    with torch.no_grad():
        torch.testing.assert_close(placed(theta, ascent), ascent + gradient)


@pytest.mark.parametrize("linear", [False, True])
def test_half_types_of_particles_and_values_are_kept(normal, weights, linear):
    theta, ascent = normal(4, 5).half(), normal(4, 5).half()
    found = in_function_space(NSVGD(0.5), lambda x: x @ weights.half(), linear=linear)(theta, ascent)
    wide = in_function_space(NSVGD(0.5), lambda x: x @ weights)(theta.double(), ascent.double())
    assert found.dtype == torch.float16
    torch.testing.assert_close(found.double(), wide, rtol=0.01, atol=0.01)


def test_values_are_the_components_at_fixed_draws(mixture):
    means, log_vars = mixture.values(mixture.particles().rows()).unflatten(-1, (2, 2, 16)).unbind(1)
    components = mixture.components(mixture.draws)
    torch.testing.assert_close(means.permute(2, 0, 1), components.means)
    torch.testing.assert_close(log_vars.permute(2, 0, 1), components.log_vars)
    assert "draws" not in mixture.state_dict()


def test_weights_that_no_draw_excites_do_not_hide_that_components_are_one(mixture, normal):
    with torch.no_grad():
        mixture.bias.fill_(0.0), mixture.weight[3:].fill_(0.0)  # hidden units 3 to 6 are always 0
        mixture.head_bias.copy_(mixture.head_bias[:1] + 0.01 * normal(4, 4))
        mixture.head_weight.copy_(mixture.head_weight[:1].clone().expand_as(mixture.head_weight))
        mixture.head_weight[..., 3:] = 5 * normal(4, 4, 4)
    theta = mixture.particles().rows()
    plain, seen = NSVGD(), in_function_space(NSVGD(), mixture.values)
    away = [d(theta, torch.zeros_like(theta))[:, :2].norm() for d in (plain, seen)]
    assert away[1] > 100 * away[0]
    assert not seen(theta, torch.zeros_like(theta))[:, 4:].unflatten(-1, (4, 7))[..., 3:].any()


def test_what_has_a_kernel_is_taken_there_and_not_changed(normal, weights):
    theta, ascent, values = normal(4, 5), normal(4, 5), lambda x: x @ weights
    stein = NSVGD(0.5, prior=NormalPrior())
    annealed = in_function_space(Annealed(stein), values)
    assert isinstance(annealed.diversifier.kernel, FunctionSpace)
    assert stein.kernel == RBF()
    assert in_function_space(annealed, values) == annealed
    for plain in (None, NoDiversity(), LogDet(0.5), lambda theta, ascent: ascent):
        assert in_function_space(plain, values) == plain
    kept = in_function_space(NSVGD(kernel=Standardised(RBF(H))), values, family="unit", linear=True).kernel
    assert kept.linear
    assert kept.kernel == Standardised(RBF(H))
    assert torch.equal(in_function_space(Pairwise(0.0), values)(theta, ascent), ascent)


def test_one_particle_gets_its_gradient(normal, weights):
    theta, ascent = normal(1, 5), normal(1, 5)
    assert torch.equal(in_function_space(NSVGD(2.0), lambda x: x @ weights)(theta, ascent), ascent)


def test_on_bare_numbers_it_is_the_kernel_itself(normal):
    theta, ascent = normal(4, 5), normal(4, 5)
    bare = FunctionSpace(Wasserstein(RBF(), family="unit"), torch.Tensor.clone)
    torch.testing.assert_close(NSVGD(0.5, bare)(theta, ascent), NSVGD(0.5)(theta, ascent))


def test_mistakes_are_told(normal):
    with pytest.raises(ConfigError, match=r"MeansOnly treats parts .* use RBF"):
        in_function_space(NSVGD(kernel=MeansOnly()), torch.Tensor.clone)
    theta = normal(3, 4)
    with pytest.raises(ConfigError, match="no matrices"):
        LogDet(1.0, FunctionSpace(Wasserstein(), torch.Tensor.clone))(theta, theta)


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize(
    ("values", "said"),
    [
        (lambda theta: theta.view(4, 2, 3), r"shape \(4, 2, 3\) for 4 particles; expected a tensor \(4, q\)"),
        (lambda theta: theta.T, r"values gave shape \(6, 4\) for 4 particles"),
        (lambda theta: theta.sum(-1), r"values gave shape \(4,\) for 4 particles"),
        (lambda theta: theta.detach().numpy(), "values gave a ndarray for 4 particles"),
        (lambda theta: theta.detach(), "a tensor without a gradient; compute it from the particles"),
    ],
)
def test_values_that_are_no_rows_of_numbers_are_told(normal, values, said, linear):
    placed = in_function_space(NSVGD(), values, family="unit", linear=linear)
    with pytest.raises(ConfigError, match=said):
        placed(normal(4, 6), normal(4, 6))
