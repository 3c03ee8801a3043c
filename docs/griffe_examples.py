"""Shows the examples in docstrings as code, which Griffe does where they are indented only."""

import re
from typing import Any

import griffe

_HEADING = re.compile(r"^Example:$", re.MULTILINE)
_SESSION = re.compile(r"^>>> .*?(?=\n\n|\Z)", re.MULTILINE | re.DOTALL)


class Examples(griffe.Extension):
    """Puts each interactive session into a block of code."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Is called with each module, class, function and attribute."""
        if obj.docstring:
            text = _HEADING.sub("**Example:**\n", obj.docstring.value)
            obj.docstring.value = _SESSION.sub("```pycon\n\\g<0>\n```", text)
