"""An autoencoder whose every layer is reconstructed: the network of DEPICT, over convolutions or dense layers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..numerics.fused import tanh
from ..random import Streams
from .conv import ConvLayer, conv, conv_sizes, deconv, images_of, rows_of
from .mlp import linear
from .noise import dropped

__all__ = ["Ladder", "conv_ladder", "dense_ladder"]

SLOPE = 0.01
"""Of the leaky ReLU, as in DEPICT."""

FEWEST_COLUMNS = 16
"""Rows of fewer numbers are not dropped out: without one of two coordinates a row looks like one of another cluster,
and clusters that such rows are taught to share merge (five clear groups in the plane ended as two)."""


class Ladder(nn.Module):
    """Layers down to a code in (-1, 1), and their mirror images up again.

    Parameters
    ----------
    down : sequence of nn.Module
        The encoder's layers, without activation; a leaky ReLU follows each.
    up : sequence of nn.Module
        The decoder's layers from the topmost hidden layer to the rows, each the mirror of one of `down`.
    hidden_shape : tuple of int
        Shape of the topmost hidden layer of one row: (f,), or (h, w, c) of convolutions.
    n_latent : int
        d.
    generator : torch.Generator
        Draws the weights of the code layer.
    image_shape : (int, int, int), optional
        (h, w, c) of the rows; None for tables.
    bounded : bool, default=True
        Whether rows lie in [0, 1]: they are then seen as [-1, 1], and the output is a tanh.
    """

    def __init__(
        self,
        down: Sequence[nn.Module],
        up: Sequence[nn.Module],
        hidden_shape: tuple[int, ...],
        n_latent: int,
        generator: torch.Generator,
        image_shape: tuple[int, int, int] | None = None,
        bounded: bool = True,
    ) -> None:
        super().__init__()
        width = int(torch.Size(hidden_shape).numel())
        self.down, self.up = nn.ModuleList(down), nn.ModuleList(up)
        self.code, self.uncode = linear(width, n_latent, generator), linear(n_latent, width, generator)
        self.hidden_shape, self.image_shape, self.bounded = hidden_shape, image_shape, bounded

    def centred(self, x: Tensor) -> Tensor:
        """Return prepared rows (b, f) in the range of the output."""
        return 2 * x - 1 if self.bounded else x

    def encode_layers(
        self, x: Tensor, noise: float = 0.0, streams: Streams | None = None
    ) -> tuple[list[Tensor], Tensor]:
        """Return the hidden layers (b, .), lowest first, and the code (b, d) of centred rows (b, f).

        Parameters
        ----------
        x : Tensor (b, f)
        noise : float, default=0
            Dropout rate on the rows, if they have `FEWEST_COLUMNS` numbers, and on every hidden layer but the topmost.
        streams : Streams, optional
            Where the dropout comes from; without it there is none.
        """
        hidden, value = [], images_of(x, self.image_shape) if self.image_shape else x
        for layer in self.down:
            spared = not hidden and x.shape[-1] < FEWEST_COLUMNS
            value = value if streams is None or spared else dropped(value, noise, streams)
            value = F.leaky_relu(layer(value), SLOPE)
            hidden.append(self._flat(value))
        return hidden, tanh(self.code(hidden[-1]).float())

    def decode_layers(self, z: Tensor) -> list[Tensor]:
        """Return the reconstructions at codes (b, d): of the centred rows (b, f) first, then of each hidden layer."""
        value = F.leaky_relu(self.uncode(z), SLOPE)
        if self.image_shape:
            value = images_of(value, self.hidden_shape)
        found = [self._flat(value)]
        for layer in self.up[:-1]:
            value = F.leaky_relu(layer(value), SLOPE)
            found.append(self._flat(value))
        output = self._flat(self.up[-1](value)).float()
        return [tanh(output) if self.bounded else output, *reversed(found)]

    def _flat(self, value: Tensor) -> Tensor:
        # Not only for the reader: the gradient of a mean over images would come back in another memory order, and every
        # layer below would be ten times slower.
        return rows_of(value) if self.image_shape else value

    def encode(self, x: Tensor) -> Tensor:
        """Return the code (b, d) of prepared rows (b, f), without noise."""
        return self.encode_layers(self.centred(x))[1]

    def decode(self, z: Tensor) -> Tensor:
        """Return prepared rows (b, f) at codes (b, d)."""
        output = self.decode_layers(z)[0]
        return (output + 1) / 2 if self.bounded else output


def dense_ladder(
    n_features: int, hidden: Sequence[int], n_latent: int, generator: torch.Generator, bounded: bool = False
) -> Ladder:
    """Return a ladder of dense layers f-h1-...-hL-d and back; Glorot-uniform weights, zero biases.

    Parameters
    ----------
    n_features : int
        Columns of the rows.
    hidden : sequence of int
        Widths of the hidden layers.
    n_latent : int
        Length of the code.
    generator : torch.Generator
        Draws the weights.
    bounded : bool, default=False
        As in `Ladder`.
    """
    sizes = [n_features, *hidden]
    down = [linear(a, b, generator) for a, b in pairwise(sizes)]
    up = [linear(b, a, generator) for a, b in reversed(list(pairwise(sizes)))]
    return Ladder(down, up, (sizes[-1],), n_latent, generator, bounded=bounded)


def conv_ladder(
    image_shape: tuple[int, int, int],
    layers: Sequence[ConvLayer],
    n_latent: int,
    generator: torch.Generator,
    bounded: bool = True,
) -> Ladder:
    """Return a ladder of convolutions over images (h, w, c); Glorot-uniform weights, zero biases.

    Parameters
    ----------
    image_shape : (int, int, int)
        Height, width and channels of the images.
    layers : sequence of ConvLayer
        The convolutions, from the image inwards.
    n_latent : int
        Length of the code.
    generator : torch.Generator
        Draws the weights.
    bounded : bool, default=True
        As in `Ladder`.
    """
    sizes = conv_sizes(image_shape, layers)
    down = [conv(size, layer, generator) for size, layer in zip(sizes, layers)]
    up = [deconv(layer, low, high, generator) for layer, low, high in zip(layers, sizes, sizes[1:])]
    return Ladder(down, up[::-1], sizes[-1], n_latent, generator, image_shape, bounded)
