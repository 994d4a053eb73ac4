"""IDX, the file format of MNIST: a strict reader.

A file is two zero bytes, one byte for the type, one for the number of dimensions, each dimension as a big-endian uint32, then the
values, big-endian, last index fastest. (Format: http://yann.lecun.com/exdb/mnist, "The IDX file format".)
"""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import struct
import zlib
from typing import BinaryIO

import numpy as np

from ..errors import DataFormatError

DTYPES: dict[int, np.dtype] = {0x08: np.dtype("u1"), 0x09: np.dtype("i1"), 0x0B: np.dtype("i2"),
                               0x0C: np.dtype("i4"), 0x0D: np.dtype("f4"), 0x0E: np.dtype("f8")}
MAX_NDIM = 32  # NumPy's limit before version 2
GZIP_MAGIC = b"\x1f\x8b"
GZIP_RATIO = 1032  # deflate's best: 258 bytes in two bits


def read_idx(path: str | os.PathLike[str], max_bytes: int = 2 * 1024**3) -> np.ndarray:
    """Return the array in an IDX file, plain or gzip (told by the content, not the name), in native byte order.

    dtype: uint8, int8, int16, int32, float32 or float64, as the file says; shape: as the file says, no dimension zero.

    Raises DataFormatError unless the file holds exactly one array of at most ``max_bytes`` bytes and nothing after it. Memory
    for more than the file can hold is never asked for, and a gzip file's checksum is always verified; a plain file has none, so a
    wrong value in it cannot be noticed here. A file that is missing or cannot be read raises OSError, as ``open`` does.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "labels")
    ...     _ = path.write_bytes(b"\\0\\0\\x08\\x01" + b"\\0\\0\\0\\x03" + bytes([7, 2, 1]))
    ...     read_idx(path)
    array([7, 2, 1], dtype=uint8)
    """
    with open(path, "rb") as file:
        try:
            return parse_idx(file, max_bytes)
        except DataFormatError as error:
            raise DataFormatError(f"{os.fspath(path)}: {error}") from error


def parse_idx(file: BinaryIO, max_bytes: int) -> np.ndarray:
    """Return the array in an open IDX file, as ``read_idx`` does; the file must be seekable and is read from its beginning."""
    packed = file.read(2) == GZIP_MAGIC
    room = file.seek(0, os.SEEK_END) * (GZIP_RATIO if packed else 1)
    file.seek(0)
    try:
        return _parse(gzip.GzipFile(fileobj=file) if packed else file, room, max_bytes)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataFormatError(f"expected a whole gzip stream, found a damaged one ({error}); get the file again") from error


def idx_sha256(array: np.ndarray) -> str:
    """Return the SHA-256, in hexadecimal, of the plain IDX file that holds the array (of a dtype ``read_idx`` knows).

    The format leaves no choice in how an array is written, so this is also the SHA-256 of the content the array was read from.

    >>> idx_sha256(np.array([7, 2, 1], np.uint8))[:16]
    'e10ef6244367a3de'
    """
    codes = {dtype: code for code, dtype in DTYPES.items()}
    native = array.dtype.newbyteorder("=")
    if native not in codes:
        raise ValueError(f"expected an array of dtype {', '.join(map(str, codes))}, got {array.dtype}")
    digest = hashlib.sha256(struct.pack(f">2xBB{array.ndim}I", codes[native], array.ndim, *array.shape))
    digest.update(np.ascontiguousarray(array, native.newbyteorder(">")).data)
    return digest.hexdigest()


def _parse(stream: BinaryIO | gzip.GzipFile, room: int, max_bytes: int) -> np.ndarray:
    dtype, shape = _header(stream)
    size = math.prod(shape) * dtype.itemsize  # Python integers: NumPy's would wrap around
    if size > max_bytes:
        raise DataFormatError(f"expected at most {max_bytes} bytes of data, found an array {shape} of {size}; "
                              f"if the file is to be trusted, pass a larger max_bytes")
    if size > room:
        raise DataFormatError(f"expected {size} bytes of data for shape {shape}, found room for {room}; get the file again")
    data = stream.read(size + 1)  # one more: the end must follow, and there gzip verifies its checksum
    if len(data) != size:
        found = "more" if len(data) > size else f"only {len(data)}"
        raise DataFormatError(f"expected {size} bytes of data for shape {shape}, then the end, found {found}; get the file again")
    return np.frombuffer(data, dtype.newbyteorder(">")).reshape(shape).astype(dtype)


def _header(stream: BinaryIO | gzip.GzipFile) -> tuple[np.dtype, tuple[int, ...]]:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in DTYPES or not 1 <= magic[3] <= MAX_NDIM:
        raise DataFormatError(f"expected an IDX file (bytes 00 00, a type of {' '.join(f'{code:02x}' for code in DTYPES)}, "
                              f"1 to {MAX_NDIM} dimensions), found {magic.hex(' ') or 'nothing'}")
    dims = stream.read(4 * magic[3])
    if len(dims) < 4 * magic[3]:
        raise DataFormatError(f"expected {magic[3]} dimensions of 4 bytes, found {len(dims)} bytes; get the file again")
    shape = struct.unpack(f">{magic[3]}I", dims)
    if 0 in shape:
        raise DataFormatError(f"expected dimensions above zero, found shape {shape}")
    return DTYPES[magic[2]], shape
