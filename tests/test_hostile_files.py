"""Model files from anybody (goals F1, F2): nothing in them runs; what they say is believed as a whole, or refused in bounds."""

import ast
import copy
import json
import os
import pathlib
import subprocess
import sys
import time
import tracemalloc

import numpy as np
import pytest
from test_persistence import DIGITS, fitted, put_together, reseal, silent_changes, taken_apart

import ae_scratch
from ae_scratch import Adam, Autoencoder, DataFormatError, GaussianNoise, Network, safetensors as layout

DOCUMENTS = ("settings", "layers", "optimizer", "seed")  # the metadata that are JSON themselves
MIB = 2**20


# ---- nothing runs -------------------------------------------------------------------------------------------------------

AUDIT = """
import ast, json, pickle, sys, zipfile
import numpy as np
from ae_scratch import Autoencoder, Network

folder, events, watching = sys.argv[1], [], False
sys.addaudithook(lambda event, arguments: watching and events.append((event, *map(repr, arguments[:2]))))

def by_pickle(path):
    with open(path, "rb") as file:
        return pickle.load(file)

def by_eval(path):
    with open(path) as file:
        return eval(file.read())

def seen(load, name):
    global watching
    path = f"{folder}/{name}"
    for watching in (False, True):  # what Python loads itself, it loads before
        events.clear()
        try:
            load(path)
        except ValueError:
            pass
    watching = False
    reading = {("open", repr(path), "'r'"), ("open", repr(path), "'rb'")}
    return sorted({event[0] if event[0] != "compile" else f"compile {event[2]}" for event in events
                   if event not in reading and event[0] not in ("builtins.id", "object.__getattr__")})  # these look at objects

arrays = lambda path: dict(np.load(path))
print(json.dumps([seen(*job) for job in [
    (Autoencoder.load, "model"), (Network.load, "encoder"), (Network.load, "decoder"), (Autoencoder.load, "bad"),
  (arrays, "predictor.weights.npz"), (by_pickle, "pickle"), (by_eval, "text"), (lambda path: open(path, "ab").close(), "text")]]))
"""


def test_F1_loading_runs_nothing(tmp_path):
    """No exec, no import, no process, no socket, no file but the one, and that for reading."""
    model = fitted(noise=GaussianNoise(0.1), optimizer=Adam(0.1), scaling="minmax", l1_activity=0.1)
    model.save(tmp_path / "model")
    model.encoder.save(tmp_path / "encoder")
    model.decoder.save(tmp_path / "decoder")
    model.export(tmp_path / "predictor.py")
    (tmp_path / "bad").write_bytes((tmp_path / "model").read_bytes()[:-1])
    (tmp_path / "pickle").write_bytes(b"cbuiltins\nprint\n.")
    (tmp_path / "text").write_text("2 + 2")
    run = subprocess.run([sys.executable, "-c", AUDIT, tmp_path], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    *ours, weights, by_pickle, by_eval, writing = json.loads(run.stdout)
    assert ours == [[], [], [], []] and weights in ([], ["compile '<unknown>'"])  # ast.literal_eval: nothing is executed
    assert by_pickle == ["pickle.find_class"] and "exec" in by_eval and writing == ["open"]  # the same hook sees planted ones


MODULES = {"pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "yaml"}
CALLS = {"eval", "exec", "compile", "__import__"}
EXEMPT = {"kernels/cache.py": ["pickle"]}  # the index of Numba's own cache, behind a hash


def code_that_runs_data(text):
    """What a source imports or calls that can turn data into code."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [alias.name for alias in node.names] + [getattr(node, "module", "") or ""]
            found += sorted({name.split(".")[0] for name in names} & MODULES)
        elif isinstance(node, ast.Call):
            found += [node.func.id] if isinstance(node.func, ast.Name) and node.func.id in CALLS else []
            found += [word.arg for word in node.keywords
                      if word.arg == "allow_pickle" and not (isinstance(word.value, ast.Constant) and word.value.value is False)]
    return found


def test_F1_no_source_can_run_data():
    package = pathlib.Path(ae_scratch.__file__).parent
    found = {path.relative_to(package).as_posix(): code_that_runs_data(path.read_text(encoding="utf-8"))
             for path in package.rglob("*.py")}
    assert {name: what for name, what in found.items() if what} == EXEMPT and len(found) > 50
    for line in ("import pickle", "from yaml import load", "import os, dill", "x = eval('1')", "exec(data)",
                 "import joblib.numpy", "np.load(path, allow_pickle=True)", "__import__(name)", "compile(text, '', 'exec')",
                 "from marshal import loads"):
        assert len(code_that_runs_data(line)) == 1, line


# ---- content that does not fit together, with the right hash -----------------------------------------------------------

DENSE = {"kind": "Dense", "name": "0", "n_in": 3, "n_out": 2}
TIED = {"kind": "TiedDense", "name": "1", "source": "0"}
W, B2, B3 = np.ones((3, 2)), np.zeros(2), np.zeros(3)


@pytest.mark.parametrize("layers, arrays, message", [
    ([{**DENSE, "n_in": 4}], {"0.W": W, "0.b": B2}, "its layers and its arrays do not fit together"),
    ([DENSE], {"0.W": W, "0.b": B2, "1.b": B3}, "its layers and its arrays do not fit together"),
    ([DENSE, TIED, {**TIED, "name": "2", "source": "1"}], {"0.W": W, "0.b": B2, "1.b": B3, "2.b": B2},
     "expected the source of 2 to be a Dense, got TiedDense"),
    ([DENSE], {"0.W": W, "0.b": B2 * np.nan}, "0.b contains NaN or infinity"),
    ([DENSE], {"0.W": W, "0.b": B3}, r"expected 0.b as floats of shape \(2,\), got float64 \(3,\)")])
def test_F2_networks_that_do_not_fit_together(path, layers, arrays, message):
    good = [DENSE, TIED], {"0.W": W, "0.b": B2, "1.b": B3}
    layout.write(path, "network", {"layers": json.dumps(good[0])}, good[1])
    assert Network.load(path).widths == [3, 2, 3]
    layout.write(path, "network", {"layers": json.dumps(layers)}, arrays)
    with pytest.raises(DataFormatError, match=message):
        Network.load(path)


def other_size(header, data):
    header["__metadata__"]["settings"] = header["__metadata__"]["settings"].replace('"code_size": 2', '"code_size": 3')
    return data


def no_optimizer(header, data):
    header["__metadata__"]["optimizer"] = json.dumps({"settings": {"kind": "float", "value": "inf"}, "numbers": {}})
    return data


def no_string(header, data):
    header["__metadata__"]["seed"] = 7
    return data


def no_offset(header, data):
    begin, stop = header["scaling.offset"]["data_offsets"]
    return data[:begin] + np.full((stop - begin) // 8, np.nan).tobytes() + data[stop:]


@pytest.mark.parametrize("change, message", [
    (other_size, r"its settings ask for encoder.1.W of shape \(3, 3\), got \(3, 2\)"),
    (no_optimizer, "expected the state of an optimizer, got inf"), (no_string, "expected strings in its metadata"),
    (no_offset, "scaling.offset contains NaN or infinity")])
def test_F2_models_that_do_not_fit_together(path, change, message):
    fitted(scaling="minmax").save(path)
    header, data = taken_apart(path.read_bytes())
    path.write_bytes(put_together(header, change(header, data)))
    with pytest.raises(DataFormatError, match=message):
        Autoencoder.load(path)


# ---- cut short, or with another bit -------------------------------------------------------------------------------------


def flips(content, bits=range(8)):
    for place in range(len(content)):
        for bit in bits:
            yield content[:place] + bytes([content[place] ^ 1 << bit]) + content[place + 1:]


def test_F2_every_truncation_and_every_flipped_bit_of_an_encoder(path):
    fitted(hidden_sizes=(), code_size=1).encoder.save(path)
    content = path.read_bytes()
    assert silent_changes(path, [content], Network.load) == [content]
    assert not silent_changes(path, (content[:length] for length in range(len(content))), Network.load)
    assert not silent_changes(path, flips(content), Network.load)


@pytest.mark.parametrize("bits", [[0], [5], pytest.param(range(8), marks=pytest.mark.slow)], ids=str)  # 5: "a" to "A"
def test_F2_every_truncation_and_flipped_bits_of_a_model(path, content, bits):
    assert silent_changes(path, [content]) == [content]
    assert not silent_changes(path, (content[:length] for length in range(0, len(content), 8 // len(bits))))
    assert not silent_changes(path, flips(content, bits))
    assert not silent_changes(path, [content + b"\0", content + content, b"\0" + content, b""])


def test_F2_a_reader_that_checks_no_hash_is_found_out(path, content, monkeypatch):
    class Blind:
        def __init__(self, data=b""):
            self.update = lambda data: None
            self.hexdigest = lambda: content[DIGITS].decode()

    monkeypatch.setattr(layout.hashlib, "sha256", Blind)
    assert silent_changes(path, (content[:-40] + tail for tail in flips(content[-40:])))


# ---- changed by somebody who computes the hash anew ---------------------------------------------------------------------

NAN, INFINITY = float("nan"), float("inf")
NASTY = [None, True, False, -1, 0, 1, 2, 3, 7, 2**31, 2**53, 2**62, 2**63, 2**64, 10**400, 0.5, 1e308, NAN, INFINITY, -INFINITY,
         "", "0", "F16", "F32", "F64", "BOOL", "float", "Adam", "os.system", "__import__('os')", "ü", "\0", "\ud800", "x" * 5000,
         [], [0], [1, 2], [2, 1], [-1, 3], [2**40, 2**40], [2**63, 2], [0, 2**64], [1.0, 2], [True, 4], [[]], {"kind": "Adam"},
         {"kind": "float", "value": "nan"}, {"kind": "GaussianNoise", "sigma": -1}, {"kind": "eval", "value": "1"}, [[[[]]]]]
TOKENS = [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-0", b"0x10", b"1_0", b'"\xff\xfe"', b"\xef\xbb\xbf", b"\0", b"[" * 3000,
          b'{"a":' * 3000, b"9" * 4000, b'"a":1,', b'"format":"ae_scratch",', b"\\u0000", b"\\ud800", b"//", b"'", b" ", b"}"]


def places(tree):
    """All (container, key) of a JSON tree."""
    for key in (list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()):
        yield tree, key
        yield from places(tree[key])


def pick(rng, choices):
    return choices[rng.integers(len(choices))]


def other_words(header, data, rng):
    """One or two of the things that the header says, or its documents, replaced, doubled or left out."""
    for name in DOCUMENTS:
        header["__metadata__"][name] = json.loads(header["__metadata__"][name])
    for _ in range(rng.integers(1, 3)):
        found = list(places(header))
        (container, key), other, action = pick(rng, found), pick(rng, found), rng.integers(6)
        if action == 0:
            del container[key]
        else:
            container[key] = copy.deepcopy(other[0][other[1]] if action == 1 else pick(rng, NASTY))
    metadata = header.get("__metadata__")
    for name in DOCUMENTS:
        if isinstance(metadata, dict) and name in metadata:
            metadata[name] = json.dumps(metadata[name])
    return put_together(header, data)


def other_places(header, data, rng):
    """An array that overlaps another, begins or ends elsewhere, has another dtype, the shape of another, or is not there."""
    names = [name for name in header if name != "__metadata__"]
    entry, other = header[pick(rng, names)], header[pick(rng, names)]
    action, end = rng.integers(6), rng.integers(2)
    if action == 0:
        entry["data_offsets"][end] += int(pick(rng, [-8, -4, -1, 1, 4, 8, 2**32, 2**63, -2**63, 2**64]))
    elif action == 1:
        entry["data_offsets"], other["data_offsets"] = other["data_offsets"], entry["data_offsets"]
    elif action == 2:
        entry["dtype"] = pick(rng, ["F64", "F32", "U8", "F16", "I64", "f32", "O"])
    elif action == 3:
        entry["shape"] = pick(rng, [other["shape"], entry["shape"][::-1], [*entry["shape"], 1], [1, *entry["shape"]],
                                    [2**32, 2**32], [-n for n in entry["shape"]], [float(n) for n in entry["shape"]]])
    elif action == 4:
        begin, stop = header.pop(pick(rng, names))["data_offsets"]
        data = data[:begin] + data[stop:]  # those behind it are where they were not
    else:
        header[pick(rng, ["extra", "encoder.9.W", "optimizer.m", "history.", ""])] = {
            "dtype": "U8", "shape": [8], "data_offsets": [len(data), len(data) + 8]}
        data += bytes(8)
    return put_together(header, data)


def other_spelling(header, data, rng):
    """Something put into the text of the header that is no JSON, or other JSON."""
    text = json.dumps(header, separators=(",", ":")).encode()
    begin = int(rng.integers(len(layout.PREFIX) + 70, len(text)))
    text = text[:begin] + pick(rng, TOKENS) + text[begin + int(rng.integers(3)):]
    text += b" " * (-len(text) % 8)
    return reseal(len(text).to_bytes(8, "little") + text + data)


def other_length(header, data, rng):
    """A header that says it is of another length."""
    content = put_together(header, data)
    length = int.from_bytes(content[:8], "little")
    lie = pick(rng, [0, 1, length - 8, length - 1, length + 1, length + 8, len(content), 2**16, 2**31, 2**63, 2**64 - 1])
    return reseal(lie.to_bytes(8, "little") + content[8:])


def other_data(header, data, rng):
    """Numbers with other bits, or fewer or more of them."""
    begin = int(rng.integers(len(data)))
    return put_together(header, pick(rng, [data[:begin], data + bytes(8), data[:begin] + b"\xff" * 8 + data[begin + 8:],
                                           data[:begin] + rng.bytes(1) + data[begin + 1:], data[begin:] + data[:begin]]))


MUTATIONS = [other_words, other_words, other_places, other_spelling, other_length, other_data]


def said(content):
    """What a file says, but for its hash, who wrote it, and metadata of names that mean nothing."""
    header, data = taken_apart(content)
    metadata = {name: json.loads(value) if name in DOCUMENTS else value for name, value in header["__metadata__"].items()
                if name in ("format", "format_version", "kind", *DOCUMENTS)}
    return {**header, "__metadata__": metadata, "data": data}


def agrees(written, given):
    """Whether two JSON trees are the same, but for defaults that only the first one spells out."""
    if isinstance(given, dict) and isinstance(written, dict):
        return all(name in written and agrees(written[name], value) for name, value in given.items())
    if isinstance(given, list) and isinstance(written, list):
        return len(given) == len(written) and all(map(agrees, written, given))
    return given == written


def check(path, changed):
    """Whether the file is refused, with the one error; if not, its model writes it again. Either is quick and takes no memory."""
    path.write_bytes(changed)
    tracemalloc.start()
    begin = time.process_time()
    try:
        model = Autoencoder.load(path)
        refused = False
    except DataFormatError as error:
        assert str(error).startswith(str(path))
        refused = True
    finally:
        peak, seconds = tracemalloc.get_traced_memory()[1], time.process_time() - begin
        tracemalloc.stop()
    assert peak <= 1.1 * len(changed) + 4 * MIB and seconds < 1
    if not refused:
        model.save(path)
        assert agrees(said(path.read_bytes()), said(changed))
    return refused


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("count", [300, pytest.param(10000, marks=pytest.mark.slow)])
def test_F2_mutants_with_the_right_hash(path, count, tied):
    model = fitted(hidden_sizes=(), noise=GaussianNoise(0.1, clip=(0, 1)), tied_weights=tied, l1_activity=0.1,
                   optimizer=Adam(0.1), scaling="minmax")
    model.feature_names_in_ = ["a", "b", 'c", "', "d"]
    model.save(path)
    content, rng = path.read_bytes(), np.random.default_rng(count)
    header, data = taken_apart(content)
    assert put_together(header, data) == content and not check(path, content)
    refused = [check(path, pick(rng, MUTATIONS)(copy.deepcopy(header), data, rng)) for _ in range(count)]
    assert count / 2 < sum(refused) < count  # some say something else that makes sense


def junk(kind, size):
    """As many small objects as so many bytes of JSON can make."""
    units = {"lists": [], "dicts": {}, "full dicts": {"a": 0}, "ints": 1, "large ints": 1000, "floats": 0.5, "strings": "ab"}
    return [units[kind]] * (size // (len(json.dumps(units[kind])) + 2))


@pytest.mark.parametrize("place", ["header", "settings", "hidden_sizes", "layers", "feature_names", "name"])
@pytest.mark.parametrize("kind", ["lists", "dicts", "full dicts", "ints", "large ints", "floats", "strings"])
def test_F2_headers_that_become_large_objects(path, content, kind, place):
    header, data = taken_apart(content)
    room = layout.LIMIT - (len(content) - len(data)) - 600
    if place == "header":
        header["x"] = junk(kind, room)
    elif place == "layers":
        header["__metadata__"]["layers"] = json.dumps(junk(kind, room))
    elif place == "feature_names":
        text = json.dumps(junk(kind, 2 * MIB)).encode()
        header[place] = {"dtype": "U8", "shape": [len(text)], "data_offsets": [len(data), len(data) + len(text)]}
        data += text
    elif place == "name":
        header["x" * room] = header.pop("encoder.0.W")
    else:
        settings = json.loads(header["__metadata__"]["settings"])
        settings["hidden_sizes" if place == "hidden_sizes" else "noise"] = junk(kind, room)
        header["__metadata__"]["settings"] = json.dumps(settings)
    assert check(path, put_together(header, data))


TERABYTES = [[2**40], [2**20, 2**20], [2**62], [2**63], [2**64], [2**40, 0], [2**31, 2**31]]

IN_LITTLE_MEMORY = """
import resource, sys
from ae_scratch import Autoencoder, DataFormatError
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**26, used + 2**26))
for path in sys.argv[1:]:
    try:
        Autoencoder.load(path)
    except DataFormatError:
        print("refused")
"""


def promising(content, shape, whole):
    """A file whose first array claims that shape, and as many bytes (whole) or as many as there are."""
    header, data = taken_apart(content)
    entry = next(entry for name, entry in header.items() if name != "__metadata__")
    entry["shape"] = shape
    if whole:
        entry["data_offsets"][1] = int(np.prod(shape, dtype=object)) * 8
    return put_together(header, data)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="needs Linux's account of memory")
def test_F2_terabytes_are_promised_in_vain(tmp_path, content):
    mutants = [promising(content, shape, whole) for shape in TERABYTES for whole in (False, True)]
    paths = [tmp_path / str(number) for number in range(len(mutants))]
    for path, mutant in zip(paths, mutants):
        path.write_bytes(mutant)
    run = subprocess.run([sys.executable, "-c", IN_LITTLE_MEMORY, *paths], capture_output=True, text=True)
    assert run.stdout.split() == ["refused"] * len(mutants), run.stderr


def test_F2_a_reader_that_believes_sizes_is_found_out(path, content, monkeypatch):
    monkeypatch.setattr(layout, "_check_entries", lambda entries, size: None)
    with pytest.raises((AssertionError, MemoryError)):
        check(path, promising(content, [2**30], False))


@pytest.mark.parametrize("text", [
    b"[" * 60000, b'{"a":' * 12000, layout.PREFIX + b"[" * 60000, layout.PREFIX + b'","a":' + b"[" * 60000,
    layout.PREFIX + b'","a":' + b"9" * 10000, layout.PREFIX + b"\xff" * 200], ids=range(6))
def test_F2_headers_that_strain_a_parser(path, text):
    text += b" " * (-len(text) % 8)
    assert check(path, len(text).to_bytes(8, "little") + text)
    assert check(path, reseal(len(text).to_bytes(8, "little") + text.ljust(200)))


def test_F2_names_given_twice_and_other_spellings_are_refused(path, content):
    header, data = taken_apart(content)
    text = json.dumps(header, separators=(",", ":"))
    other = [text.replace('"format":', '"format":"ae_scratch","format":'), text.replace('"shape":[4,3]', '"shape":[4, 3]'),
             text.replace('"shape":[4,3]', '"shape":[4,3.0]'), text.replace('"shape":[4,3]', '"shape":[4,true]'),
             text.replace("ae_scratch", "ae\\u005fscratch"), text + "{}", text.replace('"F32"', "NaN"),
             text.replace('{\\"hidden_sizes', '{\\"epochs\\": 3, \\"hidden_sizes'), text.replace('\\": [3]', '\\": [3 ]'),
             text.replace('\\"l1_activity\\": 0.0', '\\"l1_activity\\": 0.00'), text.replace('"seed":"7"', '"seed":"07"'),
             text.replace('\\"epochs\\": 2', '\\"epochs\\": NaN'), text.replace('\\"noise\\": null', '\\"noise\\": Infinity')]
    assert all(changed != text for changed in other)
    padded = [changed.ljust(-(-len(changed) // 8) * 8).encode() for changed in other]
    assert not silent_changes(path, [reseal(len(changed).to_bytes(8, "little") + changed + data) for changed in padded])


@pytest.mark.parametrize("names", ['["a", "b", "c"]', '["a", "b", "c", "d", "e"]', '["a", "b", "c", 4]', '["a", "b", "c", ["d"]]',
                                   '["a","b","c","d"]', '["a", "b", "c", "d"] ', '"abcd"', '["', '["a", "b", "c", "\\u0064"]'])
def test_F2_names_of_features_that_are_no_names(path, names):
    model = fitted()
    model.feature_names_in_ = ["a", "b", "c", "d"]
    model.save(path)
    header, data = taken_apart(path.read_bytes())
    begin, stop = header["feature_names"]["data_offsets"]
    assert stop == len(data) and data[begin:] == b'["a", "b", "c", "d"]'
    header["feature_names"] = {"dtype": "U8", "shape": [len(names)], "data_offsets": [begin, begin + len(names)]}
    assert check(path, put_together(header, data[:begin] + names.encode()))


def test_F2_a_large_model_takes_its_own_size_twice_at_most(path):
    """Once as the file has it, once as the model holds it; the reader alone takes it once."""
    model = Autoencoder((512,), 256, engine="numpy").set_weights(Autoencoder((512,), 256, epochs=1, engine="numpy").fit(
        np.zeros((2, 512))).get_weights())
    model.save(path)
    size = path.stat().st_size
    for load, times in ((lambda path: layout.read(path, "autoencoder"), 1), (Autoencoder.load, 2)):
        tracemalloc.start()
        load(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert size > 2 * MIB and peak <= times * 1.1 * size
