import math

import numpy as np
import pytest
import torch
from torch import distributions as dist
from torch import nn

from steinmix.errors import ConfigError
from steinmix.nn import LIKELIHOODS, Bernoulli, Coder, Gaussian, LearntGaussian, Linear, linear, masked, mlp
from steinmix.random import Streams


def test_weights_are_glorot_uniform_and_biases_zero(generator):
    layer = linear(300, 100, generator)
    bound = math.sqrt(6 / 400)
    assert layer.weight.shape == (100, 300)
    weight = layer.weight.detach()
    assert float(weight.abs().max()) <= bound
    assert float(weight.std()) == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert layer.bias.eq(0).all()


def test_building_touches_no_global_generator(generator, global_generators):
    before = global_generators()
    Coder(5, 2, (4, 3), Gaussian(), generator, variational=True)
    masked(torch.ones(3, 3), 0.5, Streams(0))
    assert global_generators() == before


def test_an_mlp_has_a_relu_after_each_layer(generator):
    layers = mlp([5, 4, 3], generator)
    assert [type(m) for m in layers] == [Linear, nn.ReLU, Linear, nn.ReLU]
    x = torch.ones(2, 5)
    assert mlp([5], generator)(x) is x


def test_a_coder_is_mirrored_with_linear_code_and_output(generator):
    """VaDE's layout: f-h1-h2-d and d-h2-h1-f."""
    coder = Coder(7, 2, (5, 4), Gaussian(), generator, variational=True)
    shapes = {n: tuple(p.shape) for n, p in coder.named_parameters() if n.endswith("weight")}
    assert shapes == {
        "encoder.0.weight": (5, 7),
        "encoder.2.weight": (4, 5),
        "code_mean.weight": (2, 4),
        "code_log_var.weight": (2, 4),
        "decoder.0.weight": (4, 2),
        "decoder.2.weight": (5, 4),
        "output.weight": (7, 5),
    }


def test_a_coder_computes_what_its_layers_say(generator, normal):
    coder, x = Coder(4, 2, (3,), Gaussian(), generator), normal(5, 4, dtype=torch.float32)
    first, code, back, out = coder.encoder[0], coder.code_mean, coder.decoder[0], coder.output
    hidden = torch.clamp(x @ first.weight.T + first.bias, min=0)
    z = hidden @ code.weight.T + code.bias
    torch.testing.assert_close(coder.encode(x), z)
    expected = torch.clamp(z @ back.weight.T + back.bias, min=0) @ out.weight.T + out.bias
    torch.testing.assert_close(coder.decode(z), expected)
    torch.testing.assert_close(coder.reconstruct(x), expected)


def test_the_log_variance_of_a_code_is_clamped(generator):
    coder = Coder(3, 2, (), Gaussian(), generator, variational=True)
    x = torch.tensor([[1e6, 0.0, 0.0], [-1e6, 0.0, 0.0]])
    mean, log_var = coder.encode_normal(x)
    assert torch.equal(mean, coder.encode(x))
    assert log_var.abs().eq(10).all()
    assert Coder(3, 2, (), Gaussian(), generator).encode_normal(x)[1].eq(-10).all()


def test_one_seed_gives_one_network():
    a, b = (Coder(4, 2, (3,), Gaussian(), Streams(0).torch("weights")) for _ in range(2))
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters()))
    other = Coder(4, 2, (3,), Gaussian(), Streams(1).torch("weights"))
    assert not torch.equal(a.output.weight, other.output.weight)


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.9])
def test_masking_sets_a_share_to_zero_and_does_not_rescale(streams, rate):
    x = torch.full((400, 50), 3.0)
    found = masked(x, rate, streams)
    assert set(found.unique().tolist()) <= {0.0, 3.0}
    assert float((found == 0).float().mean()) == pytest.approx(rate, abs=4.5 * 0.5 / math.sqrt(x.numel()))
    assert x.eq(3).all()


def test_likelihoods_equal_torch(normal):
    x, output = normal(5, 4), normal(5, 4)
    torch.testing.assert_close(
        Gaussian(0.3).observation().log_prob(x, output), dist.Normal(output, 0.3**0.5).log_prob(x).sum(-1)
    )
    assert torch.equal(Gaussian(0.3).observation().mean(output), output)
    binary = (x > 0).double()
    expected = dist.Bernoulli(logits=output).log_prob(binary).sum(-1)
    torch.testing.assert_close(Bernoulli().log_prob(binary, output), expected)
    torch.testing.assert_close(Bernoulli().mean(output), dist.Bernoulli(logits=output).mean)


def test_variance_one_half_weights_squares_by_one(normal):
    """VaDE's code has alpha |x - x'|^2 with alpha = 1; variance = 1 / (2 alpha)."""
    x, mean = normal(5, 4), normal(5, 4)
    observation = Gaussian(0.5).observation()
    difference = observation.log_prob(x, x) - observation.log_prob(x, mean)
    np.testing.assert_allclose(difference, (x - mean).square().sum(-1), rtol=1e-9)


@pytest.mark.parametrize("variance", [0.0, -1.0, math.nan, math.inf, "a", True])
def test_a_variance_is_a_number_above_zero(variance):
    with pytest.raises(ConfigError, match=r"^variance is .*; expected a finite number > 0, or None to learn it\.$"):
        Gaussian(variance)


def test_a_learnt_variance_becomes_the_mean_squared_error(normal):
    x, observation = normal(400, 5), Gaussian().observation()
    optimizer = torch.optim.Adam(observation.parameters(), lr=0.003)
    for _ in range(400):
        optimizer.zero_grad()
        (-observation.log_prob(0.3 * x, 0 * x).mean()).backward()
        optimizer.step()
    assert float(observation.variance().detach()) == pytest.approx(float((0.3 * x).square().mean()), rel=0.01)


def test_likelihoods_have_names():
    known = {"bernoulli": Bernoulli(), "gaussian": Gaussian(), "learnt_gaussian": LearntGaussian()}
    assert {name: kind() for name, kind in LIKELIHOODS.items()} == known


def test_a_learnt_variance_is_the_second_half_of_the_output(normal):
    x, mean, log_var = normal(5, 4), normal(5, 4), 9 * normal(5, 4)
    expected = dist.Normal(mean, log_var.clamp(-8, 8).exp().sqrt()).log_prob(x).sum(-1)
    output = torch.cat([mean, log_var], dim=-1)
    torch.testing.assert_close(LearntGaussian().log_prob(x, output), expected)
    torch.testing.assert_close(LearntGaussian().mean(output), mean)
    assert Coder(4, 2, (3,), LearntGaussian(), Streams(0).torch("weights")).output.out_features == 8


def test_stacked_weights_give_what_each_layer_gives(streams, normal):
    layers = [linear(3, 2, streams.torch(name)) for name in "abc"]
    stacked = linear(3, 2, streams.torch("d"))
    stacked.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
    stacked.bias = nn.Parameter(torch.stack([layer.bias.detach() + i for i, layer in enumerate(layers)]))
    rows = normal(3, 7, 3, dtype=torch.float32)
    wanted = torch.stack([layer(x) + i for i, (layer, x) in enumerate(zip(layers, rows))])
    torch.testing.assert_close(stacked(rows), wanted)


@pytest.mark.parametrize("n_in", [2, 5, 10, 118, 500])
@pytest.mark.parametrize("n_out", [1, 2, 4, 8, 10, 11, 12, 16, 30])
def test_a_row_that_is_only_read_does_not_depend_on_where_it_stands(n_in, n_out, generator):
    layer, x = linear(n_in, n_out, generator), torch.randn(256, n_in, generator=generator)
    with torch.no_grad():
        whole = layer(x)
        torch.testing.assert_close(whole, torch.nn.functional.linear(x, layer.weight, layer.bias))
        for i in range(3, 256, 23):
            moved = torch.cat([x[i : i + 1], x[:1].expand(255, -1)])
            assert torch.equal(layer(moved)[0], whole[i])
