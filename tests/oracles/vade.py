"""VaDE's bound by direct Monte Carlo of Eq. (9) of Jiang et al. (2017), with torch.distributions only."""

import math

import torch
from torch import distributions as dist


def likelihood(module, z):
    """p(x | z) as a distribution over rows (..., f)."""
    output = module.decode(z)
    if type(module.likelihood).__name__ == "Bernoulli":
        return dist.Independent(dist.Bernoulli(logits=output, validate_args=False), 1)
    variance = module.likelihood.variance
    return dist.Independent(dist.Normal(output, float(variance() if callable(variance) else variance) ** 0.5), 1)


def prior_of(module):
    """p(z | c), batch shape (m,), and p(c)."""
    mixture = module.mixture
    parts = dist.Independent(dist.Normal(mixture.means, torch.exp(mixture.log_vars).sqrt()), 1)
    return parts, dist.Categorical(logits=mixture.logits)


@torch.no_grad()
def monte_carlo(module, x, gamma, draws, generator):
    """Estimate the five terms of minus Eq. (9) for one row x (f,), with q(z, c | x) = q(z | x) Cat(c; gamma).

    Returns name -> (mean, standard error).
    """
    mean, log_var = (t[0] for t in module.encode_normal(x[None]))
    q_z, q_c = dist.Independent(dist.Normal(mean, log_var.exp().sqrt()), 1), dist.Categorical(probs=gamma)
    z = mean + log_var.exp().sqrt() * torch.randn(draws, len(mean), generator=generator)
    c = torch.multinomial(gamma, draws, replacement=True, generator=generator)
    parts, p_c = prior_of(module)
    log_p_z = parts.log_prob(z[:, None])[torch.arange(draws), c]
    samples = {
        "reconstruction": -likelihood(module, z).log_prob(x),
        "latent": -log_p_z,
        "cluster": -p_c.log_prob(c),
        "latent_entropy": q_z.log_prob(z),
        "cluster_entropy": q_c.log_prob(c),
    }
    return {k: (float(v.double().mean()), float(v.double().std()) / math.sqrt(draws)) for k, v in samples.items()}
