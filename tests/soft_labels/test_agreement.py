"""Does the teacher still say what is stored?"""

import pytest

from keras_kd import soft_labels

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def soft(images, classifier, write):
    x, _ = images
    return write(teacher=classifier(8), data=x, augment=soft_labels.crop_flip, views=3)


def test_the_teacher_is_asked_again(images, classifier, write):
    x, _ = images
    teacher = classifier(8)
    soft = write(teacher=teacher, data=x, augment=soft_labels.crop_flip, views=3)
    found = soft.check(teacher, x, n=50)
    assert found.answers == 50
    assert found.max_error < 4e-3
    assert "same top class 100" in str(found)
    with pytest.raises(ValueError, match="must be those of the teacher"):
        soft.check(classifier(8), x)


def test_a_teacher_that_knows_its_data_by_heart_is_said_to(images, classifier, write):
    x, _ = images
    teacher = classifier(64)
    teacher.layers[-1].kernel.assign(100 * teacher.layers[-1].kernel)
    assert "by heart" in str(write(teacher=teacher, data=x).check(teacher, x))


def test_another_teacher_of_the_same_top_logits_is_found_out(images, classifier, write):
    x, _ = images
    teacher = classifier(8, classes=300)
    soft = write(teacher=teacher, data=x)
    assert soft.check(teacher, x).same_top_class > 0.95
    last = teacher.layers[-1]
    last.set_weights([w[..., ::-1] for w in last.get_weights()])
    with pytest.raises(ValueError, match=r"0\.0% the same"):
        soft.check(teacher, x)
