"""The terms of both GMVAEs by direct Monte Carlo of their definitions, with torch.distributions and loops over draws.

Letters of the papers: row y, code x, style w, component z. A module to try them on, and the comparison, stand here too.
"""

import math

import pytest
import torch
from torch import distributions as dist

from steinmix.estimator import Posterior
from steinmix.nn import Bernoulli
from steinmix.random import Streams

SMALL = {"latent_dim": 2, "w_dim": 2, "hidden": (16,), "random_state": 0, "collapse": "ignore"}
"""Parameters of an estimator that is quick to fit."""


def module_of(kind, observation=None, k=3, f=5, d=2, w=2, **others):
    """A module in float64 whose every parameter is away from its start, so that no term is trivial."""
    streams = Streams(1)
    settings = {"n_features": f, "n_latent": d, "w_dim": w, "hidden": (7,), "n_rows": 10} | others
    module = kind(k, likelihood=observation or Bernoulli(), generator=streams.torch("weights"), **settings).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.4 * streams.normal_like(parameter, "shake")
        module.mixture.head_bias[:, :d] *= 3
        module.output.weight[f:] *= 0.2  # a variance that varies much makes an average of draws that converges slowly
    return module


def many_draws(module, x, draws, seed=5):
    q = Posterior(*(t[0] for t in module.posterior(module.encoder(x[None]))))
    many = Posterior(*(t.expand(draws, -1) for t in q))
    return many, module.draw(many, 1, Streams(seed))


@torch.no_grad()
def check_against_monte_carlo(ours, estimate, names):
    for name in names:
        value, error = estimate[name]
        own_error = float(ours[name].std()) / math.sqrt(len(ours[name]))
        assert float(ours[name].mean()) == pytest.approx(value, abs=4 * math.hypot(error, own_error) + 1e-9), name


def normal(mean, log_var):
    return dist.Independent(dist.Normal(mean, torch.exp(log_var).sqrt()), 1)


def observation(module, x):
    """p(y | x) as a distribution over rows, for codes (n, d)."""
    output = module.output(module.decoder(x))
    kind = type(module.likelihood).__name__
    if kind == "Bernoulli":
        return dist.Independent(dist.Bernoulli(logits=output, validate_args=False), 1)
    half = output.shape[-1] // 2
    return normal(output[:, :half], output[:, half:])


def prior(module, w):
    """p(x | w, z) for styles (n, w): batch shape (n, K), head by head."""
    mixture, means, log_vars = module.mixture, [], []
    hidden = torch.tanh(w @ mixture.weight.T + mixture.bias)
    for k in range(mixture.n_components):
        head = hidden @ mixture.head_weight[k].T + mixture.head_bias[k]
        means.append(head[:, : mixture.n_code])
        log_vars.append(head[:, mixture.n_code :])
    return normal(torch.stack(means, 1), torch.stack(log_vars, 1))


def responsibilities(module, x, w):
    """p(z | x, w) by Bayes' rule on naive densities, (n, K)."""
    joint = prior(module, w).log_prob(x[:, None]).exp() / module.mixture.n_components
    return joint / joint.sum(-1, keepdim=True)


def posterior(module, y):
    """q(x | y) and q(w | y) for one row y (f,)."""
    trunk = module.encoder(y[None])
    q_x = normal(module.code_mean(trunk)[0], module.spread(trunk)[0])
    return q_x, normal(module.w_mean(trunk)[0], module.w_spread(trunk)[0])


@torch.no_grad()
def monte_carlo(module, y, draws, generator, q_z=None):
    """Estimate the terms for one row y (f,): name -> (mean, standard error).

    `q_z` (K,) stands for q(z | y) of the first version; without it z is drawn from p(z | x, w), as in the second.
    The divergence inside the conditional prior has a draw of x of its own, as the papers print it.
    """
    (q_x, q_w), k = posterior(module, y), module.mixture.n_components

    def drawn(q):
        noise = torch.randn(draws, *q.event_shape, generator=generator, dtype=y.dtype)
        return q.base_dist.loc + q.base_dist.scale * noise

    x, again, w = drawn(q_x), drawn(q_x), drawn(q_w)
    gamma = responsibilities(module, x, w)
    of_z = gamma if q_z is None else q_z.expand(draws, k)
    z = torch.multinomial(of_z, 1, generator=generator)[:, 0]
    rows, clear = torch.arange(draws), torch.multinomial(gamma, 1, generator=generator)[:, 0]
    samples = {
        "reconstruction": -observation(module, x).log_prob(y),
        "w_prior": q_w.log_prob(w) - normal(torch.zeros_like(w), torch.zeros_like(w)).log_prob(w),
        "conditional_prior": q_x.log_prob(again) - prior(module, w).log_prob(again[:, None])[rows, z],
        "z_prior": of_z[rows, z].log() + math.log(k),
        "violation": -gamma[rows, clear].log(),
    }
    return {name: (float(v.mean()), float(v.std()) / math.sqrt(draws)) for name, v in samples.items()}
