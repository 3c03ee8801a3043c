"""Do these teachers make an ensemble?"""

from collections.abc import Callable, Sequence
from typing import Any

from keras_kd._errors import check_number, refusal, shown, wrong
from keras_kd.networks.ports import same_but_for_ones
from keras_kd.teachers.keras_model import KerasModel
from keras_kd.teachers.teacher import Teacher, check_can_be_asked

__all__ = [
    "check_inputs",
    "listed",
    "member",
    "misfit",
    "own_names",
    "shared_preprocessor",
    "shares",
]


def listed(models: Any) -> Sequence[Any]:
    """Returns what is to be an ensemble, if it is a list of at least one."""
    if isinstance(models, (list, tuple)) and len(models):
        return models
    rule, kind = "be a list of teachers, at least one", type(models)
    error = ValueError if kind in (list, tuple) else TypeError
    raise wrong("models", rule, models, error=error, mend="Pass e.g. Ensemble([a, b])")


def member(model: Any, place: int) -> Teacher:
    """Returns a member as a teacher that can be asked."""
    teacher = model if isinstance(model, Teacher) else KerasModel(model)
    return check_can_be_asked(f"models[{place}]", teacher)


def shares(weights: Sequence[float] | None, count: int) -> list[float]:
    """Returns weights that sum to 1."""
    if weights is None:
        return [1.0 / count] * count
    given = [check_number(f"weights[{n}]", w, "at least 0") for n, w in enumerate(weights)]
    if len(given) == count and sum(given) > 0:
        return [weight / sum(given) for weight in given]
    rule = "have one number for each member, and not be 0 for all of them"
    raise wrong("weights", rule, given, example=[1.0] * count)


def own_names(first: Teacher, member: Teacher) -> dict[str, str]:
    """Returns a member's output names by those of the first member."""
    if len(first.heads) == len(member.heads) == 1:
        return dict(zip(first.heads, member.heads))
    if set(first.heads) == set(member.heads):
        return {name: name for name in first.heads}
    said = {str(each.name): [*each.heads] for each in (first, member)}
    raise misfit("outputs of the same names", said)


def check_inputs(members: list[Teacher]) -> None:
    """Raises where members take different inputs."""
    found = [m.input_shapes() for m in members]
    alone = [each[0] for each in found if each and len(each) == 1]
    if not all(same_but_for_ones(alone[0], shape) for shape in alone[1:]):
        said = {f"{place} ({m.name})": m.input_shapes() for place, m in enumerate(members)}
        raise misfit(
            "one input, or a preprocess", said, "KerasModel(model, preprocess=...) of the others"
        )


def shared_preprocessor(members: list[Teacher]) -> Callable | None:
    """Returns what is done to raw data for all members; raises where it differs."""
    given = [member.preprocess_samples for member in members]
    owners = {id(getattr(g.__self__, "preprocessor", g.__self__)) for g in given if g is not None}
    if len(owners) > 1 or (owners and None in given):
        said = {str(m.name): m.preprocess_name for m in members}
        raise misfit("one preprocessor for raw data", said, "one preprocessor to all tasks")
    return next(iter(given)) if owners else None


def misfit(
    rule: str, received: dict[str, Any], mend: str = "teachers of the same task"
) -> ValueError:
    """Returns the error for members that do not belong together."""
    return refusal(
        f"Members of an ensemble must have {rule}",
        expected="the same of each",
        received=shown(received),
        mend=f"Pass {mend}",
    )
