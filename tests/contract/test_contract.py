"""What every estimator promises, whatever the method."""

from __future__ import annotations

import pickle
import random
import threading
from contextlib import contextmanager

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import steinmix as sm
from steinmix import methods, training
from steinmix._files import read_folder, write_folder

from .conftest import PARAMETERS, answers, parameters, same


def test_the_battery_knows_every_method():
    assert set(PARAMETERS) == set(methods.__all__)


def test_same_seed_same_bits_other_seed_other_result(make, X):
    first, again, other = make().fit(X), make().fit(X), make(random_state=1).fit(X)
    assert same(parameters(first), parameters(again))
    assert same(answers(first, X), answers(again, X))
    assert not same(answers(first, X), answers(other, X))


@pytest.mark.parametrize(
    "off", [torch.no_grad, torch.inference_mode, lambda: torch.set_grad_enabled(False)], ids=["no", "inference", "set"]
)
def test_a_fit_trains_where_gradients_are_off_and_leaves_them_off(make, X, off):
    whole = make().fit(X)
    with off():
        model = make().fit(X)
        assert not torch.is_grad_enabled()
    assert same(parameters(whole), parameters(model))
    assert model.history_ == whole.history_
    assert not any(value.is_inference() for value in model.module_.state_dict().values())


@contextmanager
def float64_by_default():
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


CALLERS = {
    "float64": float64_by_default,
    "device": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


@pytest.mark.parametrize("caller", CALLERS.values(), ids=CALLERS)
def test_a_model_is_the_same_whatever_its_caller_has_set_for_tensors(make, X, tmp_path, caller):
    settings = training.Training(epochs=2, precision="bf16" if caller is CALLERS["autocast"] else "fp32")
    alone = make(training=settings).fit(X)
    with caller():
        model = make(training=settings).fit(X)
        said = answers(model, X)
        model.save(tmp_path / "m")
        loaded = answers(sm.load(tmp_path / "m"), X)
    assert same(parameters(alone), parameters(model))
    assert all(same(answers(alone, X), here) for here in (said, loaded))


def test_labels_come_from_fit_predict_too(make, X, tmp_path):
    model = make().fit(X)
    if hasattr(model, "labels_"):
        assert np.array_equal(make().fit_predict(X, checkpoint=tmp_path), model.labels_)


def test_labels_never_reach_training(make, X):
    y = np.repeat([0, 1, 2], 40)
    plain, labelled, permuted = make().fit(X), make().fit(X, y), make().fit(X, y[::-1])
    assert same(parameters(plain), parameters(labelled))
    assert same(parameters(plain), parameters(permuted))
    if hasattr(plain, "labels_"):
        assert np.array_equal(plain.labels_, labelled.labels_)
        assert np.array_equal(plain.labels_, permuted.labels_)


def global_states() -> tuple:
    return (
        random.getstate(),
        str(np.random.get_state()),  # noqa: NPY002
        torch.random.get_rng_state().tolist(),
        torch.get_default_dtype(),
    )


def test_no_global_state_is_touched(make, X, tmp_path):
    before = global_states()
    model = make(random_state=None).fit(X)
    answers(model, X)
    model.save(tmp_path / "m")
    sm.load(tmp_path / "m")
    assert global_states() == before


def test_load_of_save_predicts_the_same_bits(make, X, tmp_path):
    model = make().fit(X)
    model.save(tmp_path / "m")
    loaded = sm.load(tmp_path / "m")
    assert same(answers(model, X), answers(loaded, X))
    assert type(loaded) is type(model)
    assert loaded.get_params(deep=False).keys() == model.get_params(deep=False).keys()
    assert loaded.history_ == model.history_
    if hasattr(model, "labels_"):
        assert np.array_equal(loaded.labels_, model.labels_)
        assert np.array_equal(loaded.initial_labels_, model.initial_labels_)
    if hasattr(model, "offset_"):
        assert loaded.offset_ == model.offset_


def test_pickle_predicts_the_same_bits(make, X):
    model = make().fit(X)
    assert same(answers(model, X), answers(pickle.loads(pickle.dumps(model)), X))


@pytest.mark.parametrize("damage", ["truncate", "flip", "edit", "foreign", "missing", "json"])
def test_a_damaged_model_is_refused(make, X, tmp_path, damage):
    make().fit(X).save(tmp_path / "m")
    tensors, text = tmp_path / "m" / "model.safetensors", tmp_path / "m" / "model.json"
    raw = tensors.read_bytes()
    if damage == "truncate":
        tensors.write_bytes(raw[: len(raw) // 2])
    elif damage == "flip":
        tensors.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))
    elif damage == "edit":
        text.write_text(text.read_text().replace('"seed_": 0', '"seed_": 1'))
    elif damage == "foreign":
        text.write_text('{"format": "other"}')
    elif damage == "missing":
        tensors.unlink()
    else:
        text.write_text("{")
    with pytest.raises(sm.ModelFileError, match="model"):
        sm.load(tmp_path / "m")


@pytest.mark.parametrize(
    "altered",
    [
        lambda content: content.pop("class"),
        lambda content: content.update({"class": ["VaDE"]}),
        lambda content: content.update({"params": None}),
        lambda content: content["fitted"].update({"seed_": {"$array": [[1], [1, 2]], "tensor": False}}),
        lambda content: content["params"].update({"hidden": {"$array": ["a"], "tensor": False, "dtype": "<f4"}}),
    ],
)
def test_sound_files_of_foreign_content_are_refused(make, X, tmp_path, altered):
    make().fit(X).save(tmp_path / "m")
    content, tensors = read_folder(tmp_path / "m", "model")
    altered(content)
    write_folder(tmp_path / "m", "model", content, tensors)
    with pytest.raises(sm.ModelFileError):
        sm.load(tmp_path / "m")


def test_the_folder_of_a_run_may_be_named_too(make, X, tmp_path):
    model = make().fit(X)
    model.save(tmp_path / "run" / "model")
    with pytest.raises(sm.ModelFileError, match="expected a folder made by steinmix"):
        sm.load(tmp_path / "run")
    (tmp_path / "run" / "run.json").write_text("{}")
    assert same(answers(model, X), answers(sm.load(tmp_path / "run"), X))


def test_a_loaded_model_gives_what_it_was_set_to_give(make, X, tmp_path):
    pytest.importorskip("pandas")
    model = make().fit(X)
    if not hasattr(model, "transform"):
        return
    model.set_output(transform="pandas").save(tmp_path / "m")
    expected, found = model.transform(X), sm.load(tmp_path / "m").transform(X)
    assert list(found.columns) == list(expected.columns)
    assert np.array_equal(found.to_numpy(), expected.to_numpy())


def test_saving_refuses_a_folder_of_other_files(make, X, tmp_path):
    (tmp_path / "precious.txt").write_text("keep me")
    with pytest.raises(sm.ModelFileError, match="holds other files"):
        make().fit(X).save(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["precious.txt"]


def test_saving_twice_replaces_and_leaves_nothing_else(make, X, tmp_path):
    model = make().fit(X)
    model.save(tmp_path / "m")
    model.save(tmp_path / "m")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["m", "model.json", "model.safetensors"]


BAD = {
    "nan": lambda X: np.where(X.max() - 1e-9 < X, np.nan, X),
    "infinite": lambda X: np.where(X.max() - 1e-9 < X, np.inf, X),
    "strings": lambda X: np.full(X.shape, "a"),
    "empty": lambda X: X[:0],
    "no columns": lambda X: X[:, :0],
    "one-dimensional": lambda X: X[:, 0],
    "complex": lambda X: X + 1j,
    "missing file": lambda X: "no/such/file.npy",
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_input_is_refused_in_one_line(make, X, kind):
    model = make()
    with pytest.raises(sm.DataError) as caught:
        model.fit(BAD[kind](X))
    assert str(caught.value)
    assert not hasattr(model, "history_")


def test_wrong_width_at_predict(make, X):
    model = make().fit(X)
    for method in ("predict", "transform", "score_samples"):
        if hasattr(model, method):
            with pytest.raises(sm.DataError, match=r"X has 3 features, but .* is expecting 5 features"):
                getattr(model, method)(X[:, :3])


def test_not_fitted(make, X, tmp_path):
    from sklearn.exceptions import NotFittedError

    with pytest.raises(NotFittedError):
        make().score_samples(X)
    with pytest.raises(NotFittedError):
        make().save(tmp_path / "m")


GOOD = {
    "Fortran order": np.asfortranarray,
    "float32": lambda X: X.astype(np.float32),
    "float16": lambda X: X.astype(np.float16),
    "integers": lambda X: X.round().astype(np.int64),
    "uint8": lambda X: np.clip(X * 10 + 50, 0, 255).astype(np.uint8),
    "list": lambda X: X.tolist(),
    "sparse": lambda X: sp.csr_matrix(X),
    "tensor": lambda X: torch.from_numpy(X),
    "constant column": lambda X: np.c_[X, np.ones(len(X))],
    "one column": lambda X: X[:, :1],
    "huge values": lambda X: X * 1e12 + 1e14,
    "tiny values": lambda X: X * 1e-12,
    "few rows": lambda X: X[::30],
    "equal rows": lambda X: np.repeat(X[:1], 30, axis=0),
}


@pytest.mark.filterwarnings("ignore::steinmix.CollapseWarning")
@pytest.mark.parametrize("kind", GOOD)
def test_unusual_input_gives_finite_answers(make, X, kind):
    data = GOOD[kind](X)
    for said in answers(make().fit(data), data).values():
        assert np.isfinite(said).all()


def test_read_only_memory_stays_as_it_is(make, X):
    X.setflags(write=False)
    copy = X.copy()
    make().fit(X)
    assert np.array_equal(X, copy)


def test_files_give_what_arrays_give(make, X, tmp_path):
    np.save(tmp_path / "x.npy", X)
    from_array, from_file = make().fit(X), make().fit(tmp_path / "x.npy")
    assert same(answers(from_array, X), answers(from_file, str(tmp_path / "x.npy")))


def test_a_row_does_not_depend_on_its_neighbours(make, X):
    model = make().fit(X)
    whole = answers(model, X)
    for method in whole.keys() - {"sample"}:
        single = np.concatenate([getattr(model, method)(X[i : i + 1]) for i in range(7)])
        np.testing.assert_allclose(single, whole[method][:7], rtol=1e-5, atol=1e-6, err_msg=method)


def test_parameters_survive_fit_and_clone(make, X):
    model = make()
    before = {k: repr(v) for k, v in model.get_params().items()}
    model.fit(X)
    assert {k: repr(v) for k, v in model.get_params().items()} == before
    assert {k: repr(v) for k, v in clone(model).get_params().items()} == before


def test_pipeline_and_grid_search_reach_the_training(make, X):
    pipeline = make_pipeline(StandardScaler(), make())
    last = pipeline.steps[-1][0]
    search = GridSearchCV(pipeline, {f"{last}__training__lr": [1e-3, 1e-2]}, cv=KFold(2, shuffle=True, random_state=0))
    search.fit(X)
    assert search.best_params_[f"{last}__training__lr"] in (1e-3, 1e-2)


def test_settings_are_made_where_there_are_none(make, X):
    model = make(training=None)
    search = GridSearchCV(model, {"training__lr": [1e-3, 1e-2], "training__epochs": [1]}, cv=2, error_score="raise")
    assert search.fit(X).best_params_["training__epochs"] == 1
    assert model.training is None
    if "pretraining" in model.get_params():
        copy = clone(model).set_params(pretraining__epochs=2, training__lr=0.5)
        assert (copy.pretraining.epochs, copy.training.lr, model.pretraining) == (2, 0.5, None)
        assert clone(copy).pretraining == copy.pretraining
        assert copy.pretraining.noise == (0.1 if isinstance(model, sm.DEPICT) else 0.2)  # as where it is left out
        assert copy.set_params(pretraining=None, pretraining__epochs=3).pretraining.epochs == 3
    if "diversifier" in model.get_params():
        with pytest.raises(sm.ConfigError, match=r"diversifier is None .*pass diversifier=NSVGD\(\.\.\.\)"):
            model.set_params(diversifier__alpha=0.5)
    with pytest.raises(ValueError, match="nonsense"):
        model.set_params(nonsense__lr=1)


def test_every_trainable_parameter_is_reached(make, X):
    model = make()
    start = {}

    class Remember(training.Callback):
        def on_run_start(self, state):
            start.update({k: v.clone() for k, v in state.module.named_parameters()})

    model.set_params(training=sm.Training(epochs=2, callbacks=(Remember(),))).fit(X)
    unmoved = [k for k, v in model.module_.named_parameters() if torch.equal(v, start[k])]
    assert not unmoved


def test_terms_are_finite_and_named(make, X):
    for record in make().fit(X).history_:
        assert {"phase", "epoch", "step", "loss"} < record.keys()
        assert all(np.isfinite(v) for k, v in record.items() if isinstance(v, float))


@pytest.mark.parametrize("seed", [0, None])
def test_resume_ends_with_the_same_bits(make, X, tmp_path, seed):
    class Stop(Exception):
        pass

    class Interrupt(training.Callback):
        def on_epoch_end(self, state):
            if state.epochs_done == 2:
                raise Stop

    settings = sm.Training(epochs=3)
    with pytest.raises(Stop):
        make(training=sm.Training(epochs=3, callbacks=(Interrupt(),)), random_state=seed).fit(X, checkpoint=tmp_path)
    resumed = make(training=settings, random_state=seed).fit(X, checkpoint=tmp_path, resume=True)
    whole = make(training=settings, random_state=resumed.seed_).fit(X)
    assert same(parameters(whole), parameters(resumed))
    assert whole.history_ == resumed.history_


def test_resume_needs_a_checkpoint(make, X):
    with pytest.raises(sm.ConfigError, match="checkpoint is None"):
        make().fit(X, resume=True)


def test_a_fit_on_other_rows_is_not_gone_on_with(make, X, tmp_path):
    make().fit(X, checkpoint=tmp_path)
    with pytest.raises(sm.ConfigError, match=r"of another run: data\.checksum was"):
        make().fit(X[::-1], checkpoint=tmp_path, resume=True)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": sm.Training(epochs=-1)}, "epochs"),
        ({"training": sm.Training(batch_size=0)}, "batch_size"),
        ({"training": sm.Training(lr=0.0)}, "lr"),
        ({"training": sm.Training(optimizer="adma")}, "optimizer"),
        ({"training": sm.Training(precision="fp8")}, "precision"),
        ({"training": sm.Training(device="abacus")}, "device"),
        ({"training": sm.Training(schedule="cosine")}, "schedule"),
        ({"training": sm.Training(callbacks=[print])}, "callbacks"),
        ({"training": sm.Training(callbacks=training.EarlyStopping())}, "callbacks"),
        ({"training": {"epochs": 3}}, "training"),
        ({"scaling": "sideways"}, "scaling"),
    ],
)
def test_wrong_settings_are_named(make, X, changes, message):
    with pytest.raises(sm.ConfigError, match=message):
        make(**changes).fit(X)


@pytest.mark.parametrize(
    ("parameter", "wrong"),
    [
        ("diversifier", "nsvgd"),
        ("diversifier", sm.NSVGD),
        ("pretraining", 5),
        ("hidden", 8),
        ("hidden", (8, 0)),
        ("guidance", -1),
        ("guidance", float("nan")),
        ("anchor_epochs", -1),
        ("tol", -1.0),
        ("hidden_weight", -1.0),
        ("diversify_from", -3),
        ("pretraining_epochs", -1),
        ("weights", 0.1),
    ],
)
def test_wrong_parameters_are_named(make, X, parameter, wrong):
    if parameter in make().get_params():
        with pytest.raises(sm.ConfigError, match=parameter):
            make(**{parameter: wrong}).fit(X)


def test_a_failed_refit_leaves_no_half_fitted_model(make, X):
    model = make().fit(X).set_params(training=sm.Training(epochs=2, lr=1e30, optimizer="sgd"))
    with pytest.raises(sm.SteinmixError):
        model.fit(X)
    with pytest.raises(NotFittedError):
        model.score(X)


def test_a_fit_that_fails_at_its_end_leaves_no_fitted_model(make, X, monkeypatch):
    model = make().fit(X)
    finish = type(model)._finish

    def fail(self, loader):
        finish(self, loader)
        raise sm.DataError("at the end")

    monkeypatch.setattr(type(model), "_finish", fail)
    for failing in (make(), model):
        with pytest.raises(sm.DataError, match="at the end"):
            failing.fit(X)
        with pytest.raises(NotFittedError):
            failing.score_samples(X)
        assert hasattr(failing, "module_")
        left = {"labels_", "initial_labels_", "offset_", "diagnostics_", "n_active_", "history_"} & vars(failing).keys()
        assert not left


def test_the_names_of_columns_in_files_are_kept_and_compared(make, X, tmp_path):
    names = list("abcde")
    lines = [",".join(names), *(",".join(map(repr, row)) for row in X.tolist())]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    swapped = ["b,a,c,d,e", *lines[1:]]
    (tmp_path / "swapped.csv").write_text("\n".join(swapped))
    make().fit(tmp_path / "rows.csv").save(tmp_path / "m")
    model = sm.load(tmp_path / "m")
    assert list(model.feature_names_in_) == names
    model.score_samples(tmp_path / "rows.csv")
    with pytest.raises(sm.DataError, match="column 0 of X is 'b', and was 'a'"):
        model.score_samples(tmp_path / "swapped.csv")
    with pytest.raises(sm.DataError, match="feature names should match"):
        model.score_samples(sm.as_source(tmp_path / "swapped.csv"))
    np.save(tmp_path / "rows.npy", X)
    assert not hasattr(model.fit(tmp_path / "rows.npy"), "feature_names_in_")


def test_a_callback_is_the_object_that_was_given(make, X):
    class Count(training.Callback):
        epochs = 0
        lock = threading.Lock()  # as in a callback that writes somewhere, which no copy can be made of

        def __init__(self):
            self.own = self.lock

        def on_epoch_end(self, state):
            self.epochs += 1

    count = Count()
    model = make(training=sm.Training(epochs=2, callbacks=(count,))).fit(X)
    assert count.epochs == len(model.history_)


def test_codes_have_names(make, X):
    model = make()
    if not hasattr(model, "transform"):
        return
    model.fit(X)
    names = list(model.get_feature_names_out())
    assert names == [f"{type(model).__name__.lower()}{j}" for j in range(model.transform(X).shape[1])]
    pytest.importorskip("pandas")
    table = model.set_output(transform="pandas").transform(X)
    assert list(table.columns) == names


def test_what_was_set_after_fit_does_not_change_what_is_saved(make, X, tmp_path):
    model = make().fit(X)
    before = answers(model, X)
    other = {"covariance_type": "full", "head": "gaussian", "hidden": (3, 3), "learn_weights": False}
    model.set_params(**{name: value for name, value in other.items() if name in model.get_params()})
    model.save(tmp_path / "m")
    assert same(before, answers(sm.load(tmp_path / "m"), X))


def test_the_farthest_rows_get_finite_answers(make, X):
    model = make().fit(X)
    far = X[:5].copy()
    far[0], far[1, 2], far[2], far[3] = 1e20, 1e30, 1e300, -1e30
    for name, said in answers(model, far).items():
        assert np.isfinite(said).all(), name
    if hasattr(model, "offset_"):
        assert model.predict(far)[:4].tolist() == [-1] * 4


@pytest.mark.parametrize("kind", ["npy", "parquet"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_of_files_are_checked_when_they_are_read(make, X, tmp_path, kind, value):
    model, bad = make().fit(X), X.copy()
    bad[77, 2] = value
    path = tmp_path / f"bad.{kind}"
    if kind == "npy":
        np.save(path, bad)
    else:
        pyarrow = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(pyarrow.table(dict(zip("abcde", bad.T))), path)
    with pytest.raises(sm.DataError, match="in row 77, column 2"):
        model.score_samples(path)


@pytest.mark.parametrize("kind", ["int32", "int64", "uint32", "uint64"])
def test_whole_numbers_keep_their_digits(make, X, kind):
    stamps = (1_700_000_000 + 30 * np.arange(len(X)))[:, None].astype(kind)
    prepared = make().fit(stamps).preparation_(torch.from_numpy(stamps)).numpy()
    expected = (stamps - stamps.mean(0, dtype=float)) / stamps.std(0, dtype=float)
    units = [expected, (expected - expected.min()) / np.ptp(expected)]  # as the method scales
    assert min(abs(prepared - given).max() for given in units) < 1e-6


@pytest.mark.parametrize("wrong", [1.7, True, "seed", -1])
def test_a_wrong_seed_is_named(make, X, wrong):
    with pytest.raises(sm.ConfigError, match="random_state"):
        make(random_state=wrong).fit(X)
