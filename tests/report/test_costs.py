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


def test_costs_in_words():
    costs = report.Costs(teacher=0, labels=0.31, student=4.2, student_online=1234.5)
    assert str(costs) == (
        "Training, in CPU seconds: teacher 0, labels 0.31, student 4.2; with the teacher asked at "
        "each step 1,234. Stored labels pay after the first training."
    )
