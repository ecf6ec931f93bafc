"""Nonlinear SVGD (ICML 2019): Table 1, clustering of MNIST; Table 2, anomalies in KDDCUP99; the toy study's figures;
Figure 3, maps of codes.

The runners are `clustering`, `depict`, `kdd` and `toy`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from . import clustering, depict, detectors, kdd, toy
from .records import RunRecord
from .spec import Claim, Experiment, Row, Study, Sweep

__all__ = ["EXPERIMENTS"]

PAPER = "wang2019"
EQUAL = "equals the number of the DEPICT paper"
TENS = "mean of 10 runs from one pretrained autoencoder"
TWENTIES = "mean of 20 splits from one stored start"
QUOTED_Z = "quoted; protocol Z of the DAGMM paper"
BY_DEPICT = "quoted by way of the DEPICT paper"
IMAGES = "all 70,000 images"


TABLE_1_NUMBERS = {
    # row: (NMI, accuracy, how)
    "k-means": (0.500, 0.534, EQUAL),
    "ae+k-means": (0.805, 0.899, "the authors' run on their DEPICT autoencoder"),
    "dec": (0.816, 0.844, BY_DEPICT),
    "jule": (0.913, 0.964, BY_DEPICT),
    "depict": (0.917, 0.965, EQUAL),
    "gaussian+stein-paper-sign": (0.933, 0.974, TENS),
    "code-released-sign": (0.933, 0.974, TENS),
}
"""Table 1. Spreads are given nowhere. The last two are one line of the paper: what it says, and what its code does."""

DEPICT_ROWS = {
    "ae+k-means": "DEPICT's autoencoder, each seed's own",
    "ae+graph": "not in the paper; graph start on the same codes",
    "depict": "graph start, its labels smoothed at equal shares, anchor phase",
    "depict+stein-median_log": "as depict, NSVGD on the rows of the softmax head: alpha = 0.5, the narrower bandwidth",
    "depict-k-means-start": "anchor phase",
    "gaussian": "as depict with a Gaussian head instead of softmax, no Stein step",
    "gaussian+stein-alpha-0": "the kernel smooths gradients over components, no repulsion",
    "gaussian+stein-paper-sign": "F = -R, the paper's sign, alpha = 0.5",
    "gaussian+stein-alpha-5": "the paper's sign, ten times the strength",
    "gaussian+stein-annealed": "the paper's sign, alpha = 0.5 that fades until half of the epochs, then none",
    "gaussian+stein-median_log": "the paper's sign, alpha = 0.5, a bandwidth that is half as wide",
    "gaussian+stein-annealed-median_log": "both",
    "gaussian+pairwise": "as much repulsion, by a penalty: gradients are not smoothed over components",
    "gaussian+stein-released-form": "F = -R, the paper's sign, bandwidth and division by kernel mass as released",
    "gaussian+stein-released-sign": "the same with the released sign, which attracts",
    "code-no-stein-step": "the released code's start and head",
    "code-T-0": "likelihood force, T = 0",
    "code-paper-sign": "likelihood force, T = 0.5, the paper's sign",
    "code-released-sign": "likelihood force, T = 0.5, the released sign, which attracts",
}
DEC_AE = "not in the paper; autoencoder of DEC, pretrained as in its Keras port, 100 epochs for 300"
BUDGETS = {
    "mnist": "20 + 12 epochs with a label-free stop for the paper's 1,000 + 400",
    "digits": "200 + 120 epochs with a label-free stop",
}


def _table_1_rows() -> list[Row]:
    found = []
    for data, seen, cost in (("mnist", IMAGES, 400.0), ("digits", "all 1,797 images", 15.0)):
        ours = {"k-means": "best of 20 starts", "dense-ae+k-means": "not in the paper; dense autoencoder, 10 numbers"}
        ours |= {"dec-ae+k-means": DEC_AE} if data == "mnist" else {}
        null = f"{data}/k-means"
        for name, deviations in ours.items():
            beside = () if name == "k-means" else (null,)
            row = f"{data}/{name}"
            found.append(Row(row, clustering.run, clustering.load_task, seen, beside, deviations, cost))
        for name, deviations in DEPICT_ROWS.items():
            beside = (null,) if name.startswith("ae") else (null, f"{data}/ae+k-means")
            said, coder = f"{deviations}; {BUDGETS[data]}", f"{data}/autoencoder"
            row = f"{data}/{name}"
            found.append(Row(row, depict.run, clustering.load_task, seen, beside, said, 4 * cost, coder))
    return [*found, Row("mnist/dec", protocol=IMAGES), Row("mnist/jule", protocol=IMAGES)]


TABLE_1 = Experiment(
    id="wang2019/table1",
    title="DEPICT with and without NSVGD",
    source="Wang and Liu (2019), Table 1",
    metrics=("accuracy", "nmi", "nmi_arithmetic", "ari", "purity", "initial_accuracy"),
    rows=tuple(_table_1_rows()),
    claims=tuple(
        Claim(PAPER, "table1", f"mnist/{name}", metric, value, note=how, quoted=how == BY_DEPICT)
        for name, (nmi, accuracy, how) in TABLE_1_NUMBERS.items()
        for metric, value in (("accuracy", accuracy), ("nmi", nmi))
    ),
)

PROTOCOLS = {  # those that divide the rows alike side by side
    "Z": "Z: random half, top 20 % of test scores",
    "D": "D: as Z, distinct rows not trained on, true number flagged",
    "T": "T: half the attacks trains, top 20 % of train + test scores",
    "B-oracle": "B: as T, true number flagged (oracle)",
}

TABLE_2_NUMBERS = {
    # row: (precision, recall, F1, how)
    "Z/dsebm": (0.7369, 0.7477, 0.7423, QUOTED_Z),
    "Z/dcn": (0.7696, 0.7829, 0.7762, QUOTED_Z),
    "Z/dagmm-p": (0.7579, 0.7710, 0.7644, QUOTED_Z),
    "Z/dagmm-nvi": (0.9290, 0.9447, 0.9368, QUOTED_Z),
    "Z/dagmm": (0.9297, 0.9442, 0.9369, QUOTED_Z),
    "T/released-sign": (0.9659, 0.9490, 0.9573, TWENTIES),
    "T/nsvgd-0.5": (0.9659, 0.9490, 0.9573, TWENTIES),
}
"""Table 2. The last two are one line of the paper, judged in another way than those above it: what its code does, which
attracts, and what it says, with the strength that it names."""

HALVES = {"rows": ("Z", "D"), "normal": ("T", "B-oracle")}
"""Protocols that divide the rows alike, so that one training serves both."""

KDD_NULLS = tuple(detectors.NULLS)
KDD_ROWS = {  # in the paper's protocol and its like; ours in all
    "rows": ("dagmm", "dagmm-consensus", "dagmm-p", "dagmm-nvi", "ours", "ours+network"),
    "normal": ("free", "released-sign", "nsvgd-0.5", "ours"),
}
KDD_REPELLED = tuple(detectors.REPELLED)
KDD_ABLATION = {
    "rows": (
        *("dagmm-full", "dagmm-code-2", "untrained-code-2"),
        *("free", "released-sign", "nsvgd-0.5", *KDD_REPELLED),
        *("ours+joint", "ours+free", "ours+nsvgd"),
    ),
    "normal": (
        "dagmm",
        "free-full",
        "released-sign-full",
        "released-form-full",
        *(f"nsvgd-{alpha}" for alpha in ("0", "0.02", "0.2", "2")),
        *KDD_REPELLED,
        "ours+joint",
        "ours+free",
        "ours+nsvgd",
        "ours+network",
    ),
}


def _kdd_rows(names: Mapping[str, Sequence[str]], null_names: Sequence[str]) -> tuple[Row, ...]:
    """Return the rows of a table, null rows first; those that share a training stand side by side."""
    found = []
    for halves, protocols in HALVES.items():
        for name, protocol in product((*null_names, *names[halves]), protocols):
            nulls = () if name in KDD_NULLS else tuple(f"kdd/{protocol}/{null}" for null in null_names)
            cost = 20.0 if name in KDD_NULLS or name == "ours" else 100.0
            row, said = f"kdd/{protocol}/{name}", detectors.ROWS[name].what
            found.append(Row(row, kdd.run, kdd.load, PROTOCOLS[protocol], nulls, said, cost, f"{halves}/{name}"))
    return tuple(found)


TABLE_2 = Experiment(
    id="wang2019/table2",
    title="Anomalies in KDDCUP99",
    source="Wang and Liu (2019), Table 2",
    metrics=("f1", "auroc", "average_precision", "precision", "recall"),
    always=3,
    rows=(
        *_kdd_rows(KDD_ROWS, KDD_NULLS),
        *(Row(f"kdd/Z/{name}", protocol=PROTOCOLS["Z"]) for name in ("dsebm", "dcn")),
    ),
    claims=tuple(
        Claim(PAPER, "table2", f"kdd/{name}", metric, value, note=how, quoted=how == QUOTED_Z)
        for name, (precision, recall, f1, how) in TABLE_2_NUMBERS.items()
        for metric, value in (("f1", f1), ("precision", precision), ("recall", recall))
    ),
    seeds=20,
)

TABLE_2_ABLATION = Experiment(
    id="wang2019/table2-ablation",
    title="Anomalies in KDDCUP99: both signs, other strengths, the other protocols",
    source="not in the paper",
    metrics=TABLE_2.metrics,
    always=TABLE_2.always,
    rows=_kdd_rows(KDD_ABLATION, ("untrained", "mahalanobis")),
    seeds=20,
)

TOY_OPTIMIZERS = ("tf_adagrad", "tf_rmsprop")  # the paper's first
TOY_POINTS = (*((6, d) for d in (2.0, 3.0, 4.0, 5.0)), *((m, 4.0) for m in (3, 4, 5, 7, 8, 9, 10)))
TOY_DATA = "2,000 m rows, 20 trials"
TOY_FILE = "wang2019-toy.jsonl"
TOY_SECONDS = 17.0
"""Of a run for each of its components, on one core."""


def _toy_row(grid: str, m: int, delta: float, optimizer: str, method: str, rule: str) -> str:
    return f"toy/{grid}/m{m}-d{delta:g}/{optimizer}/{method}/{rule}"


TOY_RUNS = {
    _toy_row(grid, m, delta, optimizer, method, rule): (toy.Point(grid, m, delta), optimizer)
    for grid, (m, delta), optimizer, rule, method in product(
        toy.GRIDS, TOY_POINTS, TOY_OPTIMIZERS, toy.RULES, toy.METHODS
    )
}
"""Row -> the run that has it: all methods, strengths and trials of a point with an optimiser."""


def _toy_rows() -> list[Row]:
    found = []
    for name, (point, _) in TOY_RUNS.items():
        kept, _, rule = name.rsplit("/", 2)
        null = f"{kept}/gmm/{rule}"
        said = "alpha by the truth, as in the paper" if rule == "oracle" else "alpha by held-out rows"
        cost = TOY_SECONDS * point.m / (len(toy.METHODS) * len(toy.RULES) * toy.TRIALS)
        found.append(Row(name, None, None, TOY_DATA, () if name == null else (null,), said, cost))
    return found


def _run_toy(rows: Sequence[str], folder: Path, jobs: int, fresh: bool) -> None:
    """Run the points and optimisers that these rows are of, unless the records have them or all is to be run anew."""
    asked, path = list(dict.fromkeys(TOY_RUNS[row] for row in rows)), folder / TOY_FILE
    lacking = asked if fresh else toy.missing([point for point, _ in asked], path, toy.TRIALS, toy.STEPS)
    toy.complete([run for run in asked if run in lacking], path, jobs)


def _read_toy(folder: Path) -> list[RunRecord]:
    """Return one record for each trial, its alpha chosen by either rule among the study's records."""
    groups: dict[tuple[str, int, float, str, str], list[dict[str, Any]]] = {}
    for record in toy.read(folder / TOY_FILE):
        if (record["steps"], len(record["mode_error"])) == (toy.STEPS, toy.TRIALS):
            point = record["point"]
            where = (point["grid"], point["m"], point["delta"], record["optimizer"], record["method"])
            groups.setdefault(where, []).append(record)
    return [
        made
        for where, records in groups.items()
        for rule in toy.RULES
        for made in _toy_trials(_toy_row(*where, rule), toy.choose(records, rule), records[0])
    ]


def _toy_trials(row: str, chosen: dict[str, Any], record: dict[str, Any]) -> list[RunRecord]:
    made = {"versions": {"torch": record.get("torch", "")}, "hardware": "", "created": ""}
    return [
        RunRecord(
            "wang2019/figure2",
            row,
            TOY_DATA,
            trial,
            {"mode_error": float(error), "variance_ratio": float(ratio), "variance_error": abs(float(ratio) - 1)},
            **made,
        )
        for trial, (error, ratio) in enumerate(zip(chosen["mode_error"], chosen["variance_ratio"]))
    ]


def _toy_sweeps() -> list[Sweep]:
    """Figure 2: errors over the distance at m = 6, and over m at distance 4."""
    found = []
    axes = {"delta": TOY_POINTS[:4], "m": sorted([TOY_POINTS[2], *TOY_POINTS[4:]])}
    for grid, optimizer, rule, x in product(toy.GRIDS, TOY_OPTIMIZERS, toy.RULES, axes):
        lines = {
            method: tuple(
                (delta if x == "delta" else m, _toy_row(grid, m, delta, optimizer, method, rule))
                for m, delta in axes[x]
            )
            for method in toy.METHODS
        }
        ending = f"{x}-{grid}-{optimizer}-{rule}"
        found += [Sweep(f"{metric}-{ending}", metric, x, lines) for metric in ("mode_error", "variance_ratio")]
    return found


FIGURE_2 = Experiment(
    id="wang2019/figure2",
    title="Toy mixture: mode error and variance ratio",
    source="Wang and Liu (2019), Section 5.1, Figures 1 and 2 (curves without numbers)",
    metrics=("mode_error", "variance_error", "variance_ratio"),
    rows=tuple(_toy_rows()),
    seeds=20,
    sweeps=tuple(_toy_sweeps()),
    study=Study(_run_toy, _read_toy),
)

MAPPED = ("ae+k-means", "depict", "gaussian+stein-paper-sign")

FIGURE_3 = Experiment(
    id="wang2019/figure3",
    title="Maps of the codes of DEPICT with and without NSVGD",
    source="Wang and Liu (2019), Figure 3 (pictures on MNIST, by principal axes)",
    metrics=("accuracy", "nmi"),
    rows=tuple(
        replace(row, run=depict.run_map, nulls=()) for row in TABLE_1.rows if row.name.partition("/")[2] in MAPPED
    ),
    seeds=1,
    always=2,
)

EXPERIMENTS = (TABLE_1, TABLE_2, TABLE_2_ABLATION, FIGURE_2, FIGURE_3)
