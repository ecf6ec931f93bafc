"""The autoencoder of DEC (Xie et al., 2016) with the end-to-end pretraining of its Keras port: mean squared error over
pixels, plain stochastic gradient with momentum, no noise, no stacking, weights uniform within one over the root of
a layer's inputs. The weights matter: with Glorot's the codes of MNIST are worse after 300 epochs than after 60 here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import nn

from ..estimator import Pretraining
from ..methods import Autoencoder
from ..nn import Gaussian
from ..random import Streams
from ..training import Callback, RunState, Training

__all__ = ["EPOCHS", "FanIn", "autoencoder"]

EPOCHS = 100
"""The port has 300."""

PIXELS = 784


@dataclass(frozen=True)
class FanIn(Callback):
    """Draws the weights of linear layers before training: uniform within 1 / sqrt(inputs)."""

    seed: int

    def on_run_start(self, state: RunState) -> None:
        """Leave a resumed run alone."""
        if state.epochs_done:
            return
        generator = Streams(self.seed).torch("fan-in", "cpu")
        for layer in state.module.modules():
            if isinstance(layer, nn.Linear):
                bound = layer.in_features**-0.5
                drawn = torch.empty(layer.weight.shape).uniform_(-bound, bound, generator=generator)
                layer.weight.data.copy_(drawn)


def autoencoder(random_state: int) -> Autoencoder:
    """Return the autoencoder for images of 28 x 28."""
    training = Training(
        epochs=EPOCHS,
        lr=1.0,
        optimizer=partial(torch.optim.SGD, momentum=0.9, fused=True),
        callbacks=(FanIn(random_state),),
    )
    return Autoencoder(
        10,
        hidden=(500, 500, 2000),
        likelihood=Gaussian(variance=PIXELS / 2),  # minus its log-density is the mean squared error, and a constant
        pretraining=Pretraining(noise=0.0),
        training=training,
        random_state=random_state,
    )
