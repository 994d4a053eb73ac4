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


def test_every_feature_that_people_expect_is_held_by_a_test():
    folder, rows = pathlib.Path(__file__).parent, (PAGES[0].parent / "features.md").read_text(encoding="utf-8").splitlines()
    expected = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows if "| must |" in row or "| should |" in row]
    assert len(expected) == 31
    for feature, _, ours, *_, test in expected:
        name, _, function = test.strip("`").partition("::")
        text = (folder / name).read_text(encoding="utf-8")
        assert ours not in ("", "-") and (not function or f"def {function}(" in text), feature
