"""What was measured of models and files, as a table in every form."""

import html
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from keras_kd._extras import require
from keras_kd._text import bytes_in_words, markdown, milliseconds_in_words
from keras_kd.report.costs import Costs

__all__ = ["Comparison", "Measured"]


@dataclass(frozen=True)
class Measured:
    """What was measured of one model or file.

    Attributes:
        method: What it is called.
        parameters: Number of weights; of a file, of those that it holds; `None` of teachers that
            are no Keras models.
        bytes: Size of the file; of Keras models, of their weights; `None` of other teachers.
        top1: Share of right answers.
        top5: Share of samples whose class is among the five most probable, `None` where there are
            five classes or fewer.
        gap_closed: Share of the gap between teacher and student, `None` for those two and where
            there is no gap.
        agreement: Share of samples where it gives the teacher's class.
        calibration_error: Expected calibration error.
        macs: Multiply-accumulates of one answer, `None` where the graph does not tell.
        latency_ms: Median time of one sample on this machine.
        joules: Energy of one answer, `None` where it cannot be measured.
    """

    method: str
    parameters: int | None
    bytes: int | None
    top1: float
    top5: float | None
    gap_closed: float | None
    agreement: float
    calibration_error: float
    macs: int | None
    latency_ms: float | None
    joules: float | None


def _percent(value: float) -> str:
    return f"{100 * value:.2f} %"


def _macs_in_words(count: float) -> str:
    for unit, factor in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= 0.9995 * factor:
            return f"{count / factor:.1f} {unit}"
    return str(count)


_COLUMNS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "method": ("Method", str),
    "parameters": ("Parameters", "{:,}".format),
    "bytes": ("Model size", bytes_in_words),
    "top1": ("Top-1", _percent),
    "top5": ("Top-5", _percent),
    "gap_closed": ("Gap closed", lambda share: f"{100 * share:.1f} %"),
    "agreement": ("Agreement", _percent),
    "calibration_error": ("Calibration error", "{:.4f}".format),
    "macs": ("MACs", _macs_in_words),
    "latency_ms": ("Latency", milliseconds_in_words),
    "joules": ("Energy", lambda joules: f"{1000 * joules:.2f} mJ"),
}


@dataclass(frozen=True)
class Comparison:
    """What `report.compare` found: print it, or take it as Markdown, HTML, JSON or a frame.

    Attributes:
        rows: A `Measured` for each model, in the order that they were given.
        notes: What the table does not say, a sentence each.
        machine: The CPU that the latency was measured on, `None` where it was not.
        samples: Number of samples.
        costs: What the trainings cost, where that was given.
    """

    rows: tuple[Measured, ...]
    notes: tuple[str, ...]
    machine: str | None
    samples: int
    costs: Costs | None = None

    def __str__(self) -> str:
        return self.to_markdown()

    def _table(self) -> tuple[list[str], list[list[str]]]:
        rows = [asdict(row) for row in self.rows]
        columns = [name for name in _COLUMNS if any(row[name] is not None for row in rows)]
        cells = [
            ["-" if row[name] is None else _COLUMNS[name][1](row[name]) for name in columns]
            for row in rows
        ]
        return [_COLUMNS[name][0] for name in columns], cells

    def to_markdown(self) -> str:
        """Returns the table in Markdown, and the notes."""
        return "\n\n".join([markdown(*self._table()), *self.notes])

    def to_html(self) -> str:
        """Returns the table as HTML, and the notes."""
        header, rows = self._table()
        aligned = ["left"] + ["right"] * (len(header) - 1)

        def line(tag: str, cells: list[str]) -> str:
            return "".join(
                f'<{tag} style="text-align: {side}">{html.escape(cell)}</{tag}>'
                for side, cell in zip(aligned, cells)
            )

        body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        head = f"<thead><tr>{line('th', header)}</tr></thead>"
        return f"<table>{head}<tbody>{body}</tbody></table>{notes}"

    def _repr_html_(self) -> str:
        return self.to_html()

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Returns all values as JSON, and writes them to a file where one is named.

        Args:
            path: The file.
        """
        text = json.dumps(asdict(self), indent=2)
        if path is not None:
            Path(path).write_text(text + "\n")
        return text

    def to_pandas(self) -> Any:
        """Returns the rows as a pandas frame.

        Raises:
            ImportError: If pandas is not installed.
        """
        pandas = require("pandas", extra="report")
        return pandas.DataFrame([asdict(row) for row in self.rows]).set_index("method")
