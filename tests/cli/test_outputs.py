"""What is written: nothing of the user's is replaced or removed, links and the umask are heeded."""

import os
import stat

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from steinmix.training.checkpoint import Checkpoint

from .conftest import FAST


def test_an_input_or_a_part_of_the_run_is_no_output(refused, fit, write, tmp_path, blobs):
    data = write("rows.parquet")
    run, _ = fit(data, "--labels", "kind")
    (tmp_path / "parts").mkdir()
    part = write("a.parquet", folder=tmp_path / "parts")
    (tmp_path / "link.parquet").symlink_to(data)
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    for output in (data, tmp_path / "link.parquet", run / "predictions.parquet"):
        assert "would replace" in refused("predict", run, data, "-o", output)
        assert "would replace" in refused("score", run / "model", data, "-o", output)
    assert "would replace" in refused("predict", run, part, "-o", part)
    assert "would replace" in refused("score", run, part, "--calibration", data, "-o", data)
    assert "would replace" in refused("sample", run, "-o", run / "predictions.parquet")
    assert "would replace" in refused("data", "pack", data, data, "--exclude", "kind")
    labels = tmp_path / "labels.parquet"
    pq.write_table(pa.table({"y": blobs[1]}), labels)
    kept[labels] = labels.read_bytes()
    assert "would replace" in refused("data", "pack", data, labels, "--exclude", "kind", "--labels", labels)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")} == kept


@pytest.mark.parametrize("output", ["new.parquet", "deep/a.parquet", "deep/new.csv"])
def test_no_output_lies_in_a_folder_of_inputs(refused, fit, write, tmp_path, output):
    (tmp_path / "parts/deep").mkdir(parents=True)
    write("a.parquet", folder=tmp_path / "parts/deep")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.parquet")}
    data, output = tmp_path / "parts", tmp_path / "parts" / output
    run, _ = fit(data, "--labels", "kind")
    words = "whose files are read; choose a place outside"
    assert words in refused("predict", run, data, "-o", output)
    assert words in refused("score", run, write("rows.parquet"), "--calibration", data, "-o", output)
    assert words in refused("data", "pack", data, output.with_suffix(".parquet"), "--exclude", "kind")
    assert words in refused("fit", data, *FAST, "--exclude", "kind", "-o", output.parent / "run")
    assert {path: path.read_bytes() for path in data.rglob("*.parquet")} == before


def test_a_folder_named_like_a_published_set_is_no_input(cli, fit, tmp_path, monkeypatch):
    run, _ = fit("digits", "--collapse", "ignore")
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path)
    assert cli("predict", run, "digits", "-o", "digits/labels.csv", "--quiet") == (0, "", "")


def test_overwrite_keeps_the_data_and_labels_it_reads(refused, fit, write, tmp_path, monkeypatch):
    data = write("rows.parquet")
    run, _ = fit(data, "--labels", "kind")
    before = (run / "predictions.parquet").read_bytes()
    monkeypatch.chdir(tmp_path)
    words = "run/predictions.parquet lies in the run folder run, which is replaced"
    for given in (("run/predictions.parquet",), (data, "--labels", "run/predictions.parquet")):
        assert words in refused("fit", *given, *FAST, "-o", "run", "--overwrite")
    assert (run / "predictions.parquet").read_bytes() == before


@pytest.mark.parametrize("kind", ["folder", "deep/folder", "link", "report.html"])
def test_overwrite_keeps_folders_and_links(refused, fit, write, tmp_path, kind):
    data = write("rows.npy")
    run, _ = fit(data)
    path = run / kind
    path.mkdir(parents=True) if kind.endswith("folder") else path.symlink_to(tmp_path)
    assert "which no run wrote" in refused("fit", data, *FAST, "-o", run, "--overwrite")
    assert path.is_dir()


@pytest.mark.parametrize("foreign", ["notes.txt", "model/notes.txt", "old/run.json"])
def test_overwrite_removes_only_what_a_run_wrote(refused, fit, write, foreign):
    data = write("rows.npy")
    run, _ = fit(data)
    before = (run / "run.json").read_bytes()
    (run / foreign).parent.mkdir(exist_ok=True)
    (run / foreign).write_text("years")
    assert f"holds {foreign.removesuffix('/run.json')}, which no run wrote" in refused(
        "fit", data, *FAST, "-o", run, "--overwrite"
    )
    assert (run / foreign).read_text() == "years"
    assert (run / "run.json").read_bytes() == before


@pytest.mark.parametrize("inside", ["run", "run/points", "link/points"])
def test_checkpoints_do_not_lie_in_the_run_folder(refused, write, tmp_path, inside):
    (tmp_path / "link").symlink_to(tmp_path / "run")
    argv = ("fit", write("rows.npy"), *FAST, "--checkpoint", tmp_path / inside, "-o", tmp_path / "run")
    assert "choose a folder beside it" in refused(*argv)
    assert not (tmp_path / "run").exists()


def test_an_interruption_says_how_to_go_on(cli, write, tmp_path, monkeypatch):
    def interrupted(self, state):
        write_epoch(self, state)
        raise KeyboardInterrupt

    argv = ("fit", write("rows.npy"), *FAST, "--checkpoint", tmp_path / "points", "-o", tmp_path / "run")
    write_epoch = Checkpoint.write
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", interrupted)
        code, _, err = cli(*argv)
    text = f"interrupted; go on from the checkpoint in {tmp_path / 'points'} by the same command with --resume"
    assert (code, err) == (130, f"steinmix: {text}\n")
    assert not (tmp_path / "run").exists()
    assert cli(*argv, "--resume", "--quiet") == (0, "", "")


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o002, 0o664)])
def test_the_umask_is_heeded(cli, fit, write, tmp_path, umask, mode):
    previous = os.umask(umask)
    try:
        data = write("rows.npy")
        run, _ = fit(data)
        assert cli("predict", run, data, "-o", tmp_path / "labels.csv", "--quiet") == (0, "", "")
    finally:
        os.umask(previous)
    files = [*(path for path in run.rglob("*") if path.is_file()), tmp_path / "labels.csv"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {mode}
    folders = {stat.S_IMODE(path.stat().st_mode) for path in (run, run / "model")}
    assert folders == {0o777 & ~umask}


def test_links_are_written_through_and_modes_stay(cli, fit, write, tmp_path):
    data = write("rows.npy")
    (tmp_path / "far").mkdir()
    (tmp_path / "run").symlink_to(tmp_path / "far/run")
    (tmp_path / "labels.npy").symlink_to(tmp_path / "far/labels.npy")
    (tmp_path / "far/labels.npy").touch(0o640)
    for _ in range(2):
        run, _ = fit(data, "--overwrite")
        assert cli("predict", run, data, "-o", tmp_path / "labels.npy", "--quiet") == (0, "", "")
    assert run.is_symlink()
    assert (tmp_path / "labels.npy").is_symlink()
    assert sorted(path.name for path in (tmp_path / "far").iterdir()) == ["labels.npy", "run"]
    assert len(np.load(tmp_path / "far/labels.npy")) == 90
    assert stat.S_IMODE((tmp_path / "far/labels.npy").stat().st_mode) == 0o640
