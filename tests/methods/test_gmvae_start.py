"""Both GMVAEs started from clusters of pretrained codes."""

import numpy as np
import pytest
import torch
from torch import distributions as dist

from oracles.gmvae import SMALL, module_of
from steinmix import GMVAE, GMVAECV, ConfigError, Pretraining, Training, load
from steinmix.estimator import Posterior
from steinmix.methods.gmvae import GMVAEModule
from steinmix.methods.gmvae_cv import GMVAECVModule
from steinmix.metrics import clustering_accuracy
from steinmix.nn import LearntGaussian
from steinmix.objective import Batch
from steinmix.random import Streams

KINDS = pytest.mark.parametrize("kind", [GMVAE, GMVAECV])


@pytest.fixture(scope="module")
def blobs():
    rng = Streams(0).numpy("blobs")
    truth = np.repeat(np.arange(3), 60)
    return (rng.normal(size=(180, 6)) + 6 * np.eye(6)[truth * 2]).astype(np.float32), truth


def started(kind, start="kmeans", **others):
    settings = SMALL | {"start": start, "anchor_epochs": 80}
    settings |= {"training": Training(epochs=10, batch_size=32, progress=False), "pretraining": Pretraining(epochs=30)}
    return kind(3, **settings | others)


@KINDS
@pytest.mark.parametrize("start", ["graph", "kmeans", "linkage"])
def test_clusters_of_codes_are_where_it_begins_and_are_kept(blobs, kind, start):
    x, truth = blobs
    model = started(kind, start).fit(x)
    assert [*dict.fromkeys(record["phase"] for record in model.history_)] == ["pretrain", "anchor", "mixture"]
    assert clustering_accuracy(truth, model.initial_labels_) > 0.95
    assert clustering_accuracy(truth, model.labels_) > 0.95
    np.testing.assert_array_equal(model.predict(x), model.labels_)


@KINDS
def test_by_default_a_large_cluster_is_left_whole(kind):
    rng, truth = Streams(1).numpy("groups"), np.repeat([0, 1, 2], [800, 150, 50])
    x = 4 * rng.normal(size=(3, 6))[truth] + rng.normal(size=(1000, 6))
    training = Training(epochs=10, batch_size=100, progress=False)
    model = kind(3, collapse="ignore", random_state=0, training=training).fit(x)
    assert clustering_accuracy(truth, model.initial_labels_) > 0.99
    assert clustering_accuracy(truth, model.labels_) > 0.94  # so few steps may lose the 50; a cut leaves 0.6


@KINDS
def test_the_papers_start_has_one_phase(blobs, kind):
    model = started(kind, "random").fit(blobs[0])
    assert {record["phase"] for record in model.history_} == {"mixture"}
    assert model.module_.smoother is None


@KINDS
def test_a_fifth_of_the_epochs_is_anchored(blobs, kind):
    model = started(kind, anchor_epochs=None).fit(blobs[0])
    assert sum(record["phase"] == "anchor" for record in model.history_) == 2
    assert all("diagnostics" in record for record in model.history_ if record["phase"] == "anchor")
    assert len(model.diagnostics_) == 12


@KINDS
@pytest.mark.parametrize(("warm_up", "expected"), [(None, [1.0] * 4), (3, [0.25, 0.5, 0.75, 1.0])])
def test_after_a_given_start_priors_come_in_as_asked_and_at_once_otherwise(blobs, kind, warm_up, expected, monkeypatch):
    seen, module = [], kind._module_class
    terms = module.terms

    def noted(self, *args, **kwargs):
        found = terms(self, *args, **kwargs)
        seen.append(found["w_prior"].weight)
        return found

    monkeypatch.setattr(module, "terms", noted)
    training = Training(epochs=4, batch_size=180, progress=False)
    started(kind, warm_up=warm_up, anchor_epochs=1, training=training).fit(blobs[0])
    assert seen == [1.0, *expected]  # the anchored epoch first


@KINDS
def test_without_anchor_the_bound_is_free_at_once(blobs, kind):
    model = started(kind, anchor_epochs=0).fit(blobs[0])
    assert {record["phase"] for record in model.history_} == {"pretrain", "mixture"}
    assert clustering_accuracy(blobs[1], model.initial_labels_) > 0.95


@KINDS
def test_many_rows_have_their_start_smoothed_and_come_back_from_a_file(blobs, kind, tmp_path):
    x = np.repeat(blobs[0], 6, axis=0) + Streams(1).numpy("noise").normal(size=(1080, 6)).astype(np.float32) / 10
    model = started(kind, "graph", training=Training(epochs=2, progress=False), pretraining=None).fit(x)
    assert {"labels", "smoothing"} < {record["phase"] for record in model.history_}
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").predict(x), model.labels_)


@KINDS
def test_restarts_begin_from_starts_of_their_own(blobs, kind):
    model = started(kind, n_init=2).fit(blobs[0])
    assert len(model.restarts_) == 2
    assert clustering_accuracy(blobs[1], model.labels_) > 0.95


@KINDS
def test_a_start_leaves_batch_norms_alone(kind, monkeypatch):
    """What the start reads of the rows is read as at evaluation."""
    x = Streams(0).numpy("images").random((80, 784)).astype(np.float32)
    modes, embed = [], kind._module_class.embed
    monkeypatch.setattr(
        kind._module_class, "embed", lambda module, x: (modes.append(module.encoder.training), embed(module, x))[1]
    )
    settings = {"image_shape": (28, 28), "pretraining": Pretraining(epochs=0), "anchor_epochs": 0}
    model = started(kind, **settings, training=Training(epochs=0, progress=False)).fit(x)
    norm = next(m for m in model.module_.modules() if isinstance(m, torch.nn.BatchNorm2d))
    assert modes
    assert not any(modes)
    assert int(norm.num_batches_tracked) == 0


def anchored(kind, **own):
    """Terms of a module for rows whose start is known, what they were computed from, and the labels."""
    module = module_of(kind, observation=LearntGaussian())
    x = torch.randn(7, module.encoder[0].in_features, generator=torch.Generator().manual_seed(0)).double()
    labels = torch.arange(7) % module.mixture.n_components
    module.start_labels = labels.flip(0)
    index = torch.arange(7).flip(0)
    terms = module.terms(Batch(x, index), 2, Streams(3), 0.0, anchored=True, **own)
    q = Posterior(*module.posterior(module.encoder(x)))
    return module, x, labels, terms, q, module.draw(q, 2, Streams(3))


@pytest.mark.parametrize(("kind", "own"), [(GMVAEModule, {}), (GMVAECVModule, {"eta": 1.0, "alpha": 0.5})])
def test_an_anchored_row_is_held_to_the_component_of_its_label(kind, own):
    module, x, labels, terms, q, draws = anchored(kind, **own)
    code = dist.Normal(q.mean[None, :, None], (0.5 * q.log_var[None, :, None]).exp())
    component = dist.Normal(draws.components.means, (0.5 * draws.components.log_vars).exp())
    kl = dist.kl_divergence(code, component).sum(-1).mean(0)
    expected = kl[torch.arange(7), labels].mean()
    torch.testing.assert_close(terms["conditional_prior"].value, expected)
    assert float(terms["z_information"].value.detach()) == pytest.approx(np.log(module.mixture.n_components))
    if kind is GMVAECVModule:
        log_q = module.log_q(module.encoder(x))
        torch.testing.assert_close(terms["head"].value, -log_q[torch.arange(7), labels].mean())


@pytest.mark.parametrize(("kind", "own"), [(GMVAEModule, {}), (GMVAECVModule, {"eta": 1.0, "alpha": 0.5})])
def test_the_prior_of_shares_sees_those_of_the_labels_while_rows_are_anchored(kind, own):
    module, _, labels, terms, _, _ = anchored(kind, shared=True, **own)
    shares = torch.bincount(labels).double() / len(labels)
    expected = (shares * (module.mixture.n_components * shares).log()).sum()
    assert float(terms["z_prior"].value.detach()) == pytest.approx(float(expected), rel=1e-5)


@KINDS
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start": "em"}, "start is 'em'"),
        ({"anchor_epochs": -1}, "anchor_epochs"),
        ({"pretraining": Pretraining(epochs=-1)}, "pretraining.epochs"),
    ],
)
def test_wrong_settings_are_named(blobs, kind, changes, message):
    with pytest.raises(ConfigError, match=message):
        started(kind, **changes).fit(blobs[0])
