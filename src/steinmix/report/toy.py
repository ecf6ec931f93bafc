"""The toy study from its records: learnt densities (Figure 1 of the paper) and the table of the recipe's ingredients.

``python -m steinmix.report.toy results/wang2019-toy.jsonl -o docs`` writes a figure for each grid and optimiser;
``python -m steinmix.report.toy results/wang2019-toy-annealed.jsonl`` prints the table. Figure 2 is drawn by
``steinmix reproduce wang2019/figure2 --figures``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._files import write_text
from ..experiments.tables import t_quantile
from ..experiments.toy import METHODS, Point, draw, problems, read
from .figures import BIG, INK, PALETTE, as_svg, dressed, panels, require_for_report, standalone

__all__ = ["densities", "ingredients", "main"]

SHOWN = (Point("", 5, 2.0), Point("", 6, 4.0))
"""Figure 1's."""


def density(x: np.ndarray, means: Sequence[float], variances: Sequence[float]) -> np.ndarray:
    """Return the density of a mixture with equal weights at places (k,)."""
    mean, variance = np.asarray(means), np.asarray(variances)
    each = np.exp(-0.5 * (x[:, None] - mean) ** 2 / variance) / np.sqrt(2 * np.pi * variance)
    return each.mean(-1)


def densities(records: Iterable[Mapping[str, Any]], grid: str, optimizer: str) -> str:
    """Return Figure 1 as SVG: densities of the first trial, each method at its best alpha by the truth.

    Parameters
    ----------
    records : iterable of dict
        Of `steinmix.experiments.toy`; those of m = 5, Delta = 2 and m = 6, Delta = 4 are shown.
    grid, optimizer : str
    """
    rows = [_panels(list(records), Point(grid, p.m, p.delta), optimizer) for p in SHOWN]
    columns = 1 + len(METHODS)
    figure, axes = panels(columns * len(rows), columns, 2.3, 2.2)
    for i, (point, truth, mixtures) in enumerate(rows):
        x = np.linspace(truth.min() - 5, truth.max() + 5, 600)
        for ax, (title, mixture) in zip(axes[i * columns :], mixtures.items()):
            dressed(ax).set_title(f"{title}, m = {point.m}", fontsize=BIG, color=INK, loc="left")
            ax.plot(x, density(x, truth.tolist(), [1.0] * point.m), color=PALETTE[1], linewidth=1.2)
            ax.plot(x, density(x, mixture["means"], mixture["variances"]), color=PALETTE[0], linewidth=1.2)
            ax.set_yticks([])
    return as_svg(figure, f"toy-{grid}-{optimizer}")


def _panels(
    records: Sequence[Mapping[str, Any]], point: Point, optimizer: str
) -> tuple[Point, np.ndarray, dict[str, Mapping[str, Any]]]:
    """Return the true means and, by title, the mixtures of the first trial: its start and what each method made."""
    one = draw(point, 0)
    start = problems([one])[0].means.flatten().tolist()
    mixtures: dict[str, Mapping[str, Any]] = {"start": {"means": start, "variances": [1.0] * point.m}}
    for method in METHODS:
        kept = [r for r in records if (Point(**r["point"]), r["optimizer"], r["method"]) == (point, optimizer, method)]
        if kept:
            mixtures[method] = min(kept, key=lambda r: float(np.mean(r["mode_error"])))["first_trial"]
    return point, one.means, mixtures


def ingredients(records: Iterable[Mapping[str, Any]]) -> str:
    """Return a table in Markdown: points down, recipes across, mean mode error (95 % half width) and variance ratio."""
    cells = {(Point(**r["point"]), r["method"]): _cell(r) for r in records}
    points = sorted({point for point, _ in cells}, key=lambda p: (p.grid, p.m, p.delta))
    methods = sorted({method for _, method in cells})
    table = [["grid", "m", "Δ", *methods], ["---"] * (3 + len(methods))]
    for point in points:
        row = [point.grid, str(point.m), f"{point.delta:g}", *(cells.get((point, method), "") for method in methods)]
        table.append(row)
    return "\n".join("| " + " | ".join(line) + " |" for line in table)


def _cell(record: Mapping[str, Any]) -> str:
    errors, ratios = np.asarray(record["mode_error"]), np.asarray(record["variance_ratio"])
    half = t_quantile(len(errors) - 1) * errors.std(ddof=1) / np.sqrt(len(errors)) if len(errors) > 1 else np.nan
    return f"{errors.mean():.3f} ± {half:.3f}; {ratios.mean():.3f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Write Figure 1 to a folder, or print the table of ingredients."""
    parser = argparse.ArgumentParser(prog="python -m steinmix.report.toy")
    parser.add_argument("records", help="a file of records")
    parser.add_argument("-o", "--output", help="folder of figures; without it the table is printed")
    chosen = parser.parse_args(arguments)
    records = read(chosen.records)
    if chosen.output is None:
        sys.stdout.write(ingredients(records) + "\n")
        return
    require_for_report("matplotlib")
    for grid, optimizer in sorted({(r["point"]["grid"], r["optimizer"]) for r in records}):
        figure = standalone(densities(records, grid, optimizer))
        write_text(Path(chosen.output) / f"toy-figure1-{grid}-{optimizer}.svg", figure)


if __name__ == "__main__":
    main()
