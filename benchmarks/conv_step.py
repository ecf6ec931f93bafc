"""Training steps of the convolutional nets of DEPICT and GMVAE: our default against plain fp32 contiguous torch.

Same layers, batch size, terms and optimiser. The plain forms are written as one writes them with torch alone:
contiguous images, `nn.Conv2d` and `nn.ConvTranspose2d`, torch's dropout, Adam as it comes. Of GMVAE the recogniser and
the generator are timed (with batch normalisation and a mean squared error), which is where its time goes.
"""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from steinmix import Training
from steinmix.methods.depict import HEADS, DEPICTModule, Path
from steinmix.nn import conv_decoder, conv_encoder, conv_ladder, linear, recogniser_layers, strided_layers
from steinmix.objective import Batch
from steinmix.random import Streams

from .harness import interleave, machine, ratios, write

SHAPE, BATCH, CLUSTERS, STEPS = (28, 28, 1), 256, 10, 2
CPU = torch.device("cpu")
Step = Callable[[], None]


class PlainDEPICT(nn.Module):
    """DEPICT's net with torch alone: 28 x 28 - 14 x 14 x 50 - 7 x 7 x 50 - 10 and back."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 50, 4, 2, 1), nn.Conv2d(50, 50, 5, 2, 2)
        self.code, self.uncode = nn.Linear(2450, CLUSTERS), nn.Linear(CLUSTERS, 2450)
        self.deconv2, self.deconv1 = nn.ConvTranspose2d(50, 50, 5, 2, 2, 1), nn.ConvTranspose2d(50, 1, 4, 2, 1)
        self.theta = nn.Parameter(torch.randn(CLUSTERS, CLUSTERS))

    def encode(self, x: Tensor, rate: float) -> tuple[list[Tensor], Tensor]:
        first = F.leaky_relu(self.conv1(F.dropout(x, rate)))
        second = F.leaky_relu(self.conv2(F.dropout(first, rate)))
        return [first, second], torch.tanh(self.code(second.flatten(1)))

    def loss(self, rows: Tensor, targets: Tensor) -> Tensor:
        x = (2 * rows - 1).view(-1, 1, 28, 28)
        hidden, z = self.encode(x, 0.0)[0], self.encode(x, 0.1)[1]
        second = F.leaky_relu(self.uncode(z)).view(-1, 50, 7, 7)
        first = F.leaky_relu(self.deconv2(second))
        rebuilt = torch.tanh(self.deconv1(first))
        errors = F.mse_loss(rebuilt, x) + 0.1 * (F.mse_loss(first, hidden[0]) + F.mse_loss(second, hidden[1]))
        return errors - (targets * torch.log_softmax(z @ self.theta.T, -1)).sum(-1).mean()


def plain_gmvae() -> nn.Module:
    """GMVAE's recogniser and generator with torch alone."""
    down = [(1, 16, 6, 1, 0), (16, 32, 6, 1, 0), (32, 64, 4, 2, 1), (64, 500, 9, 1, 0)]
    layers: list[nn.Module] = [nn.Unflatten(1, (1, 28, 28))]
    for a, b, *rest in down:
        layers += [nn.Conv2d(a, b, *rest), nn.BatchNorm2d(b), nn.ReLU()]
    layers += [nn.Flatten(), nn.Linear(500, 200), nn.Linear(200, 500), nn.Unflatten(1, (500, 1, 1))]
    for a, b, *rest in reversed(down):
        layers += [nn.ConvTranspose2d(b, a, *rest), nn.BatchNorm2d(a), nn.ReLU()]
    return nn.Sequential(*layers[:-2], nn.Flatten())


def our_gmvae() -> nn.Module:
    """The same from our pieces."""
    generator, layers = Streams(0).torch("weights"), recogniser_layers(SHAPE)
    encoder = conv_encoder(SHAPE, layers, generator, batch_norm=True)
    decoder = conv_decoder(SHAPE, layers, generator, batch_norm=True)
    return nn.Sequential(encoder, linear(500, 200, generator), linear(200, 500, generator), decoder)


def our_depict() -> DEPICTModule:
    """DEPICT's module as its estimator builds it."""
    ladder = conv_ladder(SHAPE, strided_layers(SHAPE), CLUSTERS, Streams(0).torch("weights"))
    return DEPICTModule(ladder, HEADS["softmax"](CLUSTERS, CLUSTERS), BATCH)


def stepper(module: nn.Module, loss: Callable[[], Tensor], precision: str | None) -> Step:
    """Return a function of a few steps; `precision` None is torch's plain Adam in fp32."""
    training = Training(precision=precision or "fp32")
    params = list(module.parameters())
    optimizer = torch.optim.Adam(params, 1e-4) if precision is None else training.build_optimizer(params, 1e-4)
    dtype = training.autocast_dtype(module, CPU)

    def steps() -> None:
        for _ in range(STEPS):
            with torch.autocast("cpu", dtype) if dtype else contextlib.nullcontext():
                value = loss()
            value.backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    return steps


def depict_variants(x: Tensor) -> dict[str, Step]:
    """Plain torch, ours in fp32, and our default."""
    targets = torch.softmax(torch.randn(BATCH, CLUSTERS), -1)
    plain = PlainDEPICT()
    found = {"plain fp32": stepper(plain, partial(plain.loss, x, targets), None)}
    for name, precision in (("ours fp32", "fp32"), ("ours default", "auto")):
        module = our_depict()
        module.targets = targets
        terms = partial(module.terms, Batch(x, torch.arange(BATCH)), Path(0.1, Streams(0).torch("dropout"), 0.1), True)

        def loss(terms=terms) -> Tensor:
            return torch.stack([term.value * term.weight for term in terms().values()]).sum()

        found[name] = stepper(module, loss, precision)
    return found


def gmvae_variants(x: Tensor) -> dict[str, Step]:
    """The same three."""
    found = {}
    for name, module, precision in (
        ("plain fp32", plain_gmvae(), None),
        ("ours fp32", our_gmvae(), "fp32"),
        ("ours default", our_gmvae(), "auto"),
    ):
        found[name] = stepper(module, lambda module=module: (module(x).float() - x).square().mean(), precision)
    return found


def main(rounds: int = 7) -> None:
    """Print and record milliseconds per step and the ratios, for one and two threads."""
    record = {"machine": machine(), "batch": BATCH, "rounds": rounds, "runs": []}
    x = torch.rand(BATCH, 784, generator=Streams(0).torch("images"))
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for net, variants in (("DEPICT", depict_variants(x)), ("GMVAE", gmvae_variants(x))):
            seconds = interleave(variants, rounds)
            row = {"net": net, "threads": threads}
            row["milliseconds"] = {k: round(1e3 * statistics.median(v) / STEPS, 1) for k, v in seconds.items()}
            row["times_plain"] = {k: round(v, 3) for k, v in ratios(seconds, "plain fp32").items()}
            record["runs"].append(row)
            print(f"{net} {threads} thread(s): {row['milliseconds']} ms/step; faster {row['times_plain']}")
    write("conv_step", record)
