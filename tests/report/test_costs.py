"""What a teacher costs, asked in each step or once."""

import pytest

from keras_kd import report


def test_when_stored_labels_pay():
    def pays(labels, online):
        return report.Costs(teacher=1, labels=labels, student=10, student_online=online).pays_after

    assert [pays(30, 40), pays(31, 40), pays(90, 40), pays(30, 10)] == [1, 2, 3, None]
    assert report.Costs(teacher=1, labels=1, student=1).pays_after is None
    with pytest.raises(ValueError, match="labels must be a finite number at least 0"):
        report.Costs(teacher=1, labels=-1, student=1)
