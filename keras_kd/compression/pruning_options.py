"""What `prune` is asked for, checked."""

import re
from typing import Any

from keras_kd._errors import check_integer, check_number, wrong

__all__ = ["checked", "kept_of"]


def checked(
    sparsity: Any, steps: Any, begin: Any, initial: Any, every: Any, block: Any, pattern: Any
) -> dict[str, Any]:
    """Returns the options of a `Prune`, from the arguments of `prune`."""
    kept = kept_of(pattern)
    if kept is not None:
        if block is not None:
            raise wrong("block", "be None beside pattern", block, mend="Leave one of them out")
        if initial:
            rule = "be 0 beside pattern, which holds from the first step"
            raise wrong("initial_sparsity", rule, initial, mend="Leave it out")
        share = 1 - kept[0] / kept[1]
        if sparsity not in (None, share):
            rule = f"be left out beside pattern={pattern!r}, which makes it {share:g}"
            raise wrong("sparsity", rule, sparsity, expected="None", mend="Leave it out")
        sparsity = share
    steps = check_integer("steps", steps)
    options = {
        "sparsity": check_number("sparsity", sparsity, "at least 0 and below 1", 0.8),
        "steps": steps,
        "begin": check_integer("begin", begin),
        "initial_sparsity": check_number(
            "initial_sparsity", initial, "at least 0 and below 1", 0.0
        ),
        "every": check_integer("every", every, 1, optional=True) or max(1, steps // 100),
        "block": _check_block(block),
        "pattern": pattern,
    }
    if options["initial_sparsity"] > options["sparsity"]:
        rule = f"be at most sparsity={options['sparsity']}"
        raise wrong("initial_sparsity", rule, initial, example=0.0)
    return options


def _check_block(block: Any) -> tuple[int, int] | None:
    if block is None:
        return None
    if not isinstance(block, tuple | list) or len(block) != 2:
        raise wrong("block", "be (rows, columns)", block, example=(1, 4), error=TypeError)
    rows, columns = (check_integer("block", size, 1) for size in block)
    return rows, columns


def kept_of(pattern: Any) -> tuple[int, int] | None:
    """Returns how many of how many neighbours a pattern keeps, `None` without one."""
    if pattern is None:
        return None
    found = re.fullmatch(r"(\d+):(\d+)", pattern) if isinstance(pattern, str) else None
    kept, group = map(int, found.groups()) if found else (0, 0)
    if 0 < kept < group:
        return kept, group
    raise wrong("pattern", "say how many of how many neighbours stay", pattern, example="2:4")
