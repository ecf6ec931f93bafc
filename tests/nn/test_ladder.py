import math

import pytest
import torch

from oracles import depict as oracle
from steinmix.nn import conv_ladder, dense_ladder, dropped, strided_layers
from steinmix.random import Streams

IMAGE = (8, 6, 2)


@pytest.fixture(params=["narrow", "dense", "images"])
def ladder(request, generator):
    if request.param == "narrow":
        made = dense_ladder(5, (7, 4), 3, generator)
    elif request.param == "dense":
        made = dense_ladder(16, (7, 4), 3, generator)
    else:
        made = conv_ladder(IMAGE, strided_layers(IMAGE), 3, generator)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=generator)
    return made


@pytest.fixture
def x(ladder, generator):
    return torch.rand(4, math.prod(ladder.image_shape or (ladder.down[0].in_features,)), generator=generator)


def flat(value):
    return value.permute(0, 2, 3, 1).reshape(1, -1) if value.ndim == 4 else value


def test_layers_are_what_the_loops_say(ladder, x):
    hidden, z = ladder.encode_layers(x)
    up = ladder.decode_layers(z)
    for i in range(len(x)):
        expected, code = oracle.encode(ladder, x[i])
        rebuilt = oracle.decode(ladder, code)
        torch.testing.assert_close(z[i : i + 1], code)
        for ours, theirs in zip(hidden, expected):
            torch.testing.assert_close(ours[i : i + 1], flat(theirs))
        for ours, theirs in zip(up, reversed(rebuilt)):
            torch.testing.assert_close(ours[i : i + 1], flat(theirs), rtol=1e-4, atol=1e-5)


def test_reconstructions_fit_what_they_reconstruct(ladder, x):
    hidden, z = ladder.encode_layers(x)
    assert [v.shape for v in ladder.decode_layers(z)] == [v.shape for v in (x, *hidden)]
    assert ladder.decode(ladder.encode(x)).shape == x.shape


def test_bounded_rows_are_seen_from_minus_one_to_one(generator):
    bounded = dense_ladder(5, (7,), 3, generator, bounded=True)
    x = torch.rand(4, 5, generator=generator)
    torch.testing.assert_close(bounded.centred(x), 2 * x - 1)
    torch.testing.assert_close(bounded.encode(x), bounded.encode_layers(2 * x - 1)[1])
    wild = bounded.decode(1e4 * torch.randn(50, 3, generator=generator))
    assert float(wild.detach().min()) >= 0
    assert float(wild.detach().max()) <= 1


def test_noise_reaches_rows_and_all_hidden_layers_but_the_last(ladder, x, monkeypatch):
    seen = []

    def spy(value, rate, streams):
        seen.append((value.shape[0], value[0].numel(), rate))
        return dropped(value, rate, streams)

    monkeypatch.setattr("steinmix.nn.ladder.dropped", spy)
    hidden, clean = ladder.encode_layers(x)
    assert seen == []
    noisy = ladder.encode_layers(x, 0.25, Streams(0))[1]
    dropped_out = [x, *hidden[:-1]] if x.shape[1] >= 16 else hidden[:-1]  # few columns cannot spare one
    assert seen == [(4, v.shape[1], 0.25) for v in dropped_out]
    assert not torch.equal(clean, noisy)


def test_gradients_keep_the_memory_order_of_images(generator):
    """Layers are ten times slower where they do not; nothing else would tell."""
    ladder, orders = conv_ladder((8, 8, 1), strided_layers((8, 8, 1)), 3, generator), []

    def order(layer, gradient_in, gradient_out):
        orders.append(gradient_out[0].is_contiguous(memory_format=torch.channels_last))

    for layer in [*ladder.down, ladder.up[0]]:
        layer.register_full_backward_hook(order)
    x = torch.rand(4, 64, generator=generator).requires_grad_()
    hidden = ladder.encode_layers(x)[0]
    noisy = ladder.encode_layers(x, 0.1, Streams(0))[1]
    sum((a - b).square().mean() for a, b in zip(ladder.decode_layers(noisy), [x, *hidden])).backward()
    assert orders == [True] * 5


def test_dropout_drops_and_scales():
    x, streams = torch.ones(1000, 100), Streams(0)
    out = dropped(x, 0.25, streams)
    kept = out > 0
    assert float(kept.float().mean()) == pytest.approx(0.75, abs=0.01)
    torch.testing.assert_close(out[kept], torch.full_like(out[kept], 1 / 0.75))
    odd = dropped(x, 0.1, streams)
    assert float(odd.mean()) == pytest.approx(1, abs=0.01)
    assert dropped(x, 0.0, streams) is x


@pytest.mark.parametrize("rate", [0.998, 0.999, math.nextafter(1, 0)])
def test_dropout_keeps_a_little_at_every_rate_below_1(rate):
    """Rates are rounded to 1/256."""
    out = dropped(torch.ones(1000, 100), rate, Streams(0))
    assert set(out.unique().tolist()) == {0.0, 256.0}
    assert float(out.mean()) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(10, 3), (10, 3, 5, 7)])
def test_shares_of_a_batch_are_dropped_out_as_the_batch_is(shape, order):
    x = torch.ones(shape)
    x = x.contiguous(memory_format=order) if x.ndim == 4 else x
    whole = dropped(x, 0.5, Streams(0))
    for start, stop in [(0, 4), (4, 7), (7, 10)]:
        streams = Streams(0)
        streams.share = (start, stop, 10)
        assert torch.equal(dropped(x[start:stop], 0.5, streams), whole[start:stop])


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_dropout_is_independent_over_entries_and_keeps_the_memory_order(order):
    x = torch.ones(64, 5, 7, 3).contiguous(memory_format=order)
    out = dropped(x, 0.5, Streams(0))
    assert out.is_contiguous(memory_format=order)
    rows = (out > 0).flatten(1).double() - 0.5
    assert float((rows[:, :-1] * rows[:, 1:]).mean()) == pytest.approx(0, abs=0.02)
    assert len({tuple(row.tolist()) for row in rows}) == 64
    turned = dropped(torch.ones(6, 4).T, 0.5, Streams(0))
    assert turned.shape == (4, 6)
