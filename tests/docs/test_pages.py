"""The Python blocks of README.md and of each page in docs/ run, from top to bottom."""

import contextlib
import io
import linecache
import pathlib
import re
import sys

import keras
import pytest

from tests.docs.prelude import GIVEN, given

# .ci/run runs it.
pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# A block, with what stands before it where it isn't run, and what it prints where that is shown.
BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>.+?) -->\n+)?"
    r"^```python\n(?P<code>.*?)^```$"
    r"(?:\n+^```\n(?P<printed>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)


def blocks(text):
    """Yields line number, code and what it is to print (or None) of each block that is to run."""
    for found in BLOCK.finditer(text):
        if not found["reason"]:
            line = text.count("\n", 0, found.start("code"))
            yield line, found["code"], found["printed"]


def run(page, line, code, names):
    """Runs a block so that tracebacks and `inspect` show its lines, and returns what it prints."""
    file = f"<{page}, after line {line}>"
    linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, file, "exec"), names)
    sys.stdout.write(printed.getvalue())
    return printed.getvalue()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    todo = list(blocks(page.read_text(encoding="utf-8")))
    names = {"__name__": page.stem, **given(GIVEN.get(page.name, "").split())}
    keras.utils.clear_session()
    for line, code, printed in todo:
        shown = run(page.name, line, code, names)
        assert printed is None or printed.strip() in shown


def test_a_block_is_found_with_its_line_and_what_it_prints():
    text = """
```python
a = 1
```

<!-- not run: needs a phone -->
```python
b = 2
```

```python
print(a)
```

```
1
```

```bash
pip install
```
"""
    assert list(blocks(text)) == [(2, "a = 1\n", None), (11, "print(a)\n", "1\n")]


def test_a_fault_names_page_and_line():
    with pytest.raises(ZeroDivisionError) as fault:
        run("page.md", 7, "a = 1\na / 0\n", {})
    line = fault.traceback[-1]
    assert (str(line.path), line.lineno) == ("<page.md, after line 7>", 1)
