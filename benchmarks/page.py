"""Write docs/performance.md from the records: ``python -m benchmarks.page``. No figure there is typed."""

from __future__ import annotations

import argparse
import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .harness import RESULTS

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
HEAD = """# Performance

Every figure is read from a record under `results/benchmarks` by `python -m benchmarks.page`; `make bench` makes the
records again. Ratios are medians over interleaved rounds in one process. `GOMP_SPINCOUNT=2000` is set by the Makefile:
without it torch's threads, which spin while they wait, run ten times slower beside another busy process. *load before*
is the load of the machine before a benchmark: above 0.3 other work ran beside it, and its times are upper bounds.

`Training(precision="auto")` takes bf16 where the hardware has it, for convolutions and for dense networks of half a
million parameters or more. In fp32 such networks multiply with oneDNN instead of MKL, if a product of oneDNN's, checked
once, is off by no more than rounding; on AMD processors the product is then 1.1 to 1.4 x as fast. NSVGD among many
particles forms its kernel by tiles of 256 x 256, each with its mirror image, and smoothing and repulsion come from one
product with it.

Some functions have a gradient written by hand (`numerics.fused`): on a CPU torch's tanh takes four times as long as the
same by a sigmoid, and the Bernoulli likelihood and DAGMM's residuals twice as many passes over memory as they need.
Several layers with few outputs over the same features are computed as one matrix product; so is a convolution whose
kernel is as large as the image. Where all axes of an array but that of the rows are short, the axis of the rows comes
last.

What did not help: bf16 on processors without bf16 instructions (0.3 to 0.5 x); stacking restarts of large networks;
torch's own pairwise distances for long rows; linear layers as 1 x 1 convolutions (half the speed).
"""


MEASURE = re.compile("seconds|minutes|faster|times")
"""What the fields are called that hold a figure for each variant."""

NAMES = {"dagmm": "DAGMM", "vade": "VaDE"}


def by_variant(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a row for each variant where several measures were taken of each, else the row, without nesting."""
    measured = {name: value for name, value in row.items() if isinstance(value, dict) and MEASURE.search(name)}
    if len(measured) < 2:
        return [dict(flat(row))]
    plain = dict(flat({name: value for name, value in row.items() if name not in measured}))
    variants = dict.fromkeys(variant for figures in measured.values() for variant in figures)
    return [
        {**plain, "variant": variant, **{name: figures.get(variant, "") for name, figures in measured.items()}}
        for variant in variants
    ]


def flat(row: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the plain values of a nested record under joined names."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}: ")
        elif not isinstance(value, list):
            yield f"{prefix}{name}", value


def table(rows: list[dict[str, Any]]) -> str:
    """Return records as a Markdown table, a column for every name that occurs."""
    plain = [line for row in rows for line in by_variant(row)]
    names = list(dict.fromkeys(name for row in plain for name in row))
    lines = [
        [*map(_spaced, names)],
        ["---"] * len(names),
        *([_text(row.get(name, "")) for name in names] for row in plain),
    ]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _line(values: dict[str, Any]) -> str:
    return ", ".join(f"{_spaced(name)} {_text(value)}" for name, value in values.items() if value not in (None, ""))


def _spaced(name: str) -> str:
    *above, last = name.split(": ")
    return ": ".join([*above, last if last.isupper() else last.replace("_", " ")])


def _said(name: str) -> str:
    """Return what the benchmark of this name says that it measures."""
    tree = ast.parse((Path(__file__).parent / f"{name}.py").read_text())
    return (ast.get_docstring(tree) or "").replace("``", "`")


def section(path: Path) -> str:
    """Return the part of the page for one record: what was measured, on what machine, and the figures."""
    record = json.loads(path.read_text())
    machine = record.pop("machine", {})
    lists = {name: rows for name, rows in record.items() if isinstance(rows, list) and isinstance(rows[0], dict)}
    single = {name: value for name, value in record.items() if name not in lists}
    words = [NAMES.get(word, word) for word in path.stem.split("_")]
    parts = [f"## {' '.join(words)}", _said(path.stem), f"On: {_line(machine)}."]
    if len(by_variant(single)) > 1:
        parts.append(table([single]))
    elif any(flat(single)):
        parts.append(f"{_line(dict(flat(single)))}.")
    return "\n\n".join([*parts, *(table(rows) for rows in lists.values())])


def main() -> None:
    """Write the page."""
    argparse.ArgumentParser("python -m benchmarks.page", description=__doc__.partition(":")[0] + ".").parse_args()
    parts = [section(path) for path in sorted(RESULTS.glob("*.json"))]
    PAGE.write_text("\n\n".join([HEAD.strip(), *parts]) + "\n")


if __name__ == "__main__":
    main()
