import math

import numpy as np
import pytest
import torch
from torch import distributions as dist

from steinmix import VAE, Training
from steinmix.methods.vade import VaDEModule
from steinmix.methods.vae import _VAEModule
from steinmix.nn import Bernoulli, Gaussian
from steinmix.objective import Batch
from steinmix.random import Streams


def module_of(observation, f=5, d=2, hidden=(7,), kind=_VAEModule, **others):
    streams = Streams(1)
    coder = {"n_features": f, "hidden": hidden, "likelihood": observation, "generator": streams.torch("weights")}
    module = kind(n_latent=d, **coder, **others)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "mixture" not in name:
                parameter += 0.3 * streams.normal_like(parameter, "shake")
    return module


@pytest.mark.parametrize("observation", [Bernoulli(), Gaussian(0.4)])
def test_terms_equal_torch_distributions_at_the_drawn_z(normal, observation):
    module, x = module_of(observation, variational=True), (normal(6, 5) > 0).float()
    mean, log_var = module.encode_normal(x)
    z = mean + Streams(3).normal_like(mean) * log_var.exp().sqrt()
    output = module.decode(z)
    binary = isinstance(observation, Bernoulli)
    p = dist.Bernoulli(logits=output) if binary else dist.Normal(output, math.sqrt(0.4))
    kl = dist.kl_divergence(dist.Normal(mean, log_var.exp().sqrt()), dist.Normal(torch.zeros(2), torch.ones(2)))
    terms = module.terms(Batch(x, torch.arange(6)), Streams(3))
    found = {name: float(t.value.detach()) * t.weight for name, t in terms.items()}
    expected = {"reconstruction": -p.log_prob(x).sum(-1).mean(), "kl": kl.sum(-1).mean()}
    assert found == {k: pytest.approx(float(v.detach()), rel=1e-5) for k, v in expected.items()}


def test_it_is_vade_with_one_standard_normal_cluster(normal):
    vae, x = module_of(Gaussian(), variational=True), normal(6, 5, dtype=torch.float32)
    vade = module_of(Gaussian(), kind=VaDEModule, n_clusters=1, n_rows=6)
    vade.load_state_dict(vae.state_dict(), strict=False)
    totals = [
        float(sum(t.value for t in module.terms(Batch(x, torch.arange(6)), Streams(2)).values()).detach())
        for module in (vae, vade)
    ]
    assert totals[0] == pytest.approx(totals[1], rel=1e-6)
    torch.testing.assert_close(vae.score(x), vade.score(x), rtol=1e-5, atol=1e-5)


def linear_module(weight, variance):
    """A linear VAE with one latent dimension whose q(z | x) is the exact posterior."""
    f = len(weight)
    module = _VAEModule(f, 1, (), Gaussian(variance), Streams(0).torch("weights"), variational=True)
    precision = 1 + float(weight @ weight) / variance
    with torch.no_grad():
        module.output.weight.copy_(weight[:, None])
        module.code_mean.weight.copy_(weight[None] / variance / precision)
        module.code_log_var.weight.zero_()
        module.code_log_var.bias.fill_(-math.log(precision))
    return module


def test_with_the_exact_posterior_the_bound_is_the_log_likelihood(normal):
    """x = w z + noise has the marginal N(0, w w' + s^2 I)."""
    weight, variance = torch.tensor([1.0, -0.5, 2.0]), 0.3
    module, x = linear_module(weight, variance), normal(5, 3, dtype=torch.float32)
    marginal = dist.MultivariateNormal(torch.zeros(3), torch.outer(weight, weight) + variance * torch.eye(3))
    streams, n, many = Streams(0), 100, x.repeat(200, 1)
    with torch.no_grad():
        terms = [module.terms(Batch(many, torch.zeros(len(many))), streams) for _ in range(n)]
        draws = torch.stack([sum(t.value for t in each.values()) for each in terms])
    error = float(draws.std()) / math.sqrt(n)
    assert -float(draws.mean()) == pytest.approx(float(marginal.log_prob(x).mean()), abs=4.5 * error)


@pytest.fixture
def table(rng):
    return (rng.normal(size=(400, 2)) @ rng.normal(size=(2, 6)) + 0.3 * rng.normal(size=(400, 6))) * 5 + 3


def vae(**others):
    training = Training(epochs=10, batch_size=32, lr=5e-3, progress=False)
    return VAE(2, **{"hidden": (), "training": training, "random_state": 0} | others)


def test_training_raises_the_bound(table):
    model = vae().fit(table)
    losses = [r["loss"] for r in model.history_]
    assert losses[-1] < losses[0] - 0.5
    assert [r["phase"] for r in model.history_] == ["elbo"] * 10


def test_scores_are_in_the_units_of_the_data(table):
    model, other = vae().fit(table), vae().fit(4 * table)
    rows = model.inverse_transform(model.transform(table))
    np.testing.assert_allclose(other.score_samples(4 * table), model.score_samples(table) - 6 * math.log(4), atol=1e-3)
    np.testing.assert_allclose(other.inverse_transform(other.transform(4 * table)), 4 * rows, rtol=1e-3, atol=1e-2)


def test_a_code_is_decoded_alike_alone_and_among_others(table):
    model = vae(hidden=(64, 64)).fit(table)
    codes = model.transform(table)[:300]
    alone = np.concatenate([model.inverse_transform(code[None]) for code in codes])
    np.testing.assert_array_equal(model.inverse_transform(codes), alone)


def test_samples_are_decoded_standard_normal_codes(table):
    model, n = vae().fit(table), 5000
    rows = model.sample(n)
    w = model.module_.output.weight.detach().double().numpy() * model.preparation_.scale.numpy()[:, None]
    np.testing.assert_allclose(np.cov(rows.T), w @ w.T, atol=0.1 * np.abs(w @ w.T).max())
    assert np.array_equal(rows, model.sample(n))
    assert not np.array_equal(rows, model.sample(n, random_state=1))


def test_labels_and_global_generators_are_left_alone(table, rng, global_generators):
    before = global_generators()
    a = vae().fit(table).transform(table)
    assert np.array_equal(a, vae().fit(table, rng.permutation(400)).transform(table))
    assert global_generators() == before
