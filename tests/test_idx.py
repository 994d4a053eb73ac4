"""The IDX reader against files built by hand with struct, and against every defect a file can have (goal F4)."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import math
import random
import re
import struct
import tracemalloc
import zlib

import numpy as np
import pytest

from ae_scratch.datasets.idx import idx_sha256, parse_idx, read_idx
from ae_scratch.errors import DataFormatError

CODES = {0x08: "B", 0x09: "b", 0x0B: "h", 0x0C: "i", 0x0D: "f", 0x0E: "d"}  # letters of struct, and of NumPy
EXTREMES = {0x08: (0, 1, 255), 0x09: (-128, 3, 127), 0x0B: (-2**15, 258, 2**15 - 1), 0x0C: (-2**31, 66051, 2**31 - 1),
            0x0D: (-0.5, 1.0009765625, math.inf), 0x0E: (-1e300, math.pi, 5e-324)}
SMALL = {"uint8": (0x08, (2, 3), (0, 255, 7, 8, 9, 1)), "int16": (0x0B, (3, 1, 2), (1, -2, 300, -400, 258, 0))}


def encode(code, shape, values):
    return struct.pack(f">BBBB{len(shape)}I{len(values)}{CODES[code]}", 0, 0, code, len(shape), *shape, *values)


def decode(content):
    """What the file says, as (letter, shape, values), or None where it is not exactly one IDX array."""
    try:
        zero, code, ndim = struct.unpack_from(">HBB", content)
        shape = struct.unpack_from(f">{ndim}I", content, 4)
        values = struct.unpack(f">{math.prod(shape)}{CODES[code]}", content[4 + 4 * ndim:])
    except (struct.error, KeyError, OverflowError):
        return None
    return (CODES[code], shape, values) if zero == 0 and values and 1 <= ndim <= 32 else None


def pack(content):
    """Compress as gzip(1) does, with the file's name in the header."""
    file = io.BytesIO()
    with gzip.GzipFile("digits", "wb", fileobj=file, mtime=1) as stream:
        stream.write(content)
    return file.getvalue()


def flips(data):
    return [data[:i] + bytes([data[i] ^ 1 << bit]) + data[i + 1:] for i in range(len(data)) for bit in range(8)]


def cuts(data):
    return [data[:n] for n in range(len(data))]


def outcome(reader, path, data):
    """What the reader makes of a file: (letter, shape, values), None for DataFormatError, the name of any other exception."""
    path.write_bytes(data)
    try:
        array = reader(path)
    except DataFormatError as error:
        return None if str(path) in str(error) and "expected" in str(error) and "found" in str(error) else f"bad message: {error}"
    except Exception as error:
        return type(error).__name__
    return array.dtype.char, array.shape, tuple(array.ravel().tolist())


def peak_memory(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def careless_plain(path):
    """Takes what it needs, does not look for more."""
    data = path.read_bytes()
    dtype, ndim = np.dtype(CODES[data[2]]), data[3]
    shape = struct.unpack_from(f">{ndim}I", data, 4)
    return np.frombuffer(data, dtype.newbyteorder(">"), math.prod(shape), 4 + 4 * ndim).reshape(shape)


def careless_gzip(path):
    """Unpacks, but never gets to the checksum."""
    content = zlib.decompressobj(-15).decompress(path.read_bytes()[10 + len(b"digits\0"):])
    letter, shape, values = decode(content) or ("B", (0,), ())
    return np.array(values, letter).reshape(shape)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("shape", [(3,), (1, 3), (3, 1, 1), (1, 1, 3, 1), (1,) * 31 + (3,)])
@pytest.mark.parametrize("code", CODES)
def test_every_type_and_rank(tmp_path, code, shape, packed):
    content = encode(code, shape, EXTREMES[code])
    path = tmp_path / "digits"
    assert outcome(read_idx, path, pack(content) if packed else content) == (CODES[code], shape, EXTREMES[code])
    array = read_idx(path)
    assert array.dtype.isnative and array.flags.c_contiguous and array.flags.writeable


def test_last_index_runs_fastest(tmp_path):
    (tmp_path / "digits").write_bytes(encode(0x0B, (2, 3), (1, 2, 3, 4, 5, 6)))
    assert read_idx(tmp_path / "digits").tolist() == [[1, 2, 3], [4, 5, 6]]


def test_gzip_is_told_by_content_not_name(tmp_path):
    content = encode(0x08, (3,), (7, 2, 1))
    got = [outcome(read_idx, tmp_path / "digits.gz", content), outcome(read_idx, tmp_path / "digits", pack(content))]
    assert got == [("B", (3,), (7, 2, 1))] * 2


@pytest.mark.parametrize("kind", SMALL)
def test_F4_plain_census(tmp_path, kind):
    """Every truncation, single-bit flip and tail: what the oracle reads, or DataFormatError where it refuses."""
    content = encode(*SMALL[kind])
    mutants = flips(content) + cuts(content) + [content + b"\0", content + content]
    expected = [decode(mutant) for mutant in mutants]
    assert [outcome(read_idx, tmp_path / "digits", mutant) for mutant in mutants] == expected
    assert None in expected and any(expected)
    assert [outcome(careless_plain, tmp_path / "digits", mutant) for mutant in mutants] != expected


@pytest.mark.parametrize("kind", SMALL)
def test_F4_gzip_census(tmp_path, kind):
    """The same for gzip, where nothing may change in silence: the very data (header bits without meaning) or DataFormatError."""
    def wrong(reader):
        return [mutant for mutant in mutants if outcome(reader, tmp_path / "digits.gz", mutant) not in (None, decode(content))]

    content = encode(*SMALL[kind])
    data = pack(content)
    mutants = flips(data) + cuts(data) + [data + b"garbage", data + data, pack(content + b"\0"), pack(content[:-1])]
    assert wrong(read_idx) == []
    assert wrong(careless_gzip) != []
    outcomes = [outcome(read_idx, tmp_path / "digits.gz", mutant) for mutant in mutants]
    assert outcomes[8 * len(data):] == [None] * (len(mutants) - 8 * len(data))  # a cut or a tail is never harmless
    assert 0 < sum(map(bool, outcomes)) < 8 * len(b"..........digits\0.")  # only flips in header and padding are


def test_F4_random_headers(tmp_path):
    """Structured mutants: any type, any rank, sizes from none to the largest, 0 to 8 bytes of data."""
    rng = random.Random(4)
    accepted = 0
    for _ in range(2000):
        ndim = rng.choice([0, 1, 1, 2, 3, 4, 33, 255])
        dims = [rng.choice([1] * 8 + [2, 2, 4, 0, 2**16, 2**31, 2**32 - 1]) for _ in range(rng.choice([ndim, ndim, 1]))]
        content = struct.pack(f">HBB{len(dims)}I", rng.choice([0] * 9 + [256]), rng.choice(range(7, 16)), ndim, *dims)
        content += bytes(rng.choice([0, 1, 2, 4, 8]))
        expected = decode(content)
        assert outcome(read_idx, tmp_path / "digits", content) == expected, content.hex(" ")
        assert outcome(read_idx, tmp_path / "digits", pack(content)) == expected, content.hex(" ")
        accepted += expected is not None
    assert accepted > 30


def test_F4_sizes_do_not_wrap_around(tmp_path):
    shape = (4, 242243305, 49477, 384773)
    assert math.prod(shape) == 2**64 + 4
    assert outcome(read_idx, tmp_path / "digits", struct.pack(">HBB4I", 0, 8, 4, *shape) + b"four") is None


@pytest.mark.parametrize("data", [b"", b"\x1f", b"\x1f\x8b", gzip.compress(b"", mtime=0), gzip.compress(b"\0\0\x08", mtime=0),
                                  b"<html></html>"])
def test_F4_no_data_at_all(tmp_path, data):
    assert outcome(read_idx, tmp_path / "digits.gz", data) is None


@pytest.mark.parametrize("ndim", [0, 33, 255])
def test_F4_ranks_numpy_has_not(tmp_path, ndim):
    assert outcome(read_idx, tmp_path / "digits", encode(0x08, (1,) * ndim, (7,))) is None


MIB = 1024**2


@pytest.mark.parametrize("announced, present, max_bytes", [
    (2**31, 0, 2**31),  # a header alone
    (2**32 - 1, 100, 2**40),
    (10, 16 * MIB, 2**31),  # much more than announced
    (16 * MIB, 16 * MIB, MIB),  # an honest one, but too large
])
@pytest.mark.parametrize("packed", [False, True])
def test_F4_bombs_take_no_memory(tmp_path, announced, present, max_bytes, packed):
    def read():
        with pytest.raises(DataFormatError, match="expected .* found"):
            read_idx(path, max_bytes)

    path = tmp_path / "digits"
    content = struct.pack(">HBBI", 0, 8, 1, announced) + bytes(present)
    path.write_bytes(gzip.compress(content) if packed else content)
    assert peak_memory(read) < MIB


def test_memory_measurement_sees_a_large_read(tmp_path):
    path = tmp_path / "digits"
    path.write_bytes(gzip.compress(struct.pack(">HBBI", 0, 8, 1, 16 * MIB) + bytes(16 * MIB)))
    assert 16 * MIB > 1000 * path.stat().st_size  # near the best that deflate can do, and not refused as too short
    assert peak_memory(lambda: read_idx(path)) > 16 * MIB
    assert read_idx(path).shape == (16 * MIB,)


@pytest.mark.parametrize("packed", [False, True])
def test_max_bytes_counts_the_data(tmp_path, packed):
    path = tmp_path / "digits"
    content = encode(0x0B, (5,), (1, 2, 3, 4, 5))
    path.write_bytes(pack(content) if packed else content)
    assert read_idx(path, max_bytes=10).tolist() == [1, 2, 3, 4, 5]
    with pytest.raises(DataFormatError, match="at most 9 bytes .* larger max_bytes"):
        read_idx(path, max_bytes=9)


def test_failing_disk_stays_an_os_error():
    class Disk(io.BytesIO):
        def read(self, size=-1):
            if self.tell() >= 8:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(size)

    with pytest.raises(OSError, match="Input/output error"):
        parse_idx(Disk(encode(0x08, (3,), (7, 2, 1))), max_bytes=100)


def test_unreadable_files_stay_os_errors(tmp_path):
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "nothing"))):
        read_idx(tmp_path / "nothing")
    with pytest.raises(OSError, match=re.escape(str(tmp_path))):
        read_idx(tmp_path)


@pytest.mark.parametrize("code", CODES)
def test_sha256_is_the_files(tmp_path, code):
    content = encode(code, (3, 1), EXTREMES[code])
    (tmp_path / "digits").write_bytes(pack(content))
    array = read_idx(tmp_path / "digits")
    expected = hashlib.sha256(content).hexdigest()
    strided = np.repeat(array, 2, axis=1)[:, ::2]
    assert [idx_sha256(array), idx_sha256(strided), idx_sha256(array.astype(array.dtype.newbyteorder()))] == [expected] * 3


def test_sha256_needs_a_type_of_idx():
    with pytest.raises(ValueError, match="expected an array of dtype uint8, .* got int64"):
        idx_sha256(np.zeros(3, np.int64))
