"""The comparison of teacher, student and distilled student, in a table and in words."""

from keras_kd.report.comparison import Row, table, top1
from keras_kd.report.verdicts import Spread, gap_closed, over_seeds, paired, spread, verdict

__all__ = [
    "Row",
    "Spread",
    "gap_closed",
    "over_seeds",
    "paired",
    "spread",
    "table",
    "top1",
    "verdict",
]
