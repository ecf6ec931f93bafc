"""Convolutions with Glorot-uniform weights drawn from a given generator, over rows that are flat images.

A row is an image (h, w, c) read line by line, as NumPy flattens one. In torch such rows *are* a channels-last batch:
nothing is copied on the way in or out, and channels-last convolutions are the faster ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import ConfigError
from .batch_norm import BatchNorm2d

__all__ = [
    "ConvLayer",
    "Images",
    "Rows",
    "conv",
    "conv_decoder",
    "conv_encoder",
    "conv_sizes",
    "deconv",
    "images_of",
    "recogniser_layers",
    "rows_of",
    "strided_layers",
]

_Conv = TypeVar("_Conv", bound=nn.Conv2d | nn.ConvTranspose2d)
Shape = tuple[int, int, int]

FEW_CHANNELS = 4
"""Up to this many channels on the side of the image, a convolution is one matrix product over patches: libraries'
kernels are made for many channels. On a CPU with bf16 that is 3 times faster for 28 x 28 x 1 -> 50, 2 times back; so is
that of a kernel as large as the image, by 1.3 and 2.4 for 9 x 9 x 64 -> 500 and back."""


class ConvLayer(NamedTuple):
    """A square convolution; padding is the same on all sides.

    Parameters
    ----------
    channels, kernel : int
        Channels that it gives, and the side of its kernel.
    stride, padding : int, default=1 and 0
        Step of the kernel, and rows of zeros around the image.
    """

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0


def strided_layers(image_shape: Shape) -> tuple[ConvLayer, ...]:
    """Return DEPICT's two layers, 50 channels each, which halve the sides (28-14-7): 4 x 4 and 5 x 5, stride 2.

    Parameters
    ----------
    image_shape : (int, int, int)
        Height, width and channels of the images.

    Raises
    ------
    ConfigError
        If the images are smaller than 4 x 4.
    """
    if min(image_shape[:2]) < 4:
        raise ConfigError(f"image_shape is {image_shape}; expected sides of at least 4 pixels. Use image_shape=None.")
    return ConvLayer(50, 4, 2, 1), ConvLayer(50, 5, 2, 2)


def recogniser_layers(image_shape: Shape) -> tuple[ConvLayer, ...]:
    """Return the layers of GMVAE's recognition network (Dilokthanakul et al., 2017), which end in 500 numbers.

    28 x 28: 16 and 32 channels of 6 x 6, 64 of 4 x 4 with stride 2, then 9 x 9; 32 x 32: 64, 128 and 256 channels of
    4 x 4 with stride 2, then 4 x 4. Other sizes take the second form as often as they can be halved.

    Parameters
    ----------
    image_shape : (int, int, int)
        Height, width and channels of the images.

    Raises
    ------
    ConfigError
        If the images are not square or smaller than 4 x 4.
    """
    side = image_shape[0]
    if side != image_shape[1] or side < 4:
        raise ConfigError(f"image_shape is {image_shape}; expected square images of at least 4 x 4 pixels.")
    if side == 28:
        return ConvLayer(16, 6), ConvLayer(32, 6), ConvLayer(64, 4, 2, 1), ConvLayer(500, 9)
    layers = []
    for channels in (64, 128, 256):
        if side >= 8:
            layers.append(ConvLayer(channels, 4, 2, 1))
            side //= 2
    return *layers, ConvLayer(500, side)


def conv_sizes(image_shape: Shape, layers: Sequence[ConvLayer]) -> list[Shape]:
    """Return (h, w, c) of the images and after each layer.

    Parameters
    ----------
    image_shape : (int, int, int)
        Height, width and channels of the images.
    layers : sequence of ConvLayer
        The convolutions, from the image inwards.

    Raises
    ------
    ConfigError
        If nothing is left of them.
    """
    sizes = [image_shape]
    for layer in layers:
        h, w = ((side + 2 * layer.padding - layer.kernel) // layer.stride + 1 for side in sizes[-1][:2])
        sizes.append((h, w, layer.channels))
    if min(min(size[:2]) for size in sizes) < 1:
        raise ConfigError(f"images of {image_shape} are too small for the convolutions {list(layers)}.")
    return sizes


def images_of(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Return flat rows (b, h w c) as images (b, c, h, w) in channels-last order, without a copy."""
    return x.reshape(len(x), *shape).permute(0, 3, 1, 2)


def rows_of(images: Tensor) -> Tensor:
    """Return images (b, c, h, w) as flat rows (b, h w c); channels-last images are not copied."""
    return images.permute(0, 2, 3, 1).flatten(1)


class Images(nn.Module):
    """`images_of` as a layer."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """Return (b, c, h, w)."""
        return images_of(x, self.shape)


class Rows(nn.Module):
    """`rows_of` as a layer."""

    def forward(self, images: Tensor) -> Tensor:
        """Return (b, h w c)."""
        return rows_of(images)


class PatchConv(nn.Conv2d):
    """A convolution as one product of patches of the image with the kernels."""

    def forward(self, input: Tensor) -> Tensor:
        """Return (b, c', h', w') in channels-last order."""
        k, s, p = self.kernel_size[0], self.stride[0], cast(int, self.padding[0])
        patches = F.pad(input, (p, p, p, p)).unfold(2, k, s).unfold(3, k, s)  # (b, c, h', w', k, k)
        rows = patches.permute(0, 2, 3, 1, 4, 5).flatten(3)
        return F.linear(rows, self.weight.flatten(1), self.bias).permute(0, 3, 1, 2)


class PatchDeconv(nn.ConvTranspose2d):
    """A transposed convolution: one product gives all patches of the image, which are then added up."""

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return (b, c', h', w')."""
        b, _, h, w = input.shape
        k, s, p = self.kernel_size[0], self.stride[0], cast(int, self.padding[0])
        size = tuple((side - 1) * s - 2 * p + k + more for side, more in zip((h, w), self.output_padding))
        patches = F.linear(input.permute(0, 2, 3, 1), self.weight.flatten(1).T)  # (b, h, w, c' k k)
        if (h, w) == (1, 1) and size == (k, k):  # the one patch is the image
            return self._with_bias(patches.view(b, -1, k, k)).contiguous(memory_format=torch.channels_last)
        patches = patches.to(torch.promote_types(patches.dtype, torch.float32))  # overlaps add up: not in bf16
        image = F.fold(patches.reshape(b, h * w, -1).transpose(1, 2), size, k, padding=p, stride=s)
        return self._with_bias(image)

    def _with_bias(self, image: Tensor) -> Tensor:
        return image if self.bias is None else image + self.bias.to(image.dtype).view(1, -1, 1, 1)


def _by_patches(size: Shape, layer: ConvLayer) -> bool:
    """Say whether a convolution of an image of `size` is the faster as one product."""
    whole = size[:2] == (layer.kernel, layer.kernel) and not layer.padding
    return size[2] <= FEW_CHANNELS or whole


def conv(size: Shape, layer: ConvLayer, generator: torch.Generator) -> nn.Conv2d:
    """Return a convolution of images of `size`."""
    kind = PatchConv if _by_patches(size, layer) else nn.Conv2d
    made = nn.utils.skip_init(
        kind,
        size[2],
        layer.channels,
        layer.kernel,
        stride=layer.stride,
        padding=layer.padding,
        dtype=torch.float32,
    )
    return _drawn(cast(nn.Conv2d, made), generator)


def deconv(layer: ConvLayer, low: Shape, high: Shape, generator: torch.Generator) -> nn.ConvTranspose2d:
    """Return the transposed convolution that leads from the size `high`, after `layer`, back to `low`, before it."""
    # Where the stride left pixels over on the way down, they are added here: sizes fit for any image.
    missing = tuple(
        before - ((after - 1) * layer.stride - 2 * layer.padding + layer.kernel)
        for before, after in zip(low[:2], high[:2])
    )
    made = nn.utils.skip_init(
        PatchDeconv if _by_patches(low, layer) else nn.ConvTranspose2d,
        layer.channels,
        low[2],
        layer.kernel,
        stride=layer.stride,
        padding=layer.padding,
        output_padding=missing,
        dtype=torch.float32,
    )
    return _drawn(cast(nn.ConvTranspose2d, made), generator)


def conv_encoder(
    image_shape: Shape, layers: Sequence[ConvLayer], generator: torch.Generator, batch_norm: bool = False
) -> nn.Sequential:
    """Return rows (b, h w c) -> features (b, k), a ReLU after each layer, batch normalisation before it if asked.

    Parameters
    ----------
    image_shape : (int, int, int)
        Height, width and channels of the images.
    layers : sequence of ConvLayer
        The convolutions, from the image inwards.
    generator : torch.Generator
        Draws the weights.
    batch_norm : bool, default=False
        Whether to normalise by batch before each ReLU.
    """
    sizes, modules = conv_sizes(image_shape, layers), []
    for size, layer in zip(sizes, layers):
        modules += [conv(size, layer, generator), *_activation(layer.channels, batch_norm)]
    return nn.Sequential(Images(image_shape), *modules, Rows())


def conv_decoder(
    image_shape: Shape, layers: Sequence[ConvLayer], generator: torch.Generator, batch_norm: bool = False
) -> nn.Sequential:
    """Return the mirror of `conv_encoder`: features (b, k) -> rows (b, h w c); nothing follows the last layer.

    Parameters
    ----------
    image_shape : (int, int, int)
        Height, width and channels of the images.
    layers : sequence of ConvLayer
        The convolutions, from the image inwards.
    generator : torch.Generator
        Draws the weights.
    batch_norm : bool, default=False
        Whether to normalise by batch before each ReLU.
    """
    sizes, modules = conv_sizes(image_shape, layers), []
    for layer, low, high in reversed(list(zip(layers, sizes, sizes[1:]))):
        modules += [deconv(layer, low, high, generator), *_activation(low[2], batch_norm)]
    last = -2 if batch_norm else -1
    return nn.Sequential(Images(sizes[-1]), *modules[:last], Rows())


def _activation(channels: int, batch_norm: bool) -> list[nn.Module]:
    return [*([BatchNorm2d(channels, dtype=torch.float32)] if batch_norm else []), nn.ReLU(inplace=True)]


def _drawn(layer: _Conv, generator: torch.Generator) -> _Conv:
    nn.init.xavier_uniform_(layer.weight, generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
