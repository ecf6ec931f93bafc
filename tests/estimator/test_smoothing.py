"""A start's labels, learnt and made smooth: the objective by hand, what it is for, and when it is not believed."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from steinmix import DEPICT, ConfigError, Training, VaDE
from steinmix.data import as_source
from steinmix.estimator import FitContext, Pretraining, Smoother, load, smoothing_epochs, without_smoother
from steinmix.estimator.smoothing import LAMBDA, MU, smoothing_phases, trial
from steinmix.metrics import clustering_accuracy
from steinmix.nn.moving import N_MOVES, moved
from steinmix.numerics.adversarial import adversarial_step
from steinmix.numerics.graphs import edge_information, knn_graph
from steinmix.objective import Batch
from steinmix.random import Streams
from steinmix.training import Loader, run
from steinmix.training.checkpoint import Checkpoint


@pytest.fixture
def smoother():
    smoother = Smoother(3, 8, 4, Streams(0).torch("weights"))
    smoother.shares.copy_(torch.tensor([0.4, 0.3, 0.2, 0.1]))
    smoother.radius.fill_(0.3)
    return smoother


@pytest.fixture
def batch(normal):
    return Batch(normal(40, 3, dtype=torch.float32), torch.arange(40))


def test_the_terms_by_hand(smoother, batch):
    terms = smoother.terms(batch, Streams(1))
    log_p = smoother(batch.x).detach()
    p = log_p.exp()
    noise = Streams(1).normal_like(batch.x, "adversarial")
    answer = smoother(batch.x + adversarial_step(smoother, batch.x, log_p, torch.tensor(0.3), noise)).detach()
    mean = p.mean(0)
    expected = {
        "smoothness": (p * (log_p - answer)).sum(-1).mean(),
        "entropy": -(p * log_p).sum(-1).mean(),
        "balance": (mean * (mean / smoother.shares).log()).sum(),
    }
    assert {name: term.weight for name, term in terms.items()} == {
        "smoothness": 1.0,
        "entropy": LAMBDA,
        "balance": LAMBDA * MU,
    }
    for name, value in expected.items():
        torch.testing.assert_close(terms[name].value.detach(), value, msg=name)


@pytest.mark.parametrize("labelled", [False, True])
def test_images_pay_for_what_a_move_changes(normal, labelled):
    smoother = Smoother(12, 8, 3, Streams(0).torch("weights"), moved_images=(4, 3, 1))
    batch = Batch(normal(40, 12, dtype=torch.float32), torch.arange(40))
    known = torch.arange(40) % 3 if labelled else None
    found = smoother.terms(batch, Streams(1), known)
    draws = 2 * Streams(1).uniform_like(torch.empty(40, N_MOVES), "moves") - 1
    p, q = (smoother(x).exp() for x in (batch.x, moved(batch.x, (4, 3, 1), draws)))
    expected = (p.detach() * (p.detach() / q).log()).sum(-1).mean()
    assert found["moves"].weight == 1.0
    torch.testing.assert_close(found["moves"].value, expected)
    weights = list(smoother.parameters())  # the answer for the image itself is taken for granted
    slopes = (torch.autograd.grad(value, weights) for value in (found["moves"].value, expected))
    torch.testing.assert_close(*slopes)
    smoother.moved_images = None
    others = smoother.terms(batch, Streams(1), known)
    assert set(found) - set(others) == {"moves"}
    for name, term in others.items():  # the other noise is what it is without
        torch.testing.assert_close(found[name].value, term.value, rtol=0, atol=0)


def test_moved_images_keep_their_answers():
    """Of digits that no training moved, more change their answer when they are."""
    digits = load_digits()
    x = (digits.data / 16).astype(np.float32)
    changed = []
    for images in (None, [8, 8, 1]):
        streams = Streams(0)
        module = Module(Smoother(64, 64, 10, streams.torch("weights"), images), digits.target.copy())
        loader = Loader(as_source(x), torch.Tensor.float, 64, torch.device("cpu"), streams)
        training = Training(progress=False)
        context = FitContext(loader, streams, training, {"smoothing_epochs": 10})
        run(module, smoothing_phases(module, context, lambda: None)[0], loader, training, streams, 1e-3)
        rows = torch.from_numpy(x)
        seen = moved(rows, (8, 8, 1), 2 * Streams(5).uniform_like(torch.empty(len(x), N_MOVES)) - 1)
        with torch.no_grad():
            answers, again = (module.smoother(these).argmax(-1) for these in (rows, seen))
        changed.append(float((answers != again).float().mean()))
    assert changed[1] < 0.7 * changed[0]


def test_moved_images_need_a_shape_that_fits_and_labels_that_are_smoothed(rng):
    x = rng.random((60, 12))
    for wrong in ((3, 5), (3,), 12, "auto", (3, 4, 0)):
        with pytest.raises(ConfigError, match=r"moved_images is .*; expected \(height, width\) .* features, 12"):
            VaDE(2, moved_images=wrong, smoothing_epochs=1).fit(x)
    for settings in ({"smoothing_epochs": 0}, {"start": "em"}):
        with pytest.raises(ConfigError, match="moved_images is of use while the start's labels are smoothed"):
            VaDE(2, moved_images=(3, 4), **settings).fit(x)
    few = VaDE(2, moved_images=(3, 4), training=Training(epochs=1, progress=False), collapse="ignore").fit(x)
    assert few.module_.smoother is None  # too few rows to smooth: nothing is moved


def test_a_fit_moves_images_in_both_phases_and_stacked_as_alone(rng, tmp_path):
    x = rng.random((80, 12)).astype(np.float32)
    one = Training(epochs=1, progress=False)
    settings = {
        "moved_images": (3, 4),
        "smoothing_epochs": 2,
        "pretraining": Pretraining(epochs=1),
        "collapse": "ignore",
    }
    model = VaDE(2, training=one, random_state=0, **settings).fit(x)
    named = {r["phase"]: set(r) for r in model.history_}
    assert "moves" in named["labels"]
    assert "moves" in named["smoothing"]
    assert "moves" not in named["mixture"]
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").predict(x), model.predict(x))
    stacked = VaDE(2, training=one, random_state=0, n_init=2, **settings).fit(x)
    assert stacked.restarts_[0]["history"][-1]["loss"] == pytest.approx(model.history_[-1]["loss"], rel=1e-4)
    plain = VaDE(2, training=one, random_state=0, **settings | {"moved_images": None}).fit(x)
    assert plain.history_[-1]["loss"] != model.history_[-1]["loss"]


def test_the_gradient_of_the_balance_is_that_of_the_divergence(smoother, batch):
    mean = smoother(batch.x).exp().mean(0)
    divergence = (mean * (mean / smoother.shares).log()).sum()
    weights = list(smoother.parameters())
    expected = torch.autograd.grad(divergence, weights)
    found = torch.autograd.grad(smoother.terms(batch, Streams(1))["balance"].value, weights)
    for a, b in zip(found, expected):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_learning_has_the_labels_in_place_of_the_entropies(smoother, batch, rng):
    labels = torch.from_numpy(rng.integers(0, 4, size=100))
    index = torch.from_numpy(rng.permutation(100)[:40])
    terms = smoother.terms(batch._replace(index=index), Streams(1), labels)
    assert set(terms) == {"smoothness", "labels"}
    chosen = smoother(batch.x)[torch.arange(40), labels[index]]
    torch.testing.assert_close(terms["labels"].value, -chosen.mean())


class Module(torch.nn.Module):
    def __init__(self, smoother, labels):
        super().__init__()
        self.smoother = smoother
        self.other = torch.nn.Parameter(torch.ones(2))
        self.register_buffer("start_labels", torch.from_numpy(labels))


def smoothed(x, labels, epochs=60, balanced=False):
    """Labels after smoothing those given."""
    streams = Streams(0)
    module = Module(Smoother(x.shape[1], 32, labels.max() + 1, streams.torch("weights")), labels.copy())
    loader = Loader(as_source(x), torch.Tensor.float, 64, torch.device("cpu"), streams)
    training = Training(progress=False)
    context = FitContext(loader, streams, training, {"smoothing_epochs": epochs})
    phases, finish = smoothing_phases(module, context, lambda: None, balanced)
    history = run(module, phases, loader, training, streams, 1e-3)
    finish()
    assert bool((module.other == 1).all())
    return module.start_labels.numpy(), history


def clouds(rng, n=800):
    """Two long clouds side by side, and which cloud a row is in."""
    truth = np.repeat([0, 1], n // 2)
    x = rng.normal(size=(n, 2)) * [1, 0.15]
    x[:, 1] += truth
    return x.astype(np.float32), truth


@pytest.mark.parametrize("mistake", ["a slant border", "some rows"])
def test_a_border_moves_to_where_rows_are_sparse(rng, mistake):
    """The start has divided the clouds aslant, or mistaken a row in ten."""
    x, truth = clouds(rng)
    slant = (x[:, 1] - 0.5 + 0.3 * x[:, 0] > 0).astype(int)
    start = slant if mistake == "a slant border" else np.where(rng.random(800) < 0.1, 1 - truth, truth)
    assert clustering_accuracy(truth, start) < 0.975
    found, history = smoothed(x, start)
    assert clustering_accuracy(truth, found) > 0.985
    assert [record["phase"] for record in history] == ["labels"] * 6 + ["smoothing"] * 54


def test_equal_shares_give_back_what_one_cluster_has_taken_of_another(rng):
    """The start gives most of the upper cloud to the lower: where shares are kept, so is the mistake."""
    x, truth = clouds(rng)
    start = (x[:, 1] > 1.1).astype(int)
    kept, equal = (clustering_accuracy(truth, smoothed(x, start, balanced=b)[0]) for b in (False, True))
    assert kept < 0.9
    assert equal > 0.98


def test_clusters_keep_their_sizes(rng):
    """Nothing draws them to equal shares."""
    truth = np.repeat([0, 1], [570, 30])
    x = rng.normal(size=(600, 3)) + 6 * truth[:, None]
    found, _ = smoothed(x.astype(np.float32), truth)
    assert clustering_accuracy(truth, found) > 0.99


def judge_of(x, epochs, n_clusters=2):
    streams = Streams(0)
    loader = Loader(as_source(x), torch.Tensor.float, 64, torch.device("cpu"), streams)
    plan = {"smoothing_epochs": epochs, "n_features": x.shape[1], "n_clusters": n_clusters}
    return trial(FitContext(loader, streams, Training(), plan), torch.arange(len(x)))


def test_a_border_among_dense_rows_does_not_stand_trial(rng):
    """Cut across, the clouds tell nearly as much of neighbours as told apart; made smooth, much less."""
    x, truth = clouds(rng)
    across, graph = (x[:, 0] > 0).astype(int), knn_graph(x)
    judge = judge_of(x, 60)
    right, wrong = judge(truth), judge(across)
    assert clustering_accuracy(truth, right.argmax(1)) > 0.99
    np.testing.assert_allclose(wrong.sum(1), 1, rtol=1e-5)
    assert edge_information(graph, right, 2, 4) > edge_information(graph, wrong, 2, 4) + 0.03


def test_a_trial_is_the_same_again_and_seeds_nothing(rng):
    x, truth = clouds(rng, 120)
    before = torch.get_rng_state()
    one, two = judge_of(x, 1)(truth), judge_of(x, 1)(truth)
    np.testing.assert_array_equal(one, two)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_fit_asks_the_judge_about_partitions_that_are_nearly_equal(rng, monkeypatch):
    """Four groups in three clusters: two of them are one, and the graph cannot say which."""
    corner = np.arange(1200) % 4
    x = 3 * np.stack([corner // 2, corner % 2], axis=1) + 0.6 * rng.normal(size=(1200, 2))
    heard, model = [], VaDE(3, training=Training(epochs=1, progress=False), random_state=0)
    monkeypatch.setattr("steinmix.estimator.clusterer.trial", lambda context, index: lambda y: heard.append(y) or y)
    model.fit(x)
    assert not heard  # too few rows
    monkeypatch.setattr("steinmix.estimator.clusterer.TRIAL_FEWEST", 1200)
    model.fit(x)
    assert len(heard) > 1
    assert {labels.shape for labels in heard} == {(1200,)}


def test_what_loses_a_cluster_is_not_believed(rng):
    x, labels = rng.normal(size=(60, 3)).astype(np.float32), np.arange(60) % 3
    streams = Streams(0)
    module = Module(Smoother(3, 4, 3, streams.torch("weights")), labels)
    with torch.no_grad():
        module.smoother.output.bias.copy_(torch.tensor([50.0, 0.0, 0.0]))
    loader = Loader(as_source(x), torch.Tensor.float, 64, torch.device("cpu"), streams)
    context = FitContext(loader, streams, Training(), {"smoothing_epochs": 1})
    smoothing_phases(module, context, lambda: None)[1]()
    np.testing.assert_array_equal(module.start_labels, labels)


def test_the_radius_is_a_quarter_of_the_distance_to_the_tenth_neighbour(smoother, rng):
    x = rng.normal(size=(300, 3)).astype(np.float32)
    loader = Loader(as_source(x), torch.Tensor.float, 64, torch.device("cpu"), Streams(0))
    smoother.begin_(torch.arange(300) % 4, loader, Streams(0))
    distance = np.sort(np.linalg.norm(x[:, None] - x[None], axis=-1), axis=1)[:, 10]
    assert float(smoother.radius) == pytest.approx(0.25 * np.median(distance), rel=1e-5)
    np.testing.assert_allclose(smoother.shares, 0.25)


def test_when_it_is_done():
    assert smoothing_epochs(None, "graph", 70_000, None) == smoothing_epochs(None, "graph", 70_000, Training()) == 10
    assert smoothing_epochs(None, "graph", 70_000, Training(epochs=3)) == 3
    assert smoothing_epochs(None, "graph", 70_000, None, steps=6750) == 25
    assert smoothing_epochs(None, "graph", 70_000, Training(epochs=3), steps=6750) == 3
    assert smoothing_epochs(None, "graph", 9298, None, steps=6750) == 60
    assert smoothing_epochs(None, "graph", 9298, None, steps=6750, most=150) == 150
    assert smoothing_epochs(None, "graph", 999, None, steps=6750) == 0
    assert smoothing_epochs(None, "graph", 999, None) == 0
    assert smoothing_epochs(None, "kmeans", 70_000, None) == 0
    assert smoothing_epochs(7, "kmeans", 10, Training(epochs=3)) == 7
    assert smoothing_epochs(np.int64(2), "graph", 10, None) == 2
    for wrong in (-1, 2.5, True):
        with pytest.raises(ConfigError, match="smoothing_epochs is"):
            smoothing_epochs(wrong, "graph", 10, None)


def test_vade_takes_longer_over_many_rows_and_over_moved_images(rng):
    many = as_source(rng.random((30_000, 4)))
    few = as_source(rng.random((9298, 4)))

    def planned(estimator, rows):
        return estimator._job(rows, Training()).plan["smoothing_epochs"]

    assert [planned(VaDE(2), rows) for rows in (many, few)] == [58, 60]
    assert [planned(VaDE(2, moved_images=(2, 2)), rows) for rows in (many, few)] == [58, 150]
    assert [planned(DEPICT(2), rows) for rows in (many, few)] == [23, 60]


@pytest.fixture
def vade(rng):
    truth = np.repeat(np.arange(3), 60)
    x = (rng.normal(size=(180, 6)) + 6 * np.eye(6)[truth * 2]).astype(np.float32)

    def fit(checkpoint=None, resume=False, **settings):
        chosen = {"smoothing_epochs": 4, "pretraining": Pretraining(epochs=2), "random_state": 0} | settings
        model = VaDE(3, hidden=(16,), latent_dim=2, training=Training(epochs=3, batch_size=64), **chosen)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return model.fit(x, checkpoint=checkpoint, resume=resume)

    return fit


def test_the_phases_of_a_fit(vade):
    model = vade()
    order = list(dict.fromkeys(record["phase"] for record in model.history_))
    assert order == ["pretrain", "labels", "smoothing", "anchor", "mixture"]
    with torch.no_grad():
        x = model.preparation_(torch.as_tensor(np.zeros((1, model.n_features_in_))))
    assert model.module_.smoother(x).shape == (1, 3)
    assert len(without_smoother(model.module_)) == len(list(model.module_.parameters())) - 6


def test_numbers_of_epochs_may_be_those_of_a_grid(vade, tmp_path):
    few = np.int64(2)
    model = vade(tmp_path / "checkpoint", smoothing_epochs=few, pretraining=Pretraining(epochs=few, layer_epochs=few))
    model.save(tmp_path / "model")
    assert load(tmp_path / "model").pretraining == Pretraining(epochs=2, layer_epochs=2)


@pytest.mark.parametrize("setting", [{"epochs": True}, {"epochs": 2.0}, {"layer_epochs": None}, {"noise": "0.1"}])
def test_pretraining_that_cannot_work_is_named(setting):
    (name,) = setting
    with pytest.raises(ConfigError, match=rf"^pretraining\.{name} is .*; expected"):
        Pretraining(**setting).check()


def test_a_network_without_hidden_layers_has_one_too(rng):
    model = VaDE(2, hidden=(), smoothing_epochs=2, training=Training(epochs=1), random_state=0)
    assert model.fit(rng.normal(size=(60, 3))).module_.smoother is not None


def test_a_resumed_fit_ends_with_the_same_bits(vade, tmp_path, monkeypatch):
    write, whole = Checkpoint.write, vade()
    for stop in (2, 3, 5, 6):  # before, in and between the phases, and after the last
        with monkeypatch.context() as patch:

            def write_and_stop(self, state, stop=stop):
                write(self, state)
                if state.epochs_done == stop:
                    raise KeyboardInterrupt

            patch.setattr(Checkpoint, "write", write_and_stop)
            with pytest.raises(KeyboardInterrupt):
                vade(tmp_path / str(stop))
        resumed = vade(tmp_path / str(stop), resume=True)
        for name, tensor in whole.module_.state_dict().items():
            assert torch.equal(resumed.module_.state_dict()[name], tensor), (stop, name)


def test_stacked_restarts_equal_single_ones(vade):
    together = vade(n_init=3)
    assert together.restarts_[0]["error"] is None
    alone = vade()
    np.testing.assert_array_equal(together.restart_labels_[0], alone.labels_)
    assert together.restarts_[0]["history"][-1]["loss"] == pytest.approx(alone.history_[-1]["loss"], rel=1e-4)
