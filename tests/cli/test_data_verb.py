import json

from steinmix.data.datasets import available


def test_list(cli):
    code, out, _ = cli("data", "list", "--json")
    assert code == 0
    assert list(json.loads(out)) == list(available())
    assert "digits" in cli("data", "list")[1]


def test_get(cli, refused):
    code, out, err = cli("data", "get", "digits", "--json")
    assert (err, code) == ("", 0)
    assert json.loads(out)["shape"] == [1797, 64]
    assert "1797 rows x 64 columns, 10 classes" in cli("data", "get", "digits")[1]
    assert "did you mean 'mnist'" in refused("data", "get", "mnst")
    assert "no parts" in refused("data", "get", "digits:train")
    assert "needs a name" in refused("data", "get")


def test_describe(cli, refused, write, blobs):
    code, out, _ = cli("data", "describe", write("rows.csv"), "--exclude", "kind", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["shape"] == [90, 3]
    assert found["columns"]["b"]["max"] == blobs[0][:, 1].max()
    code, out, _ = cli("data", "describe", "digits")
    assert code == 0
    assert "44 more columns" in out
    assert "kind" in refused("data", "describe", write("rows.csv"))
