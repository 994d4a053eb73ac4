"""load_mnist on tiny data sets built by hand, and its download against a local TLS server with every fault (goal F5)."""

from __future__ import annotations

import errno
import gzip
import hashlib
import http.client
import http.server
import json
import os
import re
import ssl
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import trustme

from ae_scratch.datasets import mnist
from ae_scratch.errors import DataFormatError, DownloadError

STEMS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
FIRST, SECOND = STEMS[:2]
SHA256, MIRRORS = mnist.SHA256, mnist.MIRRORS  # the real ones; the tests put others in their place


def idx(*shape, start=0, code=8):
    """A file of the bytes start, start + 1, ..."""
    n = int(np.prod(shape))
    return struct.pack(f">HBB{len(shape)}I", 0, code, len(shape), *shape) + bytes((start + i) % 256 for i in range(n))


def contents(side=3, start=0):
    shapes = (5, side, side), (5,), (2, side, side), (2,)
    return {stem: idx(*shape, start=start + i) for i, (stem, shape) in enumerate(zip(STEMS, shapes))}


GENUINE = contents()
FASHION = contents(start=100)


def put(folder, files=GENUINE, packed=False):
    """Write the files into a folder and return it."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, content in files.items():
        Path(folder, f"{stem}.gz" if packed else stem).write_bytes(gzip.compress(content) if packed else content)
    return folder


def files_below(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Nothing of this machine in sight: an empty working folder, home and cache, no settings; GENUINE counts as MNIST."""
    for name in ["AE_SCRATCH_DATA", *(name for name in os.environ if name.lower().endswith("_proxy"))]:
        monkeypatch.delenv(name, raising=False)
    for name in "HOME", "USERPROFILE":
        monkeypatch.setenv(name, str(tmp_path / "home"))
    for name in "XDG_CACHE_HOME", "LOCALAPPDATA":
        monkeypatch.setenv(name, str(tmp_path / "home" / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setattr(mnist, "SHA256", {stem: hashlib.sha256(content).hexdigest() for stem, content in GENUINE.items()})
    monkeypatch.setattr(mnist, "MIRRORS", ("https://127.0.0.1:9/one/", "https://127.0.0.1:9/two/"))


# --- files on this machine


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("sub", [".", "mnist", "MNIST/raw"])
def test_explicit_path(tmp_path, sub, packed):
    folder = put(tmp_path / "given" / sub, packed=packed)
    got = mnist.load_mnist(tmp_path / "given")
    assert got.name == "MNIST" and Path(got.source) == folder
    assert got.sha256 == {stem: hashlib.sha256(content).hexdigest() for stem, content in GENUINE.items()}
    assert got.X_train.tolist() == [[[9 * n + 3 * i + j for j in range(3)] for i in range(3)] for n in range(5)]
    assert got.X_test.tolist() == [[[2 + 9 * n + 3 * i + j for j in range(3)] for i in range(3)] for n in range(2)]
    assert (got.y_train.tolist(), got.y_test.tolist()) == ([1, 2, 3, 4, 5], [3, 4])
    assert {array.dtype for array in got[1:5]} == {np.dtype("uint8")}


def test_other_content_has_another_name(tmp_path):
    put(tmp_path / "fashion" / "mnist", FASHION, packed=True)
    got = mnist.load_mnist(str(tmp_path / "fashion"))
    assert got.name == "images in fashion"
    assert got.sha256[FIRST] == hashlib.sha256(FASHION[FIRST]).hexdigest()


def test_one_other_file_is_enough_for_another_name(tmp_path):
    folder = put(tmp_path / "mixed", {**GENUINE, STEMS[3]: FASHION[STEMS[3]]})
    assert mnist.load_mnist(folder).name == "images in mixed"


def test_order_of_places(tmp_path, monkeypatch):
    """Every place holds other files; each is found once those before it are gone."""
    places = [tmp_path / "env", tmp_path / "work" / "data", mnist.cache_folder()]
    folders = [put(place / sub, contents(start=start), packed=start % 2 == 0)
               for start, (place, sub) in enumerate((place, sub) for place in places for sub in (".", "mnist", "MNIST/raw"))]
    monkeypatch.setenv("AE_SCRATCH_DATA", str(tmp_path / "env"))
    found = []
    for folder in folders:
        got = mnist.load_mnist()
        found.append((Path(got.source).resolve(), int(got.X_train[0, 0, 0])))
        for stem in STEMS[::2]:  # half of the files is as good as none
            for path in folder.glob(f"{stem}*"):
                path.unlink()
    assert found == [(folder.resolve(), start) for start, folder in enumerate(folders)]
    with pytest.raises(FileNotFoundError):
        mnist.load_mnist()


def test_explicit_path_has_no_fallback(tmp_path, monkeypatch):
    put(tmp_path / "work" / "data")
    monkeypatch.setattr(mnist, "_fetch", lambda stem: pytest.fail("tried to download"))
    for download in False, True:
        with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path / "given"))):
            mnist.load_mnist(tmp_path / "given", download=download)
    assert mnist.load_mnist().name == "MNIST"


def test_not_found_says_where_and_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("AE_SCRATCH_DATA", str(tmp_path / "env"))
    with pytest.raises(FileNotFoundError) as caught:
        mnist.load_mnist()
    places = tmp_path / "env", tmp_path / "work" / "data", mnist.cache_folder()
    for part in (*map(str, places), *mnist.MIRRORS, *STEMS, "load_mnist(download=True)", "MNIST/raw"):
        assert part in str(caught.value)
    assert files_below(tmp_path) == []


def test_packed_prevails_over_plain(tmp_path):
    put(tmp_path / "given", FASHION)
    assert mnist.load_mnist(put(tmp_path / "given", packed=True)).name == "MNIST"


MISFITS = {
    "fewer labels": (STEMS[1], idx(4), r"a label for each image .* uint8 \(5,\)", r"uint8 \(4,\)"),
    "2-D labels": (STEMS[1], idx(5, 1), "a label for each image", r"uint8 \(5, 1\)"),
    "signed labels": (STEMS[3], idx(2, code=9), "a label for each image", r"int8 \(2,\)"),
    "flat images": (STEMS[0], idx(5, 9), "square images", r"uint8 \(5, 9\)"),
    "oblong images": (STEMS[0], idx(5, 3, 2), "square images", r"uint8 \(5, 3, 2\)"),
    "signed images": (STEMS[2], idx(2, 3, 3, code=9), "square images", r"int8 \(2, 3, 3\)"),
    "larger images": (STEMS[2], idx(2, 4, 4), r"images of shape \(3, 3\)", r"\(4, 4\)"),
    "truncated": (STEMS[2], idx(2, 3, 3)[:-5], "18 bytes of data", "only 13"),
}


@pytest.mark.parametrize("misfit", MISFITS)
@pytest.mark.parametrize("packed", [False, True])
def test_files_that_do_not_fit(tmp_path, misfit, packed):
    stem, content, expected, found = MISFITS[misfit]
    folder = put(tmp_path / "given", {**GENUINE, stem: content}, packed)
    with pytest.raises(DataFormatError, match=f"^{re.escape(str(folder / stem))}.*: expected {expected}.* found {found}"):
        mnist.load_mnist(folder)


def test_damaged_file_is_named(tmp_path):
    folder = put(tmp_path / "given", packed=True)
    data = bytearray((folder / f"{SECOND}.gz").read_bytes())
    data[-6] ^= 1
    (folder / f"{SECOND}.gz").write_bytes(data)
    with pytest.raises(DataFormatError, match=f"{SECOND}.gz: expected a whole gzip stream, found a damaged one"):
        mnist.load_mnist(folder)


@pytest.mark.parametrize("platform, expected", [
    ("linux", "home/cache/ae_scratch"), ("darwin", "home/Library/Caches/ae_scratch"), ("win32", "home/cache/ae_scratch")])
def test_cache_folder(tmp_path, monkeypatch, platform, expected):
    monkeypatch.setattr(sys, "platform", platform)
    assert mnist.cache_folder() == tmp_path / expected


@pytest.mark.parametrize("platform, expected", [("linux", "home/.cache/ae_scratch"), ("win32", "home/AppData/Local/ae_scratch")])
def test_cache_folder_without_settings(tmp_path, monkeypatch, platform, expected):
    monkeypatch.setattr(sys, "platform", platform)
    for name in "XDG_CACHE_HOME", "LOCALAPPDATA":
        monkeypatch.delenv(name)
    assert mnist.cache_folder() == tmp_path / expected


def test_as_rows():
    images = np.arange(256, dtype=np.uint8).reshape(8, 4, 8)
    got = mnist.as_rows(images[:, :, ::2])
    expected = [struct.unpack("f", struct.pack("f", value / 255))[0] for value in range(0, 256, 2)]
    assert got.dtype == np.float32 and got.shape == (8, 16) and got.ravel().tolist() == expected
    assert mnist.as_rows(images[:0]).shape == (0, 32)


@pytest.mark.parametrize("images", [np.zeros((2, 9), np.uint8), np.zeros((2, 3, 3), np.float32)])
def test_as_rows_takes_images_only(images):
    with pytest.raises(ValueError, match=rf"uint8 \(n, height, width\), got {images.dtype} {re.escape(str(images.shape))}"):
        mnist.as_rows(images)


def test_import_loads_nothing_of_the_network():
    code = "import sys, ae_scratch.datasets.mnist; print({'ssl', 'urllib.request', 'http.client'} & {*sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], env=child_environment(), capture_output=True, text=True)
    assert (run.stdout.strip(), run.stderr) == ("set()", "")


def child_environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(str(Path(path).resolve()) for path in sys.path)}


# --- downloads


class Server:
    """A web server on loopback. ``routes``: path -> bytes to send, status to refuse with, or a function of the handler."""

    def __init__(self, certificate=None):
        self.routes, self.requests, self.closing = {}, [], threading.Event()
        self.httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler_class())
        self.httpd.block_on_close = False
        self.httpd.handle_error = lambda *_: None  # clients that hang up are part of the tests
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            certificate.configure_cert(context)
            self.httpd.socket = context.wrap_socket(self.httpd.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"http{'s' if certificate else ''}://127.0.0.1:{self.httpd.server_port}/"
        threading.Thread(target=self.httpd.serve_forever, args=(0.01,), daemon=True).start()

    def handler_class(server):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                server.requests.append(self.path[1:])
                route = server.routes.get(self.path[1:], 404)
                if callable(route):
                    route(self)
                elif isinstance(route, int):
                    self.send_error(route)
                else:
                    send(self, route)

            def log_message(self, *_):
                pass

        return Handler

    def close(self):
        self.closing.set()
        self.httpd.shutdown()
        self.httpd.server_close()


def send(handler, body, length=None):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


def redirect(url):
    def handle(handler):
        handler.send_response(302)
        handler.send_header("Location", url)
        handler.end_headers()
    return handle


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def server(tmp_path, monkeypatch, authority):
    """Both mirrors on one trusted TLS server, "two" after "one", with the genuine files."""
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    server = Server(authority.issue_cert("127.0.0.1"))
    server.routes.update({f"{mirror}/{stem}.gz": gzip.compress(content)
                          for mirror in ("one", "two") for stem, content in GENUINE.items()})
    monkeypatch.setattr(mnist, "MIRRORS", (server.url + "one/", server.url + "two/"))
    monkeypatch.setattr(mnist, "TIMEOUT", 30.0)
    yield server
    server.close()


@pytest.fixture
def http_server():
    """The genuine files without encryption."""
    server = Server()
    server.routes.update({f"{stem}.gz": gzip.compress(content) for stem, content in GENUINE.items()})
    yield server
    server.close()


PACKED = gzip.compress(GENUINE[FIRST])
# the right content behind an optional header field of 60,000 bytes: only its size is wrong
OVERSIZED = PACKED[:3] + b"\x04" + PACKED[4:10] + struct.pack("<H", 60000) + bytes(60000) + PACKED[10:]


FAULTS = {
    "missing": (lambda s: 404, "HTTP Error 404"),
    "server error": (lambda s: 503, "HTTP Error 503"),
    "wrong content": (lambda s: gzip.compress(GENUINE[FIRST][:-1] + b"!"), "expected content with SHA-256 [0-9a-f]{64}, got"),
    "signed bytes": (lambda s: gzip.compress(GENUINE[FIRST].replace(b"\0\0\x08\x03", b"\0\0\x09\x03")), "SHA-256"),
    "not MNIST": (lambda s: b"<html>please log in</html>", "expected an IDX file .* found 3c 68 74 6d"),
    "empty": (lambda s: b"", "found nothing"),
    "bit flip": (lambda s: PACKED[:-8] + bytes([PACKED[-8] ^ 1]) + PACKED[-7:], "damaged"),
    "truncated": (lambda s: PACKED[:-9], "damaged"),
    "cut off": (lambda s: lambda handler: send(handler, PACKED[:-9], len(PACKED)), "damaged|IncompleteRead"),
    "oversized": (lambda s: OVERSIZED, "expected at most 20000 bytes, got more"),
    "bomb": (lambda s: gzip.compress(idx(1) + bytes(4 * 1024**2)), "then the end, found more"),
    "huge announcement": (lambda s: gzip.compress(struct.pack(">HBBI", 0, 8, 1, 2**31)), "expected at most 67108864 bytes"),
    "stalled at once": (lambda s: lambda handler: s.closing.wait(), "timed out"),
    "stalled halfway": (lambda s: lambda handler: [send(handler, PACKED[:9], len(PACKED)), s.closing.wait()], "timed out"),
    "hangs up": (lambda s: lambda handler: handler.connection.close(), "closed connection|EOF|reset"),
    "not HTTP": (lambda s: lambda handler: handler.wfile.write(b"220 hello\r\n\r\n"), "220 hello"),
    "endless redirect": (lambda s: redirect(f"{s.url}one/{FIRST}.gz"), "infinite loop"),
}


@pytest.fixture
def faulty(server, monkeypatch, request):
    """The server with one faulty file on mirror "one"; the client is impatient only where the server stalls."""
    def get(url):
        impatient = "stalled" in request.param and url.endswith(f"one/{FIRST}.gz")
        monkeypatch.setattr(mnist, "TIMEOUT", 0.2 if impatient else 30.0)
        return original(url)

    original = mnist._get
    fault, server.reason = FAULTS[request.param]
    server.routes[f"one/{FIRST}.gz"] = fault(server)
    monkeypatch.setattr(mnist, "_get", get)
    monkeypatch.setattr(mnist, "MAX_DOWNLOAD", 20000)
    return server


@pytest.mark.parametrize("faulty", FAULTS, indirect=True)
def test_F5_one_faulty_mirror(faulty):
    got = mnist.load_mnist(download=True)
    assert got.name == "MNIST" and f"two/{FIRST}.gz" in faulty.requests
    assert files_below(mnist.cache_folder()) == sorted(f"{stem}.gz" for stem in STEMS)


@pytest.mark.parametrize("faulty", FAULTS, indirect=True)
def test_F5_both_mirrors_faulty(faulty):
    """One typed error that names both mirrors and the reason of each; nothing left behind."""
    faulty.routes[f"two/{FIRST}.gz"] = 418
    with pytest.raises(DownloadError) as caught:
        mnist.load_mnist(download=True)
    one, two = (re.escape(f"{mirror}{FIRST}.gz") for mirror in mnist.MIRRORS)
    assert re.search(f"{one}: .*{faulty.reason}.*{two}: .*418.*load_mnist\\(path\\)", str(caught.value), re.DOTALL)
    assert files_below(mnist.cache_folder()) == []


def test_F5_endless_answer_is_not_awaited(server, monkeypatch):
    """The client hangs up after its limit: long before 64 MiB, more than the buffers between the two hold, are sent."""
    def endless(handler):
        try:
            for _ in range(1024):
                handler.wfile.write(bytes(65536))
        except OSError:
            hung_up.set()

    hung_up = threading.Event()
    monkeypatch.setattr(mnist, "MAX_DOWNLOAD", 20000)
    server.routes[f"one/{FIRST}.gz"] = lambda handler: [send(handler, b"", 2**40), endless(handler)]
    assert mnist.load_mnist(download=True).name == "MNIST"
    assert hung_up.wait(30)


def test_download_and_find_again(tmp_path, server):
    got = mnist.load_mnist(download=True)
    assert got.name == "MNIST" and Path(got.source) == mnist.cache_folder() / "mnist"
    assert got.X_train[4].tolist() == [[36, 37, 38], [39, 40, 41], [42, 43, 44]]
    assert server.requests == [f"one/{stem}.gz" for stem in STEMS]
    assert mnist.load_mnist().source == got.source
    assert mnist.load_mnist(download=True).source == got.source
    assert len(server.requests) == 4 and files_below(tmp_path / "work") == []


@pytest.mark.parametrize("place", ["work/data", "home/cache/ae_scratch"])
def test_nothing_is_fetched_without_need(tmp_path, server, place):
    with pytest.raises(FileNotFoundError):
        mnist.load_mnist()
    put(tmp_path / place, FASHION)
    assert mnist.load_mnist(download=True).name.startswith("images in ")
    assert server.requests == []


def test_redirect_within_https_is_followed(server):
    server.routes["moved"] = server.routes[f"one/{FIRST}.gz"]
    server.routes[f"one/{FIRST}.gz"] = redirect(server.url + "moved")
    assert mnist.load_mnist(download=True).name == "MNIST"
    assert server.requests[:3] == [f"one/{FIRST}.gz", "moved", f"one/{SECOND}.gz"]


@pytest.mark.parametrize("hops", [1, 2])
def test_F5_redirect_to_http_is_refused(server, http_server, hops):
    """Also behind a permitted redirect; the plain server would give the right file."""
    server.routes["hop"] = redirect(f"{http_server.url}{FIRST}.gz")
    for mirror in "one", "two":
        server.routes[f"{mirror}/{FIRST}.gz"] = server.routes["hop"] if hops == 1 else redirect(server.url + "hop")
    with pytest.raises(DownloadError, match="expected a redirect to https, got http://"):
        mnist.load_mnist(download=True)
    assert http_server.requests == [] and files_below(mnist.cache_folder()) == []


def test_F5_unknown_certificate_is_refused(server, tmp_path):
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    with pytest.raises(DownloadError, match="CERTIFICATE_VERIFY_FAILED"):
        mnist.load_mnist(download=True)
    assert server.requests == [] and files_below(mnist.cache_folder()) == []


def test_F5_real_table():
    assert tuple(SHA256) == STEMS and all(re.fullmatch("[0-9a-f]{64}", digest) for digest in SHA256.values())
    assert len(MIRRORS) == 2 and all(re.fullmatch(r"https://[a-z0-9.-]+/.*/", mirror) for mirror in MIRRORS)


@pytest.mark.parametrize("error, expected", [
    (KeyboardInterrupt(), KeyboardInterrupt), (OSError(errno.ENOSPC, "No space left on device"), DownloadError)])
@pytest.mark.parametrize("target, name", [(http.client.HTTPResponse, "read"), (os, "fsync"), (os, "replace")])
@pytest.mark.parametrize("files_before", [0, 1])
def test_F5_interruption_leaves_nothing_behind(server, monkeypatch, target, name, error, expected, files_before):
    """At each stage of the first or the second file; a later call fetches only what is missing."""
    def interrupt(*args):
        if len(server.requests) <= files_before:
            return original(*args)
        seen.append(files_below(mnist.cache_folder()))
        raise error

    seen = []
    original = getattr(target, name)
    with monkeypatch.context() as patch, pytest.raises(expected):
        patch.setattr(target, name, interrupt)
        mnist.load_mnist(download=True)
    complete = [f"{FIRST}.gz"] * files_before
    assert len(seen[0]) == files_before + (name != "read")  # the interruption met a temporary file
    assert files_below(mnist.cache_folder()) == complete
    server.requests.clear()
    assert mnist.load_mnist(download=True).name == "MNIST"
    assert server.requests == [f"one/{stem}.gz" for stem in STEMS[files_before:]]


def test_good_files_stay_and_bad_ones_are_replaced(server):
    """In the cache: a good plain file, a packed and a plain one with other content, a damaged packed one."""
    cache = mnist.cache_folder() / "mnist"
    put(cache, {STEMS[0]: GENUINE[STEMS[0]], STEMS[2]: FASHION[STEMS[2]]})
    put(cache, {STEMS[1]: FASHION[STEMS[1]]}, packed=True)
    inode = (cache / STEMS[0]).stat().st_ino
    got = mnist.load_mnist(download=True)
    assert got.name == "MNIST" and server.requests == [f"one/{stem}.gz" for stem in STEMS[1:]]
    assert (cache / STEMS[0]).stat().st_ino == inode
    (cache / f"{STEMS[3]}.gz").unlink()
    (cache / f"{STEMS[1]}.gz").write_bytes(b"\x1f\x8bdamaged")
    assert mnist.load_mnist(download=True).name == "MNIST" and server.requests[3:] == [f"one/{STEMS[1]}.gz", f"one/{STEMS[3]}.gz"]


def test_cache_that_cannot_be_written(server):
    mnist.cache_folder().parent.mkdir(parents=True)
    mnist.cache_folder().write_bytes(b"a file in the folder's place")
    with pytest.raises(DownloadError, match=f"{FIRST}.gz could not be stored in {re.escape(str(mnist.cache_folder()))}"):
        mnist.load_mnist(download=True)
    assert mnist.cache_folder().read_bytes() == b"a file in the folder's place"


def test_no_home_to_download_to(server, tmp_path, monkeypatch):
    for name in "HOME", "USERPROFILE", "XDG_CACHE_HOME", "LOCALAPPDATA":
        monkeypatch.setenv(name, "relative")
    with pytest.raises(DownloadError, match="expected an absolute path for the cache, found relative"):
        mnist.load_mnist(download=True)
    assert files_below(tmp_path / "work") == [] and server.requests == []


def test_F5_parallel_downloads(server, tmp_path):
    """Eight processes ask for the first file before any gets it: all end with the data, and one good file each is left."""
    def together(handler):
        meeting.wait(60)
        send(handler, PACKED)

    meeting = threading.Barrier(8)
    server.routes[f"one/{FIRST}.gz"] = together
    code = ("import json, sys; from ae_scratch.datasets import mnist; mnist.SHA256, mnist.MIRRORS = json.loads(sys.argv[1]);"
            "print(mnist.load_mnist(download=True).name)")
    command = [sys.executable, "-c", code, json.dumps([mnist.SHA256, mnist.MIRRORS])]
    runs = [subprocess.Popen(command, env=child_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for _ in range(8)]
    assert [run.communicate()[0].strip() for run in runs] == ["MNIST"] * 8
    assert server.requests.count(f"one/{FIRST}.gz") == 8
    cache = mnist.cache_folder() / "mnist"
    assert files_below(mnist.cache_folder()) == sorted(f"{stem}.gz" for stem in STEMS)
    assert {stem: gzip.decompress((cache / f"{stem}.gz").read_bytes()) for stem in STEMS} == GENUINE
