import json

import numpy as np
import pytest
import scipy.sparse as sp

from steinmix.data import as_source
from steinmix.data import pack as packing
from steinmix.data.layout import PACKED
from steinmix.data.pack import pack
from steinmix.errors import ConfigError, DataError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.mark.parametrize("dtype", ["u1", "i2", "<i8", ">i4", "f2", "<f4", ">f4", "f8", "?"])
def test_what_is_packed_is_read(tmp_path, rng, check_source, monkeypatch, dtype):
    monkeypatch.setattr(packing, "GROUP_BYTES", 7 * 130)
    X = rng.integers(0, 2, (1000, 7)).astype(dtype)
    assert pack(as_source(X), tmp_path / "x.parquet") > 5
    source = as_source(tmp_path / "x.parquet")
    check_source(source, X.astype(as_source(X).dtype))
    assert source.feature_names is None
    assert pq.read_schema(tmp_path / "x.parquet").names == ["rows"]


def test_names_and_columns_are_kept(tmp_path, table, check_source):
    pd = pytest.importorskip("pandas")
    pack(as_source(pd.DataFrame(table, columns=list("abc"))), tmp_path / "x.parquet")
    source = as_source(tmp_path / "x.parquet")
    check_source(source, table)
    assert source.feature_names == ["a", "b", "c"]
    chosen = as_source(tmp_path / "x.parquet", columns=["c", "a"])
    check_source(chosen, table[:, [2, 0]])
    assert chosen.feature_names == ["c", "a"]
    check_source(as_source(tmp_path / "x.parquet", exclude=["a"]), table[:, 1:])
    with pytest.raises(ConfigError, match="no column 'z'"):
        as_source(tmp_path / "x.parquet", columns=["z"])


def test_every_kind_of_source_can_be_packed(tmp_path, table, check_source):
    np.save(tmp_path / "x.npy", table)
    pq.write_table(pa.table(dict(zip("abc", table.T))), tmp_path / "plain.parquet", row_group_size=130)
    for X in (tmp_path / "x.npy", tmp_path / "plain.parquet", sp.csr_matrix(table)):
        pack(as_source(X), tmp_path / "packed.parquet")
        check_source(as_source(tmp_path / "packed.parquet"), table)


def test_columns_beside_the_rows_are_no_features(tmp_path, table, check_source):
    labels = np.array([f"class {i % 3}" for i in range(len(table))])
    pack(as_source(table), tmp_path / "x.parquet", {"kind": labels})
    check_source(as_source(tmp_path / "x.parquet"), table)
    check_source(as_source(tmp_path / "x.parquet", exclude=["kind"]), table)
    assert pq.read_table(tmp_path / "x.parquet")["kind"].to_pylist() == labels.tolist()
    with pytest.raises(DataError, match="other names than 'rows'"):
        pack(as_source(table), tmp_path / "y.parquet", {"rows": labels})


def test_a_folder_of_packed_files_must_agree(tmp_path, table, check_source):
    pack(as_source(table[:600]), tmp_path / "0.parquet")
    pack(as_source(table[600:]), tmp_path / "1.parquet")
    check_source(as_source(tmp_path), table)
    pack(as_source(table.view(np.int64)), tmp_path / "2.parquet")  # as wide, of another type
    with pytest.raises(DataError, match=r"2\.parquet differs from"):
        as_source(tmp_path)


@pytest.mark.parametrize(
    "told",
    ["{", "[]", "{}", {"dtype": "O"}, {"dtype": "x"}, {"dtype": "<f8"}, {"column": "z"}, {"names": ["a"]}],
)
def test_damaged_metadata_is_refused(tmp_path, told):
    whole = {"column": "rows", "dtype": "<f4", "names": None}
    text = json.dumps(whole | told) if isinstance(told, dict) else told
    schema = pa.schema([pa.field("rows", pa.binary(12))], metadata={PACKED: text.encode()})
    pq.write_table(pa.table({"rows": pa.array([b"0" * 12], pa.binary(12))}, schema=schema), tmp_path / "x.parquet")
    with pytest.raises((DataError, ConfigError), match=r"pack it again"):
        as_source(tmp_path / "x.parquet")
