"""Every dtype in every layout through every method (goal L2): the bytes of the plain copy, or an error that says what to do."""

import itertools
import pickle

import numpy as np
import pandas
import pytest
import scipy.sparse

from ae_scratch import Autoencoder

ROWS, FEATURES, BATCH = 11, 3, 4  # the last batch is a partial one
BASE = np.random.default_rng(0).integers(0, 2, (ROWS, FEATURES))  # of any dtype, booleans too, and in [0, 1]

DTYPES = ["f2", "f4", "f8", "g", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "?", "O",
          ">f2", ">f4", ">f8", ">i4", ">u2", ">i8"]
NO_NUMBERS = {"c8": "Complex data not supported", "c16": "Complex data not supported",
              "U3": "convert it, as in", "S3": "convert it",
              "M8[s]": "convert it", "m8[s]": "convert it", "V4": "convert it", "f4,f4": "convert it"}


def strided(A):
    wide = np.zeros((2 * len(A), 3 * A.shape[1]), A.dtype)
    wide[::2, 1::3] = A
    return wide[::2, 1::3]


def readonly(A):
    A = A.copy()
    A.flags.writeable = False
    return A


def unaligned(A):
    raw = np.zeros(A.nbytes + 1, np.uint8)
    view = raw[1:].view(A.dtype).reshape(A.shape) if A.dtype != object else A
    view[...] = A
    return view


LAYOUTS = {
    "C": np.ascontiguousarray, "F": np.asfortranarray, "strided": strided,
    "negative": lambda A: A[::-1, ::-1].copy()[::-1, ::-1],
    "readonly": readonly, "readonly F": lambda A: readonly(np.asfortranarray(A)), "unaligned": unaligned,
    "broadcast": lambda A: np.broadcast_to(A, (2, *A.shape))[1], "transposed": lambda A: A.T.copy().T,
    "memmap": None,  # made in a folder
    "list": lambda A: A.tolist(), "tuples": lambda A: tuple(map(tuple, A.tolist())), "list of arrays": list,
    "data frame": lambda A: pandas.DataFrame(A.astype(A.dtype.newbyteorder("="))),
    "masked array": lambda A: np.ma.masked_array(A),
    "matrix": lambda A: A.view(np.matrix), "one row": lambda A: A[:1], "two rows": lambda A: A[:2],
    "one feature": lambda A: A[:, :1],
}


def made(dtype, layout, folder):
    """The numbers of BASE in that dtype and layout."""
    A = BASE.astype(dtype)
    if layout != "memmap" or A.dtype == object:  # which no file holds
        return (LAYOUTS[layout] or np.copy)(A)
    A.tofile(folder / "data")
    return np.memmap(folder / "data", A.dtype, "r", shape=A.shape)


def canonical(X, dtype):
    """A plain copy: C order, the model's dtype, one number after the other."""
    rows = X.to_numpy().tolist() if isinstance(X, pandas.DataFrame) else np.asarray(X).tolist()
    return np.array([[float(value) for value in row] for row in rows], dtype, order="C")


def image(X):
    """The bytes of an input, wherever they lie."""
    if isinstance(X, np.ndarray) and X.dtype != object:
        whole = X
        while isinstance(whole.base, np.ndarray):
            whole = whole.base
        return whole.tobytes(), X.tobytes()
    return pickle.dumps(X)


def model_of(**settings):
    return Autoencoder(**{"hidden_sizes": (4,), "code_size": 2, "epochs": 2, "batch_size": BATCH, "engine": "numpy",
                          "random_state": 1, **settings})


def results(X, settings):
    """All that comes out of every method for these data, to the byte."""
    model = model_of(**settings).fit(X)
    fitted = model.network_.params.vector.tobytes()
    model.partial_fit(X)
    figures = np.array([*model.evaluate(X).values(), model.score(X)])
    out = model.encode(X), model.reconstruct(X), model.reconstruction_error(X), figures
    other = model_of(**settings).fit(X, X)
    return (fitted, *(array.tobytes() for array in (model.network_.params.vector, other.network_.params.vector, *out)))


def wrong(dtypes, layouts, folder, **settings):
    """The dtypes and layouts that do not give the results of the plain copy, or whose bytes were written to."""
    found, known = [], {}
    for dtype, layout in itertools.product(dtypes, layouts):
        X = made(dtype, layout, folder)
        before, plain = image(X), canonical(X, settings.get("dtype", "float32"))
        if plain.tobytes() not in known:
            known[plain.tobytes()] = results(plain, settings)
        if results(X, settings) != known[plain.tobytes()] or image(X) != before:
            found.append((dtype, layout))
    return found


SETTINGS = [dict(dtype="float64"), dict(scaling="standard", loss="mse"), dict(batch_size=99, scaling="minmax")]


@pytest.mark.parametrize("settings", [{}, *(pytest.param(some, marks=pytest.mark.slow) for some in SETTINGS)], ids=str)
def test_L2_every_dtype_in_every_layout_gives_the_bytes_of_the_plain_copy(tmp_path, settings):
    assert wrong(DTYPES, LAYOUTS, tmp_path, **settings) == []


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_L2_some_of_them_with_other_settings(tmp_path, settings):
    assert wrong(["f4", ">f8", "u1", "O", "?"], ["F", "negative", "memmap", "data frame", "one row"], tmp_path, **settings) == []


@pytest.mark.parametrize("dtypes, layouts", [
    (["u1", ">f8"], ["negative", "memmap"]), pytest.param(DTYPES, LAYOUTS, marks=pytest.mark.slow)], ids=["few", "all"])
def test_L2_compiled(tmp_path, dtypes, layouts):
    assert wrong(dtypes, layouts, tmp_path, engine="numba", threads=1) == []


def test_L2_wrong_results_and_written_inputs_would_be_seen(tmp_path, monkeypatch):
    def by_memory(self, X, *arguments, fit=Autoencoder.fit):
        return fit(self, np.asarray(X).ravel("K").reshape(np.shape(X)), *arguments)

    def writing(self, X, *arguments, fit=Autoencoder.fit):
        fit(self, X, *arguments)
        if isinstance(X, np.ndarray) and X.flags.f_contiguous:
            X[0, 0] = 1 - X[0, 0]
        return self

    assert wrong(["f4"], ["C", "F"], tmp_path) == []
    for planted in by_memory, writing:
        monkeypatch.setattr(Autoencoder, "fit", planted)
        assert wrong(["f4"], ["C", "F"], tmp_path) == [("f4", "F")]


# ---- what is refused ----------------------------------------------------------------------------------------------------

METHODS = {name: lambda model, X, name=name: getattr(model, name)(X) for name in (
    "fit", "partial_fit", "encode", "reconstruct", "evaluate", "score", "reconstruction_error")}
METHODS["target"] = lambda model, X: model.fit(BASE, X)
METHODS["validation_data"] = lambda model, X: model.fit(BASE, validation_data=X)

masked = np.ma.masked_array(BASE.astype(float), mask=BASE == 1)
REFUSED = {
    "0-d": (np.float32(1), ValueError, "expected a 2-D|expected y of X's shape"), "number": (1.5, ValueError, "2-D"),
    "0 rows": (BASE[:0], ValueError, "minimum of 1 is required|expected y of X"),
    "0 columns": (BASE[:, :0], ValueError, "minimum of 1 is required|expected y of X"),
    "3-d": (BASE[None], ValueError, "Reshape your data|expected y of X's shape"), "none": (None, TypeError, "real numbers"),
    "text": ("some text", TypeError, "real numbers"), "bytes": (b"bytes", TypeError, "real numbers"),
    "dictionary": ({"a": 1}, TypeError, "real numbers"), "set": ({1, 2}, TypeError, "real numbers"),
    "generator": ((row for row in BASE), TypeError, "real numbers"), "class": (Autoencoder, TypeError, "real numbers"),
    "ragged": ([[1, 2, 3], [1, 2]], ValueError, "inhomogeneous"),
    "words": ([["a", "b", "c"]] * ROWS, TypeError, "convert it"),
    "masked": (masked, ValueError, "has masked values: fill them"),
    "nan": (np.where(BASE, np.nan, 0), ValueError, "contains NaN"),
    "infinity": (np.where(BASE, np.inf, 0), ValueError, "contains infinity"),
    "too large": (BASE * 1e300, ValueError, "too large for float32"),
    "huge integers": (BASE.astype(object) * 10**400, TypeError, "real numbers"),
    "nothings": (np.full(BASE.shape, None, object), ValueError, "contains NaN"),
    "words in objects": (np.full(BASE.shape, "x", object), TypeError, "real numbers"),
    "data frame with words": (pandas.DataFrame({"a": ["x"] * ROWS, "b": 1, "c": 2}), TypeError, "in column 'a'"),
    "data frame with gaps": (pandas.DataFrame(BASE).astype("Int64").where(BASE == 0), (TypeError, ValueError), "real numb|NaN"),
    "dates": (pandas.DataFrame(np.full(BASE.shape, "2020-01-01", "M8[ns]")), TypeError, "convert it"),
    **{f"{kind} sparse": (scipy.sparse.csr_matrix(BASE).asformat(kind), TypeError, "sparse matrix, which is not supported")
       for kind in ("csr", "csc", "coo", "lil", "dok")},
    "sparse array": (scipy.sparse.csr_array(BASE), TypeError, "sparse matrix, which is not supported"),
    **{dtype: (np.zeros(BASE.shape, dtype), (TypeError, ValueError), message) for dtype, message in NO_NUMBERS.items()},
}


@pytest.mark.filterwarnings("ignore::UserWarning")  # a data frame, where there was none in fit
@pytest.mark.parametrize("kind", REFUSED)
def test_L2_what_is_no_matrix_of_numbers_is_refused_by_every_method(kind):
    X, error, message = REFUSED[kind]
    model = model_of(loss="mse").fit(BASE)
    before = model.network_.params.vector.tobytes()
    for name, method in METHODS.items():
        if X is None and name in ("target", "validation_data"):  # means none there
            continue
        with pytest.raises(error, match=message):
            method(model, X)
        assert model.network_.params.vector.tobytes() == before
