"""``steinmix demo``: the main job on real data that need no network, beside what comes for free.

Five seeds, each with its own start and pretraining; no seed is dropped. Labels are used for scores only.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._machine import now, versions
from ..errors import ConfigError, UnboundedWarning
from ..numerics.partitions import graph_clusters
from ..random import Streams
from .outputs import check_target
from .parsing import Parser, add_common_options
from .records import Stopwatch, command_line, hardware_words, machine, write_record
from .show import print_json, print_pairs, print_rows, size

__all__ = ["run"]

DATA = "digits"
N_CLUSTERS = 10
VADE: dict[str, Any] = {"hidden": (128, 64), "anchor_epochs": 40}
PRETRAINING = {"epochs": 40}
TRAINING = {"epochs": 15, "lr": 3e-3}
"""Settings of VaDE in both of its rows, where they are not its defaults: a third of their steps, to end in a minute."""

WORKERS = 2
"""Seeds that run at a time, each in a process of its own with its share of the cores."""

NSVGD: dict[str, Any] = {"alpha": 0.5}
"""Settings of the diversifier."""

NOTE = "Labels were used for scoring only: neither training nor the choice of the reported model saw one."

_DESCRIPTION = """\
Cluster the handwritten digits that come with scikit-learn (1,797 rows, 64 columns, no download): k-means, a Gaussian
mixture, the graph start, VaDE without training, VaDE, and VaDE whose components NSVGD keeps apart. Prints a table over
the seeds and writes report.html, of the trained model with the largest bound (no labels needed), and demo.json."""


class Answer(NamedTuple):
    """What a contestant says of the rows.

    Attributes
    ----------
    labels : ndarray (n,)
    responsibilities : ndarray (n, m)
    model : estimator or None
        Only of those that may be reported.
    """

    labels: np.ndarray
    responsibilities: np.ndarray
    model: Any = None


def run(argv: Sequence[str]) -> None:
    """Do what the arguments say."""
    options = _parser().parse(argv)
    if options.seeds < 1:
        raise ConfigError(f"--seeds is {options.seeds}; expected at least 1.")
    folder = Path(options.output)
    check_target(folder, "demo.json")
    from ..data.datasets import load_digits
    from ..report.figures import require_for_report

    require_for_report("jinja2", "matplotlib")
    watch, created = Stopwatch(), now()
    digits = load_digits()
    with watch.stage("fit"):
        results, best = _contest(digits.data, digits.target, range(options.seeds), options.quiet)
    record = {
        "command": command_line("demo", argv),
        "created": created,
        "data": {"name": DATA, "shape": list(digits.data.shape)},
        "settings": _settings() | {"seeds": options.seeds},
        "labels": NOTE,
        "results": results,
        "summary": {name: _over_seeds(rows) for name, rows in results.items()},
        "reported": {key: value for key, value in best.items() if key != "model"},
        "versions": versions(),
    }
    _write(folder, digits, best, record, watch)
    _show(record, folder, options)


def _settings() -> dict[str, Any]:
    vade = VADE | {"pretraining": PRETRAINING, "training": TRAINING}
    return {"n_clusters": N_CLUSTERS, "vade": vade, "nsvgd": NSVGD}


def _contestants(x: np.ndarray) -> dict[str, Callable[[int], Answer]]:
    """Return what to run for a seed, by name."""
    from ..diversify import NSVGD as Diversifier
    from ..estimator import Pretraining
    from ..training import Training

    untrained = {"pretraining": Pretraining(epochs=0), "anchor_epochs": 0, "training": Training(epochs=0)}
    return {
        "k-means": lambda seed: _kmeans(x, seed),
        "Gaussian mixture": lambda seed: _gaussian_mixture(x, seed),
        "graph start alone": lambda seed: _graph(x, seed),
        "VaDE, untrained network": lambda seed: _vade(x, seed, **untrained)._replace(model=None),
        "VaDE": lambda seed: _vade(x, seed),
        "VaDE + NSVGD": lambda seed: _vade(x, seed, diversifier=Diversifier(**NSVGD)),
    }


def _kmeans(x: np.ndarray, seed: int) -> Answer:
    from sklearn.cluster import KMeans

    return _hard(KMeans(N_CLUSTERS, n_init=10, random_state=seed).fit_predict(x))


def _gaussian_mixture(x: np.ndarray, seed: int) -> Answer:
    from sklearn.mixture import GaussianMixture

    from ..report.tables import SMALLEST_VARIANCE

    x = x / x.max()  # as on the report page: on raw grey values EM shrinks to pixels that hardly vary, and is far worse
    mixture = GaussianMixture(N_CLUSTERS, covariance_type="diag", reg_covar=SMALLEST_VARIANCE, random_state=seed).fit(x)
    return Answer(mixture.predict(x), mixture.predict_proba(x))


def _graph(x: np.ndarray, seed: int) -> Answer:
    return _hard(graph_clusters(x, N_CLUSTERS, Streams(seed)).labels)


def _vade(x: np.ndarray, seed: int, **settings: Any) -> Answer:
    from ..estimator import Pretraining
    from ..methods import VaDE
    from ..training import Training

    chosen = {"training": Training(**TRAINING), "pretraining": Pretraining(**PRETRAINING), **VADE, **settings}
    chosen["training"].progress = False
    model = VaDE(N_CLUSTERS, collapse="ignore", random_state=seed, **chosen).fit(x)
    return Answer(model.labels_, model.predict_proba(x), model)


def _hard(labels: np.ndarray) -> Answer:
    return Answer(labels, np.eye(N_CLUSTERS)[labels])


def _contest(
    x: np.ndarray, target: np.ndarray, seeds: Sequence[int], quiet: bool
) -> tuple[dict[str, list[dict[str, Any]]], dict[str, Any]]:
    """Return the numbers of every contestant and seed, and the trained model with the largest bound."""
    from joblib import Parallel, delayed
    from tqdm import tqdm

    contestants = _contestants(x)
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in contestants}
    best: dict[str, Any] = {"mean_bound": -np.inf}
    jobs = (delayed(_run_seed)(contestants, x, target, seed) for seed in seeds)
    found = Parallel(n_jobs=min(WORKERS, len(seeds)), return_as="generator")(jobs)
    for numbers, own_best in tqdm(found, total=len(seeds), unit="seed", disable=True if quiet else None, leave=False):
        for name, row in numbers.items():
            results[name].append(row)
        best = max(best, own_best, key=lambda candidate: candidate["mean_bound"])
    return results, best


def _run_seed(
    contestants: Mapping[str, Callable[[int], Answer]], x: np.ndarray, target: np.ndarray, seed: int
) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Return the numbers of every contestant for one seed, and its trained model with the largest bound."""
    results: dict[str, dict[str, Any]] = {}
    best: dict[str, Any] = {"mean_bound": -np.inf}
    for name, answer in contestants.items():
        started = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnboundedWarning)  # the table shows what the warning warns of
            found = answer(seed)
        results[name] = {"seed": seed, "seconds": round(time.perf_counter() - started, 3)} | _judged(target, found)
        if found.model is not None:
            bound = results[name]["mean_bound"] = found.model.score(x)
            own = {"name": name, "seed": seed, "mean_bound": bound, "model": found.model}
            best = max(best, own, key=lambda candidate: candidate["mean_bound"])
    return results, best


def _judged(target: np.ndarray, answer: Answer) -> dict[str, float]:
    from ..metrics import clustering_scores, effective_components

    scores = clustering_scores(target, answer.labels)
    kept = {key: scores[key] for key in ("accuracy", "nmi", "nmi_arithmetic", "ari", "purity")}
    return kept | {"effective_components": effective_components(answer.responsibilities)}


def _over_seeds(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    accuracy = np.array([row["accuracy"] for row in rows])
    return {
        "accuracy_mean": float(accuracy.mean()),
        "accuracy_sd": float(accuracy.std(ddof=1)) if len(rows) > 1 else None,
        "accuracy_min": float(accuracy.min()),
        "nmi_mean": float(np.mean([row["nmi"] for row in rows])),
        "effective_components_mean": float(np.mean([row["effective_components"] for row in rows])),
        "seconds_mean": float(np.mean([row["seconds"] for row in rows])),
    }


def _write(folder: Path, digits: Any, best: Mapping[str, Any], record: dict[str, Any], watch: Stopwatch) -> None:
    """Write the page, then the record; a folder made for them does not outlive a failure."""
    from ..report import write_report

    made = not folder.exists()
    folder.mkdir(exist_ok=True)
    try:
        page = {
            "title": f"{best['name']} on {DATA}, seed {best['seed']}",
            "command": record["command"],
            "data": f"{DATA}, embedded in scikit-learn",
            "created": record["created"],
            "seed": best["seed"],
            "wall_s": watch.seconds["fit"],
            "hardware": hardware_words(machine()),
            "versions": record["versions"],
        }
        with watch.stage("report"):
            write_report(best["model"], digits.data, page, folder / "report.html", labels=digits.target)
        record |= {"wall_seconds": watch.seconds, "machine": machine()}
        write_record(folder / "demo.json", record)
    except BaseException:
        if made:
            (folder / "report.html").unlink(missing_ok=True)
            folder.rmdir()
        raise


def _show(record: Mapping[str, Any], folder: Path, options: argparse.Namespace) -> None:
    if options.json:
        print_json(record)
        return
    if options.quiet:
        return
    head = ["method", "accuracy", "sd", "min", "NMI", "effective components", "seconds"]
    keys = ["accuracy_mean", "accuracy_sd", "accuracy_min", "nmi_mean", "effective_components_mean", "seconds_mean"]
    print_pairs({"data": f"{DATA}, {size(record['data']['shape'])}", "seeds": record["settings"]["seeds"]})
    print_rows([head, *([name, *(found[key] for key in keys)] for name, found in record["summary"].items())])
    reported = record["reported"]
    print(f"\n{NOTE}")
    print(f"{folder / 'report.html'}: {reported['name']}, seed {reported['seed']}, the largest bound (label-free).")
    print(f"{folder / 'demo.json'}: every number of every seed.")


def _parser() -> Parser:
    parser = Parser("demo", _DESCRIPTION)
    parser.add_argument("-o", "--output", default="demo", metavar="FOLDER", help="folder to write (default: demo)")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="number of seeds (default: 5)")
    add_common_options(parser)
    return parser
