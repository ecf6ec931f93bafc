"""Exit codes, one-line errors, and nothing left behind."""

import numpy as np
import pytest

from steinmix.cli import entry, predictions

FAST = ("--method", "gaussian-mixture", "--training.epochs", "1", "--no-report")


def test_missing_file(refused, tmp_path):
    assert "no file" in refused("fit", tmp_path / "nope.csv", "-o", tmp_path / "run")
    assert "did you mean 'digits'? expected a file" in refused("fit", "digit", "-o", tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


def test_corrupt_parquet(refused, write, tmp_path):
    path = tmp_path / "rows.parquet"
    write("rows.parquet")
    path.write_bytes(path.read_bytes()[:200])
    assert "rows.parquet" in refused("fit", path, *FAST, "-o", tmp_path / "run")
    assert [p.name for p in tmp_path.iterdir()] == ["rows.parquet"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--method", "vad"), "did you mean 'vade'"),
        (("--n-clustr", "3"), "did you mean '--n_clusters'? -h lists"),
        (("--n_components", "3"), "did you mean '--n_clusters'"),
        (("--method", "gaussian-mixture", "--n-clusters", "3"), "did you mean '--n_components'"),
        (("--method", "autoencoder", "--n-clusters", "3"), "unknown option --n_clusters; -h"),
        (("--training.epoch", "3"), "did you mean 'epochs'"),
        (("--diversifier", "nsvgd"), "did you mean 'NSVGD'"),
        (("--diversifier.alpha", "1"), "needs --diversifier"),
        (("--diversifier", "os.system"), "expected one of"),
        (("--n_clusters", "many"), "expected a whole number."),
        (("--training.epochs", "1.5"), "expected a whole number or null"),
        (("--hidden", "3,4"), "expected a list"),
        (("--config", "nope.yaml"), "nope.yaml"),
        (("--resume",), "--checkpoint"),
        (("--exclude", "a\nb"), "names on one line"),
        (("two",), "one argument too many"),
        (("--exclude", "a", "--exclude=b"), "got --exclude twice; name all columns in one"),
        (("--labels", "kind", "--no-labels"), "got --labels kind and --no_labels"),
    ],
)
def test_wrong_options(refused, write, tmp_path, options, words):
    assert words in refused("fit", write("rows.npy"), "-o", tmp_path / "run", *options)
    assert [p.name for p in tmp_path.iterdir()] == ["rows.npy"]


def test_values_that_only_training_can_judge(refused, write, tmp_path, blobs):
    data = write("rows.npy")
    assert "n_components=91" in refused("fit", data, *FAST, "--n-components", "91", "-o", tmp_path / "run")
    assert "start" in refused("fit", data, *FAST, "--start", "magic", "-o", tmp_path / "run")
    stein = ("--diversifier", "NSVGD", "--diversifier.alpha=-1")
    assert "error: alpha is -1.0; expected" in refused("fit", data, *FAST, *stein, "-o", tmp_path / "run")
    bad = blobs[0].copy()
    bad[4, 1] = np.nan
    assert "row 4" in refused("fit", write("nan.npy", bad), *FAST, "-o", tmp_path / "run")
    assert "kind" in refused("fit", write("rows.csv"), *FAST, "-o", tmp_path / "run")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["nan.npy", "rows.csv", "rows.npy"]


def test_a_folder_of_other_files(refused, write, tmp_path):
    (tmp_path / "parts").mkdir()
    for name in ("0.csv", "1.npy"):
        write(name, folder=tmp_path / "parts")
    assert "no Parquet or Arrow file" in refused("fit", tmp_path / "parts", "-o", tmp_path / "run")


def test_a_folder_that_nobody_may_write_to(refused, write):
    assert "/proc/run may not be written to; choose another" in refused(
        "fit", write("rows.npy"), *FAST, "-o", "/proc/run"
    )


def test_no_data(refused):
    assert "got no DATA" in refused("fit", *FAST)


def test_existing_output(cli, refused, fit, write, tmp_path):
    data = write("rows.npy")
    run, _ = fit(data)
    before = (run / "run.json").read_bytes()
    assert "--overwrite" in refused("fit", data, *FAST, "-o", run)
    assert (run / "run.json").read_bytes() == before
    fit(data, "--overwrite", "--seed", "3")
    assert (run / "run.json").read_bytes() != before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("years")
    assert "other files" in refused("fit", data, *FAST, "-o", tmp_path / "mine", "--overwrite")
    assert (tmp_path / "mine/thesis.txt").read_text() == "years"
    assert "make it first" in refused("fit", data, *FAST, "-o", tmp_path / "no/run")


def test_failure_late_in_the_run_leaves_nothing(refused, cli, fit, write, tmp_path, monkeypatch):
    data = write("rows.npy")
    run, _ = fit(data)
    before = sorted(p.name for p in tmp_path.rglob("*"))

    def fails(*args, **kwargs):
        raise OSError(28, "No space left on device", "run.json")

    monkeypatch.setattr("steinmix.cli.fit.write_record", fails)
    assert "No space left" in refused("fit", data, *FAST, "-o", run, "--overwrite")
    assert sorted(p.name for p in tmp_path.rglob("*")) == before


@pytest.mark.parametrize("error", [KeyboardInterrupt, BrokenPipeError, SystemExit(143)])
def test_ways_to_stop(cli, write, tmp_path, monkeypatch, error):
    def stops(*args, **kwargs):
        raise error

    monkeypatch.setattr(entry, "_abandon_stdout", lambda: None)
    monkeypatch.setattr("steinmix.cli.fit.train", stops)
    code, out, err = cli("fit", write("rows.npy"), *FAST, "-o", tmp_path / "run")
    expected = {KeyboardInterrupt: 130, BrokenPipeError: 141}.get(error, 143)
    assert (code, out) == (expected, "")
    words = {130: "steinmix: interrupted; nothing was written\n", 143: "steinmix: terminated; nothing was written\n"}
    assert err == words.get(expected, "")
    assert [p.name for p in tmp_path.iterdir()] == ["rows.npy"]


def test_unexpected_errors_are_not_blamed_on_the_user(refused, cli, write, tmp_path, monkeypatch):
    def fails(*args, **kwargs):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("steinmix.cli.fit.train", fails)
    data = write("rows.npy")
    assert "--debug" in refused("fit", data, *FAST, "-o", tmp_path / "run", code=1)
    code, _, err = cli("fit", data, *FAST, "-o", tmp_path / "run", "--debug")
    assert code == 1
    assert "Traceback" in err


@pytest.mark.parametrize("name", ["bad.csv", "bad.parquet"])
def test_what_is_not_finite_is_named_by_row_and_column(refused, fit, write, tmp_path, blobs, monkeypatch, name):
    monkeypatch.setattr(predictions, "block_rows", lambda _: 32)
    run, _ = fit(write("rows.csv"), "--exclude", "kind")
    bad = blobs[0].copy()
    bad[70, 1] = np.inf
    for verb in ("predict", "score"):
        text = refused(verb, run, write(name, bad), "-o", tmp_path / "new.parquet")
        assert "contains infinity: inf in row 70, column 1 ('b')" in text


def test_predict_mistakes(refused, fit, write, tmp_path, blobs):
    data = write("rows.npy")
    run, _ = fit(data)
    output = tmp_path / "labels.parquet"
    assert "run.json" in refused("predict", tmp_path, data, "-o", output)
    assert "ends in" in refused("predict", run, data, "-o", tmp_path / "labels.xlsx")
    wide = "two.npy has 2 columns; expected the 3 that the model takes.\n"
    for verb in ("predict", "score"):
        assert wide in refused(verb, run, write("two.npy", blobs[0][:, :2]), "-o", output)
    assert "digits has 64 columns; expected the 3" in refused("predict", run, "digits", "-o", output)
    assert "rows.npy is a file; expected a run folder" in refused("predict", data, data, "-o", output)
    bad = blobs[0].copy()
    bad[-1, 0] = np.inf
    assert "inf in row 89, column 0;" in refused("predict", run, write("bad.npy", bad), "-o", output)
    assert "required" in refused("predict", run, data)
    assert "may not be written to" in refused("predict", run, data, "-o", "/proc/labels.csv")
    assert "component is 9" in refused("sample", run, "--component", "9", "-o", tmp_path / "new.npy")
    assert "n_samples" in refused("sample", run, "-n", "0", "-o", tmp_path / "new.npy")
    for many in (10**12, 10**27):
        assert "on the disk" in refused("sample", run, "-n", many, "-o", tmp_path / "new.npy")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bad.npy", "rows.npy", "run", "two.npy"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b,c\n1,2,3\n1,,3\n", "new.csv has a missing value in row 1, column 'b'; {}. Fill it, drop the row.\n"),
        ("a,b,c\n1,x,3\n1,y,3\n", "new.csv has columns that are not numbers: 'b' (string); expected numbers only.\n"),
        ("a,b,c\n1,2,3\n1,2,3\n1,x,3\n", "drop it (a line of totals, say).\n"),
        (
            "a,c\n1,3\n",
            "new.csv: There is no column 'b', which is asked for or which the model was fitted on; there are",
        ),
        ("a,c\n1,3\n", " 'a', 'c'. Give data that have it.\n"),
    ],
)
def test_errors_of_new_rows_advise_nothing_that_only_a_fit_can_do(refused, fit, write, tmp_path, text, words):
    run, _ = fit(write("rows.csv"), "--exclude", "kind")
    (tmp_path / "new.csv").write_text(text)
    for verb in ("predict", "score"):
        line = refused(verb, run, tmp_path / "new.csv", "-o", tmp_path / "labels.csv")
        assert words.format("expected complete rows") in line
        assert "exclude" not in line


def test_checkpoints_do_not_lie_in_a_run(refused, fit, write, tmp_path):
    data = write("rows.npy")
    run, _ = fit(data)
    before = sorted(run.rglob("*"))
    line = refused("fit", data, *FAST, "--checkpoint", run, "-o", tmp_path / "second")
    assert f"--checkpoint {run} is a run folder; expected" in line
    assert sorted(run.rglob("*")) == before


def test_damaged_run(refused, fit, write, tmp_path):
    data = write("rows.npy")
    run, _ = fit(data)
    tensors = run / "model/model.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-9])
    assert "truncated" in refused("predict", run, data, "-o", tmp_path / "labels.csv")
    (run / "run.json").write_text("{")
    assert "not JSON" in refused("score", run, data)


def test_extra_missing(refused, write, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "jsonargparse", None)
    assert "steinmix[cli]" in refused("fit", write("rows.npy"), *FAST, "-o", tmp_path / "run")
    monkeypatch.setitem(__import__("sys").modules, "jinja2", None)


def test_verbs(cli, refused):
    assert "did you mean 'fit'? expected one of demo," in refused("fti")
    assert "no option '--fast'; expected one of --help, --version." in refused("--fast")
    assert cli("--version")[:2] == (0, f"steinmix {__import__('steinmix').__version__}\n")
    for argv in ((), ("-h",), ("--help",)):
        code, out, _ = cli(*argv)
        assert code == 0
        assert all(verb in out for verb in entry.VERBS)


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("can't allocate memory: 9 bytes")])
def test_memory_that_is_not_there(refused, fit, write, tmp_path, monkeypatch, error):
    def fails(*args, **kwargs):
        raise error

    run, _ = fit(write("rows.npy"))
    monkeypatch.setattr("steinmix.GaussianMixture.sample", fails)
    assert "64 rows do not fit into memory" in refused("sample", run, "-o", tmp_path / "new.npy")


def test_rows_that_are_all_the_same(refused, tmp_path):
    path = tmp_path / "same.csv"
    path.write_text("a,b\n" + "1,2\n" * 300)
    assert "all 300 rows" in refused("fit", path, *FAST, "-o", tmp_path / "run")
    assert [p.name for p in tmp_path.iterdir()] == ["same.csv"]
