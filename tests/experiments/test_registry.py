"""The papers' tables as data: complete, consistent, and the printed numbers."""

import inspect
from itertools import chain

import pytest

from steinmix.errors import ConfigError
from steinmix.experiments import (
    METRICS,
    available,
    chosen_rows,
    depict,
    detectors,
    find,
    protocols,
    toy,
    wang2019,
)

TABLES = list(available().values())


@pytest.mark.parametrize("experiment", TABLES, ids=lambda e: e.id)
def test_a_table_is_sound(experiment):
    names = [row.name for row in experiment.rows]
    assert len(set(names)) == len(names)
    assert set(experiment.metrics) <= set(METRICS)
    for row in experiment.rows:
        assert set(row.nulls) <= set(names) - {row.name}
        if row.run is not None:
            taken = inspect.signature(row.run).parameters
            assert list(taken)[:3] == ["row", "seed", "data"]
            assert set(list(taken)[3:]) <= {"checkpoint", "epochs"}
            assert all(taken[name].default is not inspect.Parameter.empty for name in list(taken)[3:])
            assert "checkpoint" in taken or not row.resumable
            assert row.cost
    for claim in experiment.claims:
        assert (claim.paper, claim.table) == (experiment.paper, experiment.table)
        assert claim.row in names
        assert claim.metric in experiment.metrics
        assert 0 < claim.value < 1
    assert len({(c.row, c.metric) for c in experiment.claims}) == len(experiment.claims)


def test_printed_numbers():
    def value(table, row, metric):
        return find(table).claim(row, metric).value

    assert value("wang2019/table1", "mnist/k-means", "accuracy") == 0.534
    assert value("wang2019/table1", "mnist/gaussian+stein-paper-sign", "nmi") == 0.933
    assert value("wang2019/table2", "kdd/T/released-sign", "f1") == 0.9573
    assert value("wang2019/table2", "kdd/Z/dagmm", "recall") == 0.9442
    assert value("jiang2017/table2", "mnist/vade", "accuracy") == 0.9446
    assert value("jiang2017/table2", "har/ae+gmm", "accuracy") == 0.7767
    assert value("jiang2017/table3", "mnist/vade", "knn_error_5") == 0.0214
    cell = find("dilokthanakul2016/table1").claim("mnist/gmvae-k16-m10", "exemplar_accuracy")
    assert (cell.value, cell.sd) == (0.8782, 0.0533)


def test_quoted_numbers_are_marked():
    quoted = {c.row for e in TABLES for c in e.claims if c.quoted}
    assert {"mnist/dec", "mnist/jule", "kdd/Z/dagmm", "mnist/dlgmm", "mnist/aae-k16"} <= quoted
    assert not {"mnist/vade", "mnist/code-released-sign", "kdd/T/released-sign"} & quoted


def test_numbers_that_were_chosen_by_labels_are_marked():
    assert "by the true labels" in find("jiang2017/table2").claim("har/vade", "accuracy").note
    assert "true labels" not in find("jiang2017/table2").claim("mnist/vade", "accuracy").note
    gmvae = [claim for claim in find("dilokthanakul2016/table1").claims if claim.row.startswith("mnist/gmvae")]
    assert gmvae
    assert all("by test labels" in claim.note for claim in gmvae)


def test_other_data_are_not_compared():
    table = find("jiang2017/table2")
    for name in ("har/vade", "rcv1/vade", "stl10/vade", "reuters/vade"):
        assert table.claim(name, "accuracy").protocol not in (None, table.row(name).protocol)


def test_a_ratio_is_the_worse_the_farther_from_one():
    order = {"variance_ratio": [5.0, 0.5, 1.1, 1.0], "mode_error": [2.0, 1.0], "accuracy": [0.1, 0.2]}
    for name, values in order.items():
        assert sorted(values, key=METRICS[name].merit) == values


def test_names():
    table = find("jiang2017/table2")
    found = [row.name for row in chosen_rows(table, ["usps/vade-un*"])]
    assert found == ["usps/vade-unguided", "usps/vade-unsmoothed"]
    assert len(chosen_rows(table, [])) == len(table.rows)
    with pytest.raises(ConfigError, match="did you mean 'jiang2017/table2'"):
        find("jiang2017/tabel2")
    with pytest.raises(ConfigError, match="did you mean 'mnist/vade'"):
        chosen_rows(table, ["mnist/vaed"])


def test_rows_named_here_are_those_of_their_runners():
    assert set(wang2019.DEPICT_ROWS) == {depict.hyphened(name) for name in depict.ROWS}
    listed = [*wang2019.KDD_ROWS.values(), *wang2019.KDD_ABLATION.values()]
    assert {*wang2019.KDD_NULLS, *chain.from_iterable(listed)} == set(detectors.ROWS)
    assert set(wang2019.PROTOCOLS) == set(protocols.PROTOCOLS)
    assert set(wang2019.TOY_OPTIMIZERS) == set(toy.OPTIMIZERS)
    points = {(point.m, point.delta) for point in toy.PARTS["figure2"]} | {(p.m, p.delta) for p in toy.PARTS["row1"]}
    assert set(wang2019.TOY_POINTS) == points
