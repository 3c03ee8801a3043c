"""A teacher's classes in the student's order."""

from collections.abc import Sequence
from typing import Any

from keras import ops

from keras_kd._errors import is_integer, refusal, shown, wrong

__all__ = ["ClassOrder"]


class ClassOrder:
    """Where the student's classes stand in a teacher's answers.

    Args:
        classes: The student's class of each of the teacher's, in the teacher's order, such as
            `forest.classes_`; `None` in it for a class that the student does not have. By itself
            `None` leaves the order as it is.

    Attributes:
        given: How many classes the teacher has, `None` where any number is taken.

    Raises:
        TypeError: If `classes` is not a list of integers.
        ValueError: If a class is unknown, missing or repeated.

    Example:
    >>> ClassOrder([2, None, 0, 1]).of_student  # the student's class 0 is the teacher's third
    [2, 3, 0]
    """

    def __init__(self, classes: Sequence[int | None] | None):
        self.of_student: list[int] | None = None
        self.given: int | None = None
        if classes is not None:
            listed = _listed(classes)
            self.given, self.of_student = len(listed), _places(listed)

    def count(self, of_teacher: int | None) -> int | None:
        """Returns how many classes are left of `of_teacher`, the teacher's number where known.

        Raises:
            ValueError: If the teacher has another number of classes than were named.
        """
        if self.of_student is None:
            return of_teacher
        if of_teacher not in (None, self.given):
            rule = "name the student's class of each of the teacher's"
            received, mend = f"{self.given} of them", "Use None for those that the student lacks"
            raise wrong("classes", rule, received, expected=f"{of_teacher} classes", mend=mend)
        return len(self.of_student)

    def __call__(self, logits: Any) -> Any:
        """Returns logits `(..., teacher's classes)` in the student's order."""
        return logits if self.of_student is None else ops.take(logits, self.of_student, axis=-1)

    def __repr__(self) -> str:
        return f"ClassOrder({self.of_student})"


def _listed(classes: Any) -> list[int | None]:
    listed = None if isinstance(classes, (str, bytes, dict)) else classes
    try:
        listed = list(listed)
    except TypeError:
        listed = [""]
    if listed and all(each is None or is_integer(each) for each in listed):
        return [None if each is None else int(each) for each in listed]
    mend = "Look names up: classes=[student_names.index(name) for name in teacher_names]"
    rule = "list the student's class ids in the teacher's order"
    raise wrong("classes", rule, classes, mend=mend, error=TypeError)


def _places(classes: list[int | None]) -> list[int]:
    known = [each for each in classes if each is not None]
    repeated = sorted({each for each in known if known.count(each) > 1})
    wanted = range(max(len(set(known)), 1))
    unknown = sorted(set(known) - set(wanted))
    missing = sorted(set(wanted) - set(known))
    if not (repeated or unknown or missing):
        return [classes.index(each) for each in wanted]
    faults = {"repeated": repeated, "unknown": unknown, "missing": missing}
    received = ", ".join(f"{shown(ids)} {fault}" for fault, ids in faults.items() if ids)
    mend = "Use None for a class of the teacher that the student does not have"
    expected = "0 to n - 1 in any order, where the student has n classes"
    what = "classes must hold each of the student's class ids once"
    raise refusal(what, expected=expected, received=received, mend=mend)
