"""GMVAE, both versions (2016, 2017): Table 1, accuracy on the test images of MNIST by the exemplar protocol, the arcs
of Figures 2 and 3, the samples of Figure 5, and the house numbers, which the papers show as pictures. Rows named
``dense``, ``long`` and ``brief`` are small versions of the table for two cores; ``long`` has the papers' epochs, and so
their numbers stand beside it too.
"""

from __future__ import annotations

from . import arcs, galleries, gmvae, samples, svhn
from .spec import Claim, Experiment, Row

__all__ = ["EXPERIMENTS"]

PAPER = "dilokthanakul2016"

NUMBERS = {
    # (version, K, M): mean and standard deviation over runs, best run; percent
    ("gmvae-cv", 10, 1): (74.47, 10.20, 87.71),
    ("gmvae-cv", 10, 10): (86.94, 6.62, 93.67),
    ("gmvae-cv", 16, 1): (84.80, 3.11, 88.36),
    ("gmvae-cv", 16, 10): (90.24, 5.74, 97.50),
    ("gmvae", 10, 1): (77.78, 5.75, 87.31),
    ("gmvae", 10, 10): (82.31, 3.75, 88.54),
    ("gmvae", 16, 1): (85.09, 1.99, 89.01),
    ("gmvae", 16, 10): (87.82, 5.33, 96.92),
    ("gmvae", 30, 1): (92.77, 1.60, 95.84),
    ("gmvae", 30, 10): (89.27, 2.50, 93.22),
}
"""Consistency violation (``gmvae-cv``, first version) and minimum information (``gmvae``, second)."""

QUOTED = {"catgan-k20": (90.30, None), "aae-k16": (90.45, 2.05), "aae-k30": (95.90, 1.13), "dec-k10": (84.30, None)}
"""Of other papers; DEC's by one-to-one matching on all 70,000 images."""


def _name(version: str, k: int, m: int) -> str:
    return f"mnist/{version}-k{k}-m{m}"


def _claim(row: str, mean: float, sd: float | None, note: str, quoted: bool = False) -> Claim:
    protocol = "all 70,000 images, one-to-one matching" if row == "mnist/dec-k10" else None
    spread = None if sd is None else round(sd / 100, 4)
    value = round(mean / 100, 4)
    return Claim(PAPER, "table1", row, "exemplar_accuracy", value, spread, note, protocol, quoted)


TABLE_1 = Experiment(
    id="dilokthanakul2016/table1",
    title="GMVAE: exemplar accuracy",
    source="Dilokthanakul et al. (2016 and 2017), Table 1",
    metrics=("exemplar_accuracy", "accuracy", "purity", "nmi", "objective"),
    rows=(
        *gmvae.null_rows(),
        *gmvae.rows(),
        *gmvae.rows(network="brief"),
        *gmvae.rows(network="long"),
        *gmvae.rows(network="dense"),
        *gmvae.rows(network="dense", variant="+free"),
        *gmvae.rows(network="dense", variant="+graph"),
        *(row for network in ("dense", "brief") for row in gmvae.rows(network=network, variant="+shares")),
        *(Row(f"mnist/{name}", protocol=gmvae.PROTOCOL) for name in QUOTED),
    ),
    claims=(
        *(
            _claim(_name(*cell) + net, mean, sd, f"best run by test labels {best / 100:.4f}; number of runs unstated")
            for net in ("", "-long")
            for cell, (mean, sd, best) in NUMBERS.items()
        ),
        *(_claim(f"mnist/{name}", mean, sd, "quoted", True) for name, (mean, sd) in QUOTED.items()),
    ),
)

FIGURE_5 = Experiment(
    id="dilokthanakul2016/figure5",
    title="GMVAE: samples of each component, and of each style",
    source="Dilokthanakul et al. (2017), Figure 5 (Figure 3 of the first version); pictures of MNIST, no numbers",
    metrics=("one_class", "classes", "judge_error"),
    rows=tuple(
        Row(
            f"{data}/{version}",
            galleries.run_styles,
            samples.load_gallery,
            f"K = 10, {epochs} epochs",
            (),
            "dense network, codes and w of 10 numbers, batches of 256, Adam at 1e-3, free bits and warm-up by default",
            cost,
        )
        for (data, epochs), cost in zip(galleries.GMVAE_EPOCHS.items(), (300.0, 120.0, 40.0))
        for version in ("gmvae", "gmvae-cv")
    ),
    seeds=1,
    always=3,
)

EXPERIMENTS = (TABLE_1, arcs.ARCS, FIGURE_5, svhn.SVHN)
