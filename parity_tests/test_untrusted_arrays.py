"""Arrays, archives and .xz files whose headers state more than they have, or that unpack to much more than they are."""

from __future__ import annotations

import contextlib
import io
import lzma
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from lucid_port.misc.io import load
from lucid_port.optvis.recipe_files import compare_pictures

SMALL = 20_000_000  # bytes of memory


def _header(shape: str, dtype: str = "'<f4'") -> bytes:
    text = f"{{'descr': {dtype}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


HUGE = _header("(100000, 100000, 300)")


def _archive(path: Path, method: int, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return path


def _array(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < SMALL
    finally:
        tracemalloc.stop()


def test_an_array_that_states_more_values_than_its_file_has_is_refused(tmp_path):
    """np.load allocates them before it reads."""
    path = tmp_path / "a.npy"
    path.write_bytes(HUGE)
    with pytest.raises(ValueError, match=r"a\.npy cannot be read as \.npy: its header states 12000000000000 bytes"):
        compare_pictures(path, np.zeros((4, 5, 3)))


def test_an_array_that_states_a_header_of_gigabytes_is_refused(tmp_path):
    path = tmp_path / "a.npy"
    path.write_bytes(b"\x93NUMPY\x02\x00" + (2**32 - 1).to_bytes(4, "little") + b"{}")
    words = "states a length of 4294967295 bytes, and 2 follow"
    with path.open("rb") as file, little_memory(), pytest.raises(ValueError, match=words):
        load(file)


@pytest.mark.parametrize("dtype", ["{[]: 1}", "(" * 60, "'<U1000000000'", "3" * 9000])
def test_a_header_that_is_no_table_is_refused_in_one_sentence(tmp_path, dtype):
    path = tmp_path / "a.npy"
    path.write_bytes(_header("(3,)", dtype))
    with pytest.raises(ValueError, match=r"a\.npy cannot be read as \.npy: its header cannot be read: .*\.\Z"):
        load(path)


@pytest.mark.parametrize("options", [{}, {"allow_pickle": True, "allow_unsafe_formats": True}])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_member_that_states_more_values_than_it_has_is_refused(tmp_path, method, options):
    path = _archive(tmp_path / "a.npz", method, ok=_array(np.arange(5)), bad=HUGE)
    with pytest.raises(
        ValueError, match=r"a\.npz cannot .*: the header of its member 'bad\.npy' states 12000000000000"
    ):
        load(path, **options)


def test_an_archive_behind_an_empty_one_is_checked(tmp_path):
    path = _archive(tmp_path / "a.npz", zipfile.ZIP_STORED, bad=HUGE)
    path.write_bytes(b"PK\x05\x06" + bytes(18) + path.read_bytes())
    with pytest.raises(ValueError, match=r"its member 'bad\.npy' states"):
        load(path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_members_of_an_archive_are_loaded(tmp_path, method):
    objects = np.array([{"a": 1}, [2]], object)
    path = _archive(tmp_path / "a.npz", method, a=_array(np.zeros((3, 4))), b=_array(np.arange(5)), c=_array(objects))
    arrays = load(path, allow_pickle=True, allow_unsafe_formats=True)
    assert arrays["a"].shape == (3, 4)
    assert arrays["b"].tolist() == list(range(5))
    assert arrays["c"].tolist() == [{"a": 1}, [2]]


def test_a_member_that_unpacks_to_much_more_than_the_file_is_refused(tmp_path, monkeypatch):
    path = _archive(tmp_path / "a.npz", zipfile.ZIP_DEFLATED, zeros=_array(np.zeros(100_000)))
    assert load(path)["zeros"].shape == (100_000,)
    monkeypatch.setattr("lucid_port.misc.io.unpacking.MEMORY", 1000)
    with pytest.raises(ValueError, match=r"its member 'zeros\.npy' has 1 MB, and a file of 0\.0 MB may unpack to"):
        load(path)


def test_a_member_with_a_password_is_refused_in_one_sentence(tmp_path):
    path = _archive(tmp_path / "a.npz", zipfile.ZIP_STORED, a=_array(np.arange(5)))
    data = bytearray(path.read_bytes())
    for start, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(start) + offset] |= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"its member 'a\.npy' cannot be unpacked: .* encrypted"):
        load(path)


@pytest.mark.parametrize(
    ("place", "byte", "words"),
    [
        (b"PK\x03\x04", (26, 255), "its member 'a\\.npy' cannot be unpacked: File name in directory"),
        (b"PK\x01\x02", (6, 192), "it cannot be unpacked: zip file version 19.2"),
    ],
)
def test_a_damaged_archive_is_refused_in_one_sentence(tmp_path, place, byte, words):
    path = _archive(tmp_path / "a.npz", zipfile.ZIP_DEFLATED, a=_array(np.arange(5_000)))
    data = bytearray(path.read_bytes())
    data[data.index(place) + byte[0]] = byte[1]
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"\A.*a\.npz cannot be read as \.npz: {words}.*\.\Z") as caught:
        load(path)
    assert len(str(caught.value)) < 500 + len(str(path))


def test_a_long_header_is_read_where_numpy_reads_it(tmp_path):
    table = np.zeros(3, [(f"column {index:03}", "f4") for index in range(500)])
    path = _archive(tmp_path / "a.npz", zipfile.ZIP_STORED, table=_array(table))
    assert load(path, max_header_size=100_000)["table"].dtype == table.dtype
    assert load(path, allow_pickle=True, allow_unsafe_formats=True)["table"].dtype == table.dtype
    with pytest.raises(
        ValueError, match=r"a\.npz cannot be read as \.npz: the header of its member 'table\.npy' has \d+ bytes, more"
    ):
        load(path)


def test_several_arrays_of_one_file_are_loaded_in_turn():
    buffer = io.BytesIO(_array(np.arange(3)) + _array(np.arange(4)))
    buffer.name = "a.npy"
    assert [load(buffer).tolist(), load(buffer).tolist()] == [[0, 1, 2], [0, 1, 2, 3]]


def test_an_xz_file_that_unpacks_to_much_more_than_it_is_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("lucid_port.misc.io.unpacking.allowed_memory", lambda size: 1_000_000 + size)
    (tmp_path / "a.txt.xz").write_bytes(lzma.compress(bytes(50_000_000), preset=0))
    words = r"a\.txt\.xz cannot be read as \.xz: it unpacks to more than 1 MB; .*\.\Z"
    with little_memory(), pytest.raises(ValueError, match=words):
        load(tmp_path / "a.txt.xz")


def test_an_xz_file_that_states_a_large_dictionary_is_refused(tmp_path):
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 2**29}]
    (tmp_path / "a.txt.xz").write_bytes(lzma.compress(b"text", filters=filters))
    with pytest.raises(ValueError, match=r"a\.txt\.xz cannot be read as \.xz: Memory usage limit"):
        load(tmp_path / "a.txt.xz")


def test_all_streams_of_an_xz_file_are_read_as_by_lzma(tmp_path):
    whole = lzma.compress(b"first, ") + lzma.compress(b"") + lzma.compress(b"second")
    path = tmp_path / "a.txt.xz"
    for more in (b"", b"no stream follows"):
        path.write_bytes(whole + more)
        assert load(path) == lzma.decompress(whole + more).decode() == "first, second"
    path.write_bytes(whole + whole[:9])
    with pytest.raises(ValueError, match="it is cut short"):
        load(path)
