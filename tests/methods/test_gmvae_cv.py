import numpy as np
import pytest
import torch

from oracles.gmvae import SMALL, check_against_monte_carlo, many_draws, module_of, monte_carlo, responsibilities
from steinmix import GMVAECV, ConfigError, Training
from steinmix.methods.gmvae_cv import GMVAECVModule
from steinmix.nn import Bernoulli, LearntGaussian
from steinmix.objective import Batch
from steinmix.random import Streams


@pytest.fixture(params=[Bernoulli(), LearntGaussian()], ids=["bernoulli", "gaussian"])
def module(request):
    return module_of(GMVAECVModule, observation=request.param)


@pytest.fixture
def x(normal, module):
    raw = normal(4, 5)
    return torch.sigmoid(raw) if isinstance(module.likelihood, Bernoulli) else raw


def terms_of(module, x, **others):
    settings = {"n_samples": 2, "streams": Streams(3), "free_bits": 0.0, "eta": 1.0, "alpha": 1.0} | others
    return module.terms(Batch(x, torch.arange(len(x))), **settings)


def test_the_five_terms_equal_a_monte_carlo_of_equations_3_and_6(module, x, generator):
    for row in range(2):
        with torch.no_grad():
            trunk = module.encoder(x[row : row + 1])
            q_z = torch.softmax(module.head(trunk), -1)[0]
            estimate = monte_carlo(module, x[row], 100_000, generator, q_z)
            q, draws = many_draws(module, x[row], 20_000)
            bound = module.bound_terms(x[row], q, draws, module.log_q(trunk).expand(20_000, -1))
            bound |= {"violation": module.violation(draws)}
        assert list(bound) == ["reconstruction", "w_prior", "conditional_prior", "z_prior", "violation"]
        check_against_monte_carlo(bound, estimate, bound)


def test_terms_are_means_over_rows_and_draws_with_their_weights(module, x):
    terms = terms_of(module, x, eta=0.3, alpha=0.7)
    trunk = module.encoder(x)
    q, log_q = module.posterior(trunk), module.log_q(trunk)
    draws = module.draw(q, 2, Streams(3))
    singly = []
    for j in range(2):
        one = module.at(draws.z[j : j + 1], draws.w[j : j + 1])
        singly.append(module.bound_terms(x, q, one, log_q) | {"violation": module.violation(one)})
    for name, term in terms.items():
        name = name.replace("information", "prior")
        torch.testing.assert_close(term.value, torch.stack([one[name] for one in singly]).mean())
    assert {n: t.weight for n, t in terms.items()} == {
        "reconstruction": 1.0,
        "w_prior": 1.0,
        "conditional_prior": 1.0,
        "z_prior": 0.3,
        "violation": 0.7,
        "z_information": 0.0,
    }


def test_free_bits_are_a_floor_of_the_mean_over_the_batch(module, x):
    information = float(terms_of(module, x)["z_information"].value.detach())
    floor = terms_of(module, x, free_bits=2 * information)["z_prior"]
    assert float(floor.value.detach()) == pytest.approx(2 * information)
    assert terms_of(module, x, free_bits=information / 2)["z_prior"].value == information


def test_the_prior_of_shares_is_the_divergence_of_the_mean_of_the_head(module, x):
    term = terms_of(module, x, shared=True, eta=0.3)["z_prior"]
    mean = torch.softmax(module.head(module.encoder(x)), -1).mean(0)
    expected = (mean * (3 * mean).log()).sum()
    torch.testing.assert_close(term.value, expected)
    assert term.weight == 0.3
    gradients = [torch.autograd.grad(loss, module.head.weight)[0] for loss in (term.value, expected)]
    torch.testing.assert_close(*gradients)


def test_the_violation_is_the_entropy_of_naive_responsibilities(module, x):
    q = module.posterior(module.encoder(x))
    draws = module.draw(q, 3, Streams(3))
    gamma = torch.stack([responsibilities(module, z, w) for z, w in zip(draws.z, draws.w)])
    torch.testing.assert_close(module.violation(draws), -(gamma * gamma.log()).sum(-1).mean(0))


def test_the_head_is_normalised_in_float32_whatever_products_are_taken_in(normal):
    module, x = module_of(GMVAECVModule).float(), torch.sigmoid(normal(4, 5)).float()
    with torch.autocast("cpu", torch.bfloat16):
        log_q = module.log_q(module.encoder(x))
    assert log_q.dtype is torch.float32
    torch.testing.assert_close(log_q.exp().sum(-1), torch.ones(4))


def test_one_component_has_neither_prior_cost_nor_violation(normal):
    module = module_of(GMVAECVModule, observation=LearntGaussian(), k=1)
    terms = terms_of(module, normal(4, 5))
    assert float(terms["z_prior"].value.detach()) == float(terms["violation"].value.detach()) == 0


@pytest.fixture(scope="module")
def fitted():
    rng = Streams(0).numpy("blobs")
    truth = np.repeat(np.arange(3), 60)
    x = (rng.normal(size=(180, 6)) + 6 * np.eye(6)[truth * 2]).astype(np.float32)
    return GMVAECV(3, start="random", training=Training(epochs=5, batch_size=64, progress=False), **SMALL).fit(x), x


def test_predictions_are_the_head_and_so_are_the_diagnostics(fitted):
    model, x = fitted
    with torch.no_grad():
        trunk = model.module_.encoder(model.preparation_(torch.from_numpy(x)))
        expected = torch.softmax(model.module_.head(trunk), -1).numpy()
    np.testing.assert_allclose(model.predict_proba(x), expected, atol=1e-5)
    assert np.array_equal(model.labels_, expected.argmax(1))
    np.testing.assert_allclose(model.diagnostics_[-1]["occupancy"], expected.mean(0), atol=1e-5)


def test_a_fit_gives_prior_and_violation_the_weights_asked_for(fitted):
    training = Training(epochs=1, batch_size=180, progress=False)
    others = {"start": "random", "warm_up": 0, "training": training} | SMALL
    (record,) = GMVAECV(3, eta=0.3, consistency=0.7, **others).fit(fitted[1]).history_
    whole = sum(record[name] for name in ("reconstruction", "w_prior", "conditional_prior"))
    expected = whole + 0.3 * record["z_prior"] + 0.7 * record["violation"]
    assert record["loss"] == pytest.approx(expected, rel=1e-5)
    assert record["violation"] > 1e-3 * abs(record["loss"])


def test_scores_are_the_bound_at_the_means_with_eta_one(fitted):
    model, x = fitted
    module = model.module_
    with torch.no_grad():
        prepared = model.preparation_(torch.from_numpy(x))
        trunk = module.encoder(prepared)
        q = module.posterior(trunk)
        bound = module.bound_terms(prepared, q, module.at(q.mean[None], q.w_mean[None]), module.log_q(trunk))
    expected = -sum(bound.values()).numpy() - np.log(x.astype(np.float64).std(0)).sum()
    np.testing.assert_allclose(model.score_samples(x), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    "changes", [{"eta": -1.0}, {"consistency": "much"}, {"consistency": float("inf")}, {"cluster_prior": "row"}]
)
def test_wrong_settings_are_named(fitted, changes):
    with pytest.raises(ConfigError, match=next(iter(changes))):
        GMVAECV(3, **changes).fit(fitted[1])
