import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from steinmix import Autoencoder, ConfigError, Training
from steinmix.estimator import Pretraining, pretraining_phases
from steinmix.nn import Coder, Gaussian, conv_encoder, recogniser_layers
from steinmix.objective import Batch
from steinmix.random import Streams


@pytest.fixture
def table(rng):
    return rng.normal(size=(300, 2)) @ rng.normal(size=(2, 5)) + 0.2 * rng.normal(size=(300, 5))


def linear_autoencoder(epochs=150, noise=0.0, **others):
    training = Training(epochs=epochs, batch_size=64, lr=1e-2, progress=False)
    settings = {"hidden": (), "likelihood": "gaussian", "pretraining": Pretraining(noise=noise), "scaling": "none"}
    return Autoencoder(2, training=training, random_state=0, **settings | others)


def test_a_linear_autoencoder_finds_the_principal_plane(table):
    model, pca = linear_autoencoder().fit(table), PCA(2).fit(table)
    ours = ((model.inverse_transform(model.transform(table)) - table) ** 2).sum(1).mean()
    best = ((pca.inverse_transform(pca.transform(table)) - table) ** 2).sum(1).mean()
    assert best <= ours < 1.03 * best


def test_the_loss_is_the_negative_log_likelihood_summed_over_features_and_meant_over_rows(normal):
    streams = Streams(0)
    coder = Coder(4, 2, (3,), Gaussian(0.5), streams.torch("weights"))
    (phase,) = pretraining_phases(coder, Pretraining(noise=0.0), 7, streams)
    x = normal(6, 4, dtype=torch.float32)
    terms = phase.objectives[0].terms(Batch(x, torch.arange(6)))
    output = coder.decode(coder.encode(x))
    squares = sum(float((x[i, j] - output[i, j]).detach()) ** 2 for i in range(6) for j in range(4)) / 6
    expected = squares + 0.5 * 4 * math.log(2 * math.pi * 0.5)
    assert float(terms["reconstruction"].value.detach()) == pytest.approx(expected, rel=1e-5)
    assert (phase.name, phase.epochs) == ("pretrain", 7)


def test_entries_are_hidden_on_the_way_in_only(normal):
    """The target is the whole row: with everything hidden but a bias, the best output is the mean."""
    streams = Streams(0)
    coder = Coder(4, 2, (3,), Gaussian(0.5), streams.torch("weights"))
    seen = []
    coder.encoder.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    (phase,) = pretraining_phases(coder, Pretraining(noise=0.4), 1, streams)
    x = normal(2000, 4, dtype=torch.float32)
    value = phase.objectives[0].terms(Batch(x, torch.arange(2000)))["reconstruction"].value
    hidden = seen[0] == 0
    assert float(hidden.float().mean()) == pytest.approx(0.4, abs=0.03)
    assert torch.equal(seen[0][~hidden], x[~hidden])
    expected = -coder.likelihood.log_prob(x, coder.decode(coder.encode(seen[0]))).mean()
    assert float(value.detach()) == pytest.approx(float(expected.detach()), rel=1e-6)


def test_layers_are_pretrained_one_by_one(table):
    model = linear_autoencoder(5, hidden=(8, 4), pretraining=Pretraining(epochs=2, layer_epochs=3)).fit(table)
    names = [r["phase"] for r in model.history_]
    assert names == ["layer 1"] * 3 + ["layer 2"] * 3 + ["layer 3"] * 3 + ["pretrain"] * 2


def test_convolutions_are_not_pretrained_layer_by_layer():
    streams = Streams(0)
    coder = Coder(64, 2, (5,), Gaussian(), streams.torch("weights"))
    coder.encoder = conv_encoder((8, 8, 1), recogniser_layers((8, 8, 1)), streams.torch("weights"))
    with pytest.raises(ConfigError, match=r"layer_epochs is 1; convolutions have no such start"):
        pretraining_phases(coder, Pretraining(layer_epochs=1), 1, streams)


def test_a_layer_phase_moves_its_own_layer_and_its_mirror_alone():
    streams = Streams(0)
    coder = Coder(6, 2, (5, 4), Gaussian(), streams.torch("weights"))
    phases = pretraining_phases(coder, Pretraining(layer_epochs=1), 1, streams)
    names = {id(p): n for n, p in coder.named_parameters()}
    found = [sorted({names[id(p)].rsplit(".", 1)[0] for p in phase.objectives[0].parameters()}) for phase in phases]
    assert found[:3] == [["encoder.0", "output"], ["decoder.2", "encoder.2"], ["code_mean", "decoder.0"]]
    assert len(found[3]) == 7  # six layers and the noise variance


def test_scores_are_log_likelihoods_in_the_units_of_the_data(table):
    model = linear_autoencoder(5, scaling="standard").fit(table)
    rows = model.inverse_transform(model.transform(table))
    scale = table.std(0)
    squares = (((table - rows) / scale) ** 2).sum(1)
    variance = float(model.module_.likelihood.variance().detach())
    expected = -0.5 * squares / variance - 0.5 * 5 * math.log(2 * math.pi * variance) - np.log(scale).sum()
    np.testing.assert_allclose(model.score_samples(table), expected, rtol=1e-4, atol=1e-4)


def test_labels_and_global_generators_are_left_alone(table, rng, global_generators):
    before = global_generators()
    a = linear_autoencoder(3, 0.2).fit(table).transform(table)
    b = linear_autoencoder(3, 0.2).fit(table, rng.permutation(300)).transform(table)
    assert np.array_equal(a, b)
    assert global_generators() == before


def test_codes_may_be_reversed_or_read_only(table, recwarn):
    model = Autoencoder(latent_dim=2, hidden=(4,), training=Training(epochs=1, progress=False)).fit(table)
    codes = model.transform(table).astype(np.float32)
    rows = model.inverse_transform(codes)
    codes.flags.writeable = False
    assert np.array_equal(model.inverse_transform(codes[::-1]), rows[::-1])
    assert not recwarn.list
