import pytest

from steinmix.experiments import Claim, Experiment, Row
from steinmix.experiments.records import RunRecord


@pytest.fixture
def record():
    """Make a record; its metrics are given by name."""

    def make(seed=0, row="set/method", protocol="all rows", failure="", created="2030-01-01T00:00:00+00:00", **metrics):
        made = {"versions": {"python": "3"}, "hardware": "two cores", "created": created}
        return RunRecord("paper/table", row, protocol, seed, metrics, 1.5, 10.0, {}, failure, **made)

    return make


@pytest.fixture
def calls():
    """What the runner below was called with."""
    return []


@pytest.fixture
def experiment(calls):
    """A small table: its runner notes each call, and says a tenth of the seed."""

    def run(row, seed, data):
        calls.append((row, seed, data))
        return {"accuracy": seed / 10, "settings": {"said": "so"}}

    rows = (
        Row("set/null", run, str.upper, cost=1.0),
        Row("set/method", run, str.upper, nulls=("set/null",), cost=2.0),
        Row("set/other"),
    )
    claims = (Claim("paper", "table", "set/method", "accuracy", 0.5),)
    return Experiment("paper/table", "A table", "A paper", ("accuracy", "nmi"), rows, claims, seeds=4)
