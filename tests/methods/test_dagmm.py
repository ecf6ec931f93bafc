"""DAGMM against a twin that loops over rows and components."""

import copy

import numpy as np
import pytest
import torch

import steinmix as sm
from oracles import dagmm as oracle
from steinmix.methods.dagmm import DAGMM, FACTORS, RESIDUALS
from steinmix.objective import Batch
from steinmix.random import Streams

KINDS = ("network", "nvi", "free", "signed")


class NoDrop(Streams):
    """Streams that keep every unit: uniform noise of one."""

    def uniform_like(self, x, name="mask"):
        return torch.ones_like(x)


def module_of(kind, seed=0, m=3, f=6, residual="relative"):
    detector = DAGMM(m, mixture=kind, random_state=seed)
    plan = {
        "n_components": m,
        "n_features": f,
        "latent_dim": 1,
        "hidden": [5, 4],
        "mixture": kind,
        "residual": residual,
    }
    return detector._module(plan | {"weights": [0.1, 0.005]}, Streams(seed))


def twin_points(module, x):
    """z and squared errors, row by row."""
    code = module.encode(x).detach().double().numpy()
    rebuilt = module.decode(module.encode(x)).detach().double().numpy()
    z = np.stack([oracle.points(a, b, c) for a, b, c in zip(x.numpy(), rebuilt, code)])
    return z, ((x.numpy() - rebuilt) ** 2).sum(1)


@pytest.fixture
def x(normal):
    return normal(9, 6, dtype=torch.float32)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def twin_density(module, kind, z):
    """Memberships and mixture of the batch as the twin has them."""
    if kind in FACTORS:
        mixture = module.density.mixture
        factor = mixture.scale_tril().detach().numpy()
        m = len(factor)
        return None, np.full(m, 1 / m), mixture.means.detach().numpy(), factor @ factor.transpose(0, 2, 1), 0.0
    with torch.no_grad():
        # Units that are kept count double, as dropout scales them.
        hidden = 2 * torch.tanh(module.density.network.hidden(torch.from_numpy(z).float()))
        gamma = torch.softmax(module.density.network.output(hidden), -1).double().numpy()
    return gamma, *oracle.moments(z, gamma), 1e-6


def test_the_three_terms_equal_the_printed_sums(kind, x):
    module = module_of(kind)
    terms = module.terms(Batch(x, torch.arange(9)), NoDrop(0))
    z, errors = twin_points(module, x)
    gamma, phi, mu, sigma, jitter = twin_density(module, kind, z)
    if kind == "nvi":
        energies = [oracle.variational_energy(p, g, phi, mu, sigma, jitter) for p, g in zip(z, gamma)]
    else:
        energies = [oracle.energy(p, phi, mu, sigma, jitter) for p in z]
    expected = {
        "reconstruction": (errors.mean(), 1.0),
        "energy": (np.mean(energies), 0.1),
        "inverse_variance": (oracle.inverse_variances(sigma), 0.005),
    }
    for name, (value, weight) in expected.items():
        assert float(terms[name].value.detach()) == pytest.approx(value, rel=2e-4), name  # codes are float32
        assert terms[name].weight == weight


def test_a_row_rebuilt_without_error_gives_no_infinite_gradient():
    """The distance has none at zero: its slope grows without bound on the way there."""
    x = torch.rand(4, 6)
    rebuilt = x.clone().requires_grad_()
    sum(part.sum() for part in RESIDUALS["relative"](x, rebuilt)).backward()
    assert bool(rebuilt.grad.isfinite().all())


def test_the_logarithmic_residual_is_that_of_error_and_norm(x):
    module = module_of("free", residual="log")
    with torch.no_grad():
        rebuilt = module.reconstruct(x)
        found = module.embed(x)
    errors = [sum((float(a) - float(b)) ** 2 for a, b in zip(*pair)) for pair in zip(x, rebuilt)]
    norms = [sum(float(a) ** 2 for a in row) for row in x]
    expected = np.log(np.array([errors, norms]).T + 0.01)
    np.testing.assert_allclose(found[:, 1:].numpy(), expected, rtol=1e-5, atol=1e-5)


def test_the_variational_energy_is_an_upper_bound(x):
    plain, bound = module_of("network"), module_of("nvi")
    bound.load_state_dict(plain.state_dict())
    batch = Batch(x, torch.arange(9))
    values = [m.terms(batch, Streams(3))["energy"].value for m in (plain, bound)]
    assert float(values[0].detach()) < float(values[1].detach())


def test_dropout_is_felt_in_training_only(x):
    module, batch = module_of("network"), Batch(x, torch.arange(9))
    first, again, other = (module.terms(batch, Streams(s))["energy"].value.item() for s in (0, 0, 1))
    assert first == again != other
    assert torch.equal(module.score(x), module.score(x))


def test_distinct_rows_give_what_all_rows_give(kind, x):
    module, inverse = module_of(kind), torch.tensor([0, 3, 3, 1, 8, 0, 0, 2])
    index = torch.arange(8)
    distinct = module.terms(Batch(x, index, inverse), Streams(0))
    whole = module.terms(Batch(x[inverse], index), Streams(0))
    for name, term in whole.items():
        torch.testing.assert_close(distinct[name].value, term.value, rtol=1e-5, atol=0)  # codes are float32


def test_stacked_modules_give_each_its_own_terms(kind, normal):
    """Parameters (r, ...) on rows (r, b, f): values (r,), and gradients each of its own."""
    modules, streams = [module_of(kind, seed) for seed in range(3)], [Streams(10 + s) for s in range(3)]
    rows = normal(3, 7, 6, dtype=torch.float32)
    stack = stacked(modules)
    alone = [m.terms(Batch(x, torch.arange(7)), s) for m, x, s in zip(modules, rows, streams)]
    together = stack.terms(Batch(rows, torch.arange(7).expand(3, 7)), Together(range(10, 13)))
    for name, term in together.items():
        assert term.value.shape == (3,)
        torch.testing.assert_close(term.value, torch.stack([t[name].value for t in alone]), rtol=1e-5, atol=1e-7)
    sum(t.value.sum() * t.weight for t in together.values()).backward()
    for number, module in enumerate(modules):
        sum(t.value * t.weight for t in alone[number].values()).backward()
        for (name, parameter), whole in zip(module.named_parameters(), stack.parameters()):
            torch.testing.assert_close(whole.grad[number], parameter.grad, rtol=1e-3, atol=1e-5, msg=name)


class Together(Streams):
    """The draws of several streams, stacked."""

    def __init__(self, seeds):
        super().__init__(0)
        self.members = [Streams(seed) for seed in seeds]

    def uniform_like(self, x, name="mask"):
        return torch.stack([s.uniform_like(part, name) for s, part in zip(self.members, x)])


def stacked(modules):
    stack = copy.deepcopy(modules[0])
    for name, parameter in stack.named_parameters():
        parameter.data = torch.stack([dict(m.named_parameters())[name].data for m in modules])
    for name, buffer in stack.named_buffers():
        buffer.data = torch.stack([dict(m.named_buffers())[name].data for m in modules])
    return stack


@pytest.mark.parametrize("kind", ["network", "nvi"])
def test_rows_are_scored_with_the_moments_of_all_training_rows(kind, rng):
    X = rng.normal(size=(300, 6))
    detector = DAGMM(3, mixture=kind, scaling="none", training=sm.Training(epochs=2), random_state=0).fit(X)
    module, x = detector.module_, torch.from_numpy(X).float()
    with torch.no_grad():
        z = module.embed(x)
        gamma = module.density.network(z).double().exp().numpy()
    z = z.double().numpy()
    phi, mu, sigma = oracle.moments(z, gamma)
    for value, expected in zip(module.density.moments(), (phi, mu, sigma)):
        np.testing.assert_allclose(value.numpy(), expected, rtol=1e-7, atol=1e-10)
    found = detector.anomaly_score(X[:20])
    if kind == "nvi":
        expected = [oracle.variational_energy(p, g, phi, mu, sigma, 1e-6) for p, g in zip(z[:20], gamma)]
    else:
        expected = [oracle.energy(p, phi, mu, sigma, 1e-6) for p in z[:20]]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_diversifier_acts_on_means_and_factors_with_the_gradient_of_the_whole_loss(x):
    """One step of gradient descent is theta + lr phi(theta, -grad J), and the networks take their plain gradient."""
    settings = {"scaling": "none", "training": sm.Training(epochs=1, batch_size=9, lr=1e-2, optimizer="sgd")}
    diversifier = sm.NSVGD(0.7, prior=sm.NormalPrior())
    detector = DAGMM(3, diversifier=diversifier, random_state=0, **settings).fit(x.numpy())
    module = detector._module(detector.plan_, Streams(0))
    terms = module.terms(Batch(x, torch.arange(9)), Streams(0))
    sum(t.value * t.weight for t in terms.values()).backward()
    mixture = module.density.mixture
    theta = torch.cat([mixture.means, mixture.raw_tril.reshape(3, -1)], -1).detach()
    gradient = torch.cat([mixture.means.grad, mixture.raw_tril.grad.reshape(3, -1)], -1)
    expected = theta + 1e-2 * diversifier(theta, -gradient)
    after = detector.module_.density.mixture
    found = torch.cat([after.means, after.raw_tril.reshape(3, -1)], -1).detach()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7)
    first = module.encoder[0].weight
    torch.testing.assert_close(detector.module_.encoder[0].weight, first - 1e-2 * first.grad, rtol=1e-4, atol=1e-6)


def test_one_free_component_started_from_the_codes_is_their_normal_fit(rng):
    X = rng.normal(size=(500, 4)) * 2
    settings = {"scaling": "none", "start": "kmeans", "training": sm.Training(epochs=0)}
    module = DAGMM(1, mixture="free", pretraining_epochs=3, random_state=0, **settings).fit(X[:, :4]).module_
    with torch.no_grad():
        z = module.embed(torch.from_numpy(X).float()).double()
    mixture = module.density.mixture
    torch.testing.assert_close(mixture.means[0], z.mean(0), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(mixture.covariances()[0], torch.cov(z.T, correction=0), rtol=2e-3, atol=1e-5)


def test_pretraining_is_the_reconstruction_alone_and_helps_it(rng):
    X = rng.normal(size=(400, 2)) @ rng.normal(size=(2, 6))
    training = sm.Training(epochs=1, lr=1e-2)
    plain = DAGMM(2, training=training, random_state=0).fit(X)
    pretrained = DAGMM(2, training=training, pretraining_epochs=20, random_state=0).fit(X)
    assert [r["phase"] for r in pretrained.history_] == ["pretrain"] * 20 + ["mixture"]
    assert "energy" not in pretrained.history_[0]
    assert pretrained.history_[-1]["reconstruction"] < plain.history_[-1]["reconstruction"]


@pytest.mark.parametrize("kind", ["network", "free"])
def test_the_network_rests_while_the_mixture_learns(rng, kind):
    X = rng.normal(size=(300, 4)) + 3
    settings = {"mixture": kind, "pretraining_epochs": 2, "random_state": 0}
    before = DAGMM(2, training=sm.Training(epochs=0), **settings).fit(X)
    after = DAGMM(2, training=sm.Training(epochs=2), joint=False, **settings).fit(X)
    assert np.array_equal(before.transform(X), after.transform(X))
    assert not np.array_equal(before.score_samples(X), after.score_samples(X))


def test_outliers_are_found(rng):
    X = rng.normal(size=(600, 2)) @ rng.normal(size=(2, 10))
    odd = rng.normal(size=(60, 10)) * 2
    detector = DAGMM(2, latent_dim=2, hidden=(16,), training=sm.Training(epochs=100, lr=3e-3), random_state=0).fit(X)
    scores = detector.anomaly_score(np.r_[X, odd])
    assert sm.metrics.area_under_roc(np.r_[np.zeros(600), np.ones(60)].astype(int), scores) > 0.9


def test_widths_follow_the_papers_for_the_papers_data(rng):
    detector = DAGMM(training=sm.Training(epochs=0), random_state=0)
    assert detector.fit(rng.normal(size=(20, 118))).plan_["hidden"] == [60, 30, 10]
    assert detector.fit(rng.normal(size=(20, 5))).plan_["hidden"] == [3, 2, 2]


def test_a_diversifier_needs_free_particles(rng):
    X = rng.normal(size=(20, 3))
    with pytest.raises(sm.NoParticlesError):
        DAGMM(2, mixture="network", diversifier=sm.LogDet(0.1)).fit(X)
    assert DAGMM(2, diversifier=sm.LogDet(0.1), training=sm.Training(epochs=1)).fit(X).plan_["mixture"] == "free"
    assert DAGMM(2, diversifier=sm.NoDiversity(), training=sm.Training(epochs=1)).fit(X).plan_["mixture"] == "network"


def test_weights_may_be_an_array(rng):
    settings = {"hidden": (3,), "training": sm.Training(epochs=1), "random_state": 0}
    rows = rng.normal(size=(20, 3))
    fits = [DAGMM(2, weights=kind((0.1, 1e-4)), **settings).fit(rows) for kind in (tuple, np.array)]
    assert np.array_equal(fits[0].score_samples(rows), fits[1].score_samples(rows))


@pytest.mark.parametrize("weights", [(0.1,), (-1.0, 0.1), (float("nan"), 0.1), ("high", 0.1), 0.1])
def test_wrong_weights(weights, rng):
    with pytest.raises(sm.ConfigError, match="weights"):
        DAGMM(2, weights=weights).fit(rng.normal(size=(20, 3)))
