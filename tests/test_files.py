import errno
import json
import os
import stat
from pathlib import Path

import pytest
import torch

from steinmix import ModelFileError, _files
from steinmix._files import new_file, read_folder, write_folder, write_text
from steinmix.errors import SteinmixWarning

META = {"name": "é", "numbers": [1, 0.1, 1e-300, -0.0, 2**62], "none": None, "nested": {"b": [True], "a": {}}}


@pytest.fixture
def tensors(normal):
    return {
        "float": normal(3, 2, dtype=torch.float32),
        "double.view": normal(4, 4).T[1:, ::2],
        "half": normal(3).to(torch.bfloat16),
        "long": torch.arange(5),
        "flags": torch.tensor([True, False]),
        "number": torch.tensor(1.5),
        "empty": torch.zeros(0, 3),
    }


@pytest.fixture
def model(tmp_path, tensors):
    write_folder(tmp_path / "model", "model", META, tensors)
    return tmp_path / "model"


def whole_tree(root):
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def test_what_is_written_is_read(model, tensors):
    meta, found = read_folder(model, "model")
    assert meta == META
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_the_folder_holds_two_readable_files_and_its_parent_nothing_else(model):
    assert sorted(p.name for p in model.iterdir()) == ["model.json", "model.safetensors"]
    assert [p.name for p in model.parent.iterdir()] == ["model"]
    assert stat.S_IMODE(model.stat().st_mode) == 0o755


def test_a_full_disk_is_told_with_the_name_of_the_file(tmp_path):
    """Who writes to an open file is told why it failed, not where."""
    with pytest.raises(OSError, match=r"No space left on device: .*rows\.csv"), new_file(tmp_path / "rows.csv"):
        raise OSError(errno.ENOSPC, "full")
    assert list(tmp_path.iterdir()) == []


def test_tensors_that_share_memory_are_written(tmp_path):
    shared = torch.arange(4.0)
    write_folder(tmp_path / "m", "model", {}, {"a": shared, "b": shared})
    assert torch.equal(read_folder(tmp_path / "m", "model")[1]["b"], shared)


def test_parents_are_created(tmp_path):
    write_folder(tmp_path / "a" / "b" / "m", "model", META, {})
    assert read_folder(tmp_path / "a" / "b" / "m", "model") == (META, {})


def test_an_earlier_model_is_replaced_whole(model):
    write_folder(model, "model", {"new": 1}, {})
    assert read_folder(model, "model") == ({"new": 1}, {})
    assert [p.name for p in model.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
@pytest.mark.parametrize("kept", [0, 1, 10, -1])
def test_a_truncated_file_is_noticed_and_named(model, name, kept):
    data = (model / name).read_bytes()
    (model / name).write_bytes(data[:kept])
    with pytest.raises(ModelFileError, match=name.replace(".", r"\.")):
        read_folder(model, "model")


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_every_altered_byte_is_noticed(model, name):
    data = (model / name).read_bytes()
    for place in range(0, len(data), max(1, len(data) // 40)):
        altered = bytearray(data)
        altered[place] ^= 1
        (model / name).write_bytes(altered)
        try:
            meta, _ = read_folder(model, "model")
        except ModelFileError:
            continue
        assert (name, meta) == ("model.json", META)  # white space only


@pytest.mark.parametrize("name", ["model.json", "model.safetensors"])
def test_a_missing_file_is_named(model, name):
    (model / name).unlink()
    with pytest.raises(ModelFileError, match=rf"cannot read .*{name}: No such file"):
        read_folder(model, "model")


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(ModelFileError, match="nowhere"):
        read_folder(tmp_path / "nowhere", "model")


FOREIGN = ["[]", "{}", "3", '{"format": "other"}', "\x80", "{", "null", '"steinmix"']


@pytest.mark.parametrize("text", [*FOREIGN, pytest.param("[" * 100_000, id="deep")])
def test_foreign_json_is_refused(model, text):
    (model / "model.json").write_text(text, encoding="latin-1")
    with pytest.raises(ModelFileError, match=r"model\.json"):
        read_folder(model, "model")


def signed(body):
    """A JSON text whose own digest is right, as anyone can write it."""
    return json.dumps(body | {"sha256": _files._digest(_files._canonical(body))})


def test_a_sound_digest_on_incomplete_content_is_refused(model):
    digest = _files._digest((model / "model.safetensors").read_bytes())
    foreign = [{"content": content, "tensors_sha256": digest} for content in (None, [1], "a")]
    for body in ({}, {"content": {}}, {"tensors_sha256": digest}, *foreign):
        (model / "model.json").write_text(signed({"format": "steinmix"} | body))
        with pytest.raises(ModelFileError):
            read_folder(model, "model")


def test_a_sound_digest_of_a_foreign_tensor_file_is_refused(model):
    data = b"\x80\x04}q\x00."  # a pickle
    (model / "model.safetensors").write_bytes(data)
    body = {"format": "steinmix", "content": {}, "tensors_sha256": _files._digest(data)}
    (model / "model.json").write_text(signed(body))
    with pytest.raises(ModelFileError, match="not a safetensors file"):
        read_folder(model, "model")


def test_a_folder_of_other_files_is_refused_and_left_alone(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "1.jpg").write_bytes(b"1")
    before = whole_tree(tmp_path)
    with pytest.raises(ModelFileError, match="holds other files"):
        write_folder(tmp_path / "photos", "model", META, {})
    assert whole_tree(tmp_path) == before


def test_a_folder_with_a_foreign_model_json_is_refused_and_left_alone(tmp_path):
    (tmp_path / "keras").mkdir()
    (tmp_path / "keras" / "model.json").write_text('{"class_name": "Sequential"}')
    (tmp_path / "keras" / "weights.h5").write_bytes(b"months of work")
    before = whole_tree(tmp_path)
    with pytest.raises(ModelFileError):
        write_folder(tmp_path / "keras", "model", META, {})
    assert whole_tree(tmp_path) == before


def test_files_that_a_user_put_beside_the_model_are_never_deleted(model):
    (model / "notes.txt").write_text("mine")
    try:
        write_folder(model, "model", {"new": 1}, {})
    except ModelFileError:
        assert read_folder(model, "model")[0] == META
    assert (model / "notes.txt").read_text() == "mine"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "model").write_text("x")
    with pytest.raises(ModelFileError, match="it is a file"):
        write_folder(tmp_path / "model", "model", META, {})
    with pytest.raises(ModelFileError, match="cannot write"):
        write_folder(tmp_path / "model" / "inside", "model", META, {})
    assert (tmp_path / "model").read_text() == "x"


def test_an_empty_folder_is_taken(tmp_path):
    (tmp_path / "model").mkdir()
    write_folder(tmp_path / "model", "model", META, {})
    assert read_folder(tmp_path / "model", "model")[0] == META


def test_a_folder_that_cannot_be_written_gives_the_reason(tmp_path, monkeypatch):
    parent = tmp_path / "read-only"
    parent.mkdir()
    parent.chmod(0o555)
    if os.geteuid() == 0:  # root may write anywhere: let the system answer as it would to others

        def refuse(*args, **kwargs):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        monkeypatch.setattr(Path, "mkdir", refuse)
        monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(ModelFileError, match=r"cannot write .*model: Permission denied"):
        write_folder(parent / "model", "model", META, {})
    with pytest.raises(ModelFileError, match=r"cannot write .*report: Permission denied"):
        write_text(parent / "report", "x")
    assert list(parent.iterdir()) == []


class Failing:
    """Replaces a function and fails at its `number`-th call."""

    def __init__(self, function, number, error):
        self.function, self.number, self.error, self.calls = function, number, error, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        if self.calls == self.number:
            raise self.error
        return self.function(*args, **kwargs)

    def __get__(self, instance, owner=None):
        return lambda *args, **kwargs: self(instance, *args, **kwargs)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize(
    ("target", "number"), [("os.fsync", 1), ("os.fsync", 2), ("pathlib.Path.rename", 1), ("pathlib.Path.rename", 2)]
)
def test_an_interrupted_write_leaves_the_old_model_and_nothing_else(model, tensors, monkeypatch, target, number, error):
    before = whole_tree(model.parent)
    owner, name = (os, "fsync") if target == "os.fsync" else (Path, "rename")
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, Failing(getattr(owner, name), number, error))
        with pytest.raises(ModelFileError if isinstance(error, OSError) else KeyboardInterrupt):
            write_folder(model, "model", {"new": 1}, {})
    assert whole_tree(model.parent) == before
    assert read_folder(model, "model")[0] == META


@pytest.mark.parametrize("target", ["os.fsync", "pathlib.Path.rename"])
def test_an_interrupted_first_write_leaves_nothing(tmp_path, monkeypatch, target):
    owner, name = (os, "fsync") if target == "os.fsync" else (Path, "rename")
    monkeypatch.setattr(owner, name, Failing(getattr(owner, name), 1, OSError(errno.EIO, "Input/output error")))
    with pytest.raises(ModelFileError, match="Input/output error"):
        write_folder(tmp_path / "model", "model", META, {"a": torch.zeros(3)})
    assert list(tmp_path.iterdir()) == []


def test_text_files_are_whole_or_as_before(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "report.html"
    write_text(path, "é")
    assert path.read_text(encoding="utf-8") == "é"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    monkeypatch.setattr(os, "replace", Failing(os.replace, 1, OSError(errno.EIO, "Input/output error")))
    with pytest.raises(ModelFileError, match=r"cannot write .*report\.html: Input/output error"):
        write_text(path, "new")
    assert whole_tree(tmp_path) == {"deep/report.html": "é".encode()}


def test_a_link_stays_and_its_folder_is_replaced(tmp_path, model):
    (tmp_path / "link").symlink_to(model)
    write_folder(tmp_path / "link", "model", {"new": 1}, {})
    assert (tmp_path / "link").readlink() == model
    assert read_folder(model, "model") == ({"new": 1}, {})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "model"]


def test_what_was_moved_aside_is_found_through_a_link(tmp_path, model):
    (tmp_path / "far").mkdir()
    model.rename(tmp_path / "far" / ".model.0.old")
    (tmp_path / "link").symlink_to(tmp_path / "far" / "model")
    with pytest.warns(SteinmixWarning, match="is used"):
        assert read_folder(tmp_path / "link", "model")[0] == META


@pytest.mark.parametrize(("mode", "meanwhile"), [(0o600, 0o600), (0o440, 0o640), (0o644, 0o644)])
def test_half_a_file_is_no_more_readable_than_the_whole(tmp_path, mode, meanwhile):
    path = tmp_path / "x"
    path.touch()
    path.chmod(mode)
    with new_file(path) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == meanwhile
        temporary.write_text("x")
    assert stat.S_IMODE(path.stat().st_mode) == mode
