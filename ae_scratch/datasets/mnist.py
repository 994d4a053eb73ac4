"""MNIST: 70,000 handwritten digits of 28 x 28 pixels, read from files on this machine or, only when asked, downloaded.

Y. LeCun, C. Cortes, C. Burges: The MNIST database of handwritten digits. Licence: CC BY-SA 3.0.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import DataFormatError, DownloadError
from ..files import cache_folder, replacing
from .idx import idx_sha256, parse_idx, read_idx

SHA256 = {  # of the uncompressed content, in the order of Dataset's arrays
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MIRRORS = "https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"
SUBFOLDERS = "", "mnist", "MNIST/raw"  # the last is torchvision's
TIMEOUT = 20.0  # seconds without a byte from the server
MAX_DOWNLOAD = 16 * 1024**2  # bytes per file, the largest has 9.9 million
MAX_CONTENT = 64 * 1024**2  # bytes per file unpacked, the largest has 47 million


class Dataset(NamedTuple):
    """Labelled images in a training and a test part, and where they come from.

    X_train, X_test: uint8 (n, height, width), 0 background to 255 ink; y_train, y_test: uint8 (n,); sha256: from each file's name
    without ``.gz`` to the SHA-256 of its uncompressed content; source: the folder of the files.
    """

    name: str
    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray
    sha256: dict[str, str]
    source: str


def load_mnist(path: str | os.PathLike[str] | None = None, download: bool = False) -> Dataset:
    """Return MNIST: 60,000 images to train on, 10,000 to test on.

    Looks in the folder ``path`` alone if it is given, else in ``$AE_SCRATCH_DATA``, ``./data`` and the user's cache folder; in
    each for the four files, plain or .gz, directly or in ``mnist`` or ``MNIST/raw``. If no folder has them and no ``path`` was
    given, ``download=True`` fetches them into the cache folder, over https and verified by SHA-256. Nothing else ever downloads.

    Other data of the same form in the same file names (Fashion-MNIST) are read too, but only MNIST's own content is named
    "MNIST": the rest is named after its folder, "images in ...".

    Raises FileNotFoundError if no folder has all the files, DataFormatError if they are damaged or do not belong together, and
    DownloadError if neither mirror gave the right ones or they could not be stored.

    >>> mnist = load_mnist(download=True)  # doctest: +SKIP
    >>> mnist.X_train.shape, mnist.y_train[:5]  # doctest: +SKIP
    ((60000, 28, 28), array([5, 0, 4, 1, 9], dtype=uint8))
    """
    places = _default_places() if path is None else [Path(path)]
    found = _find(places)
    if found is None and path is None and download:
        _download(cache_folder() / "mnist")
        found = _find([cache_folder()])
    if found is None:
        raise FileNotFoundError(_not_found(places))
    return _load(*found)


def as_rows(images: np.ndarray) -> np.ndarray:
    """Return uint8 images (n, height, width) as rows to fit: float32 (n, height * width), value / 255, hence in [0, 1].

    >>> as_rows(np.array([[[0, 51], [102, 255]]], np.uint8))
    array([[0. , 0.2, 0.4, 1. ]], dtype=float32)
    """
    if images.dtype != np.uint8 or images.ndim != 3:
        raise ValueError(f"expected images as uint8 (n, height, width), got {images.dtype} {images.shape}; "
                         f"other arrays need no as_rows: reshape and scale them")
    n, height, width = images.shape
    return np.divide(images.reshape(n, height * width), np.float32(255), dtype=np.float32)


def _default_places() -> list[Path]:
    given = os.environ.get("AE_SCRATCH_DATA")
    return ([Path(given)] if given else []) + [Path("data"), cache_folder()]


def _find(places: list[Path]) -> tuple[Path, str] | None:
    """Return the first folder that has all four files, and the name of the place it belongs to."""
    for place in places:
        for folder in (place / sub for sub in SUBFOLDERS):
            if all(_file(folder, stem) for stem in SHA256):
                return folder, place.resolve().name
    return None


def _file(folder: Path, stem: str) -> Path | None:
    """Return the path of a file, packed or plain, or None; packed first: it has a checksum, and a download must prevail."""
    paths = folder / f"{stem}.gz", folder / stem
    return next((path for path in paths if os.path.isfile(path)), None)


def _not_found(places: list[Path]) -> str:
    folders = ", ".join(os.path.abspath(place) for place in places)
    return (f"expected MNIST's four files ({', '.join(SHA256)}; plain or .gz), found not all of them in any of: {folders} "
            f"(nor in mnist or MNIST/raw there). Call load_mnist(download=True), without a path, or get them from "
            f"{' or '.join(MIRRORS)} and put them into one of these folders")


def _load(folder: Path, place: str) -> Dataset:
    files = [_file(folder, stem) or folder / stem for stem in SHA256]
    X_train, y_train, X_test, y_test = arrays = [read_idx(file) for file in files]
    _check(files[:2], X_train, y_train)
    _check(files[2:], X_test, y_test)
    if X_train.shape[1:] != X_test.shape[1:]:
        raise DataFormatError(f"{files[2]}: expected images of shape {X_train.shape[1:]} as in {files[0].name}, "
                              f"found {X_test.shape[1:]}")
    sha256 = dict(zip(SHA256, map(idx_sha256, arrays)))
    name = "MNIST" if sha256 == SHA256 else f"images in {place}"
    return Dataset(name, X_train, y_train, X_test, y_test, sha256, str(folder))


def _check(files: list[Path], images: np.ndarray, labels: np.ndarray) -> None:
    if images.dtype != np.uint8 or images.ndim != 3 or images.shape[1] != images.shape[2]:
        raise DataFormatError(f"{files[0]}: expected square images, uint8 (n, side, side), found {images.dtype} {images.shape}")
    if labels.dtype != np.uint8 or labels.shape != images.shape[:1]:
        raise DataFormatError(f"{files[1]}: expected a label for each image in {files[0].name}, uint8 {images.shape[:1]}, "
                              f"found {labels.dtype} {labels.shape}")


def _download(folder: Path) -> None:
    """Complete MNIST in a folder; files with the right content stay as they are."""
    if not folder.is_absolute():
        raise DownloadError(f"expected an absolute path for the cache, found {folder}; set HOME or XDG_CACHE_HOME "
                            f"(on Windows LOCALAPPDATA) to one")
    for stem in SHA256:
        if not _is_good(folder, stem):
            data = _fetch(stem)
            try:
                _store(folder / f"{stem}.gz", data)
            except OSError as error:
                raise DownloadError(f"{stem}.gz could not be stored in {folder}: {error}") from error


def _is_good(folder: Path, stem: str) -> bool:
    file = _file(folder, stem)
    try:
        return file is not None and idx_sha256(read_idx(file)) == SHA256[stem]
    except (OSError, DataFormatError):
        return False


def _fetch(stem: str) -> bytes:
    """Return the packed file from the first mirror that gives the right one; nothing unverified reaches the disk."""
    from http.client import HTTPException

    reasons = []
    for url in (f"{mirror}{stem}.gz" for mirror in MIRRORS):
        try:
            data = _get(url)
            _verify(data, SHA256[stem])
            return data
        except (OSError, HTTPException, DataFormatError) as error:
            reasons.append(f"{url}: {error or type(error).__name__}")
    raise DownloadError(f"expected {stem}.gz from one of the mirrors, got it from none: {'; '.join(reasons)}. Try again later, "
                        f"or put MNIST's files into a folder and call load_mnist(path)")


def _get(url: str) -> bytes:
    from urllib.error import URLError
    from urllib.request import HTTPRedirectHandler, build_opener  # slow to import, and hardly ever needed

    class HttpsOnly(HTTPRedirectHandler):
        def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]
            if not newurl.startswith("https://"):
                raise URLError(f"expected a redirect to https, got {newurl}")
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    with build_opener(HttpsOnly).open(url, timeout=TIMEOUT) as response:
        data: bytes = response.read(MAX_DOWNLOAD + 1)
    if len(data) > MAX_DOWNLOAD:
        raise DownloadError(f"expected at most {MAX_DOWNLOAD} bytes, got more")
    return data


def _verify(data: bytes, sha256: str) -> None:
    got = idx_sha256(parse_idx(io.BytesIO(data), MAX_CONTENT))
    if got != sha256:
        raise DataFormatError(f"expected content with SHA-256 {sha256}, got {got}")


def _store(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part:
        part.write_bytes(data)
