"""The comparison of teacher, student and distilled student, in tables, words and pictures."""

from keras_kd.report import plots
from keras_kd.report.auditions import Audition, audition
from keras_kd.report.compared import compare
from keras_kd.report.comparison import Row, table, top1
from keras_kd.report.costs import Costs, Spent, spent
from keras_kd.report.ensembles import EnsembleReport, ensemble
from keras_kd.report.mac_counts import macs
from keras_kd.report.seeds import SeedsComparison, over_seeds
from keras_kd.report.tables import Comparison, Measured
from keras_kd.report.verdicts import Spread, gap_closed, paired, spread, verdict

__all__ = [
    "Audition",
    "Comparison",
    "Costs",
    "EnsembleReport",
    "Measured",
    "Row",
    "SeedsComparison",
    "Spent",
    "Spread",
    "audition",
    "compare",
    "ensemble",
    "gap_closed",
    "macs",
    "over_seeds",
    "paired",
    "plots",
    "spent",
    "spread",
    "table",
    "top1",
    "verdict",
]
