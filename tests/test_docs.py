"""The pages in docs/ are true: their Python runs, each page from top to bottom, and their links lead somewhere."""

import contextlib
import io
import pathlib
import re
import textwrap

import pytest

PAGES = sorted((pathlib.Path(__file__).parent.parent / "docs").glob("*.md"))


def blocks(text):
    """The Python of a page, also where it is indented under a list."""
    return [textwrap.dedent(block) for block in re.findall(r"^ *```python\n(.*?)^ *```", text, re.DOTALL | re.MULTILINE)]


def run(name, text):
    """Run the Python of a page, and return what it leaves behind."""
    namespace = {}
    with contextlib.redirect_stdout(io.StringIO()):
        for number, block in enumerate(blocks(text), start=1):
            exec(compile(block, f"{name}, block {number}", "exec"), namespace)
    return namespace


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_python_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # what a page writes goes there
    monkeypatch.syspath_prepend(tmp_path)
    text = page.read_text(encoding="utf-8")
    assert bool(run(page.name, text)) == ("```python" in text)


def test_an_example_that_is_wrong_would_be_noticed():
    with pytest.raises(AssertionError):
        run("page", "```python\nx = 1\n```\nthen\n```python\nassert x == 2\n```\n")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_other_pages_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


def test_blocks_are_found_wherever_they_stand():
    assert blocks("a\n```python\nx = 1\n```\n- b\n\n  ```python\n  if x:\n      y = 2\n  ```\n```sh\nls\n```\n") == [
        "x = 1\n", "if x:\n    y = 2\n"]


FOLDER = pathlib.Path(__file__).parent


def expected_features(page):
    """Of each row that people expect: its name, what stands for it here, and the tests that hold it."""
    rows = [row.strip("|").split("|") for row in page.splitlines() if "| must |" in row or "| should |" in row]
    return [(row[0].strip(), row[2].strip(), re.findall("`(.+?)::(.+?)`", row[-1])) for row in rows]


def held(tests):
    """Whether there are tests, and all of them exist."""
    return bool(tests) and all(f"def {function}(" in (FOLDER / name).read_text(encoding="utf-8") for name, function in tests)


def unheld(page):
    """The names of those that are not here, or held by no test that exists."""
    return [feature for feature, ours, tests in expected_features(page) if ours in ("", "-") or not held(tests)]


def test_every_feature_that_people_expect_is_held_by_tests():
    page = (FOLDER.parent / "docs/features.md").read_text(encoding="utf-8")
    assert len(expected_features(page)) == 31 and unheld(page) == []
    assert unheld(page.replace("::test_check_estimator`", "::test_nothing`")) == ["sklearn Pipeline/GridSearch"]
    assert unheld(page.replace("| should | `ae-scratch` |", "| should | - |")) == ["CLI"]


def empty_promises(page):
    """The promises of a page that no test holds."""
    rows = [row.strip("|").split("|") for row in page.replace("\\|", "").splitlines() if re.match(r"\| [A-Z]\d", row)]
    return len(rows), [row[1].strip() for row in rows if not held(re.findall("`(test_.+?)::(.+?)`", row[2]))]


def test_every_promise_is_held_by_tests():
    page = (FOLDER.parent / "docs/reliability.md").read_text(encoding="utf-8")
    assert empty_promises(page) == (33, [])
    assert len(empty_promises(page.replace("::test_F2_", "::test_nothing_"))[1]) == 2
