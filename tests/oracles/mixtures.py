"""Mixtures as torch.distributions."""

import torch
from torch import distributions as dist

from steinmix.mixtures import CholeskyMixture, DiagonalMixture, UnitMixture

FAMILIES = {"diag": DiagonalMixture, "full": CholeskyMixture, "unit": UnitMixture}


def random_mixture(family, m, d, normal, learn_weights=True):
    """A float64 mixture with random parameters."""
    mixture = FAMILIES[family](m, d, learn_weights).double()
    with torch.no_grad():
        for parameter in mixture.parameters():
            parameter.copy_(normal(*parameter.shape))
        mixture.means.mul_(2)
    return mixture


def components(mixture):
    """The components of a mixture, batch shape (m,), with covariances written out."""
    if isinstance(mixture, DiagonalMixture):
        return dist.Independent(dist.Normal(mixture.means, mixture.log_vars.exp().sqrt()), 1)
    if isinstance(mixture, UnitMixture):
        return dist.Independent(dist.Normal(mixture.means, torch.ones_like(mixture.means)), 1)
    diagonal = torch.log1p(mixture.raw_tril.diagonal(dim1=-2, dim2=-1).exp()) + 1e-3
    factor = torch.stack([torch.tril(raw, -1) + torch.diag(d) for raw, d in zip(mixture.raw_tril, diagonal)])
    return dist.MultivariateNormal(mixture.means, covariance_matrix=factor @ factor.transpose(-1, -2))


def whole(mixture):
    """The mixture."""
    return dist.MixtureSameFamily(dist.Categorical(logits=mixture.logits), components(mixture))


def posterior(mixture, z):
    """p(c | z) from the mixture's own densities, (b, m)."""
    same = whole(mixture)
    joint = same.mixture_distribution.probs * same.component_distribution.log_prob(z.unsqueeze(-2)).exp()
    return joint / joint.sum(-1, keepdim=True)
