import math

import numpy as np
import pytest
import torch
from torch import distributions as dist

from oracles.gmvae import (
    SMALL,
    check_against_monte_carlo,
    many_draws,
    module_of,
    monte_carlo,
    observation,
    posterior,
    prior,
    responsibilities,
)
from steinmix import GMVAE, NSVGD, ConfigError, NormalPrior, Training
from steinmix.estimator import Posterior
from steinmix.methods.gmvae import GMVAEModule
from steinmix.nn import Bernoulli, LearntGaussian
from steinmix.objective import Batch
from steinmix.random import Streams


@pytest.fixture(params=[Bernoulli(), LearntGaussian()], ids=["bernoulli", "gaussian"])
def module(request):
    return module_of(GMVAEModule, observation=request.param)


@pytest.fixture
def x(normal, module):
    raw = normal(4, 5)
    return torch.sigmoid(raw) if isinstance(module.likelihood, Bernoulli) else raw


def test_the_four_terms_equal_a_monte_carlo_of_equation_4(module, x, generator):
    for row in range(2):
        estimate = monte_carlo(module, x[row], 100_000, generator)
        with torch.no_grad():
            q, draws = many_draws(module, x[row], 20_000)
            bound = module.bound_terms(x[row], q, draws, module.log_gamma(draws))
        assert list(bound) == ["reconstruction", "w_prior", "conditional_prior", "z_prior"]
        check_against_monte_carlo(bound, estimate, bound)


def test_responsibilities_are_bayes_rule_on_naive_densities(module, normal):
    z, w = normal(6, 2), normal(6, 2)
    expected = responsibilities(module, z, w)
    torch.testing.assert_close(module.mixture.responsibilities(torch.cat([z, w], -1)), expected)
    many = module.at(z[None], w[None])
    log_gamma = torch.log_softmax(module.mixture.code_log_prob(many.z, many.components), -1)
    torch.testing.assert_close(log_gamma[0].exp(), expected)


def test_responsibilities_far_from_all_components_are_finite():
    module = module_of(GMVAEModule)
    far = torch.full((1, 4), 1e4, dtype=torch.float64, requires_grad=True)
    log_gamma = module.mixture.log_responsibilities(far)
    log_gamma.sum().backward()
    assert torch.isfinite(log_gamma).all()
    assert torch.isfinite(far.grad).all()


def test_terms_are_means_over_rows_and_draws(module, x):
    """With M = 3 each term is the mean of its values at the three draws."""
    terms = module.terms(Batch(x, torch.arange(4)), n_samples=3, streams=Streams(3), free_bits=0.0)
    q = module.posterior(module.encoder(x))
    draws = module.draw(q, 3, Streams(3))
    apart = [module.at(draws.z[j : j + 1], draws.w[j : j + 1]) for j in range(3)]
    singly = [module.bound_terms(x, q, one, module.log_gamma(one)) for one in apart]
    for name in singly[0]:
        expected = torch.stack([one[name] for one in singly]).mean()
        torch.testing.assert_close(terms[name].value, expected)
        assert terms[name].weight == 1.0


def test_draws_come_from_q(module, x):
    q, n = Posterior(*(t[:1] for t in module.posterior(module.encoder(x)))), 5000
    draws = module.draw(q, n, Streams(0))
    for drawn, mean, log_var in ((draws.z, q.mean, q.log_var), (draws.w, q.w_mean, q.w_log_var)):
        noise = ((drawn - mean) / log_var.exp().sqrt()).detach()[:, 0]
        assert float(noise.mean(0).abs().max()) < 4.5 / math.sqrt(n)
        np.testing.assert_allclose(noise.var(0), 1.0, atol=4.5 * math.sqrt(2 / n))
    assert float(torch.corrcoef(torch.cat([draws.z, draws.w], -1)[:, 0].detach().T)[:2, 2:].abs().max()) < 0.07


def test_one_component_is_a_vae_of_two_levels(normal):
    """The z term is zero, and what is left is a ladder: y from x, x from a normal given by w."""
    module, x = module_of(GMVAEModule, observation=LearntGaussian(), k=1), normal(4, 5)
    q = module.posterior(module.encoder(x))
    draws = module.draw(q, 1, Streams(3))
    q_x, q_w = dist.Normal(q.mean, q.log_var.exp().sqrt()), dist.Normal(q.w_mean, q.w_log_var.exp().sqrt())
    p_x = prior(module, draws.w[0]).base_dist
    p_x = dist.Normal(p_x.loc[:, 0], p_x.scale[:, 0])
    loss = dist.kl_divergence(q_x, p_x).sum(-1) + dist.kl_divergence(q_w, dist.Normal(0.0, 1.0)).sum(-1)
    loss = (loss - observation(module, draws.z[0]).log_prob(x)).mean()
    terms = module.terms(Batch(x, torch.arange(4)), n_samples=1, streams=Streams(3), free_bits=0.0)
    torch.testing.assert_close(sum(t.value * t.weight for t in terms.values()), loss)
    assert float(terms["z_prior"].value.detach()) == 0


def test_equal_heads_cost_no_information_and_give_the_terms_of_one_component(normal):
    one, three, x = module_of(GMVAEModule, k=1), module_of(GMVAEModule, k=3), torch.sigmoid(normal(4, 5))
    state = {n: t for n, t in one.state_dict().items() if "head" not in n and "logits" not in n}
    three.load_state_dict(state, strict=False)
    with torch.no_grad():
        three.mixture.head_bias.copy_(one.mixture.head_bias.expand(3, -1))
        three.mixture.head_weight.copy_(one.mixture.head_weight.expand(3, -1, -1))
    q = one.posterior(one.encoder(x))
    draws = one.draw(q, 2, Streams(0))
    for name, value in one.bound_terms(x, q, draws, one.log_gamma(draws)).items():
        alike = three.at(draws.z, draws.w)
        same = three.bound_terms(x, q, alike, three.log_gamma(alike))
        torch.testing.assert_close(same[name], value, msg=name)


def test_the_objective_is_a_lower_bound(normal):
    """On average it lies below log p(y), here an integral over a grid of x and w."""
    module, x = module_of(GMVAEModule, observation=LearntGaussian(), d=1, w=1), normal(3, 5)
    with torch.no_grad():
        z = torch.linspace(-30, 30, 1501, dtype=torch.float64)[:, None]
        w = torch.linspace(-8, 8, 401, dtype=torch.float64)[:, None]
        of_w = dist.Normal(0.0, 1.0).log_prob(w)[:, 0] + math.log(16 / 400)
        parts = prior(module, w)
        of_z = torch.stack([parts.log_prob(one).logsumexp(-1) - math.log(3) for one in z[:, None]])
        joint = torch.logsumexp(of_z + of_w, -1) + math.log(60 / 1500)
        exact = torch.stack([torch.logsumexp(observation(module, z).log_prob(row) + joint, 0) for row in x])
        q = module.posterior(module.encoder(x))
        draws = module.draw(q, 4000, Streams(0))
        bound = module.bound_terms(x, q, draws, module.log_gamma(draws))
    assert bool((-sum(bound.values()) < exact).all())


def test_free_bits_replace_a_small_mean_and_its_gradient(module, x):
    def terms(free_bits):
        module.zero_grad()
        found = module.terms(Batch(x, torch.arange(4)), n_samples=2, streams=Streams(3), free_bits=free_bits)
        sum(t.value * t.weight for t in found.values()).backward()
        return found, module.mixture.head_bias.grad.clone()

    plain, gradient = terms(0.0)
    information = float(plain["z_information"].value.detach())
    assert float(plain["z_prior"].value.detach()) == information
    below, same = terms(information * 0.99)  # the mean over the batch counts, though some rows lie below
    torch.testing.assert_close(same, gradient)
    above, other = terms(information * 1.01)
    assert float(above["z_prior"].value.detach()) == pytest.approx(information * 1.01)
    assert float(above["z_information"].value.detach()) == information
    module.zero_grad()
    rest = module.terms(Batch(x, torch.arange(4)), n_samples=2, streams=Streams(3), free_bits=0.0)
    sum(t.value for n, t in rest.items() if not n.startswith("z_")).backward()
    torch.testing.assert_close(other, module.mixture.head_bias.grad)
    assert below["z_prior"].weight == above["z_prior"].weight == 1.0


def test_the_prior_of_shares_is_the_divergence_of_the_mean_posterior_and_so_is_its_gradient(module, x):
    def terms_of(**others):
        return module.terms(Batch(x, torch.arange(4)), n_samples=3, streams=Streams(3), **others)

    draws = module.draw(module.posterior(module.encoder(x)), 3, Streams(3))
    mean = torch.stack([responsibilities(module, z, w) for z, w in zip(draws.z, draws.w)]).mean((0, 1))
    expected = (mean * (3 * mean).log()).sum()
    terms, plain = (terms_of(free_bits=0.0, shared=shared) for shared in (True, False))
    torch.testing.assert_close(terms["z_prior"].value, expected)
    bias = module.mixture.head_bias
    gradients = [torch.autograd.grad(loss, bias, retain_graph=True)[0] for loss in (terms["z_prior"].value, expected)]
    torch.testing.assert_close(*gradients)
    for name in terms.keys() - {"z_prior"}:  # z_information is what the papers' prior would cost
        torch.testing.assert_close(terms[name].value, plain[name].value)
    least, rows = 2 * float(expected.detach()), float(plain["z_prior"].value.detach())
    assert least / 2 < 0.9 * rows
    floor = terms_of(free_bits=least, shared=True)["z_prior"].value
    assert float(floor.detach()) == pytest.approx(least)


def test_the_gradient_of_the_conditional_prior_keeps_its_sign_while_the_constraint_is_active(module, x):
    """The released code turns it; here a step along minus the gradient lowers the loss as printed."""
    batch = Batch(x, torch.arange(4))

    def loss():
        terms = module.terms(batch, n_samples=4, streams=Streams(3), free_bits=0.0)
        return sum(t.value * t.weight for t in terms.values())

    bias = module.mixture.head_bias
    (gradient,) = torch.autograd.grad(loss(), bias)
    step = 1e-5 * gradient / gradient.norm()
    before = loss().detach()
    with torch.no_grad():
        bias -= step
    assert float(before - loss().detach()) == pytest.approx(1e-5 * float(gradient.norm()), rel=1e-3)


@torch.no_grad()
def test_log_variances_stay_in_their_range(module, x):
    module.spread.bias += 100
    module.w_spread.bias -= 100
    module.mixture.head_bias += 100
    q = module.posterior(module.encoder(x))
    assert (float(q.log_var.max()), float(q.w_log_var.min())) == (8.0, -8.0)
    assert float(module.mixture.components(q.w_mean).log_vars.max()) == 8.0


def gmvae(**others):
    """From the papers' start, which is quick; `test_gmvae_start` has the others."""
    training = Training(epochs=5, batch_size=64, progress=False)
    return GMVAE(**{"n_clusters": 3, "start": "random", "training": training} | SMALL | others)


@pytest.fixture(scope="module")
def blobs():
    rng = Streams(0).numpy("blobs")
    truth = np.repeat(np.arange(3), 60)
    return (rng.normal(size=(180, 6)) + 6 * np.eye(6)[truth * 2]).astype(np.float32), truth


@pytest.fixture(scope="module")
def fitted(blobs):
    return gmvae().fit(blobs[0]), blobs[0]


def test_predictions_are_the_posterior_at_the_means(fitted):
    model, x = fitted
    with torch.no_grad():
        prepared = model.preparation_(torch.from_numpy(x))
        q = [posterior(model.module_, row) for row in prepared]
        z, w = torch.stack([a.mean for a, _ in q]), torch.stack([b.mean for _, b in q])
        expected = responsibilities(model.module_, z, w)
    np.testing.assert_allclose(model.predict_proba(x), expected, atol=1e-4)
    np.testing.assert_allclose(model.transform(x), z, rtol=1e-4, atol=1e-5)
    assert np.array_equal(model.predict(x), model.labels_)


def test_scores_are_the_bound_at_the_means_in_the_units_of_the_data(fitted):
    model, x = fitted
    module = model.module_
    with torch.no_grad():
        prepared = model.preparation_(torch.from_numpy(x))
        q = module.posterior(module.encoder(prepared))
        draws = module.at(q.mean[None], q.w_mean[None])
        bound = module.bound_terms(prepared, q, draws, module.log_gamma(draws))
    expected = -sum(bound.values()).numpy() - np.log(x.astype(np.float64).std(0)).sum()
    np.testing.assert_allclose(model.score_samples(x), expected, rtol=1e-4, atol=1e-3)


def test_samples_come_from_the_model(fitted):
    """w from its prior, the code from the component given w, the mean row given the code."""
    model, _ = fitted
    mixture, n = model.module_.mixture, 20_000
    generator = Streams(0).torch("noise")
    component = torch.full((n,), 1)
    points = mixture.sample(component, generator)
    z, w = points[:, :2], points[:, 2:]
    with torch.no_grad():
        parts = prior(model.module_, w).base_dist
    noise = (z - parts.loc[:, 1]) / parts.scale[:, 1]
    for standard in (noise, w):
        assert float(standard.mean(0).abs().max()) < 4.5 / math.sqrt(n)
        np.testing.assert_allclose(standard.var(0), 1.0, atol=4.5 * math.sqrt(2 / n))
    with torch.no_grad():
        rows = model.module_.generate(points[:5])
        np.testing.assert_allclose(rows, observation(model.module_, z[:5]).mean, rtol=1e-5, atol=1e-6)


def test_means_and_covariances_are_those_at_w_zero(fitted):
    model, _ = fitted
    with torch.no_grad():
        parts = prior(model.module_, torch.zeros(1, 2)).base_dist
    np.testing.assert_allclose(model.means_, parts.loc[0], rtol=1e-5)
    np.testing.assert_allclose(model.covariances_, torch.diag_embed(parts.variance[0]), rtol=1e-5)
    np.testing.assert_allclose(model.weights_, 1 / 3)


def test_the_labels_of_the_random_networks_are_kept(blobs):
    first = gmvae(training=Training(epochs=0)).fit(blobs[0])
    assert (first.initial_labels_ == -1).all() or np.array_equal(first.initial_labels_, first.labels_)
    later = gmvae(training=Training(epochs=1)).fit(blobs[0])
    assert np.array_equal(later.initial_labels_, first.labels_)


def test_with_the_prior_of_shares_no_information_is_free_unless_asked_for(blobs):
    last = gmvae(cluster_prior="shares", warm_up=0).fit(blobs[0]).history_[-1]
    asked = gmvae(cluster_prior="shares", warm_up=0, free_bits=1.0).fit(blobs[0]).history_[-1]
    assert 0 <= last["z_prior"] < last["z_information"]
    assert asked["z_prior"] == 1.0


def test_a_warm_up_raises_the_weight_of_the_priors(blobs):
    history = gmvae(warm_up=4, free_bits=0).fit(blobs[0]).history_
    names = ("w_prior", "conditional_prior", "z_prior")
    found = [(r["loss"] - r["reconstruction"]) / sum(r[n] for n in names) for r in history]
    np.testing.assert_allclose(found, [0.2, 0.4, 0.6, 0.8, 1.0], atol=1e-3)


def test_free_bits_keep_components_apart(blobs):
    x, truth = blobs
    settings = {"training": Training(epochs=60, batch_size=32, lr=3e-3, progress=False), "latent_dim": 3}
    free, plain = (gmvae(free_bits=bits, warm_up=30, **settings).fit(x) for bits in (0.8, 0.0))
    assert free.history_[-1]["z_information"] > 0.8
    assert plain.history_[-1]["z_information"] < 0.1
    assert len(set(zip(truth.tolist(), free.labels_.tolist()))) == 3


def test_the_heads_are_the_particles(blobs):
    model = gmvae(diversifier=NSVGD(0.5, prior=NormalPrior(0.0, 3.0))).fit(blobs[0])
    theta = model.module_.mixture.particles()
    assert (len(theta), theta.rows().shape) == (3, (3, 4 + 4 * 16))


def test_convolutions_take_images(blobs):
    rng = Streams(0).numpy("images")
    rows = rng.integers(0, 256, size=(20, 64), dtype=np.uint8)
    model = gmvae(image_shape=(8, 8), training=Training(epochs=1, batch_size=10)).fit(rows)
    assert model.sample(3).shape == (3, 64)
    assert model.predict_proba(rows).shape == (20, 3)
    tracked = {k: v.clone() for k, v in model.module_.state_dict().items() if "running" in k}
    assert tracked
    model.predict(rows), model.score_samples(rows), model.sample(2)
    assert all(torch.equal(v, model.module_.state_dict()[k]) for k, v in tracked.items())


@pytest.mark.parametrize(("n_rows", "batch_size"), [(1, 256), (3, 1)])
def test_convolutions_take_a_row_alone(n_rows, batch_size):
    rows = Streams(0).numpy("images").integers(0, 256, size=(n_rows, 64), dtype=np.uint8)
    model = gmvae(n_clusters=1, image_shape=(8, 8), training=Training(epochs=2, batch_size=batch_size)).fit(rows)
    assert np.isfinite(model.score_samples(rows)).all()


def test_looking_on_does_not_move_batch_norms(blobs):
    """Diagnostics after each epoch use running moments and leave them alone: one batch, one update an epoch."""
    rows = Streams(0).numpy("images").integers(0, 256, size=(20, 64), dtype=np.uint8)
    model = gmvae(image_shape=(8, 8), training=Training(epochs=3, batch_size=20)).fit(rows)
    counts = {int(v) for k, v in model.module_.state_dict().items() if k.endswith("num_batches_tracked")}
    assert counts == {3}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"w_dim": 0}, "w_dim"),
        ({"n_samples": 1.5}, "n_samples"),
        ({"warm_up": -1}, "warm_up"),
        ({"free_bits": -0.1}, "free_bits"),
        ({"free_bits": float("nan")}, "free_bits"),
        ({"latent_dim": 0}, "latent_dim"),
        ({"image_shape": (3, 3)}, r"image_shape is \(3, 3\); expected \(height, width\)"),
        ({"image_shape": "auto"}, "image_shape is 'auto'; expected"),
        ({"image_shape": (-2, -3)}, r"image_shape is \(-2, -3\); expected"),
        ({"image_shape": (2, 3), "likelihood": "learnt_gaussian"}, "one number per pixel"),
        ({"image_shape": (2, 3)}, "square images"),
        ({"likelihood": "poisson"}, "likelihood"),
    ],
)
def test_wrong_settings_are_named(blobs, changes, message):
    with pytest.raises(ConfigError, match=message):
        gmvae(**changes).fit(blobs[0])


@pytest.fixture(scope="module")
def styled():
    """A model whose components depend on w far more than training makes them."""
    x = np.random.default_rng(0).beta(0.3, 0.3, size=(50, 6))
    model = GMVAE(3, latent_dim=2, w_dim=4, hidden=(8,), collapse="ignore", training=Training(epochs=1), random_state=0)
    mixture = model.fit(x).module_.mixture
    with torch.no_grad():
        mixture.head_weight *= 10
        mixture.weight[:, 1] *= 5
        mixture.weight[:, 3] = 0
    return model


def expected_row(model, c, w):
    """The row at the mean of component c given w, by naive steps in the letters of the paper."""
    mixture = model.module_.mixture
    with torch.no_grad():
        hidden = torch.tanh(mixture.weight @ torch.tensor(w, dtype=torch.float32) + mixture.bias)
        mean = (mixture.head_weight[c] @ hidden + mixture.head_bias[c])[:2]
        prepared = torch.sigmoid(model.module_.decode(mean[None]))[0].numpy()
    return prepared * model.preparation_.scale.numpy() + model.preparation_.shift.numpy()


def test_a_sweep_moves_one_coordinate_over_the_quantiles_of_its_prior(styled):
    found = styled.sweep_style(1, steps=3)
    assert found.shape == (3, 3, 6)
    for c in range(3):
        for row, value in zip(found[c], (-1.959964, 0.0, 1.959964)):
            np.testing.assert_allclose(row, expected_row(styled, c, [0, value, 0, 0]), rtol=1e-4)
    np.testing.assert_allclose(found[0, 1], styled.interpolate(0, 1)[0], rtol=1e-5)  # a line runs at w = 0
    for wrong in ({"coordinate": 4}, {"coordinate": -1}, {"coordinate": 0.5}, {"steps": 1}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            styled.sweep_style(**wrong)


def test_the_effect_of_a_style_is_what_it_changes(styled):
    effects = styled.style_effects()
    assert effects[3] == 0
    assert effects.argmax() == 1
    ends = [[expected_row(styled, c, [0, s * 1.959964, 0, 0]) for s in (-1, 1)] for c in range(3)]
    assert effects[1] == pytest.approx(np.mean([(a - b) ** 2 for a, b in ends]), rel=1e-3)
