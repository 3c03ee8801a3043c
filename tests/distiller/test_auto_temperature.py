"""The temperature at which a teacher's answers have a certain mean confidence."""

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd.distiller import auto_temperature
from keras_kd.distiller.auto_temperature import temperature_of
from keras_kd.teachers.confidence import confidence


def logits(scale=40.0, classes=10):
    return scale * np.random.default_rng(0).normal(size=(400, classes))


def test_confidence_is_the_mean_of_the_largest_probability():
    z = logits() / 3.0
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    np.testing.assert_allclose(confidence(logits(), 3.0), p.max(-1).mean(), rtol=1e-12)


def test_confidence_of_sigmoids_is_that_of_each_yes_or_no():
    p = 1 / (1 + np.exp(-logits() / 3.0))
    expected = np.maximum(p, 1 - p).mean()
    np.testing.assert_allclose(confidence(logits(), 3.0, "sigmoid"), expected, rtol=1e-12)


@pytest.mark.parametrize("head", ["softmax", "sigmoid"])
@pytest.mark.parametrize("target", [0.8, 0.9])
def test_softens_until_the_confidence_is_the_target(head, target):
    found = temperature_of(logits(), target, head)
    assert found > 1.0
    np.testing.assert_allclose(confidence(logits(), found, head), target, rtol=1e-6)


def test_does_not_sharpen():
    assert temperature_of(logits(0.1)) == 1.0


def classifier(name="output", units=5, scale=1.0, seed=1):
    x = keras.Input((6,))
    return keras.Model(
        x, keras.layers.Dense(units, name=name, kernel_initializer=spread(scale, seed))(x)
    )


def spread(scale, seed=1):
    return keras.initializers.RandomNormal(stddev=scale, seed=seed)


def two_outputs(scales=(4.0, 9.0)):
    x = keras.Input((6,))
    names = zip(("main", "aux"), scales)
    dense = {n: keras.layers.Dense(5, name=n, kernel_initializer=spread(s))(x) for n, s in names}
    return keras.Model(x, dense)


LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(96, 6)).astype("float32")
Y = RANDOM.integers(0, 5, 96)


def automatic(student, teacher, loss=LOSS):
    distiller = keras_kd.Distiller(student=student, teacher=teacher)
    distiller.compile("sgd", loss=loss, temperature="auto", alpha=0.5)
    return distiller


def expected_of(teacher, name=None):
    logits = teacher.predict(X, verbose=0)
    return temperature_of(logits if name is None else logits[name])


@pytest.mark.parametrize("kind", ["arrays", "dataset", "generator", "batch"])
def test_is_found_online_before_the_first_step(kind):
    if kind == "dataset" and keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow makes the dataset")
    teacher = classifier(scale=6.0)
    distiller = automatic(classifier(), teacher)
    assert distiller.plain_temperature.pending
    if kind == "arrays":
        logs = distiller.fit(X, Y, batch_size=32, verbose=0).history
    elif kind == "dataset":
        import tensorflow as tf

        data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(32)
        logs = distiller.fit(data, verbose=0).history
    elif kind == "generator":
        seen = ((X, Y) for _ in range(2))
        logs = distiller.fit(seen, steps_per_epoch=2, shuffle=False, verbose=0).history
    else:
        logs = distiller.train_on_batch(X, Y, return_dict=True)
    found = float(keras.ops.convert_to_numpy(distiller.temperature))
    np.testing.assert_allclose(found, expected_of(teacher), rtol=1e-4)
    np.testing.assert_allclose(logs["temperature"], found, rtol=1e-6)


def test_a_generator_is_read_until_there_are_enough_examples_and_put_back():
    teacher, read = classifier(scale=6.0), []

    def batches():
        for start in range(0, 96, 8):
            read.append(start)
            yield X[start : start + 8], Y[start : start + 8]

    distiller = automatic(classifier(), teacher)
    distiller.fit(batches(), steps_per_epoch=12, shuffle=False, verbose=0)
    found = float(keras.ops.convert_to_numpy(distiller.temperature))
    np.testing.assert_allclose(found, expected_of(teacher), rtol=1e-4)
    assert read == list(range(0, 96, 8))
    assert int(distiller.optimizer.iterations) == 12


@pytest.mark.tensorflow
def test_ragged_inputs_are_shown_as_they_are():
    import tensorflow as tf

    rows = tf.RaggedTensor.from_tensor(X[:, :4])
    data = tf.data.Dataset.from_tensor_slices((rows, Y)).batch(32)
    batches = auto_temperature.first_batches({"x": data})
    assert all(isinstance(batch, tf.RaggedTensor) for batch in batches)


@pytest.mark.parametrize("several", [False, True])
def test_of_long_answers_some_are_looked_at(monkeypatch, several):
    """So that memory does not grow with positions and classes; the answer hardly changes."""
    monkeypatch.setattr(auto_temperature, "_MOST_NUMBERS", 512 * 5 * 8)

    def tagger(scale):
        tokens = keras.Input((40, 6))
        return keras.Model(tokens, keras.layers.Dense(5, kernel_initializer=spread(scale))(tokens))

    x = np.random.default_rng(0).normal(size=(512, 40, 6)).astype("float32")
    y = np.zeros((512, 40), "int32")
    teacher, seen = tagger(6.0), []
    confidence_of = auto_temperature.confidence
    monkeypatch.setattr(
        auto_temperature,
        "confidence",
        lambda logits, *rest: seen.append(logits.shape) or confidence_of(logits, *rest),
    )
    distiller = automatic(tagger(1.0), [teacher, tagger(6.0)] if several else teacher)
    distiller.fit(x, y, batch_size=64, verbose=0)
    assert set(seen) == {(512 * 8, 5)}
    monkeypatch.undo()
    found = float(keras.ops.convert_to_numpy(distiller.temperature))
    np.testing.assert_allclose(found, temperature_of(teacher.predict(x, verbose=0)), rtol=0.05)


def test_stays_as_assigned_and_makes_no_new_trace():
    distiller = automatic(classifier(), classifier(scale=6.0))
    distiller.fit(X, Y, verbose=0)
    function = distiller.train_function
    distiller.temperature.assign(3.0)
    logs = distiller.fit(X, Y, verbose=0).history
    assert logs["temperature"] == [3.0]
    assert distiller.train_function is function
    assert "val_temperature" not in distiller.fit(X, Y, validation_data=(X, Y), verbose=0).history


def test_each_output_has_its_own():
    teacher = two_outputs()
    distiller = automatic(two_outputs((1.0, 1.0)), teacher, {"main": LOSS, "aux": LOSS})
    logs = distiller.fit(X, {"main": Y, "aux": Y}, verbose=0).history
    for term in distiller.terms:
        expected = expected_of(teacher, term.output_name)
        np.testing.assert_allclose(logs[f"{term.output_name}_temperature"], expected, rtol=1e-4)
    values = {float(keras.ops.convert_to_numpy(term.temperature)) for term in distiller.terms}
    assert len(values) == 2


def test_is_saved(tmp_path):
    teacher = two_outputs()
    distiller = automatic(two_outputs((1.0, 1.0)), teacher, {"main": LOSS, "aux": LOSS})
    distiller.save(tmp_path / "pending.keras")
    assert keras.saving.load_model(tmp_path / "pending.keras").plain_temperature.pending
    distiller.fit(X, {"main": Y, "aux": Y}, verbose=0)
    distiller.save(tmp_path / "found.keras")
    loaded = keras.saving.load_model(tmp_path / "found.keras")
    assert not loaded.plain_temperature.pending
    for term, twin in zip(distiller.terms, loaded.terms):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(twin.temperature),
            keras.ops.convert_to_numpy(term.temperature),
            rtol=1e-6,
        )


def test_summary_tells_it(capsys):
    distiller = automatic(classifier(), classifier(scale=6.0))
    distiller.summary()
    assert "auto, found before the first step" in capsys.readouterr().out
    distiller.fit(X, Y, verbose=0)
    capsys.readouterr()
    distiller.summary()
    assert f"auto, {expected_of(distiller.teacher):.4g}" in capsys.readouterr().out


def test_another_teacher_is_asked_anew():
    distiller = automatic(classifier(), classifier(scale=6.0))
    distiller.fit(X, Y, verbose=0)
    distiller.teacher = teacher = classifier(scale=12.0)
    distiller.fit(X, Y, verbose=0)
    found = keras.ops.convert_to_numpy(distiller.temperature)
    np.testing.assert_allclose(found, expected_of(teacher), rtol=1e-4)


@pytest.mark.tensorflow
def test_is_exact_from_stored_answers():
    teacher = classifier(scale=6.0)
    soft = keras_kd.SoftLabels.write(None, teacher=teacher, data=X, dtype="float32", verbose=0)
    distiller = automatic(classifier(), soft)
    assert not distiller.plain_temperature.pending
    found = keras.ops.convert_to_numpy(distiller.temperature)
    np.testing.assert_allclose(found, expected_of(teacher), rtol=1e-4)


@pytest.mark.tensorflow
def test_top_classes_serve_the_temperature_they_were_stored_for():
    teacher = classifier(scale=6.0, units=12)
    expected = expected_of(teacher)
    options = {"teacher": teacher, "data": X, "dtype": "float32", "verbose": 0, "top_k": 4}
    soft = keras_kd.SoftLabels.write(None, temperatures=(1.0, expected), **options)
    found = automatic(classifier(units=12), soft).temperature
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, rtol=1e-6)
    soft = keras_kd.SoftLabels.write(None, temperatures=(1.0, 50.0), **options)
    with pytest.raises(ValueError, match=r"one of \[1.0, 50.0\]. Received: "):
        automatic(classifier(units=12), soft)


@pytest.mark.parametrize(("scale", "word"), [(0.0, "the same number"), (np.nan, "NaN or Inf")])
def test_answers_that_say_nothing_are_refused(scale, word):
    teacher = classifier()
    teacher.set_weights([np.full_like(w, scale) for w in teacher.get_weights()])
    with pytest.raises(ValueError, match=word):
        automatic(classifier(), teacher).fit(X, Y, verbose=0)


def test_wrong_uses_are_refused():
    distiller = keras_kd.Distiller(student=classifier(), teacher=classifier())
    with pytest.raises(ValueError, match="a number above 0 or 'auto'"):
        distiller.compile("sgd", loss=LOSS, temperature="Auto")
    with pytest.raises(ValueError, match="classes to soften"):
        distiller.compile("sgd", loss="mse", temperature="auto")
    with pytest.raises(ValueError, match="for each output"):
        distiller.compile("sgd", loss=LOSS, temperature={"other": 2.0})
    terms = [keras_kd.losses.SoftTargets()]
    full = keras_kd.Distiller(student=classifier(), teacher=classifier(), terms=terms)
    with pytest.raises(ValueError, match="must not be given to a Distiller with terms"):
        full.compile("sgd", loss=LOSS, temperature="auto")


def two_teachers():
    """Returns teachers that mostly agree, and are sure of it."""
    teachers = [classifier(scale=9.0), classifier(scale=9.0)]
    kernel = teachers[1].layers[-1].kernel
    kernel.assign(kernel + RANDOM.normal(size=kernel.shape))
    return teachers


def mean_confidence(teachers, temperature):
    each = [teacher.predict(X, verbose=0) / temperature for teacher in teachers]
    each = [np.exp(z - z.max(-1, keepdims=True)) for z in each]
    return np.mean([p / p.sum(-1, keepdims=True) for p in each], axis=0).max(-1).mean()


def test_softens_what_several_teachers_say_together():
    teachers = two_teachers()
    distiller = automatic(classifier(), teachers)
    distiller.fit(X, Y, verbose=0)
    found = float(keras.ops.convert_to_numpy(distiller.temperature))
    np.testing.assert_allclose(mean_confidence(teachers, found), 0.8, atol=1e-4)


@pytest.mark.tensorflow
def test_a_stored_mean_serves_the_temperature_it_was_stored_for():
    teachers = two_teachers()
    online = automatic(classifier(), teachers)
    online.fit(X, Y, verbose=0)
    found = float(keras.ops.convert_to_numpy(online.temperature))
    options = {"teacher": keras_kd.teachers.Ensemble(teachers), "data": X, "verbose": 0}
    soft = keras_kd.SoftLabels.write(None, temperatures=(1.0, found), **options)
    stored = automatic(classifier(), soft).temperature
    np.testing.assert_allclose(keras.ops.convert_to_numpy(stored), found, rtol=1e-6)
    soft = keras_kd.SoftLabels.write(None, temperatures=(1.0, 50.0), **options)
    with pytest.raises(ValueError, match=r"one of \[1.0, 50.0\]"):
        automatic(classifier(), soft)
