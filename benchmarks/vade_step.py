"""VaDE's training step beside ClustPy 0.0.3's: same layers (784-500-500-2000-10), batch size, optimiser, precision.

One epoch over 5,120 rows is timed. ClustPy differs in what it computes, not in its matrix products: LeakyReLU for ReLU,
its own responsibilities and loss scale.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from importlib.abc import Loader as Loader_
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from itertools import pairwise
from types import ModuleType

import numpy as np
import torch

from steinmix import Training
from steinmix.data import as_source
from steinmix.estimator.preparation import Preparation
from steinmix.methods.vade import VaDEModule
from steinmix.nn import Bernoulli
from steinmix.numerics.precision import onednn_products
from steinmix.objective import Objective, Phase
from steinmix.random import Streams
from steinmix.training import Loader, run

from .harness import interleave, machine, ratios, write

ROWS, FEATURES, HIDDEN, LATENT, CLUSTERS = 5120, 784, (500, 500, 2000), 10, 10


def images() -> np.ndarray:
    """Return uint8 rows, three quarters of them zero, as digits are."""
    rng = Streams(0).numpy("images")
    return np.where(rng.random((ROWS, FEATURES)) < 0.75, 0, rng.integers(1, 256, (ROWS, FEATURES))).astype(np.uint8)


def ours(x: np.ndarray, batch: int, precision: str):
    """Return a function that runs one epoch of our loop."""
    from functools import partial

    from steinmix.data.prepare import Scaling

    streams = Streams(0)
    coder = {"n_features": FEATURES, "n_latent": LATENT, "hidden": HIDDEN, "likelihood": Bernoulli()}
    module = VaDEModule(CLUSTERS, ROWS, **coder, generator=streams.torch("weights"))
    module.mixture.set_moments_(torch.randn(CLUSTERS, LATENT), torch.ones(CLUSTERS, LATENT))
    training = Training(batch_size=batch, precision=precision)
    preparation = Preparation(Scaling(np.zeros(FEATURES), np.full(FEATURES, 255.0)))
    loader = Loader(as_source(x), preparation, batch, torch.device("cpu"), streams)
    objective = Objective(partial(module.terms, streams=streams), list(module.parameters()))
    phases = [Phase("mixture", 1, [objective], after_step=module.mixture.project_)]
    return lambda: run(module, phases, loader, training, streams, lr=1e-3)


def products(batch: int) -> Callable[[], None]:
    """Return a function that does the matrix products of an epoch in fp32 and nothing else: no step can be faster."""
    widths = (FEATURES, *HIDDEN, LATENT)
    layers = [*pairwise(widths), (HIDDEN[-1], LATENT), *pairwise(reversed(widths))]
    made = [(torch.randn(batch, a), torch.randn(b, a), torch.randn(batch, b)) for a, b in layers]

    def go() -> None:
        with torch.no_grad(), onednn_products():
            for _ in range(ROWS // batch):
                for number, (x, weight, gradient) in enumerate(made):
                    x @ weight.T, gradient.T @ x
                    if number:  # the rows themselves get no gradient
                        gradient @ weight

    return go


class Torchvision(Loader_, MetaPathFinder):
    """Stands in for torchvision, which ClustPy imports and its VaDE does not use: any name is an empty class."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.split(".")[0] == "torchvision" else None

    def exec_module(self, module: ModuleType) -> None:
        module.__getattr__ = _empty_class  # type: ignore[method-assign]


def _empty_class(name: str) -> type:
    if name.startswith("__"):
        raise AttributeError(name)
    return type(name, (), {})


def clustpy(x: np.ndarray, batch: int):
    """Return a function that runs one epoch of ClustPy's own training loop."""
    sys.meta_path.append(Torchvision())
    from clustpy.deep import get_dataloader
    from clustpy.deep.vade import _VaDE_Module, _VaDE_VAE

    torch.manual_seed(0)
    network = _VaDE_VAE([FEATURES, *HIDDEN, LATENT], decoder_output_fn=torch.nn.Sigmoid)
    network.fitted = True
    module = _VaDE_Module(CLUSTERS, LATENT, means=np.random.default_rng(0).normal(size=(CLUSTERS, LATENT)).astype("f4"))
    loader = get_dataloader(x.astype(np.float32) / 255, batch, shuffle=True)
    optimizer = torch.optim.Adam([*network.parameters(), *module.parameters()], lr=1e-3)
    loss, device = torch.nn.BCELoss(reduction="sum"), torch.device("cpu")
    return lambda: module.fit(network, None, loader, 1, device, optimizer, loss, 1.0, 1.0)


def main(rounds: int = 5) -> None:
    """Print and record seconds per epoch of 70,000 rows and the ratios."""
    x, record = images(), {"machine": machine(), "rows": ROWS, "rounds": rounds, "runs": []}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        for batch in (256, 1024):
            variants = {"clustpy": clustpy(x, batch), "fp32": ours(x, batch, "fp32"), "bf16": ours(x, batch, "bf16")}
            seconds = interleave(variants | {"products": products(batch)}, rounds)
            faster = ratios({name: seconds[name] for name in variants}, "clustpy")
            per_epoch = {k: round(statistics.median(v) * 70_000 / ROWS, 2) for k, v in seconds.items()}
            row = {"threads": threads, "batch": batch, "seconds_per_70000": per_epoch}
            row["times_clustpy"] = {k: round(v, 3) for k, v in faster.items()}
            row["fp32_of_products"] = round(1 / ratios(seconds, "fp32")["products"], 3)
            record["runs"].append(row)
            print(
                f"VaDE {threads} thread(s), batch {batch}: {per_epoch} s/epoch; faster {row['times_clustpy']}; "
                f"products are {row['fp32_of_products']:.0%} of fp32"
            )
    write("vade_step", record)
