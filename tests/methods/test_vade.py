import math

import numpy as np
import pytest
import torch
from torch import distributions as dist

from oracles.vade import likelihood, monte_carlo, prior_of
from steinmix import NSVGD, ConfigError, NormalPrior, Training, VaDE
from steinmix.estimator import Pretraining, Smoother, held_at_start
from steinmix.methods.vade import NARROWEST, VaDEModule
from steinmix.metrics import adjusted_rand_index
from steinmix.nn import Bernoulli, Gaussian
from steinmix.objective import Batch
from steinmix.random import Streams
from steinmix.training import Callback
from steinmix.training.checkpoint import Checkpoint


def module_of(observation, m=3, f=5, d=2):
    """A module whose every parameter is away from its start, so that no term is trivial."""
    streams = Streams(1)
    coder = {"n_features": f, "hidden": (7,), "likelihood": observation, "generator": streams.torch("weights")}
    module = VaDEModule(m, 10, d, **coder)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.4 * streams.normal_like(parameter, "shake")
        module.mixture.means.mul_(2)
    return module


@pytest.fixture(params=[Bernoulli(), Gaussian(0.3)], ids=["bernoulli", "gaussian"])
def module(request):
    return module_of(request.param)


@pytest.fixture
def x(normal, module):
    raw = normal(4, 5, dtype=torch.float32)
    return torch.sigmoid(raw) if isinstance(module.likelihood, Bernoulli) else raw


def parts_of(module, x, seed=3):
    """The mean, log-variance and the z that `terms` draws with streams of this seed."""
    mean, log_var = module.encode_normal(x)
    return mean, log_var, mean + Streams(seed).normal_like(mean) * log_var.exp().sqrt()


def test_the_five_terms_equal_a_monte_carlo_of_equation_9(module, x, generator):
    mean, log_var, _ = parts_of(module, x)
    gamma = torch.tensor([0.2, 0.5, 0.3])
    for row in range(2):
        estimate = monte_carlo(module, x[row], gamma, 60_000, generator)
        with torch.no_grad():
            many = [v[row].expand(20_000, -1) for v in (x, mean, log_var)]
            z = many[1] + many[2].exp().sqrt() * torch.randn(many[1].shape, generator=generator)
            bound = module.bound_terms(many[0], z, many[1], many[2], gamma.log().expand(20_000, -1))
        assert list(bound) == list(estimate)
        for name, (value, error) in estimate.items():
            ours = bound[name].double()
            own_error = float(ours.std()) / math.sqrt(len(ours))
            assert float(ours.mean()) == pytest.approx(value, abs=4.5 * math.hypot(error, own_error) + 1e-5), name


def test_the_sum_is_minus_equation_12_as_printed(module, x):
    """Reconstruction, the triple sum, gamma log pi / gamma, and the entropy, in loops over c and j."""
    mean, log_var, z = parts_of(module, x)
    mixture = module.mixture
    gamma = mixture.responsibilities(z)
    pi = torch.softmax(mixture.logits, -1)
    expected = []
    for i in range(len(x)):
        total = likelihood(module, z[i]).log_prob(x[i])
        if isinstance(module.likelihood, Bernoulli):  # as printed, for grey values too
            p = torch.sigmoid(module.decode(z[i]))
            total = (x[i] * p.log() + (1 - x[i]) * (1 - p).log()).sum()
        for c in range(3):
            for j in range(2):
                s2, t2 = mixture.log_vars[c, j].exp(), log_var[i, j].exp()
                total -= 0.5 * gamma[i, c] * (s2.log() + t2 / s2 + (mean[i, j] - mixture.means[c, j]) ** 2 / s2)
            total += gamma[i, c] * (pi[c] / gamma[i, c]).log()
        expected.append(total + 0.5 * (1 + log_var[i]).sum())
    bound = module.bound_terms(x, z, mean, log_var, gamma.log())
    torch.testing.assert_close(-sum(bound.values()), torch.stack(expected), rtol=1e-4, atol=1e-4)


def test_terms_are_means_over_rows_at_a_drawn_z_with_gamma_from_that_z(module, x):
    mean, log_var, z = parts_of(module, x)
    parts, p_c = prior_of(module)
    mixture = dist.MixtureSameFamily(p_c, parts)
    joint = p_c.logits + parts.log_prob(z[:, None])
    log_gamma = joint - mixture.log_prob(z)[:, None]
    bound = module.bound_terms(x, z, mean, log_var, log_gamma)
    terms = module.terms(Batch(x, torch.arange(4)), Streams(3))
    assert {t.weight for t in terms.values()} == {1.0}
    for name, term in terms.items():
        assert float(term.value.detach()) == pytest.approx(float(bound[name].mean().detach()), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("anchored", [False, True])
def test_guidance_is_the_divergence_from_what_the_smoother_says(module, x, anchored):
    module.smoother = Smoother(5, 4, 3, Streams(5).torch("weights"))
    module.start_labels.copy_(torch.arange(10) % 3)
    _, _, z = parts_of(module, x)
    batch = Batch(x, torch.arange(4))
    plain, terms = (module.terms(batch, Streams(3), anchored, weight) for weight in (0.0, 7.0))
    p = module.smoother(x).exp()
    expected = (p * (p.log() - module.mixture.responsibilities(z).log())).sum(-1).mean()
    assert terms["guidance"].weight == 7.0
    torch.testing.assert_close(terms["guidance"].value, expected, rtol=1e-4, atol=1e-5)
    terms["guidance"].value.backward()
    assert all(parameter.grad is None for parameter in module.smoother.parameters())
    assert module.mixture.means.grad is not None
    assert plain.keys() == terms.keys() - {"guidance"}
    for name, term in plain.items():
        torch.testing.assert_close(term.value, terms[name].value)


def test_z_is_drawn_from_q(module, x):
    seen = []
    hook = module.decoder.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    n = 5000
    module.terms(Batch(x[:1].expand(n, -1), torch.zeros(n, dtype=torch.int64)), Streams(0))
    hook.remove()
    mean, log_var = module.encode_normal(x[:1])
    noise = (seen[0] - mean.detach()) / log_var.detach().exp().sqrt()
    assert float(noise.mean(0).abs().max()) < 4.5 / math.sqrt(n)
    np.testing.assert_allclose(noise.var(0), 1.0, atol=4.5 * math.sqrt(2 / n))


def test_weights_count_once_and_not_once_per_latent_dimension():
    """Equal components: gamma is pi, not proportional to pi^J as in the released code."""
    module = module_of(Gaussian(), m=2, d=6)
    with torch.no_grad():
        module.mixture.means.zero_()
        module.mixture.log_vars.zero_()
        module.mixture.logits.copy_(torch.tensor([0.9, 0.1]).log())
    gamma = module.mixture.responsibilities(torch.zeros(1, 6)).detach()
    np.testing.assert_allclose(gamma, [[0.9, 0.1]], rtol=1e-5)


def test_one_cluster_is_a_vae_with_a_learnt_normal_prior(normal):
    module, x = module_of(Gaussian(0.5), m=1), normal(4, 5, dtype=torch.float32)
    mean, log_var, z = parts_of(module, x)
    prior = dist.Normal(module.mixture.means[0], module.mixture.log_vars[0].exp().sqrt())
    kl = dist.kl_divergence(dist.Normal(mean, log_var.exp().sqrt()), prior).sum(-1)
    expected = (kl - likelihood(module, z).log_prob(x)).mean()
    terms = module.terms(Batch(x, torch.arange(4)), Streams(3))
    assert float(sum(t.value for t in terms.values()).detach()) == pytest.approx(float(expected.detach()), rel=1e-5)
    assert float(terms["cluster"].value.detach()) == float(terms["cluster_entropy"].value.detach()) == 0


def test_the_bound_is_a_bound(normal):
    """On average over z it lies below log p(x), here a one-dimensional integral."""
    module, x = module_of(Gaussian(0.5), d=1), normal(4, 5, dtype=torch.float32)
    grid = torch.linspace(-40, 40, 40_001)[:, None]
    parts, p_c = prior_of(module)
    with torch.no_grad():
        log_prior = dist.MixtureSameFamily(p_c, parts).log_prob(grid)
        step = float(grid[1, 0] - grid[0, 0])
        exact = torch.stack([torch.logsumexp(likelihood(module, grid).log_prob(row) + log_prior, 0) for row in x])
        exact += math.log(step)
        many = x.repeat(2000, 1)
        mean, log_var = module.encode_normal(many)
        z = mean + Streams(0).normal_like(mean) * log_var.exp().sqrt()
        bound = module.bound_terms(many, z, mean, log_var, module.mixture.log_responsibilities(z))
        total = -sum(bound.values()).view(2000, 4).mean(0)
    assert bool((total < exact).all())


def test_the_anchor_holds_q_at_the_labels_of_the_start(module, x):
    module.start_labels.copy_(torch.arange(10) % 3)
    log_q = held_at_start(module, torch.tensor([2, 4, 0, 1]))
    np.testing.assert_allclose(log_q.exp().sum(-1), 1.0, rtol=1e-6)
    assert log_q.argmax(-1).tolist() == [2, 1, 0, 1]
    np.testing.assert_allclose(log_q.exp().max(-1).values, 1.0, rtol=1e-6)
    mean, log_var, z = parts_of(module, x)
    bound = module.bound_terms(x, z, mean, log_var, log_q)
    terms = module.terms(Batch(x, torch.tensor([2, 4, 0, 1])), Streams(3), anchored=True)
    for name, term in terms.items():
        assert float(term.value.detach()) == pytest.approx(float(bound[name].mean().detach()), rel=1e-5, abs=1e-6)


@pytest.fixture
def blobs(rng):
    truth = np.repeat(np.arange(3), 60)
    x = rng.normal(size=(180, 6)) + 6 * np.eye(6)[truth * 2]
    return x.astype(np.float32), truth


def vade(**others):
    settings = {"latent_dim": 2, "hidden": (16,), "pretraining": Pretraining(epochs=8), "anchor_epochs": 2}
    settings |= {"training": Training(epochs=4, batch_size=64, progress=False), "random_state": 0}
    return VaDE(3, **settings | others)


@pytest.fixture(scope="module")
def fitted():
    rng = Streams(0).numpy("blobs")
    truth = np.repeat(np.arange(3), 60)
    x = (rng.normal(size=(180, 6)) + 6 * np.eye(6)[truth * 2]).astype(np.float32)
    return vade().fit(x), x


def test_labels_do_not_leak(fitted, rng):
    model, x = fitted
    again = vade().fit(x, rng.permutation(180))
    assert np.array_equal(again.labels_, model.labels_)
    for name, tensor in again.module_.state_dict().items():
        assert torch.equal(tensor, model.module_.state_dict()[name])


def test_a_fit_touches_no_global_generator(blobs, global_generators):
    before = global_generators()
    vade(diversifier=NSVGD(0.1, prior=NormalPrior(0.0, 10.0))).fit(blobs[0]).sample(5)
    assert global_generators() == before


def test_predictions_are_the_posterior_at_the_mean_code(fitted):
    model, x = fitted
    with torch.no_grad():
        code, _ = model.module_.encode_normal(model.preparation_(torch.from_numpy(x)))
        parts, p_c = prior_of(model.module_)
        joint = p_c.logits + parts.log_prob(code[:, None])
        expected = (joint - dist.MixtureSameFamily(p_c, parts).log_prob(code)[:, None]).exp().numpy()
    np.testing.assert_allclose(model.predict_proba(x), expected, atol=1e-4)
    np.testing.assert_allclose(model.transform(x), code.numpy(), rtol=1e-5, atol=1e-5)
    assert np.array_equal(model.predict(x), model.labels_)
    assert np.array_equal(model.labels_, expected.argmax(1))


def test_scores_are_the_bound_in_the_units_of_the_data(fitted):
    model, x = fitted
    prepared = model.preparation_(torch.from_numpy(x))
    with torch.no_grad():
        bound = model.module_.score(prepared).numpy()
    log_scale = np.log(x.astype(np.float64).std(0)).sum()
    np.testing.assert_allclose(model.score_samples(x), bound - log_scale, rtol=1e-4, atol=1e-3)


def test_data_in_another_unit_shift_the_score_by_the_log_of_the_unit(fitted):
    model, x = fitted
    larger = vade().fit(8 * x)
    np.testing.assert_allclose(larger.score_samples(8 * x), model.score_samples(x) - 6 * math.log(8), atol=1e-3)
    np.testing.assert_allclose(larger.sample(4), 8 * model.sample(4), rtol=1e-3, atol=1e-3)


def test_phases_are_pretraining_anchor_mixture(fitted):
    model = fitted[0]
    assert [r["phase"] for r in model.history_] == ["pretrain"] * 8 + ["anchor"] * 2 + ["mixture"] * 4
    assert len(model.diagnostics_) == 6


def test_variances_stay_in_the_range_of_the_mixture(blobs):
    """Here it lies above all that the bound asks for, so that every step leads out of it."""

    class Wide(Callback):
        def on_run_start(self, state):
            state.module.mixture.log_var_range = (5.0, 6.0)

    training = Training(epochs=1, batch_size=64, callbacks=(Wide(),), progress=False)
    model = vade(anchor_epochs=0, collapse="ignore", training=training).fit(blobs[0])
    np.testing.assert_allclose(np.log(np.diagonal(model.covariances_, axis1=1, axis2=2)), 5.0, rtol=1e-6)


def test_phases_can_be_left_out(blobs):
    model = vade(anchor_epochs=0, pretraining=Pretraining(epochs=0)).fit(blobs[0])
    assert [r["phase"] for r in model.history_] == ["mixture"] * 4
    assert (model.initial_labels_ >= 0).all()


def test_a_resumed_fit_ends_with_the_same_bits(fitted, tmp_path, monkeypatch):
    model, x = fitted
    write = Checkpoint.write
    for stop in (8, 9, 12):  # at the end of pretraining, in the anchor, in the mixture
        with monkeypatch.context() as patch:

            def write_and_stop(self, state, stop=stop):
                write(self, state)
                if state.epochs_done == stop:
                    raise KeyboardInterrupt

            patch.setattr(Checkpoint, "write", write_and_stop)
            with pytest.raises(KeyboardInterrupt):
                vade().fit(x, checkpoint=tmp_path / str(stop))
        resumed = vade().fit(x, checkpoint=tmp_path / str(stop), resume=True)
        for name, tensor in model.module_.state_dict().items():
            assert torch.equal(resumed.module_.state_dict()[name], tensor), (stop, name)
        assert resumed.history_ == model.history_
        assert np.array_equal(resumed.initial_labels_, model.initial_labels_)


def test_separated_groups_are_found(blobs):
    x, truth = blobs
    training = Training(epochs=20, batch_size=64, lr=5e-3, progress=False)
    labels = vade(latent_dim=3, pretraining=Pretraining(epochs=40), training=training).fit(x).labels_
    assert len(set(zip(truth.tolist(), labels.tolist()))) == 3


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_the_free_phase_keeps_separated_groups_of_a_small_table(seed):
    """With 60 steps a phase and a fixed noise variance these seeds merged two groups."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(5 * c, 1, (60, 6)) for c in range(3)])
    model = VaDE(3, random_state=seed).fit(x)
    assert adjusted_rand_index(np.repeat(np.arange(3), 60), model.labels_) == 1.0
    assert model.diagnostics_[-1]["effective_components"] > 2.9


def test_components_start_no_narrower_than_a_share_of_all_codes(rng):
    tight = np.repeat(rng.normal(size=(3, 4)) * 3, 40, axis=0) + 1e-3 * rng.normal(size=(120, 4))
    model = vade(anchor_epochs=0, training=Training(epochs=0)).fit(tight)
    codes = model.transform(tight)
    variances = np.diagonal(model.covariances_, axis1=1, axis2=2)
    assert variances.min() >= NARROWEST * codes.var(0).mean() * 0.99


def test_interpolation_is_the_decoded_line_between_two_means(rng):
    """By hand: equal steps in the latent space, the decoder, the likelihood's mean, the units of the data."""
    x = 5 * rng.random((60, 6)) + 2
    model = VaDE(3, latent_dim=2, hidden=(8,), start="kmeans", collapse="ignore", scaling="range", random_state=0)
    model.set_params(training=Training(epochs=1), likelihood="bernoulli").fit(x)
    found = model.interpolate(2, 0, steps=5)
    module, preparation = model.module_, model.preparation_
    for i, row in enumerate(found):
        z = (model.means_[2] * (4 - i) + model.means_[0] * i) / 4
        with torch.no_grad():
            prepared = torch.sigmoid(module.decode(torch.tensor(z[None], dtype=torch.float32)))[0]
        expected = prepared.numpy() * preparation.scale.numpy() + preparation.shift.numpy()
        np.testing.assert_allclose(row, expected, rtol=1e-5)
    assert np.abs(found[0] - found[-1]).max() > 1e-3
    np.testing.assert_allclose(model.interpolate(0, 2, steps=5), found[::-1], rtol=1e-5)
    for wrong in ({"first": 3}, {"second": -1}, {"steps": 1}, {"steps": 2.0}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            model.interpolate(**({"first": 0, "second": 1} | wrong))
