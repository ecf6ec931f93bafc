import pytest

from steinmix.errors import DataError
from steinmix.experiments.records import RunRecord, append
from steinmix.report import arcs

PICTURE = {
    "codes": [[0.0, 1.0], [2.0, 3.0]],
    "labels": [0, 7],
    "means": [[0.0, 0.0], [1.0, 1.0]],
    "variances": [[1.0, 2.0], [3.0, 4.0]],
}


def record(row, seed, settings):
    return RunRecord("dilokthanakul2016/arcs", row, "p", seed, {"mixture_distinct_components": 7.21}, settings=settings)


def test_each_row_with_a_picture_has_a_panel(tmp_path):
    path = tmp_path / "records.jsonl"
    for row in ("arcs/gmvae", "arcs/gmvae+warm-up"):
        append(path, record(row, 0, {"picture": PICTURE}))
        append(path, record(row, 1, {}))
    arcs.main([str(path), "-o", str(tmp_path)])
    drawn = (tmp_path / "arcs.svg").read_text()
    assert drawn.count("<svg") == 1
    one = arcs.latent_spaces([record("arcs/a", 0, {"picture": PICTURE})])
    two = arcs.latent_spaces([record(row, 0, {"picture": PICTURE}) for row in ("arcs/a", "arcs/b")])
    assert two.count("<use") == 2 * one.count("<use") > 0


def test_without_a_picture_it_says_what_to_run():
    with pytest.raises(DataError, match="seed 0"):
        arcs.latent_spaces([record("arcs/gmvae", 1, {})])
