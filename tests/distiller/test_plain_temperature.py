"""What the plain form does where no temperature is given, and where one is assigned in between."""

import keras
import numpy as np
import pytest

import keras_kd
from keras_kd.distiller.auto_temperature import temperature_of

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(96, 6)).astype("float32")
Y = RANDOM.integers(0, 5, 96)


def classifier(scale=1.0, units=5, activation=None):
    kernel = keras.initializers.RandomNormal(stddev=scale, seed=1)
    x = keras.Input((6,))
    return keras.Model(x, keras.layers.Dense(units, activation, kernel_initializer=kernel)(x))


def by_default(teacher, student=None, **compiled):
    distiller = keras_kd.Distiller(student=student or classifier(), teacher=teacher)
    distiller.compile("sgd", loss=LOSS, **compiled)
    return distiller


def number(variable):
    return float(keras.ops.convert_to_numpy(variable))


def expected_of(teacher):
    return temperature_of(teacher.predict(X, verbose=0))


def test_it_is_found_and_the_labels_weigh_most(capsys):
    teacher = classifier(6.0)
    distiller = by_default(teacher)
    assert np.isnan(number(distiller.temperature))
    distiller.summary()
    assert "SoftTargets(temperature=auto" in capsys.readouterr().out
    logs = distiller.fit(X, Y, verbose=0).history
    np.testing.assert_allclose(number(distiller.temperature), expected_of(teacher), rtol=1e-4)
    assert number(distiller.alpha) == pytest.approx(0.8)
    assert distiller.terms[0].loss.student_power == 0.5
    assert set(logs) == {"loss", "hard_loss", "soft_targets"}
    distiller.summary()
    assert f"auto, {expected_of(teacher):.4g}" in capsys.readouterr().out


def test_what_is_assigned_before_the_first_step_stays(capsys):
    distiller = by_default(classifier(6.0))
    distiller.temperature.assign(4.0)
    distiller.fit(X, Y, verbose=0)
    assert number(distiller.temperature) == 4.0
    assert distiller.get_compile_config()["temperature"] == 4.0
    distiller.summary()
    assert "4, assigned" in capsys.readouterr().out


def test_an_evaluation_finds_its_own():
    teacher = classifier(6.0)
    distiller = by_default(teacher, evaluate_terms=True)
    logs = distiller.evaluate(X, Y, verbose=0, return_dict=True)
    assert np.isfinite(logs["soft_targets"])
    assert np.isnan(number(distiller.temperature))  # training data tell it
    distiller.fit(X[:48], Y[:48], verbose=0)
    expected = temperature_of(teacher.predict(X[:48], verbose=0))
    np.testing.assert_allclose(number(distiller.temperature), expected, rtol=1e-4)


def test_answers_that_say_nothing_are_not_softened():
    teacher = classifier()
    teacher.set_weights([np.zeros_like(weight) for weight in teacher.get_weights()])
    distiller = by_default(teacher)
    with pytest.warns(UserWarning, match="the same for every class, so there is nothing to learn"):
        distiller.fit(X, Y, verbose=0)
    assert number(distiller.temperature) == 1.0


def test_a_teachers_nan_is_reported_with_its_batch():
    teacher = classifier()
    teacher.set_weights([np.full_like(weight, np.nan) for weight in teacher.get_weights()])
    with pytest.raises(ValueError, match="batch"):
        by_default(teacher).fit(X, Y, verbose=0)


def test_sigmoids_and_softmaxes_each_have_their_own():
    x = keras.Input((6,))
    heads = {"a": "softmax", "b": "sigmoid"}
    made = [
        {name: keras.layers.Dense(5, head, name=name)(x) for name, head in heads.items()}
        for _ in "ts"
    ]
    teacher, student = (keras.Model(x, outputs) for outputs in made)
    teacher.set_weights([9 * weight for weight in teacher.get_weights()])
    distiller = keras_kd.Distiller(student=student, teacher=teacher)
    distiller.compile("sgd", loss={"a": "sparse_categorical_crossentropy", "b": "mse"})
    distiller.fit(X, {"a": Y, "b": np.eye(5)[Y]}, verbose=0)
    found = [number(term.temperature) for term in distiller.terms]
    assert len(set(found)) == 2
    assert min(found) > 1.0


def test_it_is_saved_while_it_waits(tmp_path):
    by_default(classifier(6.0)).save(tmp_path / "d.keras")
    loaded = keras.saving.load_model(tmp_path / "d.keras")
    loaded.teacher = teacher = classifier(6.0)
    loaded.fit(X, Y, verbose=0)
    np.testing.assert_allclose(number(loaded.temperature), expected_of(teacher), rtol=1e-4)


@pytest.mark.tensorflow
@pytest.mark.parametrize("kept", [(4.0,), (1.0, 50.0)])
def test_of_stored_temperatures_the_nearest_serves(kept, capsys):
    teacher = classifier(6.0, units=12)
    soft = keras_kd.SoftLabels.write(
        None, teacher=teacher, data=X, verbose=0, top_k=4, temperatures=kept
    )
    distiller = by_default(soft, classifier(units=12))
    nearest = min(kept, key=lambda each: abs(np.log(each / expected_of(teacher))))
    assert number(distiller.temperature) == nearest
    distiller.summary()
    assert f"{nearest:g}, the nearest that answers are stored for" in capsys.readouterr().out


@pytest.mark.tensorflow
def test_it_is_found_on_replicas(two_replicas):
    with two_replicas.scope():
        teacher = classifier(6.0)
        distiller = by_default(teacher)
    distiller.fit(X, Y, batch_size=32, verbose=0)
    np.testing.assert_allclose(number(distiller.temperature), expected_of(teacher), rtol=1e-4)


@pytest.mark.parametrize("temperature", [3.0, "auto"])
def test_the_student_is_softened_like_the_teacher_where_one_is_given(temperature):
    distiller = by_default(classifier(6.0), temperature=temperature)
    assert distiller.terms[0].loss.student_power == 1.0
    distiller = by_default(classifier(6.0), temperature=temperature, student_power=0.25)
    assert distiller.terms[0].loss.student_power == 0.25


def test_how_the_student_is_softened_is_saved(tmp_path):
    distiller = by_default(classifier(6.0))
    first = distiller.fit(X, Y, verbose=0).history["soft_targets"]
    distiller.save(tmp_path / "d.keras")
    loaded = keras.saving.load_model(tmp_path / "d.keras")
    loaded.teacher = classifier(6.0)
    assert loaded.terms[0].loss.student_power == 0.5
    again, other = (d.fit(X, Y, verbose=0, shuffle=False) for d in (distiller, loaded))
    assert again.history["soft_targets"] != first
    np.testing.assert_allclose(
        again.history["soft_targets"], other.history["soft_targets"], rtol=1e-5
    )


def test_a_failed_compile_leaves_it():
    distiller = by_default(classifier(6.0), temperature=3.0, student_power=0.25)
    with pytest.raises(ValueError, match="temperature must be"):
        distiller.compile("sgd", loss=LOSS, temperature=-1.0)
    metrics = [keras.metrics.Mean(name="soft_targets")]
    with pytest.raises(ValueError, match="Metrics and terms must have names"):
        distiller.compile("sgd", loss=LOSS, metrics=metrics, student_power=1.0)
    assert distiller.terms[0].loss.student_power == 0.25
    with pytest.raises(ValueError, match="student_power must be a finite number from 0 to 1"):
        distiller.compile("sgd", loss=LOSS, student_power=1.5)


@pytest.mark.parametrize(
    ("heads", "alpha"),
    [({"a": 10}, 10 / 11), ({"a": 10, "b": 6}, 8 / 9), ({"a": 10, "b": None}, 0.8)],
)
def test_labels_that_do_not_exclude_each_other_weigh_as_their_mean(heads, alpha):
    """Soft targets are a sum over them, Keras' binary cross-entropy a mean."""

    def model():
        x = keras.Input((6,))
        made = {
            name: keras.layers.Dense(units or 5, "sigmoid" if units else "softmax", name=name)(x)
            for name, units in heads.items()
        }
        return keras.Model(x, made)

    distiller = keras_kd.Distiller(student=model(), teacher=model())
    losses = {"binary": "binary_crossentropy", "classes": "sparse_categorical_crossentropy"}
    loss = {name: losses["binary" if units else "classes"] for name, units in heads.items()}
    distiller.compile("sgd", loss=loss)
    np.testing.assert_allclose(number(distiller.alpha), alpha, rtol=1e-6)
    distiller.compile("sgd", loss=loss, alpha=0.3)
    np.testing.assert_allclose(number(distiller.alpha), 0.3, rtol=1e-6)


def own_binary(y, p):
    return keras.ops.sum(keras.ops.binary_crossentropy(keras.ops.cast(y, p.dtype), p), axis=-1)


@pytest.mark.parametrize("loss", [None, own_binary, keras.losses.Dice()])
def test_what_is_no_mean_over_labels_weighs_as_it_is(loss):
    nets = [classifier(activation="sigmoid") for _ in "ts"]
    distiller = keras_kd.Distiller(student=nets[0], teacher=nets[1])
    distiller.compile("sgd", loss=loss)
    assert number(distiller.alpha) == pytest.approx(0.8)


def test_a_power_of_the_students_own_needs_classes():
    nets = [classifier(activation="sigmoid") for _ in "ts"]
    distiller = keras_kd.Distiller(student=nets[0], teacher=nets[1])
    with pytest.raises(ValueError, match="student_power must be left out where no output"):
        distiller.compile("sgd", loss="binary_crossentropy", student_power=0.5)
    distiller.compile("sgd", loss="binary_crossentropy")
    distiller.fit(X, np.eye(5)[Y], verbose=0)
    assert "student_power" not in distiller.get_compile_config()
    full = keras_kd.Distiller(
        student=nets[0], teacher=nets[1], terms=[keras.losses.MeanSquaredError()]
    )
    with pytest.raises(ValueError, match=r"SoftTargets\(student_power="):
        full.compile("sgd", loss="binary_crossentropy", student_power=0.5)


def test_the_words_of_keras_io_mean_hintons_loss():
    distiller = keras_kd.Distiller(student=classifier(), teacher=classifier(6.0))
    distiller.compile("sgd", loss=LOSS, distillation_loss_fn=keras.losses.KLDivergence())
    assert distiller.terms[0].loss.student_power == 1.0
    half = keras_kd.losses.SoftTargets(4.0, student_power=0.5)
    with pytest.raises(ValueError, match="distillation_loss_fn must be"):
        distiller.compile("sgd", loss=LOSS, distillation_loss_fn=half)


@pytest.mark.parametrize(
    ("scale", "said"),
    [
        (0.01, "auto, 1, which leaves a teacher below a mean confidence of 0.8 as it is"),
        (1e6, "auto, 100, which is the highest that is tried for a mean confidence of 0.8"),
    ],
)
def test_summary_says_what_becomes_of_the_confidence(scale, said, capsys):
    distiller = by_default(classifier(scale))
    distiller.fit(X, Y, verbose=0)
    distiller.summary()
    assert said in " ".join(capsys.readouterr().out.split())


def test_a_loop_of_ones_own_is_told_what_to_do():
    distiller = by_default(classifier(6.0))
    with pytest.raises(ValueError, match="Pass temperature= a number"):
        distiller.train_step((X, Y))


def test_what_was_assigned_stays_with_another_teacher():
    distiller = by_default(classifier(6.0))
    distiller.fit(X, Y, verbose=0)
    distiller.temperature.assign(2.5)
    distiller.teacher = classifier(9.0)
    distiller.fit(X, Y, verbose=0)
    assert number(distiller.temperature) == 2.5


def test_examples_held_out_do_not_count():
    teacher = classifier(6.0)
    distiller = by_default(teacher)
    distiller.fit(X, Y, validation_split=0.5, verbose=0)
    expected = temperature_of(teacher.predict(X[:48], verbose=0))
    np.testing.assert_allclose(number(distiller.temperature), expected, rtol=1e-4)


def test_a_compile_that_fails_assigns_nothing():
    distiller = by_default(classifier(), alpha=0.3, temperature=2.0)
    with pytest.raises(ValueError, match="for each output"):
        distiller.compile("sgd", loss=LOSS, alpha=0.9, temperature={"nope": 2.0})
    assert number(distiller.alpha) == pytest.approx(0.3)
    assert number(distiller.temperature) == 2.0


@pytest.mark.tensorflow
def test_stored_answers_may_follow_a_teacher():
    teacher = classifier(6.0, units=12)
    distiller = by_default(teacher, classifier(units=12))
    distiller.fit(X, Y, verbose=0)
    distiller.teacher = keras_kd.SoftLabels.write(
        None, teacher=teacher, data=X, verbose=0, top_k=4, temperatures=[4.0]
    )
    assert number(distiller.temperature) == 4.0


@pytest.mark.tensorflow
def test_a_replica_without_examples_says_nothing(two_replicas):
    with two_replicas.scope():
        distiller = by_default(classifier(6.0))
    logs = distiller.fit(X[:33], Y[:33], batch_size=32, verbose=0).history
    assert np.isfinite(logs["hard_loss"]).all()
    assert np.isfinite(distiller.evaluate(X[:33], Y[:33], batch_size=32, verbose=0))
