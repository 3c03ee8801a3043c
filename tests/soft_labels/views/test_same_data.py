"""Labels are read with the data and the augmentation that they were written for."""

import pytest

import keras_kd
from keras_kd import soft_labels

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def soft(images, classifier, write):
    x, _ = images
    return write(teacher=classifier(8), data=x, augment=soft_labels.crop_flip, views=3)


def test_other_data_are_refused(images, soft):
    x, y = images
    changed = x.copy()
    changed[-1, 0, 0, 0] ^= 1
    with pytest.raises(ValueError, match=r"The data must be those .*Received: content changed"):
        soft.dataset(changed, y)
    with pytest.raises(ValueError, match=r"Expected: samples 300. Received: samples 299"):
        soft.dataset(x[:-1], y[:-1])
    with pytest.raises(ValueError, match=r"uint8 \(8, 8, 3\).*float32 \(8, 8, 3\)"):
        soft.dataset(x.astype("float32"), y)


def brighter(image, seed):
    return image + BRIGHTER


BRIGHTER = 1


def test_a_function_that_has_changed_is_refused(images, classifier, tmp_path, monkeypatch):
    x, y = images
    given = {"teacher": classifier(8), "data": x, "augment": brighter, "verbose": 0}
    keras_kd.SoftLabels.write(tmp_path, **given)
    with pytest.raises(ValueError, match=r"augment must be given to SoftLabels.open"):
        keras_kd.SoftLabels.open(tmp_path).dataset(x, y)
    keras_kd.SoftLabels.open(tmp_path, augment=brighter).dataset(x, y)
    with pytest.raises(ValueError, match=r"augment must be the one.*brighter.*crop_flip"):
        keras_kd.SoftLabels.open(tmp_path, augment=soft_labels.crop_flip)
    monkeypatch.setitem(globals(), "BRIGHTER", 2)
    with pytest.raises(ValueError, match="The augmentation must make the pixels"):
        keras_kd.SoftLabels.open(tmp_path, augment=brighter).dataset(x, y)
