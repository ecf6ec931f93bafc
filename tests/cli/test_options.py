"""The constructors are the schema; configuration files are options in another spelling."""

import json
import os
import signal
from collections import Counter

import pytest
import yaml

import steinmix as sm
from steinmix.cli.parsing import listed
from steinmix.cli.schema import method_names
from steinmix.methods import __all__ as METHODS
from steinmix.training.checkpoint import Checkpoint

OPTIONS = ("--method", "gaussian-mixture", "--n-components", "3", "--training.epochs", "1", "--no_report")


def test_every_method_has_a_name():
    assert sorted(kind.__name__ for kind in method_names().values()) == sorted(METHODS)


@pytest.mark.parametrize("method", sorted(method_names()))
def test_help_of_every_method(cli, method):
    code, out, err = cli("fit", "--method", method, "-h")
    assert (err, code) == ("", 0)
    assert "--training" in out
    assert "random_state" not in out


@pytest.mark.parametrize("method", sorted(method_names()))
def test_printed_config_round_trip(cli, tmp_path, method):
    code, text, _ = cli("fit", "--method", method, "--training.lr", "1e-3", "--seed", "5", "--print-config")
    assert code == 0
    assert yaml.safe_load(text)["training"]["init_args"]["lr"] == 0.001
    assert yaml.safe_load(text)["training"]["class_path"] == "Training"
    (tmp_path / "options.yaml").write_text(text)
    assert cli("fit", "--config", tmp_path / "options.yaml", "--print_config") == (0, text, "")


def test_the_printed_configuration_says_what_the_columns_are(cli, tmp_path):
    columns = ("--labels", "kind", "--exclude", "id", "--categories", "city,active")
    code, text, _ = cli("fit", *columns, "--print_config")
    assert code == 0
    told = {"labels": "kind", "exclude": "id", "categories": "city,active"}
    assert {name: yaml.safe_load(text)[name] for name in told} == told
    (tmp_path / "options.yaml").write_text(text)
    assert cli("fit", "--config", tmp_path / "options.yaml", "--print_config") == (0, text, "")
    assert "labels" not in yaml.safe_load(cli("fit", "--print_config")[1])


def test_config_and_command_line_give_the_same_run(fit, write, tmp_path):
    data = write("rows.npy")
    nested = ("--diversifier", "NSVGD", "--diversifier.alpha", "0.2", "--diversifier.prior", "NormalPrior")
    first, record = fit(data, *nested, "--diversifier.kernel", "IMQ", run="first")
    chosen = {
        "diversifier": {"class_path": "NSVGD", "init_args": {"alpha": 0.7, "kernel": "IMQ", "prior": "NormalPrior"}},
        "no-report": True,
        "training": {"batch_size": 256},
    }
    (tmp_path / "options.yaml").write_text(yaml.safe_dump(chosen))
    second, other = fit(
        data, "--diversifier.alpha=0.2", "--config", tmp_path / "options.yaml", run="second"
    )  # the command line wins wherever it stands
    assert record["params"] == other["params"]
    assert record["params"]["diversifier"]["params"]["kernel"]["$class"] == "IMQ"
    assert (first / "predictions.parquet").read_bytes() == (second / "predictions.parquet").read_bytes()


def test_annealing_and_kernels_at_features_are_named_as_others(cli):
    inner = ("--diversifier.diversifier", "NSVGD", "--diversifier.diversifier.kernel", "Wasserstein")
    family = ("--diversifier.diversifier.kernel.family", "full")
    options = ("--diversifier", "Annealed", *inner, *family, "--diversifier.schedule", "Fade")
    code, text, _ = cli("fit", "--method", "dagmm", *options, "--print-config")
    diversifier = yaml.safe_load(text)["diversifier"]
    assert (code, diversifier["class_path"]) == (0, "Annealed")
    assert diversifier["init_args"]["diversifier"]["init_args"]["kernel"]["init_args"]["family"] == "full"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("n_component: 3", "did you mean '--n_components'"),
        ("- 3", "holds a list"),
        ("a: [", "YAML"),
        ("data: x.csv", "command line"),
        ('overwrite: "no"', "--overwrite: got 'no', expected true or false."),
        ("no-report: 1", "--no_report: got 1, expected true or false."),
        ("no_labels: true\nlabels: kind", "got --labels kind and --no_labels; leave one of them out."),
        ("diversifier: {class_path: subprocess.Popen, init_args: {args: ls}}", "expected one of"),
    ],
)
def test_wrong_config(refused, write, tmp_path, text, words):
    (tmp_path / "options.yaml").write_text(text)
    argv = ("fit", write("rows.npy"), *OPTIONS, "--config", tmp_path / "options.yaml", "-o", tmp_path / "run")
    assert words in refused(*argv)


@pytest.mark.parametrize("exclude", [["a", "x, in cm"], ["a,b"], ["", "a"], [0, 4]])
def test_columns_in_a_config_may_be_a_list(cli, tmp_path, exclude):
    (tmp_path / "options.yaml").write_text(yaml.safe_dump({"exclude": exclude, "categories": ["kind"]}))
    code, text, _ = cli("fit", "--config", tmp_path / "options.yaml", "--print_config")
    assert code == 0
    assert listed(yaml.safe_load(text)["exclude"]) == tuple(str(name) for name in exclude if name != "")
    assert yaml.safe_load(text)["categories"] == "kind"


def test_the_printed_configuration_has_all_that_was_given(cli, tmp_path):
    others = {"output": "mine", "overwrite": True, "checkpoint": "points", "no_report": True, "quiet": True}
    (tmp_path / "options.yaml").write_text(yaml.safe_dump(others))
    code, text, _ = cli("fit", "--config", tmp_path / "options.yaml", "--print_config")
    assert code == 0
    assert {name: yaml.safe_load(text).get(name) for name in others} == others
    assert not others.keys() & yaml.safe_load(cli("fit", "--print_config")[1]).keys()


def test_a_likelihood_is_printed_by_its_short_name(cli, tmp_path):
    code, text, _ = cli("fit", "--likelihood", "Bernoulli", "--print_config")
    assert (code, yaml.safe_load(text)["likelihood"]) == (0, "Bernoulli")
    (tmp_path / "options.yaml").write_text(text)
    assert cli("fit", "--config", tmp_path / "options.yaml", "--print_config") == (0, text, "")


def test_help_of_an_object_names_the_command(cli):
    assert cli("fit", "--training.help")[1].startswith("usage: steinmix fit [--training.epochs EPOCHS]")


def test_seed(fit, write):
    data = write("rows.npy")
    runs = [
        fit(data, "--start", "random", "--collapse", "ignore", "--seed", seed, run=f"run{i}")[0]
        for i, seed in enumerate((1, 1, 2))
    ]
    first, same, other = [(run / "predictions.parquet").read_bytes() for run in runs]
    assert first == same != other


def test_checkpoint_and_resume(cli, fit, refused, write, tmp_path):
    data, folder = write("rows.npy"), tmp_path / "points"
    first, _ = fit(data, "--checkpoint", folder, run="first")
    assert "resume" in refused("fit", data, *OPTIONS, "--checkpoint", folder, "-o", tmp_path / "second")
    second, _ = fit(data, "--checkpoint", folder, "--resume", "--quiet", run="second")
    assert (first / "predictions.parquet").read_bytes() == (second / "predictions.parquet").read_bytes()


def test_terminated_and_resumed(cli, fit, write, tmp_path, monkeypatch):
    """SIGTERM after the first of three epochs: code 143, one line, no run folder; then the same file as ever."""
    data, folder, epochs = write("rows.npy"), tmp_path / "points", ("--training.epochs", "3")
    whole, _ = fit(data, *epochs, run="whole")
    write_epoch = Checkpoint.write

    def write_and_terminate(self, state):
        if state.epochs_done == 1:
            os.kill(os.getpid(), signal.SIGTERM)
        write_epoch(self, state)

    arguments = ("fit", data, *OPTIONS, *epochs, "--checkpoint", folder, "-o", tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", write_and_terminate)
        code, out, err = cli(*arguments)
    assert (code, out) == (143, "")
    assert err == f"steinmix: terminated; go on from the checkpoint in {folder} with resume=True (--resume).\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["points", "rows.npy", "whole"]
    assert cli(*arguments, "--resume", "--quiet") == (0, "", "")
    assert (tmp_path / "run/predictions.parquet").read_bytes() == (whole / "predictions.parquet").read_bytes()


@pytest.mark.parametrize(
    ("stop", "code", "word"), [(KeyboardInterrupt, 130, "interrupted"), (SystemExit(143), 143, "terminated")]
)
def test_stopped_after_training(cli, write, tmp_path, monkeypatch, stop, code, word):
    """There is a checkpoint to go on from, and it is said so."""

    def stops(*args, **kwargs):
        raise stop

    monkeypatch.setattr("steinmix.cli.fit.write_predictions", stops)
    points = tmp_path / "points"
    found = cli("fit", write("rows.npy"), *OPTIONS, "--checkpoint", points, "-o", tmp_path / "run")
    how = f"go on from the checkpoint in {points} by the same command with --resume"
    assert (found[0], found[2].splitlines()[-1]) == (code, f"steinmix: {word}; {how}")


@pytest.mark.parametrize("options", [(), ("--pretraining", "Pretraining", "--pretraining.epochs", "2")])
def test_the_recorded_plan_is_what_ran(cli, write, tmp_path, options):
    argv = ("--method", "vade", "--n-clusters", "3", "--start", "random", "--collapse", "ignore", "--no-report")
    more = (*options, "--training.epochs", "3", "--quiet", "-o", tmp_path / "run")
    assert cli("fit", write("rows.npy"), *argv, *more) == (0, "", "")
    plan = json.loads((tmp_path / "run/run.json").read_text())["plan"]
    ran = Counter(entry["phase"] for entry in sm.load(tmp_path / "run/model").history_)
    assert (plan["epochs"], plan["pretraining_epochs"]) == (ran["mixture"], ran["pretrain"])


def test_json_is_the_record(cli, write, tmp_path):
    code, out, err = cli("fit", write("rows.npy"), *OPTIONS, "-o", tmp_path / "run", "--json")
    assert (err, code) == ("", 0)
    assert json.loads(out) == {"run": str(tmp_path / "run"), **json.loads((tmp_path / "run/run.json").read_text())}


def test_quiet(cli, write, tmp_path):
    assert cli("fit", write("rows.npy"), *OPTIONS, "-o", tmp_path / "run", "--quiet") == (0, "", "")


def test_restarts_are_options(fit, write):
    folder, record = fit(write("rows.npy"), "--n-init", "3", "--selection", "agreement")
    assert (record["params"]["n_init"], record["params"]["selection"]) == (3, "agreement")
    assert len(sm.load(folder / "model").restarts_) == 3


def test_a_consensus_of_detectors_has_its_page(cli, write, tmp_path):
    more = ("--n-init", "2", "--selection", "consensus", "--training.epochs", "1", "-o", tmp_path / "run")
    assert cli("fit", write("rows.npy"), "--method", "dagmm", *more)[::2] == (0, "")
    assert (tmp_path / "run/report.html").exists()
    assert len(sm.load(tmp_path / "run/model").module_.members) == 2
