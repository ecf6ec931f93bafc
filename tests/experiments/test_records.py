"""Lines that are whole, also after a crash and with several writers."""

import fcntl
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from steinmix.errors import ModelFileError
from steinmix.experiments.records import append, by_key, read


def test_what_is_written_is_read(tmp_path, record):
    path = tmp_path / "new" / "a.jsonl"
    first, second = record(0, accuracy=np.float32(0.5), curve=np.array([1.0, np.nan])), record(1, accuracy=0.25)
    append(path, first)
    append(path, second)
    found = read([path])
    assert found[0].metrics == {"accuracy": 0.5, "curve": [1.0, None]}
    assert found[1] == second
    assert [r.key for r in found] == [
        ("paper/table", "set/method", "all rows", 0),
        ("paper/table", "set/method", "all rows", 1),
    ]


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_torn_last_line_is_passed_over_and_then_removed(tmp_path, record, cut):
    path = tmp_path / "a.jsonl"
    append(path, record(0, accuracy=0.5))
    whole = path.read_bytes()
    with path.open("ab") as file:
        file.write(whole[:-1][:cut])
    assert [r.seed for r in read([path])] == [0]
    append(path, record(1, accuracy=0.6))
    assert [r.seed for r in read([path])] == [0, 1]
    assert path.read_bytes().startswith(whole)


def test_a_first_line_that_is_torn_and_a_missing_end(tmp_path, record):
    path = tmp_path / "a.jsonl"
    path.write_text('{"form')
    assert read([path]) == []
    append(path, record(0))
    assert [r.seed for r in read([path])] == [0]
    path.write_bytes(path.read_bytes()[:-1])  # whole but for the line's end
    assert [r.seed for r in read([path])] == [0]
    append(path, record(1))
    assert [r.seed for r in read([path])] == [0, 1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda line: line[:40], "line 1"),
        (lambda line: line.replace("steinmix-record", "other"), "format"),
        (lambda line: line.replace('"schema": 1', '"schema": 9'), "schema 9"),
        (lambda line: line.replace('"seed"', '"sead"'), "lacks seed"),
        (lambda line: "[1, 2]", "format"),
    ],
)
def test_a_foreign_line_is_refused_by_number(tmp_path, record, change, words):
    path = tmp_path / "a.jsonl"
    append(path, record(0))
    path.write_text(change(path.read_text().strip()) + "\n" + record(1).line() + "\n")
    with pytest.raises(ModelFileError, match=words) as caught:
        read([path])
    assert "a.jsonl" in str(caught.value)


def test_many_writers_lose_nothing(tmp_path, record):
    path = tmp_path / "a.jsonl"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda seed: append(path, record(seed, accuracy=0.5)), range(60)))
    assert sorted(r.seed for r in read([path])) == list(range(60))
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_a_writer_waits_for_another(tmp_path, record):
    path = tmp_path / "a.jsonl"
    append(path, record(0))
    with ThreadPoolExecutor(1) as pool, path.open("ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        waiting = pool.submit(append, path, record(1))
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.1)
        assert len(read([path])) == 1
        fcntl.flock(held, fcntl.LOCK_UN)
        waiting.result(timeout=10)
    assert len(read([path])) == 2


def test_the_newest_record_of_a_key_counts(record):
    old, new = record(0, accuracy=0.1), record(0, accuracy=0.9, created="2031-01-01T00:00:00+00:00")
    assert by_key([new, old]) == {new.key: new}


def test_no_host_name(record):
    import platform

    from steinmix.experiments.records import RunRecord

    text = RunRecord("a/b", "r", "p", 0, {}).line()
    assert "versions" in text
    assert len(platform.node()) < 3 or platform.node() not in text


def test_a_folder_that_may_not_be_written(tmp_path, record):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelFileError, match="cannot write"):
        append(tmp_path / "file" / "a.jsonl", record())
