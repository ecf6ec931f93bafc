"""Run the benchmarks and write their records: ``python -m benchmarks [name ...]``."""

from __future__ import annotations

import sys

from . import conv_step, dagmm_step, direction, imports, memory, overhead, restarts, toy, vade_step

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


def main() -> None:
    """Run those named on the command line, or all."""
    for name in sys.argv[1:] or BENCHMARKS:
        BENCHMARKS[name]()


if __name__ == "__main__":
    main()
