"""Time to accuracy on MNIST, 70,000 images: our VaDE beside ClustPy 0.0.3's VaDE and DEC, all under their defaults.

``python -m benchmarks.time_to_accuracy [METHOD ...] [--clock cpu] [--minutes 60] [--threads 1]`` adds a curve for each
method to the record: accuracy of 10,000 fixed rows after each epoch that has clusters, scored outside the clock. Wall
time wants an idle machine; the CPU time of the process minds other work less (by a quarter, not by a factor). A curve
that meets the limit ends there and says so.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from steinmix import Training, VaDE
from steinmix.experiments.clustering import ByEpoch, Task, load_task, unit_rows

from .harness import RESULTS, machine, write
from .vade_step import Torchvision

NAME, GOAL = "time_to_accuracy", 0.945
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


class Enough(Exception):
    """The limit is reached."""


class Curve:
    """Seconds and accuracy, written after each point.

    Parameters
    ----------
    method : str
    task : Task
    clock : str
        Of `CLOCKS`.
    limit : float
        Seconds.
    """

    def __init__(self, method: str, task: Task, clock: str, limit: float) -> None:
        self.facts = {"method": method, "clock": clock, "threads": torch.get_num_threads(), "finished": False}
        self.clock, self.limit, self.points = CLOCKS[clock], limit, []
        self.index, self._scorer = ByEpoch(task.rows, None).index, task.scorer
        self._left_out, self._begun = 0.0, self.clock()

    def seen(self, assigned: Callable[[], np.ndarray]) -> None:
        """Add a point for the labels (10,000,) of the watched rows; what it takes to assign them is not counted."""
        now = self.clock()
        seconds = now - self._begun - self._left_out
        self.points.append([round(seconds, 1), round(self._scorer.accuracy(assigned(), self.index), 4)])
        self.write()
        self._left_out += self.clock() - now
        if seconds > self.limit:
            raise Enough

    def write(self) -> None:
        """Put the curve into the record, in place of an older one of the method and the clock."""
        reached = next((seconds / 60 for seconds, accuracy in self.points if accuracy >= GOAL), None)
        found = self.facts | {
            "minutes": round(self.points[-1][0] / 60, 1),
            "epochs_with_clusters": len(self.points),
            "first_accuracy": self.points[0][1],
            "last_accuracy": self.points[-1][1],
            f"minutes_to_{GOAL}": "not reached" if reached is None else round(reached, 1),
            "curve": self.points,
        }
        path = RESULTS / f"{NAME}.json"
        record = json.loads(path.read_text()) if path.exists() else {"machine": machine(), "runs": []}
        others = [r for r in record["runs"] if (r["method"], r["clock"]) != (found["method"], found["clock"])]
        write(NAME, record | {"runs": [*others, found]})


class Watch(ByEpoch):
    """Hands our clusters to a curve after each epoch of the mixture phases."""

    def __init__(self, rows: np.ndarray, model: VaDE, curve: Curve) -> None:
        super().__init__(rows, model)
        self.curve = curve

    def on_epoch_end(self, state: Any) -> None:
        """Add a point."""
        if state.phase_name in self._model._mixture_phases:
            self.curve.seen(lambda: self._assigned(state.module))


def ours(task: Task, curve: Curve) -> None:
    """Our defaults."""
    model = VaDE(task.n_clusters, training=Training(progress=False), random_state=0)
    model.set_params(training__callbacks=(Watch(task.rows, model, curve),)).fit(task.rows)


def clustpy(kind: str, assign: Callable[[Any, Any, torch.Tensor], torch.Tensor]) -> Callable[[Task, Curve], None]:
    """Return a method that runs ClustPy's `kind` and looks at its clusters after each epoch of its own loop."""

    def method(task: Task, curve: Curve) -> None:
        sys.meta_path.append(Torchvision())
        from clustpy import deep

        source = sys.modules[f"clustpy.deep.{kind.lower()}"]
        rows = unit_rows(task.rows)
        watched = torch.from_numpy(rows[curve.index])
        module = getattr(source, f"_{kind}_Module")
        plain, names = module.fit, inspect.signature(module.fit)

        def by_epoch(*given: Any) -> Any:
            call = names.bind(*given)
            epochs, network = call.arguments["n_epochs"], call.arguments["neural_network"]
            call.arguments["n_epochs"] = 1
            for _ in range(epochs):
                with torch.no_grad():
                    curve.seen(lambda: assign(given[0], network, watched).numpy())
                plain(*call.args)
            return given[0]

        module.fit = by_epoch
        model = getattr(deep, kind)(task.n_clusters, device="cpu", random_state=0).fit(rows)
        curve.seen(lambda: model.labels_[curve.index])

    return method


METHODS: dict[str, Callable[[Task, Curve], None]] = {
    "ours": ours,
    "clustpy-vade": clustpy("VaDE", lambda module, network, x: module.predict(*network.encode(x))),
    "clustpy-dec": clustpy("DEC", lambda module, network, x: module.predict_hard(network.encode(x))),
}


def main(arguments: list[str] | None = None) -> None:
    """Run the methods one after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("methods", nargs="*", metavar="METHOD", help=f"of {', '.join(METHODS)}; all by default")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--minutes", type=float, default=60.0, help="limit for each method (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args([] if arguments is None else arguments)
    torch.set_num_threads(given.threads)
    task = load_task("mnist")
    for name in given.methods or METHODS:
        curve = Curve(name, task, given.clock, 60 * given.minutes)
        try:
            METHODS[name](task, curve)
            curve.facts["finished"] = True
            curve.write()
        except Enough:
            pass
        print(f"{name}: {curve.points[-1]}, finished: {curve.facts['finished']}")


if __name__ == "__main__":
    main(sys.argv[1:])
