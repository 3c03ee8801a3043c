"""A batch carries the teacher's answers to the loss, and weights reach what they are for."""

import numpy as np

from keras_kd.teachers import batch


def test_what_is_put_around_an_input_comes_off_again():
    x, answers = np.ones((4, 2)), {"a": np.zeros((4, 3))}
    carrying = batch.with_answers(x, answers)
    assert batch.carries_answers(carrying)
    assert not batch.carries_answers(x)
    assert batch.inputs(carrying) is x
    assert batch.inputs(x) is x
    assert batch.answers(carrying) == answers


def test_the_teacher_may_be_shown_something_else():
    x, shown = np.ones((4, 2)), np.zeros((4, 9))
    both = batch.with_teacher_input(x, shown)
    assert batch.inputs(both) is x
    assert batch.teacher_input(both) is shown
    assert batch.teacher_input(x) is x
