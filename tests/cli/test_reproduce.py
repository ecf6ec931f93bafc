"""``steinmix reproduce``: tables from records, and one clear line for a mistake."""

import json
import re

import numpy as np
import pytest

from steinmix.cli import entry
from steinmix.experiments import available, find
from steinmix.experiments.pictures import gallery
from steinmix.experiments.records import RunRecord, append
from steinmix.experiments.runner import records_of

ROWS = ("--row", "digits/k-means", "--row", "digits/gmm")


@pytest.fixture
def reproduce(cli, tmp_path):
    def call(*argv, code=0):
        found, out, err = cli("reproduce", *argv, "-o", tmp_path)
        assert found == code, err
        return out, err

    return call


def test_a_table_is_run_once_and_printed_from_its_records(reproduce, tmp_path):
    out, err = reproduce("jiang2017/table2", *ROWS, "--seeds", "0-1")
    assert "4 of 4 runs to do" in err
    path = tmp_path / "jiang2017-table2.jsonl"
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    mean = sum(e["metrics"]["accuracy"] for e in entries if e["row"] == "digits/gmm") / 2
    (line,) = re.findall(r"^digits/gmm +accuracy .*$", out, re.MULTILINE)
    assert f"{mean:.4f}" in line
    assert "2 of 10" in line
    before = path.read_bytes()
    out, err = reproduce("jiang2017/table2", *ROWS, "--seeds", "0,1", "--resume")
    assert (err, path.read_bytes()) == ("", before)
    reproduce("jiang2017/table2", "--row", "digits/gmm", "--seeds", "0-2", "--quiet")
    assert len(path.read_text().splitlines()) == 5


def test_a_changed_record_changes_the_table(reproduce, tmp_path):
    reproduce("jiang2017/table2", "--row", "digits/gmm", "--seeds", "0", "--quiet")
    path = tmp_path / "jiang2017-table2.jsonl"
    path.write_text(re.sub(r'"accuracy": [\d.]+', '"accuracy": 0.4321', path.read_text()))
    out, _ = reproduce("jiang2017/table2", "--row", "digits/gmm", "--show")
    assert "0.4321" in out
    assert "0.4321" in (tmp_path / "jiang2017-table2.html").read_text()


def test_fresh_runs_again(reproduce, tmp_path):
    for _ in range(2):
        reproduce("jiang2017/table2", "--row", "digits/gmm", "--seeds", "0", "--fresh", "--quiet")
    assert len((tmp_path / "jiang2017-table2.jsonl").read_text().splitlines()) == 2
    assert len(records_of(find("jiang2017/table2"), tmp_path)) == 1


def test_json(reproduce):
    out, _ = reproduce("wang2019/table1", "--row", "mnist/dec", "mnist/depict*", "--json", "--show")
    found = json.loads(out)
    dec = next(row for row in found["rows"] if row["row"] == "mnist/dec")
    assert (dec["row"], dec["paper"]["value"], dec["paper"]["quoted"], dec["verdict"]) == (
        "mnist/dec", 0.844, True, "not run here",
    )  # fmt: skip
    assert {row["metric"] for row in found["rows"]} == {"accuracy", "nmi"}


def test_rows_without_a_runner_say_so(reproduce):
    out, _ = reproduce("wang2019/table1", "--row", "mnist/jule")
    assert "0.9640 (quoted)" in out
    assert "not run here" in out
    assert "no runner in this version" in out


def test_list(reproduce):
    out, _ = reproduce("--list")
    assert all(table in out for table in available())
    reproduce("jiang2017/table2", "--row", "digits/gmm", "--seeds", "0-2", "--quiet")
    found = json.loads(reproduce("--list", "jiang2017/table2", "--json")[0])["rows"]
    gmm = next(row for row in found if row["row"] == "digits/gmm")
    assert (gmm["done"], gmm["asked"], gmm["state"]) == (3, 10, "to do")
    assert gmm["seconds"] < 10  # seven times the median of the records, not the estimate
    some = ("--list", "jiang2017/table2", "--row", "digits/gmm", "digits/vade", "--seeds", "1-3", "--json")
    gmm, vade = json.loads(reproduce(*some)[0])["rows"]
    assert [(row["done"], row["asked"]) for row in (gmm, vade)] == [(2, 3), (0, 3)]
    _, err = reproduce("--list", "--row", "digits/gmm", code=2)
    assert "give the table" in err


def test_data_that_are_not_here(reproduce, tmp_path, monkeypatch):
    """The list, the table and the page say what is not here and how to get it; nothing is loaded for that."""
    runnable = [row for row in find("jiang2017/table2").rows if row.data == "reuters" and row.run is not None]
    monkeypatch.setenv("STEINMIX_DATA", str(tmp_path))
    monkeypatch.setattr("steinmix.data.fetch.cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr("steinmix.experiments.clustering.load_task", None)
    said = {
        "stl10/vade": "not run here: stl10/features.npz not present (help(steinmix.datasets.load_stl10)",
        "reuters/vade": "not run here: rcv1/rcv1-v2.topics.qrels.gz not present (steinmix data get reuters)",
        "har/vade": "not run here: har/har_561_recomputed.npz not present (no public home",
    }
    found = json.loads(reproduce("--list", "jiang2017/table2", "--json")[0])["rows"]
    states = {row["row"]: row["state"] for row in found}
    assert all(states[row].startswith(reason) for row, reason in said.items())
    assert (states["digits/vade"], states["stl10/dec"]) == ("to do", "no runner in this version")
    out, _ = reproduce("--list", "jiang2017/table2")
    (line,) = re.findall(r"^jiang2017/table2 +stl10/vade +0 +10 +- +not run here: .*$", out, re.MULTILINE)
    assert "how to make it" in line
    out, _ = reproduce("--list")
    assert re.search(
        r"svhn \(4 rows\) .* not run here: svhn/train_32x32.mat not present \(steinmix data get svhn\)", out
    )
    shown = [reproduce("jiang2017/table2", "--row", *said, *how)[0] for how in ([], ["--show"])]
    assert all(out.count("not run here") == 6 and all(reason in out for reason in said.values()) for out in shown)
    assert list(tmp_path.iterdir()) == []
    reproduce("jiang2017/table2", "--row", "digits/gmm", "--seeds", "0", "--quiet")
    reproduce("jiang2017/table2", "--show", "--quiet")
    page = (tmp_path / "jiang2017-table2.html").read_text()
    assert page.count("rcv1/rcv1-v2.topics.qrels.gz not present") == len(runnable) > 10


def test_figures_from_records(reproduce, tmp_path):
    assert "nothing was drawn" in reproduce("--figures")[0]
    lines = [
        {
            "format": "steinmix-record", "schema": 1, "experiment": "jiang2017/table2", "row": "digits/vade",
            "protocol": "all 1,797 images", "seed": seed, "metrics": {"accuracy_by_epoch": [0.5, 0.6 + seed / 10]},
            "wall_seconds": 1.0, "peak_mb": 1.0, "settings": {}, "failure": "", "versions": {}, "hardware": "",
            "created": "",
        }
        for seed in range(2)
    ]  # fmt: skip
    (tmp_path / "jiang2017-table2.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    out, _ = reproduce("--figures")
    text = (tmp_path / "figures/jiang2017-table2-accuracy_by_epoch-digits.svg").read_text()
    assert out.strip().endswith("digits.svg")
    assert text.startswith("<svg xmlns")


def test_pictures_are_drawn_from_records_and_stand_on_the_page(reproduce, tmp_path):
    table = find("jiang2017/figure6")
    row = table.row("digits/vade-k7")
    shown = gallery("generated", np.arange(7 * 2 * 4.0).reshape(7, 2, 4), 0, 55)
    record = RunRecord(table.id, row.name, row.protocol, 0, {}, settings={"pictures": [shown]})
    append(tmp_path / f"{table.stem}.jsonl", record)
    assert reproduce("--figures")[0].strip().endswith("figures/jiang2017-figure6-gallery-digits.svg")
    reproduce(table.id, "--row", row.name, "--show")
    assert (tmp_path / "jiang2017-figure6.html").read_text().count("<image") == 1


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ((), "got no PAPER/TABLE"),
        (("jiang2017/table9",), "did you mean 'jiang2017/table"),
        (("jiang2017/table2", "--row", "digits/gnm"), "did you mean 'digits/gmm'"),
        (("jiang2017/table2", "--metric", "acuracy"), "did you mean 'accuracy'"),
        (("jiang2017/table2", "--seeds", "9-0"), "expected numbers and ranges"),
        (("jiang2017/table2", "--seeds", "x"), "expected numbers and ranges"),
        (("jiang2017/table2", "--jobs", "0"), "--jobs: got '0'; expected a whole number >= 1"),
        (("jiang2017/table2", "--fresh", "--resume"), "not allowed with"),
        (("jiang2017/table2", "--list", "--figures"), "not allowed with"),
        (("jiang2017/table2", "--list", "--show"), "not allowed with"),
        (("jiang2017/table2", "--show", "--seeds", "0-2"), "got --seeds, and --show has no use for it"),
        (("--figures", "--seeds", "0"), "got --seeds, and --figures has no use for it"),
        (("--list", "--metric", "nmi"), "got --metric, and --list has no use for it"),
        (("--figures", "--row", "digits/gmm"), "got --row and no PAPER/TABLE"),
        (("--row", "digits/gmm", "jiang2017/table2"), "got jiang2017/table2 as a value of --row or --metric"),
        (("--metric", "nmi", "jiang2017/table2", "--show"), "put it first"),
        (("jiang2017/table2", "--sede", "1"), "did you mean '--seeds'"),
    ],
)
def test_mistakes(refused, tmp_path, argv, words):
    assert words in refused("reproduce", *argv, "-o", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_records_is_no_file_and_is_there_to_be_read(refused, tmp_path, monkeypatch):
    monkeypatch.setattr("steinmix.cli.reproduce.complete", None)
    (tmp_path / "file").write_text("")
    for how in ((), ("--show",), ("--list",), ("--figures",)):
        line = refused("reproduce", "jiang2017/table2", "--row", "digits/gmm", *how, "-o", tmp_path / "file")
        assert f"--output {tmp_path / 'file'} is a file; expected a folder" in line
    monkeypatch.chdir(tmp_path)
    assert "there is no folder results; name the one" in refused("reproduce", "jiang2017/table2", "--show")
    assert "there is no folder none" in refused("reproduce", "--figures", "-o", "none")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_the_help_names_the_folder_of_records(cli):
    assert "(default: results, in the current folder)" in " ".join(cli("reproduce", "-h")[1].split())


def test_a_quiet_list_is_none(cli, tmp_path):
    assert cli("reproduce", "--list", "--quiet", "-o", tmp_path) == (0, "", "")


def test_a_damaged_record_is_named(refused, tmp_path):
    (tmp_path / "jiang2017-table2.jsonl").write_text("{}\n{}\n")
    assert "jiang2017-table2.jsonl, line 1" in refused("reproduce", "jiang2017/table2", "--show", "-o", tmp_path)


def test_the_printed_table_says_how_the_paper_did(reproduce):
    out, _ = reproduce("jiang2017/table2", "--row", "har/vade", "har/gmm", "digits/vade", "--show")
    told = out[out.index("protocol") :]
    assert "har/gmm, har/vade\n    protocol of the paper: 10,200 rows, published features" in told
    assert re.search(r"^har/vade\n    number of the paper: the run of 10 .* \(oracle\)$", told, re.MULTILINE)
    assert told.count("of the paper") == 2


@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt, 130), (SystemExit(143), 143)])
def test_interrupted(reproduce, monkeypatch, stop, code):
    def stops(*args, **kwargs):
        raise stop

    monkeypatch.setattr("steinmix.cli.reproduce.complete", stops)
    out, err = reproduce("jiang2017/table2", *ROWS, "--seeds", "0", code=code)
    assert out == ""
    assert "the same command goes on" in err
    assert "reproduce" in entry.VERBS
