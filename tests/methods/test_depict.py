import numpy as np
import pytest
import torch

from oracles import depict as oracle
from steinmix import DEPICT, NSVGD, CollapseWarning, ConfigError, Pretraining, Training, load
from steinmix.diversify.released import ReleasedNSVGD
from steinmix.methods.depict import HEADS, DEPICTModule, Path
from steinmix.nn import conv_ladder, dense_ladder, strided_layers
from steinmix.numerics.targets import TARGETS
from steinmix.objective import Batch
from steinmix.random import Streams
from steinmix.training import Callback

QUIET = {"training": Training(epochs=2), "pretraining": Pretraining(epochs=1, noise=0.1), "random_state": 0}


def module_of(head, shape=None, n_rows=6):
    """A module whose every parameter is away from its start."""
    generator = Streams(1).torch("weights")
    ladder = conv_ladder(shape, strided_layers(shape), 3, generator) if shape else dense_ladder(5, (7, 4), 3, generator)
    module = DEPICTModule(ladder, HEADS[head](3, 3), n_rows)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return module


def path(noise=0.0, hidden_weight=0.1, seed=0):
    return Path(noise, Streams(seed), hidden_weight)


def weighted(terms):
    return sum(term.value * term.weight for term in terms.values())


@pytest.fixture
def images(rng):
    """Three kinds of 8 x 8 images, 40 each: bars at three heights, with noise."""
    x = rng.integers(0, 60, (120, 8, 8))
    for c in range(3):
        x[40 * c : 40 * c + 40, 3 * c : 3 * c + 2] += 180
    return x.reshape(120, 64).astype(np.uint8)


@pytest.fixture
def rows(rng):
    return np.concatenate([rng.normal(4 * c, 1.0, (40, 5)) for c in range(3)])


# the equations


@pytest.mark.parametrize("shape", [None, (5, 4, 2)])
@pytest.mark.parametrize("head", HEADS)
def test_the_loss_is_that_of_the_code(head, shape, generator):
    module = module_of(head, shape)
    x = torch.rand(6, 40 if shape else 5, generator=generator)
    q = torch.softmax(torch.randn(6, 3, generator=generator), -1)
    module.targets, index = q, torch.tensor([5, 0, 2, 1, 4, 3])
    terms = module.terms(Batch(x, index), path(hidden_weight=0.3), clustering=True)
    with torch.no_grad():
        expected = oracle.loss(module, x, q[index], 0.3)
    torch.testing.assert_close(weighted(terms).detach(), expected, rtol=1e-4, atol=1e-5)


def test_terms_and_weights_are_named(generator):
    batch = Batch(torch.rand(6, 5, generator=generator), torch.arange(6))
    module = module_of("softmax")
    module.targets = torch.full((6, 3), 1 / 3)
    weights = {name: t.weight for name, t in module.terms(batch, path(hidden_weight=0.01), True).items()}
    assert weights == {"reconstruction": 1.0, "hidden_1": 0.01, "hidden_2": 0.01, "clustering": 1.0}
    assert "clustering" not in module.terms(batch, path(), False)


def test_the_clustering_term_is_the_regulariser_up_to_what_does_not_depend_on_the_network(generator):
    """R = KL(Q || P) + KL(f || u): for held targets the cross-entropy differs from it by a constant."""
    x, q = torch.rand(6, 5, generator=generator), torch.softmax(torch.randn(6, 3, generator=generator), -1)
    gaps = []
    for head in HEADS:
        module = module_of(head)
        module.targets = q
        term = module.terms(Batch(x, torch.arange(6)), path(), True)["clustering"]
        p = module.mixture.responsibilities(module.embed(x)).detach()
        regulariser = oracle.kl_rows(q.tolist(), p.tolist()) + oracle.kl_uniform(q.tolist())
        gaps.append(float(term.value.detach()) - regulariser)
    assert gaps[0] == pytest.approx(gaps[1], abs=1e-5)


def test_the_clustering_term_is_taken_at_noisy_codes_and_the_errors_against_clean_layers(generator):
    module, x = module_of("gaussian"), torch.rand(6, 5, generator=generator)
    module.targets = torch.softmax(torch.randn(6, 3, generator=generator), -1)
    terms = module.terms(Batch(x, torch.arange(6)), path(0.5, seed=3), True)
    noisy = module.ladder.encode_layers(x, 0.5, Streams(3))[1]
    log_c = module.mixture.log_responsibilities(noisy)
    torch.testing.assert_close(terms["clustering"].value, -(module.targets * log_c).sum(-1).mean())
    hidden, rebuilt = module.ladder.encode_layers(x)[0], module.ladder.decode_layers(noisy)
    torch.testing.assert_close(terms["hidden_2"].value, (hidden[1] - rebuilt[2]).square().mean())


def test_the_energy_moves_the_head_only(generator):
    module, x = module_of("gaussian"), torch.rand(6, 5, generator=generator)
    (term,) = module.energy(Batch(x, torch.arange(6)), path()).values()
    z, means = module.embed(x).detach(), module.mixture.means.detach()
    density = torch.exp(-0.5 * torch.cdist(z, means).square()).mean(-1) / (2 * np.pi) ** 1.5
    torch.testing.assert_close(term.value.detach(), -density.log().mean())
    term.value.backward()
    assert module.mixture.means.grad is not None
    assert all(p.grad is None for p in module.ladder.parameters())


@pytest.mark.parametrize("target", TARGETS)
def test_targets_come_from_clean_codes_of_all_rows(loader_of, generator, target):
    module = module_of("gaussian")
    x = torch.rand(6, 5, generator=generator)
    module.labels.copy_(module.mixture.responsibilities(module.embed(x)).argmax(-1))
    module.labels[:2] = (module.labels[:2] + 1) % 3
    module.refresh(loader_of(x.numpy()), target)
    p = module.mixture.responsibilities(module.embed(x)).detach()
    torch.testing.assert_close(module.targets, TARGETS[target](p))
    assert module.changed == pytest.approx(2 / 6)
    assert torch.equal(module.labels, p.argmax(-1))


# the Stein step


def spread(model):
    return float(torch.pdist(torch.from_numpy(model.means_)).square().mean())


@pytest.mark.filterwarnings("ignore::steinmix.UnboundedWarning", "ignore::steinmix.CollapseWarning")
@pytest.mark.parametrize("force", ["regulariser", "likelihood"])
def test_the_sign_of_the_stein_step_in_the_gaussian_head(rows, force):
    """Strong enough to hide everything else, the paper's term drives the means apart and the released one together."""
    settings = QUIET | {"head": "gaussian", "start": "kmeans", "anchor_epochs": 0, "force": force, "hidden": (8,)}
    settings |= {"training": Training(epochs=2, optimizer="sgd", lr=1e-5)}
    start = spread(DEPICT(3, **(settings | {"training": Training(epochs=0)})).fit(rows))
    apart = DEPICT(3, diversifier=NSVGD(1e4, row_normalised=True), **settings).fit(rows)
    together = DEPICT(3, diversifier=ReleasedNSVGD(1e4), **settings).fit(rows)
    assert spread(together) < start < spread(apart)


@pytest.mark.filterwarnings("ignore::steinmix.UnboundedWarning", "ignore::steinmix.CollapseWarning")
def test_the_diversifier_waits(rows):
    settings = QUIET | {"head": "gaussian", "anchor_epochs": 0, "hidden": (8,), "tol": 0.0}
    plain = DEPICT(3, **settings).fit(rows)
    longer = settings | {"training": Training(epochs=3)}
    late = DEPICT(3, diversifier=NSVGD(50.0), diversify_from=2, **longer).fit(rows)
    at_once = DEPICT(3, diversifier=NSVGD(50.0), **settings).fit(rows)
    assert [r["loss"] for r in plain.history_] == [r["loss"] for r in late.history_[:-1]]
    assert not np.array_equal(plain.means_, at_once.means_)
    half = DEPICT(3, diversify_from=1, diversifier=NSVGD(50.0), force="likelihood", **settings).fit(rows)
    assert [r["phase"] for r in half.history_] == ["pretrain", "undiversified", "mixture"]
    assert ["energy" in r for r in half.history_] == [False, False, True]
    with pytest.raises(ConfigError, match="diversify_from is 2 and the main phase has 2 epochs"):
        DEPICT(3, diversifier=NSVGD(50.0), diversify_from=2, **settings).fit(rows)


# the estimator


@pytest.mark.parametrize("head", HEADS)
def test_images_are_clustered_by_convolutions(images, head):
    model = DEPICT(3, head=head, **QUIET).fit(images)
    assert model.plan_["image_shape"] == [8, 8, 1]
    assert sorted(np.bincount(model.labels_)) == [40, 40, 40]
    assert (model.labels_.reshape(3, 40) == model.labels_[::40, None]).all()
    assert model.transform(images[:4]).shape == (4, 3)
    assert model.sample(2, random_state=0).shape == (2, 64)


def test_a_model_of_images_is_saved_whole(images, tmp_path):
    model = DEPICT(3, **QUIET).fit(images)
    model.save(tmp_path / "m")
    again = load(tmp_path / "m")
    for method in ("predict_proba", "transform", "score_samples"):
        assert np.array_equal(getattr(again, method)(images), getattr(model, method)(images))


@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_a_run_over_images_resumes_with_the_same_bits(images, tmp_path, stop_after):
    """In every phase; targets are made anew, and the share of changed labels is that of the whole run."""

    class Interrupted(Exception):
        pass

    class Interrupt(Callback):
        def on_epoch_end(self, state):
            if state.epochs_done == stop_after:
                raise Interrupted

    def model(callbacks=()):
        training = Training(epochs=4, callbacks=callbacks)
        return DEPICT(
            3, tol=0.0, collapse="ignore", **(QUIET | {"training": training, "pretraining": Pretraining(epochs=2)})
        )

    whole = model().fit(images)
    with pytest.raises(Interrupted):
        model((Interrupt(),)).fit(images, checkpoint=tmp_path)
    resumed = model().fit(images, checkpoint=tmp_path, resume=True)
    assert whole.history_ == resumed.history_
    for name, value in whole.module_.state_dict().items():
        assert torch.equal(value, resumed.module_.state_dict()[name]), name


def test_without_an_anchor_labels_are_compared_with_those_of_the_start(images):
    model = DEPICT(3, anchor_epochs=0, collapse="ignore", **(QUIET | {"training": Training(epochs=1)})).fit(images)
    (record,) = [r for r in model.history_ if r["phase"] == "mixture"]
    assert record["changed"] < 1


def test_it_stops_when_labels_stay(images):
    long, to_the_end = Training(epochs=30), Training(epochs=8)
    stopped = DEPICT(3, **(QUIET | {"training": long})).fit(images)
    changed = [r["changed"] for r in stopped.history_ if r["phase"] == "mixture"]
    assert 2 <= len(changed) < 30
    assert changed[-1] < 0.001
    whole = DEPICT(3, tol=0.0, **(QUIET | {"training": to_the_end})).fit(images)
    changed = [r["changed"] for r in whole.history_ if r["phase"] == "mixture"]
    assert len(changed) == 8
    assert changed[-2] == 0  # where another tol would have stopped


@pytest.mark.parametrize(
    ("shape", "columns", "found"),
    [
        ("auto", 64, [8, 8, 1]),
        ("auto", 49, None),
        ("auto", 65, None),
        (None, 64, None),
        ((4, 16), 64, [4, 16, 1]),
        ([4, 4, 4], 64, [4, 4, 4]),
    ],
)
@pytest.mark.filterwarnings("ignore::steinmix.CollapseWarning")
def test_what_is_an_image(rng, shape, columns, found):
    model = DEPICT(2, image_shape=shape, hidden=(8,), **QUIET).fit(rng.random((30, columns)))
    assert model.plan_["image_shape"] == found


def test_tables_are_no_images(rng):
    model = DEPICT(2, hidden=(8,), collapse="ignore", **QUIET).fit(rng.normal(size=(30, 64)))
    assert model.plan_["image_shape"] is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"head": "tanh"}, "head is 'tanh'; expected one of gaussian, softmax"),
        ({"target": "hard"}, "target is 'hard'; expected one of balanced, sharpened"),
        ({"force": "gravity"}, "force is 'gravity'"),
        ({"force": "likelihood"}, "use head='gaussian'"),
        ({"image_shape": (2, 3)}, r"image_shape is \(2, 3\); expected"),
        ({"image_shape": "square"}, "image_shape is 'square'"),
        ({"pretraining": Pretraining(layer_epochs=1)}, "layer_epochs"),
        ({"latent_dim": 0}, "latent_dim"),
        ({"hidden": ()}, "one width or more"),
    ],
)
def test_wrong_settings_are_named(rows, wrong, message):
    with pytest.raises(ConfigError, match=message):
        DEPICT(3, **(QUIET | wrong)).fit(rows)


def test_a_code_is_as_long_as_there_are_clusters_even_on_one_column(rng):
    column = np.concatenate([rng.normal(10 * c, 1.0, (30, 1)) for c in range(3)])
    model = DEPICT(3, hidden=(16,), **QUIET).fit(column)
    assert model.transform(column).shape == (90, 3)


def test_collapse_is_told(rows):
    settings = QUIET | {"hidden": (8,), "start": "random", "anchor_epochs": 0}
    with pytest.warns(CollapseWarning):
        DEPICT(3, **settings).fit(np.repeat(rows[:1], 30, axis=0))
