"""Arcs of five circles (Dilokthanakul et al., 2016 and 2017; Figures 2 and 3): when do eight components merge, and what
keeps them apart?

``python -m steinmix.experiments.arcs --seeds 0-4`` runs what is missing of `ROWS` and appends one line each to
``results/dilokthanakul2016-arcs.jsonl``, as ``steinmix reproduce dilokthanakul2016/arcs`` does; `steinmix.report.arcs`
draws latent spaces from those lines. Labels are read when a run is over, to judge it.

Deviations from the papers: 5,000 points, as in their file, Adam at 1e-3 for 1e-4, `EPOCHS` epochs for 500. Networks,
batches of 200 and the two-dimensional x and w are theirs.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from ..data.datasets import load_arcs
from ..diversify import NSVGD, RBF, FunctionSpace, NormalPrior, Wasserstein
from ..errors import CollapseWarning
from ..methods import GMVAE, GMVAECV
from ..metrics import clustering_scores, diagnose
from ..training import Training
from .arguments import command
from .gmvae import PAPER
from .records import as_typed
from .runner import complete, missing
from .spec import Curve, Experiment, Row

__all__ = ["ARCS", "EPOCHS", "ROWS", "load", "main", "run"]

N_CLUSTERS = 8
EPOCHS = 60
FREE_BITS = 1.8
"""Of log 8 = 2.08 nats."""
SHOWN = 500
"""Codes kept in a record, for its picture."""

FREE = {"free_bits": FREE_BITS}
SHARES = {"cluster_prior": "shares"}
WARM = {"warm_up": EPOCHS // 2}
ON_WEIGHTS = FunctionSpace(Wasserstein(RBF(), family="unit"), values=torch.Tensor.clone, linear=True)
"""The plain kernel, on heads as bare numbers."""
STEIN = {"diversifier": NSVGD(alpha=1.0, prior=NormalPrior(0.0, 3.0))}
WEAK_STEIN = {"diversifier": NSVGD(alpha=0.1, kernel=RBF("median_log"), prior=NormalPrior(0.0, 3.0))}
STEIN_ON_WEIGHTS = {"diversifier": NSVGD(alpha=10.0, kernel=ON_WEIGHTS, prior=NormalPrior(0.0, 1.0))}


def _cv(eta: float, alpha: float) -> dict[str, Any]:
    return PAPER | {"eta": eta, "consistency": alpha}


ROWS: Mapping[str, tuple[type, dict[str, Any]]] = {
    "gmvae-cv-1-0": (GMVAECV, _cv(1.0, 0.0)),
    "gmvae-cv-0-0": (GMVAECV, _cv(0.0, 0.0)),
    "gmvae-cv-0-1": (GMVAECV, _cv(0.0, 1.0)),
    "gmvae-cv-1-2": (GMVAECV, _cv(1.0, 2.0)),
    "gmvae-cv-1-2+warm-up": (GMVAECV, _cv(1.0, 2.0) | WARM),
    "gmvae-cv-1-0+warm-up": (GMVAECV, _cv(1.0, 0.0) | WARM),
    "gmvae-cv-1-0+free-bits": (GMVAECV, _cv(1.0, 0.0) | FREE),
    "gmvae-cv-1-0+free-bits+warm-up": (GMVAECV, _cv(1.0, 0.0) | FREE | WARM),
    "gmvae-cv-1-0+shares": (GMVAECV, _cv(1.0, 0.0) | SHARES),
    "gmvae-cv-1-2+shares": (GMVAECV, _cv(1.0, 2.0) | SHARES),
    "gmvae-cv-1-2+shares+warm-up": (GMVAECV, _cv(1.0, 2.0) | SHARES | {"warm_up": EPOCHS}),
    "gmvae-cv-1-0+nsvgd": (GMVAECV, _cv(1.0, 0.0) | STEIN),
    "gmvae-cv-1-0+nsvgd-weights": (GMVAECV, _cv(1.0, 0.0) | STEIN_ON_WEIGHTS),
    "gmvae": (GMVAE, PAPER),
    "gmvae+warm-up": (GMVAE, PAPER | WARM),
    "gmvae+free-bits": (GMVAE, PAPER | FREE),
    "gmvae+free-bits+warm-up": (GMVAE, PAPER | FREE | WARM),
    "gmvae+shares": (GMVAE, PAPER | SHARES),
    "gmvae+shares+warm-up": (GMVAE, PAPER | SHARES | WARM),
    "gmvae+nsvgd": (GMVAE, PAPER | STEIN),
    "gmvae+nsvgd+warm-up": (GMVAE, PAPER | WEAK_STEIN | WARM),
    "gmvae+nsvgd-weights": (GMVAE, PAPER | STEIN_ON_WEIGHTS),
}
"""Name -> estimator and settings; the numbers of the first version are eta and alpha."""


class Points(NamedTuple):
    """Rows, and the arcs they come from, which only `run` reads, after training."""

    rows: np.ndarray
    arcs: np.ndarray


def load(name: str = "arcs", n_samples: int = 5000) -> Points:
    """Return the points; they are the same for all seeds."""
    return Points(*load_arcs(n_samples=n_samples, return_X_y=True))


def run(row: str, seed: int, data: Points, epochs: int = EPOCHS) -> dict[str, Any]:
    """Train and judge one row."""
    kind, settings = ROWS[row.partition("/")[2]]
    common = {"latent_dim": 2, "w_dim": 2, "hidden": (120, 120), "likelihood": "learnt_gaussian"}
    training = Training(epochs=epochs, batch_size=200, lr=1e-3)
    model = kind(N_CLUSTERS, scaling="none", training=training, random_state=seed, **common, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CollapseWarning)  # it is what is measured
        model.fit(data.rows)
    found = _judged(model, data) | {"z_prior_by_epoch": [round(r["z_information"], 4) for r in model.history_]}
    told = {"estimator": as_typed(model)}
    return found | {"settings": told | ({"picture": _picture(model, data)} if seed == 0 else {})}


def _judged(model: Any, data: Points) -> dict[str, Any]:
    """Return what can be said without labels, of the assignment and of the mixture alone, and then with them."""
    said, mixed = diagnose(model.predict_proba(data.rows)), diagnose(_mixture_proba(model, data.rows))
    hard = np.asarray(said["hard_occupancy"])
    scores = clustering_scores(data.arcs, model.labels_)
    return {
        "effective_components": said["effective_components"],
        "distinct_components": said["distinct_components"],
        "mixture_effective_components": mixed["effective_components"],
        "mixture_distinct_components": mixed["distinct_components"],
        "ambiguity": said["ambiguity"],
        "mixture_ambiguity": mixed["ambiguity"],
        "used_components": int((hard > 0.01).sum()),
        "largest_share": float(hard.max()),
        "objective": model.score(data.rows),
    } | {name: scores[name] for name in ("accuracy", "purity", "ari", "nmi")}


def _mixture_proba(model: Any, rows: np.ndarray) -> np.ndarray:
    """Return p(z | x, w) at the means; the first version assigns by a network of its own."""
    module = model.module_
    with torch.inference_mode():
        return torch.softmax(module.mixture.joint_log_prob(module.embed(torch.from_numpy(rows))), -1).numpy()


def _picture(model: Any, data: Points) -> dict[str, Any]:
    rows = data.rows[:SHOWN]
    return {
        "codes": model.transform(rows).round(3).tolist(),
        "labels": model.predict(rows).tolist(),
        "means": model.means_.round(3).tolist(),
        "variances": model.covariances_.diagonal(axis1=1, axis2=2).round(4).tolist(),
    }


ARCS = Experiment(
    id="dilokthanakul2016/arcs",
    title="Arcs: merging components",
    source="Dilokthanakul et al. (2016 and 2017), Figures 2 and 3 (without numbers)",
    metrics=("mixture_distinct_components", "distinct_components", "effective_components", "ambiguity", "purity"),
    rows=tuple(Row(f"arcs/{name}", run, load, f"K = {N_CLUSTERS}, {EPOCHS} epochs", cost=8.0) for name in ROWS),
    curves=(Curve("z_prior_by_epoch", "z-prior term, nats"),),
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the rows and seeds that are asked for and not yet in the records."""
    parser = command("arcs")
    parser.add_argument("--row", action="append", choices=ROWS, help="a row; all if left out; may be repeated")
    options = parser.parse_args(arguments)
    rows = [ARCS.row(f"arcs/{name}") for name in options.row or ROWS]
    complete(ARCS, missing(ARCS, rows, options.seeds, options.results), options.results, options.jobs)


if __name__ == "__main__":
    main()
