"""Asking once: every view of every sample, in shards that resume."""

import concurrent.futures

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd import soft_labels
from keras_kd.soft_labels.augmentation import draws
from keras_kd.soft_labels.storage import manifest
from keras_kd.soft_labels.storage.folder import Folder
from keras_kd.teachers.keras_model import KerasModel

pytestmark = pytest.mark.tensorflow


def views_of(x, seed, view):
    """Shifts and flips the images as crop_flip does in a view, each by itself."""
    seeds = draws.seeds(seed, np.arange(len(x)), np.full(len(x), view))
    return np.concatenate(
        [np.asarray(soft_labels.crop_flip(x[i : i + 1], seeds[i : i + 1])) for i in range(len(x))]
    )


def test_every_view_is_what_the_teacher_says_of_it(images, classifier, write, stored):
    x, _ = images
    teacher = classifier(16)
    soft = write(teacher=teacher, data=x, augment=soft_labels.crop_flip, views=3, seed=5)
    for view in range(3):
        answers = soft.read(np.arange(len(x)), np.full(len(x), view))["output"]
        expected = teacher.predict(views_of(x, 5, view), verbose=0)
        np.testing.assert_allclose(answers, expected, rtol=1e-3, atol=1e-3)


def test_float32_keeps_what_the_teacher_says(images, classifier, write):
    x, _ = images
    teacher = classifier(16)
    soft = write(teacher=teacher, data=x, dtype="float32", batch_size=50)
    expected = teacher.predict(x, batch_size=50, verbose=0)
    np.testing.assert_allclose(soft.arrays()["output"], expected, rtol=1e-6, atol=1e-6)


def test_a_softmax_head_is_stored_as_centred_logits(images, classifier, write):
    x, _ = images
    teacher = classifier(16, activation="softmax")
    answers = write(teacher=teacher, data=x, dtype="float32").arrays()["output"]
    np.testing.assert_allclose(answers.mean(-1), 0.0, atol=1e-5)
    expected = teacher.predict(x, verbose=0)
    np.testing.assert_allclose(keras.ops.softmax(answers), expected, rtol=1e-4, atol=1e-6)


def test_several_outputs_and_inputs(write):
    rng = np.random.default_rng(0)
    x = {name: rng.normal(size=(40, 4)).astype("float32") for name in ("left", "right")}
    inputs = {name: keras.Input((4,), name=name) for name in x}
    both = keras.layers.Concatenate()(list(inputs.values()))
    outputs = {
        "kind": keras.layers.Dense(3, activation="softmax", name="kind")(both),
        "tags": keras.layers.Dense(2, activation="sigmoid", name="tags")(both),
    }
    teacher = keras.Model(inputs, outputs)
    soft = write(teacher=teacher, data=x, dtype="float32")
    expected = teacher.predict(x, verbose=0)
    answers = soft.arrays()
    np.testing.assert_allclose(keras.ops.sigmoid(answers["tags"]), expected["tags"], rtol=1e-4)
    np.testing.assert_allclose(keras.ops.softmax(answers["kind"]), expected["kind"], rtol=1e-4)


def test_a_teacher_of_another_resolution(images, classifier, write):
    x, _ = images
    small = keras.layers.Resizing(4, 4)
    model = keras.Sequential(
        [keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(3)]
    )
    soft = write(teacher=KerasModel(model, preprocess=small), data=x, dtype="float32")
    expected = model.predict(small(x.astype("float32")), verbose=0)
    np.testing.assert_allclose(soft.arrays()["output"], expected, rtol=1e-4, atol=1e-3)


def test_top_classes_of_many(images, classifier, write):
    x, _ = images
    teacher = classifier(16, classes=300)
    answers = write(teacher=teacher, data=x).arrays()  # 10 of 300 by default
    expected = teacher.predict(x, verbose=0)
    assert answers["output.indices"].shape == (len(x), 10)
    assert np.mean(answers["output.indices"][:, 0] == expected.argmax(-1)) > 0.99


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_workers_share_a_folder_without_knowing_of_each_other(to_folder):
    alone, _ = to_folder("alone")
    shared, first = to_folder("shared", shard=(1, 2))
    assert first is None
    with pytest.raises(ValueError, match=r"2 shards. Received: 1 missing: 0.*goes on"):
        keras_kd.SoftLabels.open(shared)
    _, last = to_folder("shared", shard=(0, 2))
    assert last is not None
    to_folder("shared", shard=(1, 3))  # overlaps
    assert files(shared) == files(alone)


def test_a_lost_shard_is_written_again(to_folder):
    folder, _ = to_folder()
    before = files(folder)
    next(folder.glob("shard-000001*")).unlink()
    to_folder()
    assert files(folder) == before


def test_a_damaged_shard_is_written_again(to_folder):
    folder, _ = to_folder()
    before = files(folder)
    shard = next(folder.glob("shard-000001*"))
    shard.write_bytes(shard.read_bytes()[:-1])
    to_folder()
    assert files(folder) == before


def test_workers_that_start_at_once(to_folder, tmp_path):
    alone, _ = to_folder("alone")
    path = alone / "manifest.json"
    content = manifest.from_bytes(path.read_bytes(), path) | {"shards": None}

    def missing(number):
        return Folder(tmp_path / "shared", content).missing(range(number, number + 1))

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(missing, [0, 1] * 40))
    assert found == [[0], [1]] * 40


def test_a_second_writer_of_a_shard_leaves_the_first_ones(to_folder):
    folder, _ = to_folder()
    before = files(folder)
    path = folder / "manifest.json"
    again = Folder(folder, manifest.from_bytes(path.read_bytes(), path))
    again.store(1, np.zeros(3))
    assert again.seal()
    assert files(folder) == before


def test_a_resume_does_not_mind_the_name_of_the_model(to_folder, classifier):
    teacher = classifier(8)
    to_folder(teacher=teacher)
    twin = keras.models.clone_model(teacher)
    twin.set_weights(teacher.get_weights())
    twin.name = "another"
    to_folder(teacher=twin)


def test_an_offset_that_hides_the_classes_is_refused(images, write):
    x = np.random.default_rng(0).normal(size=(40, 4)).astype("float32")
    teacher = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)])
    teacher.layers[-1].bias.assign([3000.0] * 4)
    with pytest.raises(ValueError, match=r"must not drown in a common offset.*float32"):
        write(teacher=teacher, data=x)
    write(teacher=teacher, data=x, dtype="float32")


def test_one_answer_to_a_whole_batch_is_refused(images, classifier, write):
    model = classifier(4)
    whole = keras.Model(model.inputs, keras.ops.mean(model.outputs[0], axis=0, keepdims=True))
    with pytest.raises(ValueError, match=r"one row for each view.*128 rows.*shape \(1, 3\)"):
        write(teacher=whole, data=images[0])
