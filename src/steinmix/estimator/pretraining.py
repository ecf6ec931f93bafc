"""Denoising pretraining of an encoder and decoder, end to end or layer by layer, shared by the deep methods."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .._params import Configuration, check_at_least, is_number
from ..errors import ConfigError
from ..nn import Coder, masked
from ..objective import Batch, Objective, Phase, Term
from ..random import Streams

__all__ = ["Pretraining", "pretraining_phases"]


@dataclass
class Pretraining(Configuration):
    """How to pretrain.

    Parameters
    ----------
    epochs : int, optional
        Epochs end to end; None takes ``training.epochs``, or chooses by the number of rows; 0 leaves them out.
    layer_epochs : int, default=0
        Epochs per layer of a greedy layer-wise start before that (Vincent et al., 2010, as in DEC); 0 leaves it out.
    noise : float, default=0.2
        Share of entries set to zero on the way in.
    """

    epochs: int | None = None
    layer_epochs: int = 0
    noise: float = 0.2

    def check(self) -> None:
        """Raise ConfigError for a value that cannot work."""
        check_at_least("pretraining.epochs", self.epochs, 0, optional=True)
        check_at_least("pretraining.layer_epochs", self.layer_epochs, 0)
        if not is_number(self.noise) or not 0 <= self.noise < 1:
            raise ConfigError(f"pretraining.noise is {self.noise!r}; expected a share in [0, 1).")


def pretraining_phases(coder: Coder, settings: Pretraining | None, epochs: int, streams: Streams) -> list[Phase]:
    """Return the phases that train `coder` as a denoising autoencoder.

    Parameters
    ----------
    coder : Coder
        What is trained.
    settings : Pretraining, optional
        The user's; None takes those of `Pretraining()`.
    epochs : int
        Epochs of the end-to-end phase where `settings` leaves them open.
    streams : Streams
        Noise comes from its stream "mask".
    """
    settings = settings or Pretraining()
    settings.check()
    if settings.layer_epochs and any(isinstance(part, nn.Conv2d) for part in coder.encoder.modules()):
        raise ConfigError(
            f"pretraining.layer_epochs is {settings.layer_epochs}; convolutions have no such start, use 0."
        )
    phases = _layer_phases(coder, settings, streams) if settings.layer_epochs else []

    def terms(batch: Batch) -> dict[str, Term]:
        x = batch.expand(batch.x)  # noise differs between equal rows
        output = coder.decode(coder.encode(masked(x, settings.noise, streams)))
        return {"reconstruction": Term(-coder.likelihood.log_prob(x, output).mean(-1))}

    params = [p for n, p in coder.named_parameters() if not n.startswith("code_log_var")]
    epochs = epochs if settings.epochs is None else settings.epochs
    phases.append(Phase("pretrain", epochs, [Objective(terms, params)]))
    return [phase for phase in phases if phase.epochs]


def _layer_phases(coder: Coder, settings: Pretraining, streams: Streams) -> list[Phase]:
    """One phase per layer: encode with the layers below, hide entries, and reconstruct through the mirrored layer."""
    encoders = [m for m in coder.encoder if isinstance(m, nn.Linear)] + [coder.code_mean]
    decoders = [coder.output, *reversed([m for m in coder.decoder if isinstance(m, nn.Linear)])]
    objectives = [
        _layer_objective(coder, encoders, decoders, depth, settings.noise, streams) for depth in range(len(encoders))
    ]
    return [Phase(f"layer {i}", settings.layer_epochs, [objective]) for i, objective in enumerate(objectives, 1)]


def _layer_objective(
    coder: Coder,
    encoders: list[nn.Linear],
    decoders: list[nn.Linear],
    depth: int,
    noise: float,
    streams: Streams,
) -> Objective:
    top = depth == len(encoders) - 1

    @torch.no_grad()
    def below(x: Tensor) -> Tensor:
        for layer in encoders[:depth]:
            x = torch.relu(layer(x))
        return x

    def terms(batch: Batch) -> dict[str, Term]:
        target = batch.expand(below(batch.x))
        hidden = encoders[depth](masked(target, noise, streams))
        output = decoders[depth](hidden if top else torch.relu(hidden)).float()
        if depth == 0:
            return {"reconstruction": Term(-coder.likelihood.log_prob(target, output).mean(-1))}
        return {"reconstruction": Term((torch.relu(output) - target.float()).square().sum(-1).mean(-1))}

    return Objective(terms, [*encoders[depth].parameters(), *decoders[depth].parameters()])
