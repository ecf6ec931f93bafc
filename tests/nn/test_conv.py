import math
from itertools import product

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from steinmix import ConfigError
from steinmix.nn import ConvLayer, conv_decoder, conv_encoder, conv_sizes, recogniser_layers, strided_layers
from steinmix.nn.conv import PatchConv, PatchDeconv, conv, deconv, images_of, rows_of

SHAPES = [(28, 28, 1), (16, 16, 1), (8, 8, 1), (9, 7, 3), (32, 32, 3), (11, 5, 6)]
LAYERS = [ConvLayer(7, 4, 2, 1), ConvLayer(7, 5, 2, 2), ConvLayer(7, 6)]
WHOLE_WITH_STRIDE = ((5, 5, 6), ConvLayer(7, 5, 2))


def pair(layer, shape, generator):
    """Convolution and its mirror for images of `shape`."""
    (low, high) = conv_sizes(shape, [layer])
    return conv(shape, layer, generator), deconv(layer, low, high, generator)


def plain(layer, x):
    """What torch's own functions make of `x` (b, c, h, w)."""
    if isinstance(layer, nn.Conv2d):
        return F.conv2d(x, layer.weight, layer.bias, layer.stride, layer.padding)
    return F.conv_transpose2d(x, layer.weight, layer.bias, layer.stride, layer.padding, layer.output_padding)


@pytest.mark.parametrize(
    ("shape", "layer"), [*product([(8, 8, 1), (9, 7, 3)], LAYERS), ((5, 5, 6), ConvLayer(7, 5)), WHOLE_WITH_STRIDE]
)
def test_products_over_patches_are_convolutions_and_so_are_their_gradients(generator, normal, shape, layer):
    for made, kind in zip(pair(layer, shape, generator), (PatchConv, PatchDeconv)):
        assert type(made) is kind
        made.double()
        with torch.no_grad():
            made.bias.copy_(normal(*made.bias.shape))
        size = shape if kind is PatchConv else conv_sizes(shape, [layer])[1]
        x = normal(2, size[2], size[0], size[1]).requires_grad_()
        ours, expected = made(x), plain(made, x)
        torch.testing.assert_close(ours, expected)
        weight = normal(*expected.shape)
        found = torch.autograd.grad((ours * weight).sum(), [x, *made.parameters()])
        wanted = torch.autograd.grad((expected * weight).sum(), [x, *made.parameters()])
        for a, b in zip(found, wanted):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("make", [strided_layers, lambda _: [ConvLayer(3, 3, 2), ConvLayer(4, 2)]])
def test_the_mirror_leads_back_to_the_size(generator, normal, shape, make):
    layers, x = make(shape), normal(2, math.prod(shape), dtype=torch.float32)
    codes = conv_encoder(shape, layers, generator)(x)
    sizes = conv_sizes(shape, layers)
    assert codes.shape == (2, math.prod(sizes[-1]))
    assert conv_decoder(shape, layers, generator)(codes).shape == x.shape


def test_depict_halves_the_sides_twice():
    assert conv_sizes((28, 28, 1), strided_layers((28, 28, 1))) == [(28, 28, 1), (14, 14, 50), (7, 7, 50)]


@pytest.mark.parametrize(
    ("shape", "sides"), [((28, 28, 1), [28, 23, 18, 9, 1]), ((32, 32, 3), [32, 16, 8, 4, 1]), ((8, 8, 1), [8, 4, 1])]
)
def test_the_recogniser_ends_in_one_pixel_of_500_channels(generator, normal, shape, sides):
    layers = recogniser_layers(shape)
    sizes = conv_sizes(shape, layers)
    assert [size[0] for size in sizes] == sides
    encoder = conv_encoder(shape, layers, generator, batch_norm=True)
    decoder = conv_decoder(shape, layers, generator, batch_norm=True)
    x = normal(2, math.prod(shape), dtype=torch.float32)
    assert encoder(x).shape == (2, 500)
    assert decoder(encoder(x)).shape == x.shape
    kinds = [type(part).__name__ for part in decoder]
    assert kinds.count("BatchNorm2d") == kinds.count("ReLU") == len(layers) - 1  # none after the last
    assert [type(part).__name__ for part in encoder].count("BatchNorm2d") == len(layers)


def test_a_row_is_an_image_read_line_by_line_and_nothing_is_copied(normal):
    images = normal(2, 4, 3, 2)  # (b, h, w, c)
    rows = images.flatten(1)
    found = images_of(rows, (4, 3, 2))
    for k in range(2):
        torch.testing.assert_close(found[:, k], images[..., k])
    assert found.is_contiguous(memory_format=torch.channels_last)
    assert found.data_ptr() == rows.data_ptr() == rows_of(found).data_ptr()
    assert torch.equal(rows_of(found), rows)


def test_weights_are_glorot_uniform_and_biases_zero(generator, global_generators):
    before = global_generators()
    for made in (conv((9, 9, 20), ConvLayer(40, 5), generator), *pair(ConvLayer(300, 5), (6, 6, 2), generator)):
        fan = sum(made.weight.shape[:2]) * 25
        weight = made.weight.detach()
        assert float(weight.abs().max()) <= math.sqrt(6 / fan)
        assert float(weight.std()) == pytest.approx(math.sqrt(2 / fan), rel=0.03)
        assert made.bias.eq(0).all()
    assert global_generators() == before


@pytest.mark.parametrize(
    ("call", "shape"), [(strided_layers, (3, 9, 1)), (recogniser_layers, (28, 27, 1)), (recogniser_layers, (2, 2, 1))]
)
def test_sizes_that_do_not_fit_are_named(call, shape):
    with pytest.raises(ConfigError, match=r"image_shape is .*expected"):
        call(shape)


def test_nothing_is_left_of_an_image():
    with pytest.raises(ConfigError, match="too small"):
        conv_sizes((5, 5, 1), [ConvLayer(2, 4), ConvLayer(2, 4)])
