"""The options of VaDE beside the paper's method: each against a twin, and off by default."""

import math
import warnings

import numpy as np
import pytest
import torch
from torch import distributions as dist

from steinmix import Training, VaDE
from steinmix.data import as_source
from steinmix.errors import CollapseError, CollapseWarning, ConfigError
from steinmix.estimator import Neighbourhood, Pretraining, check_posterior
from steinmix.methods.vade import VaDEModule
from steinmix.mixtures import STARTS
from steinmix.mixtures.initialise import from_labels_
from steinmix.nn import Gaussian
from steinmix.objective import Batch
from steinmix.random import Streams, restart_seed
from steinmix.training import Loader


def module_of(m=3, f=5, d=4, **others):
    streams = Streams(1)
    coder = {"n_features": f, "hidden": (7,), "likelihood": Gaussian(0.3), "generator": streams.torch("weights")}
    module = VaDEModule(m, 10, d, **coder, **others)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.4 * streams.normal_like(parameter, "shake")
    return module


@pytest.fixture
def x(normal):
    return normal(4, 5, dtype=torch.float32)


def vade(**others):
    settings = {"latent_dim": 2, "hidden": (16,), "pretraining": Pretraining(epochs=2), "anchor_epochs": 2}
    settings |= {"training": Training(epochs=3, batch_size=64, progress=False), "random_state": 0}
    return VaDE(3, **settings | others)


@pytest.fixture(scope="module")
def rows():
    rng = Streams(0).numpy("blobs")
    return (rng.normal(size=(90, 6)) + 6 * np.eye(6)[np.repeat(np.arange(3), 30) * 2]).astype(np.float32)


def released_gamma(mixture, z):
    """`get_gamma` of the released code: the sum over the coordinates has log pi inside."""
    pi, means, variances = mixture.log_weights().exp(), mixture.means, mixture.log_vars.exp()
    inside = torch.empty(len(z), mixture.n_components, z.shape[1])
    for c in range(mixture.n_components):
        for j in range(z.shape[1]):
            square = (z[:, j] - means[c, j]) ** 2 / (2 * variances[c, j])
            inside[:, c, j] = pi[c].log() - 0.5 * (2 * math.pi * variances[c, j]).log() - square
    p = inside.sum(2).exp()
    return p / p.sum(1, keepdim=True)


def test_released_responsibilities_are_those_of_the_released_code(x):
    module = module_of(weight_power=4.0)
    z, _ = module.encode_normal(x)
    expected = released_gamma(module.mixture, z)
    torch.testing.assert_close(module.mixture.responsibilities(z), expected)
    torch.testing.assert_close(module.mixture.log_responsibilities(z), expected.log(), rtol=1e-4, atol=1e-4)
    plain = module_of()
    assert not torch.allclose(plain.mixture.responsibilities(z), expected, atol=0.01)
    torch.testing.assert_close(plain.mixture.log_prob(z), module.mixture.log_prob(z))  # a density stays one


def test_released_responsibilities_are_what_predictions_follow(rows):
    model = vade(responsibilities="released").fit(rows)
    with torch.no_grad():
        model.module_.mixture.logits.copy_(torch.tensor([2.0, 0.0, -1.0]))
        code, _ = model.module_.encode_normal(model.preparation_(torch.from_numpy(rows)))
        expected = released_gamma(model.module_.mixture, code).numpy()
    np.testing.assert_allclose(model.predict_proba(rows), expected, atol=1e-4)


def test_the_divergence_of_neighbours_is_a_quarter_of_both_directions_and_bounds_jensen_and_shannon(x, generator):
    module = module_of()
    pairs = [tuple(v[i] for v in module.encode_normal(x)) for i in ([0, 1], [2, 3])]
    ours = module.divergence(*pairs).detach()
    codes = [dist.Independent(dist.Normal(mean, log_var.exp().sqrt()), 1) for mean, log_var in pairs]
    clusters = [dist.Categorical(probs=module.mixture.responsibilities(mean)) for mean, _ in pairs]
    both = [dist.kl_divergence(kind[a], kind[1 - a]) for kind in (codes, clusters) for a in (0, 1)]
    torch.testing.assert_close(ours, (sum(both) / 4).detach(), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        total = torch.zeros(2)
        for one in (0, 1):
            z, c = codes[one].sample((20_000,)), clusters[one].sample((20_000,))
            logs = torch.stack([q.log_prob(z) + p.log_prob(c) for q, p in zip(codes, clusters)])
            total += (logs[one] - (logs.logsumexp(0) - math.log(2))).mean(0) / 2
    assert bool((total < ours + 0.01).all())


def test_a_neighbour_is_one_of_the_nearest_rows(rows):
    streams = Streams(0)
    loader = Loader(as_source(rows), lambda rows: rows.float(), 16, torch.device("cpu"), streams)
    near = Neighbourhood(loader, streams)
    index = torch.arange(90).repeat(200)
    drawn = near.draw(Batch(torch.from_numpy(rows)[index], index)).view(200, 90, 6).numpy()
    distance = np.linalg.norm(rows[:, None] - rows[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    for i in (0, 40, 89):
        expected = {rows[j].tobytes() for j in np.argsort(distance[i])[:10]}
        assert {row.tobytes() for row in drawn[:, i]} == expected


def test_few_rows_are_all_neighbours(rows):
    loader = Loader(as_source(rows[:4]), lambda rows: rows.float(), 16, torch.device("cpu"), Streams(0))
    index = Neighbourhood(loader, Streams(0)).index
    assert [sorted(near) for near in index.tolist()] == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]


def test_the_term_of_neighbours_stands_beside_the_bound(x):
    module, batch = module_of(), Batch(x, torch.arange(4))
    other = x.flip(0)
    plain = module.terms(batch, Streams(3))
    terms = module.terms(batch, Streams(3), neighbours=lambda given: other, neighbour_weight=2.0)
    assert terms.keys() - plain.keys() == {"neighbours"}
    expected = module.divergence(module.encode_normal(x), module.encode_normal(other)).mean()
    torch.testing.assert_close(terms["neighbours"].value, expected)
    assert terms["neighbours"].weight == 2.0
    assert all(torch.equal(terms[name].value, term.value) for name, term in plain.items())


def test_neighbours_need_rows_that_can_be_taken_singly(rows, tmp_path, monkeypatch):
    monkeypatch.setattr("steinmix.data.arrays.HELD_BYTES", 0)
    path = tmp_path / "rows.csv"
    np.savetxt(path, rows, delimiter=",", header=",".join("abcdef"), comments="")
    with pytest.raises(ConfigError, match="neighbour_weight"):
        vade(neighbour_weight=1.0).fit(path)


def test_a_warm_up_spans_both_phases_and_leaves_the_reconstruction_alone(rows, monkeypatch):
    seen, terms = [], VaDEModule.terms

    def noted(self, *args, **kwargs):
        found = terms(self, *args, **kwargs)
        seen.append({name: term.weight for name, term in found.items()})
        return found

    monkeypatch.setattr(VaDEModule, "terms", noted)
    vade(warm_up_epochs=3).fit(rows)
    by_epoch = seen[::2]  # 90 rows, two batches
    assert [weights["latent"] for weights in by_epoch] == [0.25, 0.5, 0.75, 1.0, 1.0]
    assert {weights["reconstruction"] for weights in by_epoch} == {1.0}
    assert all(len({w for name, w in weights.items() if name != "reconstruction"}) == 1 for weights in by_epoch)


@pytest.mark.parametrize(
    "option",
    [{"neighbour_weight": 1.0}, {"warm_up_epochs": 2}, {"training__ema": 0.9}, {"responsibilities": "released"}],
    ids=str,
)
def test_restarts_with_an_option_are_what_each_is_alone(rows, option):
    """Stacked or not: a restart's labels and loss are those of a fit with its own seed."""
    several = vade(n_init=2, n_jobs=1).set_params(**option).fit(rows)
    alone = vade(random_state=restart_seed(0, 1)).set_params(**option).fit(rows)
    record = several.restarts_[1]
    np.testing.assert_allclose(record["history"][-1]["loss"], alone.history_[-1]["loss"], rtol=1e-3)
    assert np.mean(several.restart_labels_[1] == alone.labels_) > 0.97


def test_unknown_words_and_numbers_are_refused(rows):
    for name, value in (
        ("responsibilities", "theirs"),
        ("neighbour_weight", -1.0),
        ("warm_up_epochs", 0.5),
        ("training__ema", 1.0),
    ):
        with pytest.raises(ConfigError, match=name.replace("training__", "")):
            vade().set_params(**{name: value}).fit(rows)


def test_the_mixture_is_not_started_from_one_cluster(rows, monkeypatch):
    def one(mixture, z, backing, streams):
        labels = np.zeros(len(z), dtype=np.int64)
        from_labels_(mixture, z, labels)
        return labels

    monkeypatch.setitem(STARTS, "kmeans", one)
    model = vade(start="kmeans", collapse="raise")
    with pytest.raises(CollapseError, match="all rows are in one of 3 clusters"):
        model.fit(rows)
    assert not hasattr(model, "history_")
    with pytest.warns(CollapseWarning) as seen:
        vade(start="kmeans", collapse="warn").fit(rows)
    assert any("before the mixture" in str(warning.message) for warning in seen)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CollapseWarning)
        vade(start="kmeans", collapse="ignore").fit(rows)


def test_a_collapsed_posterior_is_seen(rows):
    """The prior stays as it was while the mean codes of all rows come to lie in one place."""
    loader = Loader(as_source(rows), lambda rows: rows.float(), 16, torch.device("cpu"), Streams(0))
    module = module_of(f=6)
    with torch.no_grad():
        codes = module.embed(torch.from_numpy(rows))
        from_labels_(module.mixture, codes, np.repeat(np.arange(3), 30))
    check_posterior(module, loader, "raise")
    for share, text in ((0.12, "all rows are in one"), (0.08, "no latent coordinate tells rows apart")):
        module.embed = lambda x, share=share: codes[0] + share * (module.encode(x) - codes[0])
        with pytest.raises(CollapseError, match=text):  # a hundredth of the variance lies between the two
            check_posterior(module, loader, "raise")


def test_one_component_is_not_taken_for_a_collapse(rows):
    """It is an autoencoder's prior then, which the codes may well come to equal."""
    loader = Loader(as_source(rows), lambda rows: rows.float(), 16, torch.device("cpu"), Streams(0))
    module = module_of(m=1, f=6)
    module.embed = lambda x: torch.zeros(len(x), 4)
    check_posterior(module, loader, "raise")
