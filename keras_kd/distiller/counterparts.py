"""Which input or output of the teacher is which of the student's?

Equal names belong together, whatever the order and the container. Where the names differ, the only
order that fits by shapes and dtypes is taken; where several fit, nobody guesses.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from keras_kd._errors import refusal
from keras_kd.losses.base import same_shape
from keras_kd.networks.ports import Inputs, Port, same_but_for_ones

__all__ = ["check_order", "input_for_teacher", "mismatch", "outputs_taught"]

_Fits = Callable[[Port, Port], bool]


def input_for_teacher(teacher: Inputs, student: Inputs) -> Callable[[Any], Any] | None:
    """Returns a function from the student's batch to the teacher's input.

    `None` where a model does not show its inputs, so that it is given the batch as it comes.

    Raises:
        ValueError: If one batch does not serve both, or several orders fit.
    """
    if not (teacher.ports and student.ports):
        return None
    try:
        places = _counterparts(teacher.ports, student.ports, _takes)
    except _UndecidedError:
        raise mismatch(
            "the same inputs by name, since several orders fit",
            _in_words(student.ports),
            _in_words(teacher.ports),
            _MEND_INPUTS,
        ) from None
    pairs = zip(teacher.ports, (student.ports[place] for place in places or ()))
    if places is None or not all(_takes(*pair) for pair in pairs):
        raise refusal(
            "teacher and student must take the same input, or the teacher have a preprocess",
            expected=f"{_in_words(student.ports)}, as the student takes",
            received=f"a teacher that takes {_in_words(teacher.ports)}",
            mend="Pass keras_kd.teachers.KerasModel(teacher, preprocess=...) with a function "
            "from the student's input to the teacher's",
        )

    def shown(x: Any) -> Any:
        leaves = student.leaves(x)
        return teacher.packed([leaves[place] for place in places])

    return shown


def check_order(shown: list[str] | None, student: Inputs) -> None:
    """Raises where a teacher was shown lists in another order than the student takes them.

    Args:
        shown: The names of the teacher's inputs in their order, if it was shown lists.
        student: The student's inputs.
    """
    names = [port.name for port in student.ports]
    if shown is not None and names != shown and sorted(names) == sorted(shown):
        mend = "Write the labels from a dict by these names, and pass one to soft.dataset, too"
        raise mismatch("one order of their inputs, to be shown the same lists", names, shown, mend)


_MEND_INPUTS = (
    "Name them, e.g. keras.Input(shape, name='query'), or say what the teacher is shown of a "
    "batch: keras_kd.teachers.KerasModel(teacher, preprocess=lambda x: [x[0], x[1]])"
)


def _takes(a: Port, b: Port) -> bool:
    return same_but_for_ones(a.shape, b.shape)


def outputs_taught(
    teacher: dict[str, Port], student: dict[str, Port], taught: Sequence[str], free: set[str]
) -> dict[str, str]:
    """Returns the teacher's output names by those of the student's outputs that are taught.

    Args:
        teacher: The teacher's outputs, by name.
        student: The student's outputs, by name.
        taught: Names of those that learn from one of the teacher's.
        free: Names of those whose shapes need not agree.

    Raises:
        ValueError: If they do not belong together, or several orders fit.
    """
    of = {name: student[name] for name in taught}
    # What bears the name of another output of the student is not for these.
    others = {port.name for name, port in student.items() if port.given and name not in of}
    among = {n: port for n, port in teacher.items() if not (port.given and port.name in others)}
    if len(student) == len(teacher) and _by_name([*of.values()], [*among.values()]) is None:
        of, among = student, teacher  # all of them tell the most
    unlike = free | (set(student) - set(taught))
    compared = {n: replace(port, shape=None) if n in unlike else port for n, port in of.items()}
    try:
        places = _counterparts([*compared.values()], [*among.values()], _compares)
    except _UndecidedError:
        as_dict = ", ".join(f"{name!r}: t.outputs[{n}]" for n, name in enumerate(of))
        mend = f"Give the teacher's the student's names: keras.Model(t.inputs, {{{as_dict}}})"
        raise mismatch(
            "the same outputs by name, since several orders fit", [*of], [*among], mend
        ) from None
    if places is None:
        mend = "Pass a teacher of these outputs, e.g. keras.Model(t.inputs, t.outputs[0])"
        if len(student) > 1:
            mend += ", or terms=[...] whose output= is what the teacher teaches"
        raise mismatch("the same outputs", [*taught], [*teacher], mend)
    found = dict(zip(of, ([*among][place] for place in places)))
    for name in taught:
        if not _compares(compared[name], among[found[name]]):
            pair = student[name].shape, teacher[found[name]].shape
            raise mismatch(f"the same shape at {name!r}", *pair)
    return {name: found[name] for name in taught}


def _compares(a: Port, b: Port) -> bool:
    return None in (a.shape, b.shape) or same_shape(a.shape, b.shape)


class _UndecidedError(Exception):
    """Neither names nor shapes tell what belongs together."""


def _counterparts(of: list[Port], among: list[Port], fits: _Fits) -> list[int] | None:
    """Returns the place of each one's counterpart.

    Args:
        of: Those that need one.
        among: Those that may be one. More of them than needed only where the names decide.
        fits: Whether the shapes of two allow that they belong together.

    Returns:
        Places in `among`, `None` where nothing fits. What belongs together by name, or is alone on
        both sides, may have shapes that do not fit.

    Raises:
        _UndecidedError: If several orders fit.
    """
    if len(of) == len(among) == 1:
        return [0]
    places = _by_name(of, among)
    if places is not None or len(of) != len(among):
        return places
    orders = list(islice(_orders(of, among, fits), 2))
    if len(orders) > 1:
        orders = list(islice(_orders(of, among, lambda a, b: fits(a, b) and _alike(a, b)), 2))
        if len(orders) != 1:
            raise _UndecidedError
    return orders[0] if orders and not _contradicts(orders[0], of, among) else None


def _by_name(of: list[Port], among: list[Port]) -> list[int] | None:
    """Returns the places of equal names; `None` where Keras has numbered, and other ones."""
    wanted, names = ([port.name for port in ports] for ports in (of, among))
    if len(set(wanted)) < len(wanted) or len(set(names)) < len(names):
        return None
    if set(wanted) != set(names):
        given = {port.name for port in among if port.given}
        if not all(port.given and port.name in given for port in of):
            return None
    return [names.index(name) for name in wanted]


def _orders(of: list[Port], among: list[Port], fits: _Fits) -> Iterator[list[int]]:
    """Gives the orders that fit, one after the other."""
    if not of:
        yield []
        return
    for place, other in enumerate(among):
        if fits(of[0], other):
            rest = among[:place] + among[place + 1 :]
            for places in _orders(of[1:], rest, fits):
                yield [place, *(p + (p >= place) for p in places)]


def _alike(a: Port, b: Port) -> bool:
    return None in (a.dtype, b.dtype) or a.dtype == b.dtype


def _contradicts(places: list[int], of: list[Port], among: list[Port]) -> bool:
    """Whether an order pairs a name that was given on both sides with another one."""
    shared = {p.name for p in of if p.given} & {p.name for p in among if p.given}
    pairs = ((port.name, among[place].name) for port, place in zip(of, places))
    return any(a != b and {a, b} & shared for a, b in pairs)


def _in_words(ports: Sequence[Port]) -> str:
    """Returns ports by name and shape; a single one by its shape alone."""
    return f"{ports[0].shape}" if len(ports) == 1 else ", ".join(map(str, ports))


def mismatch(
    rule: str,
    student: Any,
    teacher: Any,
    mend: str = "Change the last layer of one of them, or use another teacher",
) -> ValueError:
    """Returns the error for what teacher and student do not have in common."""
    return refusal(
        f"teacher and student must have {rule}",
        expected=f"{student}, as the student has",
        received=f"{teacher} from the teacher",
        mend=mend,
    )
