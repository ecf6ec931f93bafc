"""``steinmix fit DATA``: rows in, a run folder out.

The order of things is the guarantee that labels cannot reach training: rows are opened without them, `train` is given
rows only, and `Data.labels` is called for the first time in `judge`, which is given a model that is fitted already.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .._files import new_folder
from .._machine import now, versions
from .._typing import Source
from ..data.sources import require
from ..errors import ConfigError, Terminated, unknown
from ..training import Training
from ..training.distributed import alone, is_main
from .inputs import Data, Request, check_varies, open_data
from .outputs import check_apart, check_target, lies_in, new_table
from .parsing import add_common_options, listed, normalised, refuse_repeated
from .predictions import Summary, has_clusters, is_detector, scores, write_predictions
from .records import (
    FILES,
    FORMAT,
    PREDICTIONS,
    RECORD,
    SCHEMA,
    Stopwatch,
    command_line,
    machine,
    page_record,
    request_record,
    write_record,
)
from .schema import Schema, method_names, read_config, taken
from .show import print_json, print_pairs, print_rows, size

__all__ = ["effective_words", "judge", "run", "train"]

DEFAULT_METHOD = "vade"

OUTPUT = "run"

_COLUMNS = ("labels", "no_labels", "exclude", "categories")
_OTHERS = ("output", "overwrite", "checkpoint", "resume", "no_report", "json", "quiet", "debug")
"""Options that say what the columns of DATA are, and all others that a configuration file may hold."""

_DESCRIPTION = """\
Fit a model to rows and write a run folder: model, predictions, record, report.
DATA is a .npy, .csv, .tsv, .csv.gz, .parquet or .arrow file, a folder of .parquet or of .arrow files, or the name of
a published data set (digits, mnist, mnist:train, ...; `steinmix data list` names them). Options of --method are listed
below; hyphens and underscores are the same in their names. Options in --config FILE are overridden by those of the
command line."""


def run(argv: Sequence[str]) -> None:
    """Do what the arguments say."""
    schema, options = _parsed(argv)
    if options.print_config:
        held = {name: value for name in _COLUMNS + _OTHERS if (value := getattr(options, name))}
        given = {name: value for name, value in held.items() if (name, value) != ("output", OUTPUT)}
        print(schema.dump(options, {"method": options.method, "seed": options.seed, **given}), end="")
        return
    if options.data is None:
        raise ConfigError("got no DATA; expected a file or the name of a data set, such as digits.")
    if not is_main():
        _follow(schema, options)
        return
    folder = Path(options.output)
    _check_extras(options)
    check_target(folder, RECORD, FILES, options.overwrite)
    model, request = _asked(schema, options)
    _check_outside(folder, [*request.files, *([] if options.checkpoint is None else [options.checkpoint])])
    check_apart(folder, request.files)
    with _interruptible(options.checkpoint), new_folder(folder, hidden=False) as partial:
        record = _written(partial, model, request, options, command_line("fit", argv))
    _show(record, folder, options)


def _asked(schema: Schema, options: argparse.Namespace) -> tuple[Any, Request]:
    model = schema.method(**_arguments(schema, options), random_state=options.seed)
    exclude, categories = listed(options.exclude), listed(options.categories)
    return model, Request(options.data, options.labels, exclude, not options.no_labels, categories)


def _follow(schema: Schema, options: argparse.Namespace) -> None:
    """Train along with the first process of a distributed run, which does the rest and says what there is to say."""
    model, request = _asked(schema, options)
    with _interruptible(options.checkpoint), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(model, _opened(request).rows, options.checkpoint, options.resume)


def _parsed(argv: Sequence[str]) -> tuple[Schema, Any]:
    rest, files = taken(normalised(argv), "--config")
    settings = {name: value for file in files for name, value in read_config(file).items()}
    named = taken(rest, "--method")[1]
    method = named[-1] if named else str(settings.get("method", DEFAULT_METHOD))
    methods = method_names()
    if method not in methods:
        raise unknown("method", method, methods)
    schema = Schema(methods[method], "steinmix fit", _DESCRIPTION, _add_options)
    refuse_repeated(rest, ("--exclude", "--categories"))
    options = schema.parse(rest, settings)
    if options.no_labels and options.labels is not None:
        raise ConfigError(f"got --labels {options.labels} and --no_labels; leave one of them out.")
    return schema, options


def _add_options(parser: Any) -> None:
    text = str | None
    data = "file, folder of Parquet or Arrow files, or data set"
    parser.add_argument("data", nargs="?", type=text, help=data, metavar="DATA")
    parser.add_argument("--method", type=str, default=DEFAULT_METHOD, help=f"one of {', '.join(method_names())}")
    parser.add_argument("-o", "--output", type=str, default=OUTPUT, help="run folder to write", metavar="RUN")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier run")
    parser.add_argument("--config", type=text, help="YAML file of options", metavar="FILE")
    parser.add_argument("--print_config", action="store_true", help="print the options as such a file, and stop")
    labels = "column, or file (.npy, .csv, .parquet), of true classes; for scores only, training never sees them"
    parser.add_argument("--labels", type=text, help=labels, metavar="COLUMN|FILE")
    parser.add_argument("--no_labels", action="store_true", help="leave the targets of a published data set alone")
    columns = "columns to leave out, with commas between; a name with a comma in double quotes"
    parser.add_argument("--exclude", type=text, help=columns, metavar="COLUMNS")
    text_columns = "columns of text or codes; each of their values becomes a column of 0 and 1"
    parser.add_argument("--categories", type=text, help=text_columns, metavar="COLUMNS")
    parser.add_argument("--seed", type=int, default=0, help="the same seed gives the same bits")
    parser.add_argument("--checkpoint", type=text, help="folder for a checkpoint after every epoch", metavar="FOLDER")
    parser.add_argument("--resume", action="store_true", help="go on from the newest checkpoint there")
    parser.add_argument("--no_report", action="store_true", help="write no report.html and no null rows")
    add_common_options(parser)


def _check_extras(options: argparse.Namespace) -> None:
    """Miss a package now, not after training."""
    require("pyarrow.parquet", "writing the predictions of a run")
    if options.resume and options.checkpoint is None:
        raise ConfigError("--resume needs the --checkpoint folder to go on from.")
    if options.checkpoint is not None and (Path(options.checkpoint) / RECORD).exists():
        raise ConfigError(
            f"--checkpoint {options.checkpoint} is a run folder; expected one of its own for checkpoints."
        )
    if not options.no_report:
        from ..report import figures

        figures.require_for_report("jinja2", "matplotlib", remedy=", or say --no_report")


def _check_outside(folder: Path, others: Sequence[str | Path]) -> None:
    """Raise ConfigError if data, labels or checkpoints would be removed with the earlier run folder."""
    if inside := next((path for path in others if lies_in(path, folder)), None):
        text = f"lies in the run folder {folder}, which is replaced as a whole; choose a folder beside it."
        raise ConfigError(f"{inside} {text}")


def _arguments(schema: Schema, options: argparse.Namespace) -> dict[str, Any]:
    """Return the constructor's arguments; the training is always spelled out, so that --quiet changes nothing else."""
    arguments = schema.arguments(options)
    training = arguments["training"] or Training()
    if options.quiet:
        training.progress = False
    return arguments | {"training": training}


def _opened(request: Request) -> Data:
    data = open_data(request)
    check_varies(data.rows, request.data)
    return data


def _written(partial: Path, model: Any, request: Request, options: Any, command: str) -> dict[str, Any]:
    """Fill the run folder and return its record."""
    watch = Stopwatch()
    created = now()
    with watch.stage("open"):
        data = _opened(request)
    with watch.stage("fit"), _heard() as heard:
        train(model, data.rows, options.checkpoint, options.resume)
    with alone():
        known = _record(model, request, data, command, created, options.method) | {"warnings": heard}
        return _completed(partial, model, data, known, watch, options)


def _completed(
    partial: Path, model: Any, data: Data, known: dict[str, Any], watch: Stopwatch, options: Any
) -> dict[str, Any]:
    """Write what there is of a fitted model and return the whole record."""
    model.save(partial / "model")
    with watch.stage("predict"), new_table(partial / PREDICTIONS, data.rows.n_rows) as table:
        summary = write_predictions(model, data.rows, table, getattr(model, "initial_labels_", None))
    with watch.stage("score"):
        labels, metrics = judge(model, data, summary)
    known["data"] |= {"rows_sha256": summary.rows_sha256}
    record = known | {"metrics": metrics, "null_rows": None, "wall_seconds": watch.seconds}
    if not options.no_report:
        record["null_rows"] = _page(partial, model, data.rows, record, labels, watch)
    record["machine"] = machine(model.preparation_.device)
    write_record(partial / RECORD, record)
    return record


def train(model: Any, rows: Source, checkpoint: str | None, resume: bool) -> None:
    """Fit the model to rows. There is no argument by which labels could come in."""
    model.fit(rows, checkpoint=checkpoint, resume=resume)


def judge(model: Any, data: Data, summary: Summary) -> tuple[np.ndarray | None, dict[str, Any]]:
    """Return the labels, if there are any, and the metrics of a fitted model; it is not changed any more."""
    metrics = summary.metrics()
    if data.labels is None:
        return None, metrics
    if not (has_clusters(model) or is_detector(model)):
        told = f"{data.labels_from}, not scored: {type(model).__name__} has no clusters and flags no rows"
        return None, metrics | {"labels_from": told}
    labels = data.labels()
    metrics["labels_from"] = f"{data.labels_from}, for scoring only"
    if is_detector(model):
        return labels, metrics | _detection(model, data, labels)
    from ..metrics import clustering_scores

    metrics["with_labels"] = clustering_scores(labels, model.labels_)
    metrics["start_with_labels"] = clustering_scores(labels, model.initial_labels_)
    return labels, metrics


def _detection(model: Any, data: Data, labels: np.ndarray) -> dict[str, Any]:
    """Return how well known outliers are found, where the labels tell them."""
    from ..metrics import detection_scores, marks_outliers

    if not marks_outliers(labels):
        return {"labels_from": f"{data.labels_from}, not scored: for a detector, 1 is an outlier and 0 any other row"}
    score = np.concatenate([block for _, block in scores(model, data.rows)])
    return {"with_labels": detection_scores(labels, -score, threshold=-model.offset_)}


def _record(model: Any, request: Request, data: Data, command: str, created: str, method: str) -> dict[str, Any]:
    from ..estimator.persistence import plain_params

    diagnostics = getattr(model, "diagnostics_", [])
    return {
        "format": FORMAT,
        "schema": SCHEMA,
        "command": command,
        "created": created,
        "method": method,
        "class": type(model).__name__,
        "params": plain_params(model.get_params(deep=False), strict=False),
        "plan": plain_params(_plan(model), strict=False),
        "seed": model.seed_,
        "data": data.describe(),
        "request": request_record(request),
        "diagnostics": diagnostics[-1] if diagnostics else None,
        "machine": machine(model.preparation_.device),
        "versions": versions(),
    }


def _plan(model: Any) -> dict[str, Any]:
    """Return the plan with the lengths of phases that were given in their place."""
    epochs, pretraining = model.training.epochs, getattr(getattr(model, "pretraining", None), "epochs", None)
    given = {"epochs": epochs, "pretraining_epochs": epochs if pretraining is None else pretraining}
    return model.plan_ | {name: n for name, n in given.items() if n is not None and name in model.plan_}


def _page(
    partial: Path, model: Any, rows: Source, record: Mapping[str, Any], labels: np.ndarray | None, watch: Stopwatch
) -> list[dict[str, Any]]:
    """Write the report and return the null rows without their arrays."""
    from ..report import null_rows, write_report

    with watch.stage("null_rows"):
        found = null_rows(model, rows, labels=labels, random_state=0)
    with watch.stage("report"):
        write_report(model, rows, page_record(record), partial / "report.html", labels=labels, rows=found)
    return [{key: row[key] for key in ("name", "what", "scores")} for row in found]


@contextmanager
def _interruptible(checkpoint: str | None) -> Iterator[None]:
    """Let an interruption say how to go on, if there is a checkpoint to go on from."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as stop:
        kept = checkpoint is not None and any(Path(checkpoint).rglob("state.json"))
        if isinstance(stop, Terminated) or not kept:
            raise
        how = f"go on from the checkpoint in {checkpoint} by the same command with --resume"
        if isinstance(stop, KeyboardInterrupt):
            raise KeyboardInterrupt(f"interrupted; {how}") from None
        raise Terminated(f"terminated; {how}") from None


@contextmanager
def _heard() -> Iterator[list[str]]:
    """Note the warnings of training for the record; they are shown as well."""
    heard: list[str] = []
    show = warnings.showwarning

    def note(message: Any, *args: Any, **kwargs: Any) -> None:
        heard.append(str(message))
        show(message, *args, **kwargs)

    with warnings.catch_warnings():
        warnings.showwarning = note
        yield heard


def _show(record: Mapping[str, Any], folder: Path, options: argparse.Namespace) -> None:
    if options.json:
        print_json({"run": str(folder), **record})
        return
    if options.quiet:
        return
    metrics = record["metrics"]
    print_pairs(
        {
            "method": f"{record['method']}, seed {record['seed']}",
            "data": f"{record['data']['name']}, {size(record['data']['shape'])}",
            "effective components": effective_words(metrics),
            "mean score": metrics["mean_score"],
            "flagged": f"{metrics['flagged']:.1%}" if "flagged" in metrics else None,
            "labels": metrics.get("labels_from"),
            "fit": f"{record['wall_seconds']['fit']:.1f} s",
            "run folder": str(folder),
        }
    )
    print_rows(_comparison(record))


def effective_words(metrics: Mapping[str, Any]) -> str | None:
    """Return how many components are in use, by probability and, where it differs by more than a tenth, by rows."""
    if "effective_components" not in metrics:
        return None
    from ..metrics import effective_components

    soft, hard = metrics["effective_components"], effective_components([metrics["hard_occupancy"]])
    # Components that coincide share probability, but all their rows go to one.
    rows = f"; {hard:.2f} by rows" if abs(hard - soft) > soft / 10 else ""
    return f"{soft:.2f} of {len(metrics['occupancy'])}, by probability{rows}"


def _comparison(record: Mapping[str, Any]) -> list[list[Any]]:
    """Return the rows of the table of the method beside its null rows, or beside its start if there is no report."""
    if record["null_rows"]:
        named = {row["name"]: row["scores"] for row in record["null_rows"]}
    elif "with_labels" in record["metrics"]:
        named = {record["class"]: record["metrics"]["with_labels"]}
        if "start_with_labels" in record["metrics"]:
            named["start"] = record["metrics"]["start_with_labels"]
    else:
        return []
    columns = [c for c in ("accuracy", "nmi", "ari", "purity") if all(c in scores for scores in named.values())]
    columns = columns or list(next(iter(named.values())))
    return [["", *columns], *([name, *(scores[c] for c in columns)] for name, scores in named.items())]
