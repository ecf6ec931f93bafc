import torch
from torch import distributions as dist

from steinmix.mixtures import ConditionalMixture, DiagonalMixture
from steinmix.random import Streams


def mixture_of(m=3, d=2, w=4, hidden=6):
    mixture = ConditionalMixture(m, d, w, hidden, Streams(0).torch("weights")).double()
    with torch.no_grad():
        mixture.head_bias.mul_(5)
    return mixture


def test_weights_are_uniform_in_the_inverse_root_of_the_inputs():
    mixture = ConditionalMixture(8, 3, 25, 400, Streams(0).torch("weights"))
    for parameter, bound in ((mixture.weight, 0.2), (mixture.bias, 0.2), (mixture.head_weight, 0.05)):
        assert bound * 0.99 < float(parameter.detach().abs().max()) <= bound


def test_without_weights_it_is_a_diagonal_mixture_beside_a_standard_normal(normal):
    mixture, plain, points = mixture_of(), DiagonalMixture(3, 2).double(), normal(5, 6)
    means, variances = normal(3, 2), normal(3, 2).exp()
    mixture.set_moments_(means, variances)
    plain.set_moments_(means, variances)
    beside = dist.Normal(0.0, 1.0).log_prob(points[:, 2:]).sum(-1, keepdim=True)
    torch.testing.assert_close(mixture.component_log_prob(points), plain.component_log_prob(points[:, :2]) + beside)
    torch.testing.assert_close(mixture.component_means(), means)
    torch.testing.assert_close(mixture.covariances(), torch.diag_embed(variances))
    mean, log_var = normal(5, 6), normal(5, 6)
    w = dist.Normal(mean[:, 2:], log_var[:, 2:].exp().sqrt())
    of_w = -dist.kl_divergence(w, dist.Normal(0.0, 1.0)).sum(-1) - w.entropy().sum(-1)
    torch.testing.assert_close(
        mixture.expected_component_log_prob(mean, log_var),
        plain.expected_component_log_prob(mean[:, :2], log_var[:, :2]) + of_w[:, None],
    )


def test_divergences_are_those_of_torch(normal):
    mixture, (mean, log_var) = mixture_of(), normal(2, 5, 2)
    components = mixture.components(normal(5, 4))
    kl, (means, log_vars) = mixture.code_kl(mean, log_var, components), components
    for c in range(3):
        prior = dist.Normal(means[:, c], log_vars[:, c].exp().sqrt())
        expected = dist.kl_divergence(dist.Normal(mean, log_var.exp().sqrt()), prior).sum(-1)
        torch.testing.assert_close(kl[:, c], expected)


def test_moments_look_at_codes_alone(normal):
    mixture, plain, points = mixture_of(), DiagonalMixture(3, 2).double(), normal(9, 6)
    weights = torch.softmax(normal(9, 3), -1)
    torch.testing.assert_close(mixture.moments_(points, weights), plain.moments_(points[:, :2], weights))


def test_leading_axes_are_those_of_the_rows(normal):
    mixture, w, z = mixture_of(), normal(7, 5, 4), normal(7, 5, 2)
    together = mixture.code_log_prob(z, mixture.components(w))
    singly = torch.stack([mixture.code_log_prob(a, mixture.components(b)) for a, b in zip(z, w)])
    torch.testing.assert_close(together, singly)


def test_particles_hold_one_pair_of_heads_each(normal):
    mixture, w = mixture_of(), normal(5, 4)
    theta = mixture.particles()
    assert theta.rows().shape == (3, 4 + 4 * 6)
    before = mixture.components(w)
    with torch.no_grad():  # another order of the particles is another order of the components
        for parameter in theta.parameters:
            parameter.copy_(parameter[[2, 0, 1]])
    after = mixture.components(w)
    torch.testing.assert_close(after.means, before.means[:, [2, 0, 1]])
    torch.testing.assert_close(after.log_vars, before.log_vars[:, [2, 0, 1]])
