"""The latent spaces of the arcs (Figure 2 of both GMVAE papers) from their records.

``python -m steinmix.report.arcs results/dilokthanakul2016-arcs.jsonl -o docs`` writes ``arcs.svg``. The curve of the
z-prior (Figure 3) is drawn by ``steinmix reproduce dilokthanakul2016/arcs --figures``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .._files import write_text
from ..errors import DataError
from ..experiments.records import RunRecord, read
from .figures import INK, SMALL, as_svg, dressed, mark, panels, require_for_report, scatter, standalone

__all__ = ["latent_spaces", "main"]

COLUMNS = 4


def latent_spaces(records: Iterable[RunRecord]) -> str:
    """Return one panel for each record that has a picture, as SVG: codes by cluster, components at w = 0.

    Parameters
    ----------
    records : iterable of RunRecord
        Of `steinmix.experiments.arcs`; seed 0 of each row has a picture.

    Raises
    ------
    DataError
        If none has.
    """
    shown = [record for record in records if "picture" in record.settings]
    if not shown:
        raise DataError("no record has a picture; run seed 0 of steinmix.experiments.arcs.")
    figure, axes = panels(len(shown), COLUMNS)
    for ax, record in zip(axes, shown):
        _panel(dressed(ax), record.settings["picture"])
        title = record.row.partition("/")[2]
        distinct = record.metrics["mixture_distinct_components"]
        ax.set_title(f"{title}: {distinct:.1f} distinct", fontsize=SMALL, color=INK, loc="left")
    return as_svg(figure, "arcs")


def _panel(ax: Any, picture: Mapping[str, Any]) -> None:
    from matplotlib.patches import Ellipse

    scatter(ax, np.asarray(picture["codes"]), np.asarray(picture["labels"]), 4)
    for component, (mean, variance) in enumerate(zip(picture["means"], picture["variances"])):
        width, height = 4 * np.sqrt(variance)  # two standard deviations to each side
        ax.add_patch(Ellipse(tuple(mean), width, height, fill=False, color=mark(component)[0], linewidth=0.8))


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the figure."""
    parser = argparse.ArgumentParser(prog="python -m steinmix.report.arcs")
    parser.add_argument("records", help="a file of records")
    parser.add_argument("-o", "--output", default="docs", help="folder of the figure")
    chosen = parser.parse_args(arguments)
    require_for_report("matplotlib")
    write_text(Path(chosen.output) / "arcs.svg", standalone(latent_spaces(read([chosen.records]))))


if __name__ == "__main__":
    main()
