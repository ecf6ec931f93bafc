"""Write docs/performance.md from the records: ``python -m benchmarks.page``. No figure there is typed."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .harness import RESULTS

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
HEAD = """# Performance

Every figure is read from a record under `results/benchmarks` by `python -m benchmarks.page`; `make bench` makes the
records again. Ratios are medians over interleaved rounds in one process. `GOMP_SPINCOUNT=2000` is set by the Makefile:
without it torch's threads, which spin while they wait, run ten times slower beside another busy process. `load_before`
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


def flat(row: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the plain values of a nested record under dotted names."""
    for name, value in row.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}: ")
        elif not isinstance(value, list):
            yield f"{prefix}{name}", value


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows as a Markdown table, a column for every name that occurs."""
    plain = [dict(flat(row)) for row in rows]
    names = list(dict.fromkeys(name for row in plain for name in row))
    lines = [names, ["---"] * len(names), *([_text(row.get(name, "")) for name in names] for row in plain)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def section(path: Path) -> str:
    """Return the part of the page for one record."""
    record = json.loads(path.read_text())
    machine = record.pop("machine", {})
    lists = {
        name: value
        for name, value in record.items()
        if isinstance(value, list) and value and isinstance(value[0], dict)
    }
    single = {name: value for name, value in record.items() if name not in lists}
    said = ", ".join(f"{name} {value}" for name, value in machine.items() if value not in (None, ""))
    parts = [f"## {path.stem.replace('_', ' ')}", said]
    parts += [table([single])] if dict(flat(single)) else []
    parts += [table(rows) for rows in lists.values()]
    return "\n\n".join(parts)


def main() -> None:
    """Write the page."""
    argparse.ArgumentParser("python -m benchmarks.page", description=__doc__.partition(":")[0] + ".").parse_args()
    parts = [section(path) for path in sorted(RESULTS.glob("*.json"))]
    PAGE.write_text("\n\n".join([HEAD.strip(), *parts]) + "\n")


if __name__ == "__main__":
    main()
