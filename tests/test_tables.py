"""Tables in files: what is read, what is refused and what the refusal says, what is written."""

import csv
import gzip
import io
import struct
import subprocess
import sys

import numpy as np
import pytest

from ae_scratch.datasets import make_sensors, read_column, read_table, sensors, tables, write_table
from ae_scratch.errors import DataFormatError


def file(tmp_path, content, name="table.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(path, **how):
    X, names, left_out = read_table(path, **how)
    return X.tolist(), names, list(left_out)


@pytest.mark.parametrize("content, names", [
    ("a,b\n1,2\n3,4\n", ["a", "b"]), ("1,2\n3,4\n", None),
    ("a,b\r\n1,2\r\n3,4", ["a", "b"]), ("\ufeffa,b\n1,2\n3,4\n", ["a", "b"]),
    (" a ,b\n 1, 2 \n3,4e0\n", ["a", "b"]), ('"a","b"\n"1","2"\n3,4\n\n\n', ["a", "b"]), (",b\n1,2\n3,4\n", ["", "b"])])
def test_a_header_is_told_from_data(tmp_path, content, names):
    assert rows(file(tmp_path, content)) == ([[1.0, 2.0], [3.0, 4.0]], names, [])


def test_what_is_said_of_the_header_holds(tmp_path):
    path = file(tmp_path, "1,2\n3,4\n")
    assert rows(path, header=True) == ([[3.0, 4.0]], ["1", "2"], [])
    with pytest.raises(DataFormatError, match="line 1, column 0 \\(from 0\\): expected a number, found 'a'"):
        read_table(file(tmp_path, "a,b\n1,2\n"), header=False)


def test_quotes_may_hold_delimiters_and_line_breaks(tmp_path):
    path = file(tmp_path, '"flow, in l",note,"two\nlines"\n1,"x, ""y""\nz",2\n')
    assert rows(path, drop=["note"]) == ([[1.0, 2.0]], ["flow, in l", "two\nlines"], ["note"])
    with pytest.raises(DataFormatError, match="line 4, column 'note': expected a number, found 'x"):
        read_table(path)


def test_columns_by_name_in_the_order_asked_for(tmp_path):
    path = file(tmp_path, "time,a,b,c\n08:00,1,2,3\n08:01,4,5,6\n")
    assert rows(path, columns=["c", "a"]) == ([[3.0, 1.0], [6.0, 4.0]], ["c", "a"], ["time", "b"])
    assert rows(path, columns=["c", "a"], drop=["c"]) == ([[1.0], [4.0]], ["a"], ["time", "b", "c"])


def test_columns_without_names_go_by_number_or_are_given_names(tmp_path):
    path = file(tmp_path, "1,2,3\n4,5,6\n")
    assert rows(path, columns=["2", "0"]) == ([[3.0, 1.0], [6.0, 4.0]], None, ["1"])
    assert rows(path, drop=["1"]) == ([[1.0, 3.0], [4.0, 6.0]], None, ["1"])
    assert rows(path, columns=["x", "y", "z"]) == ([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], ["x", "y", "z"], [])
    np.save(tmp_path / "x.npy", np.arange(6).reshape(2, 3))
    assert rows(tmp_path / "x.npy", columns=["2", "0"]) == ([[2, 0], [5, 3]], None, ["1"])


@pytest.mark.parametrize("how, message", [
    ({"columns": ["a", "d"]}, "there is no column 'd': expected names among a, b, c"),
    ({"columns": ["d", "a", "e"]}, "no column 'd' or 'e': expected"), ({"drop": ["d"]}, "no column 'd'"),
    ({"drop": ["a", "b", "c"]}, "every column is dropped"), ({"columns": ["a", "a"]}, "the column 'a' is there twice")])
def test_columns_that_are_not_there(tmp_path, how, message):
    with pytest.raises(ValueError, match=message):
        read_table(file(tmp_path, "a,b,c\n1,2,3\n"), **how)


def test_a_name_that_stands_for_two_columns_is_refused_where_it_is_used(tmp_path):
    path = file(tmp_path, "a,b,b\n1,2,3\n")
    with pytest.raises(ValueError, match="'b' is there twice"):
        read_table(path)
    assert rows(path, columns=["a"])[0] == [[1.0]]


@pytest.mark.parametrize("content, message", [
    ("a,b\n1,2\n3,\n", "line 3, column 'b': the cell is empty"),
    ("1,2\n , 4\n", "line 2, column 0 \\(from 0\\): the cell is empty"),
    ("1,\n3,4\n", "line 1, column 1 \\(from 0\\): the cell is empty"),
    ("a,\n1,2\n3,\n", "line 3, column 1: the cell is empty"),
    ("a,b\n1,2\n3,n/a\n", "line 3, column 'b': expected a number, found 'n/a': correct it, or leave the column out"),
    ("a,b\n1,2\n3,nan\n", "line 3, column 'b': expected a finite number, found nan"),
    ("a,b\n1,-Inf\n", "line 2, column 'b': expected a finite number, found -inf"),
    ("a,b\n1,1e999\n", "line 2, column 'b': expected a finite number, found inf"),
    ("a,b\n1,1_000\n", "line 2, column 'b': expected a number, found '1_000'"),
    ("a;b\n1;2\n", "expected a number, found '1;2': is the delimiter ';'?"),
    ('a,b\n1,"2,5"\n', "found '2,5': decimals need a point"),
    ("2024-01-01,1,2\n2024-01-02,3,4\n", "found '2024-01-02': line 1 was taken as a header; is it data?"),
    ("a,b\n1,2\n3\n", "expected 2 cells as in line 1, found 1 in line 3"),
    ("a,b\n1,2\n3,4,5\n", "expected 2 cells as in line 1, found 3 in line 3"),
    ("a,b\n1,2\n\n3,4\n", "line 3 is empty"), ("a\n1\n\n2\n", "line 3 is empty"),
    ("", "found an empty file"), ("\na,b\n1,2\n", "found an empty line 1"), ("a,b\n", "found only a header"),
    ('a,b\n1,"2\n3,4\n', "expected CSV in UTF-8"), (b"a,b\n1,\xff\n", "expected CSV in UTF-8")])
def test_what_is_no_table_of_numbers_is_refused_with_its_place(tmp_path, content, message):
    path = file(tmp_path, content)
    with pytest.raises(DataFormatError, match=message) as error:
        read_table(path)
    assert str(error.value).startswith(f"{path}: ")


def test_what_is_wrong_in_a_column_left_out_is_none_of_our_business(tmp_path):
    assert rows(file(tmp_path, "a,b\n1,\n2,x\n"), drop=["b"])[0] == [[1.0], [2.0]]


def test_other_delimiters(tmp_path):
    assert rows(file(tmp_path, "a;b\n1;2\n"), delimiter=";")[:2] == ([[1.0, 2.0]], ["a", "b"])
    assert rows(file(tmp_path, "1\t2\n"), delimiter="\t")[:2] == ([[1.0, 2.0]], None)


def test_standard_input():
    code = "from ae_scratch.datasets import read_table; print(read_table('-').X.sum())"
    run = subprocess.run([sys.executable, "-c", code], input="a,b\n1,2\n3,4\n", capture_output=True, text=True)
    assert run.stdout == "10.0\n"
    run = subprocess.run([sys.executable, "-c", code], input="a,b\n1,2\n3,x\n", capture_output=True, text=True)
    assert "standard input: line 3, column 'b'" in run.stderr


def test_npy_is_mapped_and_images_become_rows(tmp_path):
    X = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.save(tmp_path / "x.npy", X)
    table = read_table(tmp_path / "x.npy")
    assert isinstance(table.X, np.memmap) and table.X.shape == (2, 12) and table.X.dtype == np.uint8 and table.names is None
    assert (table.X == X.reshape(2, 12)).all()


def test_npz_holds_one_array_or_is_told_which(tmp_path):
    X, y = np.eye(3), np.arange(3)
    np.savez(tmp_path / "one.npz", anything=X)
    np.savez(tmp_path / "two.npz", X=X, y=y)
    assert rows(tmp_path / "one.npz")[0] == X.tolist() and rows(f"{tmp_path}/two.npz:X")[0] == X.tolist()
    with pytest.raises(DataFormatError, match="found X, y: choose, as in .*two.npz:X"):
        read_table(tmp_path / "two.npz")
    with pytest.raises(DataFormatError, match="expected an array 'Z', found X, y"):
        read_table(f"{tmp_path}/two.npz:Z")
    with pytest.raises(DataFormatError, match="expected rows and columns, found an array of shape \\(3,\\)"):
        read_table(f"{tmp_path}/two.npz:y")


def test_idx_plain_and_packed(tmp_path):
    X = np.arange(12, dtype=np.uint8)
    content = b"\0\0\x08\3" + struct.pack(">3I", 2, 2, 3) + X.tobytes()
    for path in file(tmp_path, content, "images-idx3-ubyte"), file(tmp_path, gzip.compress(content), "images-idx3-ubyte.gz"):
        assert rows(path)[0] == X.reshape(2, 6).tolist()


@pytest.mark.parametrize("name, content, message", [
    ("x.npy", b"no array", "expected a NumPy file of numbers"), ("x.npz", b"PK no archive", "expected a NumPy file of numbers"),
    ("x.npy", b"", "expected a NumPy file of numbers"), ("x.txt", b"1 2 3\n", "expected data as a .csv, .npy or .npz file"),
    ("x", b"", "expected data as a .csv"), ("x", b"\0\0\x08\1\0\0", "expected 1 dimensions of 4 bytes")])
def test_files_that_are_not_what_their_name_says(tmp_path, name, content, message):
    with pytest.raises(DataFormatError, match=message):
        read_table(file(tmp_path, content, name))


def test_pickled_objects_are_never_loaded(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[print]], object), allow_pickle=True)
    with pytest.raises(DataFormatError, match="expected a NumPy file of numbers"):
        read_table(tmp_path / "x.npy")


def test_a_missing_file_is_an_oserror():
    with pytest.raises(FileNotFoundError):
        read_table("nowhere.csv")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_what_is_written_is_read_again_to_the_last_bit(tmp_path, dtype):
    X = np.random.default_rng(0).normal(scale=100, size=(tables.BLOCK + 3, 2)).astype(dtype)
    for name in "x.csv", "x.npy", "x.npz":
        write_table(tmp_path / name, X, ["a", "b"])
        table = read_table(tmp_path / name)
        assert (table.X.astype(dtype) == X).all() and table.names == (["a", "b"] if name == "x.csv" else None)
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["x.csv", "x.npy", "x.npz"]


def test_csv_of_float32_has_no_more_digits_than_float32():
    text = io.StringIO()
    tables.write_csv(text, np.array([[0.1, 1e-8]], np.float32), ["a", "b, c"])
    assert text.getvalue() == 'a,"b, c"\n0.1,1e-08\n'
    assert list(csv.reader([text.getvalue().splitlines()[0]])) == [["a", "b, c"]]


def test_writing_needs_a_known_extension_and_fails_whole(tmp_path):
    with pytest.raises(ValueError, match="named .csv, .npy or .npz, got"):
        write_table(tmp_path / "x.txt", np.eye(2))
    (tmp_path / "x.csv").write_text("before")
    with pytest.raises(TypeError):
        write_table(tmp_path / "x.csv", 5)
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("x.csv", "before")]


# ---- the sensors --------------------------------------------------------------------------------------------------------


def test_the_files_in_data_are_what_the_generator_makes(pytestconfig):
    for name, X in (("sensors.csv", make_sensors()), ("sensors-normal.csv", make_sensors(1000, 2)),
                    ("sensors-new.csv", make_sensors(300, 1, faults=True))):
        text = io.StringIO()
        tables.write_csv(text, X, sensors.COLUMNS)
        assert (pytestconfig.rootpath / "data" / name).read_bytes() == text.getvalue().encode()


def test_a_smaller_set_is_the_beginning_of_a_larger_one():
    assert (make_sensors(50, 3) == make_sensors(80, 3)[:50]).all() and not (make_sensors(50, 3) == make_sensors(50, 4)).all()
    with pytest.raises(TypeError, match="n must be an integer"):
        make_sensors(2.5)


def test_faults_change_one_reading_each():
    sound, faulty = make_sensors(300, 1), make_sensors(300, 1, faults=True)
    changed = {(int(row), sensors.COLUMNS[column]) for row, column in np.argwhere(sound != faulty)}
    assert changed == {(fault.row, fault.column) for fault in sensors.FAULTS}


def test_the_readings_hang_together():
    """Three causes: three principal components hold nearly all of the variance, and physics has the sign of each correlation."""
    X = make_sensors()
    share = np.linalg.eigvalsh(np.corrcoef(X.T))[::-1] / X.shape[1]
    assert share[:3].sum() > 0.95 and share[2] > 0.1
    correlation = dict(zip(sensors.COLUMNS, np.corrcoef(X.T)[sensors.COLUMNS.index("flow_m3_h")]))
    assert correlation["inlet_pressure_bar"] < -0.9 and correlation["motor_current_a"] > 0.5


def test_a_column_of_any_format(tmp_path):
    np.save(tmp_path / "y.npy", np.arange(3))
    np.savez(tmp_path / "y.npz", y=np.arange(3)[:, None])
    for path in tmp_path / "y.npy", f"{tmp_path}/y.npz:y", file(tmp_path, "label\n0\n1\n2\n"):
        assert read_column(path).tolist() == [0, 1, 2]
    with pytest.raises(DataFormatError, match="one number per row, found an array of shape \\(1, 2\\)"):
        read_column(file(tmp_path, "1,2\n"))
