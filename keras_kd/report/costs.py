"""What a training takes: CPU seconds, and energy where the machine counts it."""

import contextlib
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from keras_kd._errors import check_number

__all__ = ["Costs", "Spent", "spent"]

_POWERCAP = Path("/sys/class/powercap")


@dataclass
class Spent:
    """What a block of code took.

    Attributes:
        cpu_seconds: Seconds of all CPU cores together, those of finished child processes, too.
        joules: What the kernel's powercap counters of the CPU packages say, for the whole machine;
            `None` where they cannot be read.
    """

    cpu_seconds: float = math.nan
    joules: float | None = None


@contextlib.contextmanager
def spent() -> Iterator[Spent]:
    """Measures what a block of code takes.

    Energy is that of the CPU packages, whoever else uses them. Where the counters are missing or
    only the administrator may read them, it is `None`: it is never estimated.

    Example:
    >>> with report.spent() as teacher:
    ...     total = sum(range(1000))
    >>> teacher.cpu_seconds >= 0
    True
    """
    found, counters = Spent(), _counters()
    before, start = _energy(counters), _cpu()
    try:
        yield found
    finally:
        found.cpu_seconds = _cpu() - start
        after = _energy(counters)
        if before and after:
            # A counter begins anew after its largest value.
            microjoules = sum((b - a) % limit for (a, limit), (b, _) in zip(before, after))
            found.joules = microjoules / 1e6


def _cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _counters() -> list[Path]:
    """Returns the counters of whole packages: parts lie within them, and they within `psys`."""
    zones = sorted(_POWERCAP.glob("intel-rapl:*")) if _POWERCAP.is_dir() else []
    return [zone for zone in zones if zone.name.count(":") == 1 and _is_package(zone)]


def _is_package(zone: Path) -> bool:
    try:
        return (zone / "name").read_text().startswith("package")
    except OSError:
        return False


def _energy(counters: list[Path]) -> list[tuple[int, int]] | None:
    try:
        return [
            tuple(int((zone / name).read_text()) for name in ("energy_uj", "max_energy_range_uj"))
            for zone in counters
        ]
    except (OSError, ValueError):
        return None


@dataclass(frozen=True)
class Costs:
    """CPU seconds that the trainings took, e.g. measured by `report.spent`.

    Args:
        teacher: Training the teacher; 0 where it was there already.
        labels: Having the teacher write its answers.
        student: Training the student on stored answers.
        student_online: The same with the teacher asked at each step, where that was measured.

    Raises:
        TypeError: If one is not a number.
        ValueError: If one is below 0 or not finite.

    Example:
    >>> costs = report.Costs(teacher=400.0, labels=30.0, student=50.0, student_online=140.0)
    >>> costs.pays_after
    1
    """

    teacher: float
    labels: float
    student: float
    student_online: float | None = None
    pays_after: int | None = field(init=False)

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in ("teacher", "labels", "student")}
        if self.student_online is not None:
            given["student_online"] = self.student_online
        for name, value in given.items():
            check_number(name, value, "at least 0")
        object.__setattr__(self, "pays_after", self._pays_after())

    def _pays_after(self) -> int | None:
        """Returns after how many trainings stored labels are cheaper, `None` for never."""
        if self.student_online is None or self.student_online <= self.student:
            return None
        return max(1, math.ceil(self.labels / (self.student_online - self.student)))

    def __str__(self) -> str:
        parts = {"teacher": self.teacher, "labels": self.labels, "student": self.student}
        said = ", ".join(f"{name} {_in_words(value)}" for name, value in parts.items())
        line = f"Training, in CPU seconds: {said}"
        if self.student_online is None:
            return f"{line}."
        line = f"{line}; with the teacher asked at each step {_in_words(self.student_online)}."
        if self.pays_after is None:
            return f"{line} Stored labels do not pay."
        trainings = "the first training" if self.pays_after == 1 else f"{self.pays_after} trainings"
        return f"{line} Stored labels pay after {trainings}."


def _in_words(seconds: float) -> str:
    return f"{seconds:,.0f}" if seconds >= 9.5 or not seconds else f"{seconds:.2g}"
