"""Tables from anybody (goal F4): .npy, .npz and .csv, cut short, damaged or made to do harm; IDX has a file of its own."""

import io
import re
import struct
import tracemalloc
import warnings
import zipfile

import numpy as np
import pytest

from ae_scratch.datasets import read_table, tables
from ae_scratch.errors import DataFormatError

MIB = 2**20
X = np.random.default_rng(0).integers(1, 100, (3, 4))  # as floats of any precision and byte order it has its own bytes


def npy(array, version=(1, 0)):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version)
    return file.getvalue()


def npz(content, method=zipfile.ZIP_STORED, name="X.npy"):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, content)
    return file.getvalue()


HEADER = re.compile(rb"\{'descr': '([<>|=]?)([biuf])(\d+)', 'fortran_order': (True|False), 'shape': \((\d+), (\d+)\), \} *\n")


def decode(content):
    """What an .npy file of version 1 or 2 says, as (kind, bytes, rows of values), or None where it is not exactly one matrix."""
    try:
        major, minor = struct.unpack_from("<6xBB", content)
        length, = struct.unpack_from("<H" if major == 1 else "<I", content, 8)
        start = (10 if major == 1 else 12) + length
        parts = HEADER.fullmatch(content[:start], start - length).groups()
        order, kind, size, fortran, rows, columns = (part.decode() for part in parts)
        letters = {"b1": "?", "u1": "B", "i1": "b", "i2": "h", "u2": "H", "i4": "i", "u4": "I", "i8": "q", "u8": "Q",
                   "f2": "e", "f4": "f", "f8": "d"}
        rows, columns = int(rows), int(columns)
        values = struct.unpack(f"{'>' if order == '>' else '<'}{rows * columns}{letters[kind + size]}", content[start:])
    except (AttributeError, KeyError, struct.error, UnicodeDecodeError):
        return None
    if not values or content[:6] != b"\x93NUMPY" or (major, minor) not in ((1, 0), (2, 0)):
        return None
    table = [values[i::rows] if fortran == "True" else values[i * columns:(i + 1) * columns] for i in range(rows)]
    return kind, int(size), repr(table)


def outcome(path, content, read=read_table):
    """What is read: (kind, bytes, values), None for DataFormatError; any other error goes through."""
    path.write_bytes(content)
    try:
        table = read(path).X
    except DataFormatError as error:
        assert str(error).startswith(str(path))
        return None
    return table.dtype.kind, table.dtype.itemsize, repr([tuple(row.tolist()) for row in table])


def flips(content, step=1):
    """The content with one bit flipped, every one or every step-th."""
    return [content[:i // 8] + bytes([content[i // 8] ^ 1 << i % 8]) + content[i // 8 + 1:]
            for i in range(0, 8 * len(content), step)]


def cuts(content):
    return [content[:length] for length in range(len(content))]


every = pytest.mark.parametrize("step", [11, pytest.param(1, marks=pytest.mark.slow)])  # 11: all bits, at some places


def careless(path):
    """As numpy.load reads, which asks for no more than the data and does not look behind them."""
    try:
        return tables.Table(np.load(path))
    except Exception as error:
        raise DataFormatError(f"{path}: {error}") from error


@pytest.fixture(autouse=True)
def python_may_warn():
    """Python warns of odd literals that NumPy reads, and NumPy of those of Python 2."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("dtype, order", [("<f4", "C"), (">f8", "F")] + [
    pytest.param(dtype, order, marks=pytest.mark.slow) for dtype in ("<f2", "|u1", ">i4", "|b1") for order in "CF"])
@every
def test_F4_npy_census(tmp_path, dtype, order, step):
    """Every truncation, flipped bit and tail: what the oracle reads, or DataFormatError."""
    content = npy(np.asarray(X, dtype, order=order))
    mutants = [content, npy(np.asarray(X, dtype, order=order), (2, 0)),
               *flips(content, step), *cuts(content),
               content + b"\0", content * 2]
    expected = [decode(mutant) for mutant in mutants]
    got = [outcome(tmp_path / "x.npy", mutant) for mutant in mutants]
    assert [pair for pair in zip(got, expected) if pair[0] != pair[1] and pair[1] is not None] == []
    others = [(mutant, read) for mutant, read, oracle in zip(mutants, got, expected) if oracle is None and read is not None]
    assert all(read == expected[0] for _, read in others) and len(others) < 60  # another spelling of the same header
    assert expected[0] == expected[1] and None in expected
    assert not dtype.startswith("<f4") or [outcome(tmp_path / "x.npy", mutant, careless) for mutant in mutants] != got


def spelled(descr="'<f4'", fortran="False", shape="(3, 4)", more="", data=48):
    header = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, {more}}}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header + bytes(data)


DEEP = 4000
HOSTILE = [
    *(spelled(shape=shape) for shape in (
        "(3, 5)", "(3, 3)", "(-3, -4)", "(0, 4)", "(3, 0)", "(2**62, 4)", "(4611686018427387904, 4)",
        "(18446744073709551617, 12)", "(6148914691236517206, 12)", "(12,)", "()", "3, 4", "[3, 4]", "(3.0, 4)", "('3', 4)",
        "None", "(3, 4, 0)", f"({'1, ' * 99} 12)",
        "(" * DEEP, "-" * DEEP + "1", "-" * 2 * DEEP + "1", "(" + "3," * DEEP + ")", "9" * 5000, "(3, 4" + "0" * 5000 + ")")),
    *(spelled(descr) for descr in (
        "'O'", "'|O'", "'|O8'", "'<U1'", "'|S4'", "'<M8[s]'", "'<m8[s]'", "'<c8'", "'V4'", "'|V4'", "''", "'<f16'", "'<f0'",
        "'<f3'", "'float'", "'object'", "'__import__'", "None", "1", "[]", "()", "{}", "[('a', '<f4')]", "[('a', '|O')]",
        "('<f4', (2,))", "('<f4', 2**40)", "[('a', '<f4', (99999, 99999, 99999))]", "'<f4,<f4'", "'4611686018427387904f4'",
        "'(99999,99999,99999)f4'", "'<f99999999999999999999'", "[" * DEEP)),
    spelled(fortran="1"), spelled(fortran="None"), spelled(more="'x': 1"), spelled(more="'shape': (12, 4)"), spelled(more="**{}"),
    spelled(data=47), spelled(data=0), spelled(data=49), b"\x93NUMPY", b"\x93NUMPY\x01\0", b"\x93NUMPY\x01\0\xff\xff{",
    b"\x93NUMPY\x02\0\xff\xff\xff\xff{", b"\x93NUMPY\x03\0" + spelled()[8:], b"\x93NUMPY\x09\x09" + spelled()[8:],
    b"\x93NUMPY\x01\0" + struct.pack("<H", 300) + b"\0" * 300, b"\x93NUMPY\x01\0" + struct.pack("<H", 300) + b"\xff" * 300,
    b"\x93NUMPY\x01\0" + struct.pack("<H", 9) + b"print(1)\n", b"\x93NUMPX\x01\0" + spelled()[8:], b"PK\3\4", b"\x80\4cprint\n."]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_F4_hostile_npy_headers(tmp_path, number):
    content = HOSTILE[number]
    assert outcome(tmp_path / "x.npy", spelled()) is not None
    tracemalloc.start()
    assert outcome(tmp_path / "x.npy", content) is None
    assert outcome(tmp_path / "x.npz", npz(content)) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * MIB


@pytest.mark.parametrize("array", [np.array([[print, 1]], object), np.array([[{}]], object)])
def test_F4_objects_are_never_unpickled(tmp_path, array):
    np.save(tmp_path / "x.npy", array, allow_pickle=True)
    np.savez(tmp_path / "x.npz", array)
    for name in "x.npy", "x.npz":
        with pytest.raises(DataFormatError, match="expected a NumPy file of numbers, found an array of object"):
            read_table(tmp_path / name)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@every
def test_F4_npz_census(tmp_path, method, step):
    """No truncation and no flipped bit changes a number in silence: all of them are under a checksum."""
    content = npz(npy(X.astype("<f4")), method)
    good = outcome(tmp_path / "x.npz", content)
    got = [outcome(tmp_path / "x.npz", mutant) for mutant in flips(content, step)]
    assert good is not None and set(got) == {good, None} and got.count(good) < len(got) / 2  # times and attributes mean nothing
    assert [outcome(tmp_path / "x.npz", mutant) for mutant in cuts(content)] == [None] * len(content)


def test_F4_a_reader_that_checks_no_checksum_is_found_out(tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile.ZipExtFile, "_update_crc", lambda self, data: None)
    content = npz(npy(X.astype("<f4")))
    good = outcome(tmp_path / "x.npz", content)
    assert {outcome(tmp_path / "x.npz", mutant + content[200:]) for mutant in flips(content[:200], 7)} - {good, None}


ZEROS = np.zeros((2, 8 * MIB), np.uint8)


@pytest.mark.parametrize("content, limit", [
    (npz(npy(ZEROS), zipfile.ZIP_DEFLATED), MIB),  # an honest one, but too large
    (npz(spelled(shape="(1048576, 1048576)"), zipfile.ZIP_DEFLATED), 2**50),
    (npz(npy(ZEROS) + bytes(MIB), zipfile.ZIP_DEFLATED), MIB),
    (npz(npy(ZEROS[:, :9])).replace(struct.pack("<I", len(npy(ZEROS[:, :9]))), struct.pack("<I", 2**31)), 2**50),
    (npz(npy(ZEROS), zipfile.ZIP_BZIP2), 2**50), (npz(npy(ZEROS), zipfile.ZIP_LZMA), 2**50)], ids=range(6))
def test_F4_bombs_take_no_memory(tmp_path, monkeypatch, content, limit):
    monkeypatch.setattr(tables, "MAX_UNPACKED", limit)
    tracemalloc.start()
    assert len(content) < MIB and outcome(tmp_path / "x.npz", content) is None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MIB


def test_F4_the_measure_sees_a_bomb_that_is_let_in(tmp_path):
    (tmp_path / "x.npz").write_bytes(npz(npy(ZEROS), zipfile.ZIP_DEFLATED))
    tracemalloc.start()
    assert read_table(tmp_path / "x.npz").X.shape == ZEROS.shape
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert ZEROS.nbytes > 900 * (tmp_path / "x.npz").stat().st_size and ZEROS.nbytes < peak < ZEROS.nbytes + 4 * MIB


@pytest.mark.parametrize("name", ["X.txt", "../X", "/X.npy", "X.npy/"])
def test_F4_odd_names_in_archives(tmp_path, name):
    """A name is a name: nothing is written, whatever it says."""
    good = outcome(tmp_path / "good.npz", npz(npy(X)))
    assert outcome(tmp_path / "x.npz", npz(npy(X), name=name)) in (good, None)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["good.npz", "x.npz"] and not (tmp_path.parent / "X").exists()


CSV = b"a,b\n1,2\n3,4.5\n"


def test_F4_csv_census(tmp_path):
    """Whatever bytes there are: numbers, or the one error; nothing is there that the text does not say."""
    for mutant in flips(CSV) + cuts(CSV) + [CSV.replace(b"4.5", word) for word in (
            b"0x10", b"1e400", b"nan", b"\0", b"\xff", b'"', b"1" * 200000, "\u0661".encode(), b"1_0", b"=1+1",
            b"__import__('os')")]:
        path = tmp_path / "x.csv"
        got = outcome(path, mutant)
        if got is not None:
            numbers = re.findall(r"[0-9][0-9.eE+-]*", mutant.decode())
            assert all(float(value) in map(float, numbers) for row in read_table(path).X for value in abs(row)), mutant


def test_F4_a_member_that_ends_early_or_late(tmp_path):
    for size in 2, 4:
        with pytest.raises(DataFormatError, match=f"expected {size} bytes of data, then the end, found 3"):
            tables._read_all(io.BytesIO(b"abc"), size)
    assert tables._read_all(io.BytesIO(b"abc"), 3).tobytes() == b"abc"


@pytest.mark.parametrize("name", ["x.npy", "x.npz", "x.npz:X"])
def test_F4_a_file_that_cannot_be_read_is_not_called_damaged(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_table(name)
