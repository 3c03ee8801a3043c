import pytest

import keras_kd
from keras_kd import soft_labels


@pytest.fixture
def to_folder(images, classifier, tmp_path):
    """Returns `f(name, **arguments)`: writes 2 shards into a folder under the test's own."""
    x, _ = images
    teacher = classifier(8)

    def run(name="labels", **arguments):
        given = {"teacher": teacher, "data": x, "augment": soft_labels.crop_flip, "views": 4}
        soft = keras_kd.SoftLabels.write(tmp_path / name, verbose=0, **given | arguments)
        return tmp_path / name, soft

    return run
