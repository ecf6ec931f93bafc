"""Twenty runs of DAGMM over the paper's 200 epochs on a half of KDD Cup 1999: wall-clock minutes, in full.

Two processes of one thread each hold ten runs as one program; each distinct row of a batch is computed once.
"""

from __future__ import annotations

import time

from steinmix import DAGMM, Training
from steinmix.experiments import kdd
from steinmix.experiments.protocols import judged, prepared, split

from .harness import machine, write

RUNS, EPOCHS, SEED = 20, 200, 0


def main() -> None:
    """Print and record the minutes, and what the run of the lowest objective gives in the DAGMM paper's protocol."""
    record = {"machine": machine(), "runs": RUNS, "epochs": EPOCHS}
    data = kdd.load()
    parts = split(data, "rows", SEED)
    rows = prepared(data, parts.train, "minmax31")
    training = Training(epochs=EPOCHS, lr=1e-4, batch_size=1024, distinct_rows=True, progress=False)
    detector = DAGMM(4, scaling="none", training=training, n_init=RUNS, n_jobs=2, random_state=SEED)
    start = time.perf_counter()
    detector.fit(rows[parts.train])
    record["minutes"] = round((time.perf_counter() - start) / 60, 2)
    record["rows"] = len(parts.train)
    record["objectives"] = [restart["objective"] for restart in detector.restarts_]
    record["chosen"] = judged(data, parts, detector.anomaly_score(rows), "Z")
    print(f"DAGMM, {RUNS} runs of {EPOCHS} epochs on {len(parts.train):,} rows: {record['minutes']} min")
    write("dagmm_runs", record)
