"""Run the benchmarks and write their records: ``python -m benchmarks [name ...]``, without names all but the long."""

from __future__ import annotations

import sys

from . import (
    conv_step,
    dagmm_runs,
    dagmm_step,
    direction,
    imports,
    memory,
    overhead,
    restarts,
    time_to_accuracy,
    toy,
    vade_step,
)

BENCHMARKS = {
    "conv_step": conv_step.main,
    "dagmm_step": dagmm_step.main,
    "direction": direction.main,
    "imports": imports.main,
    "memory": memory.main,
    "overhead": overhead.main,
    "restarts": restarts.main,
    "toy": toy.main,
    "vade_step": vade_step.main,
}

LONG = {"dagmm_runs": dagmm_runs.main, "time_to_accuracy": time_to_accuracy.main}
"""A quarter of an hour and more; run only when named."""


def main() -> None:
    """Run those named on the command line, or all that are short."""
    for name in sys.argv[1:] or BENCHMARKS:
        (BENCHMARKS | LONG)[name]()


if __name__ == "__main__":
    main()
