import keras
import pytest

from keras_kd import Distiller
from keras_kd.callbacks import EndDistillation, StudentCheckpoint, TeacherAgreement, monitoring


@pytest.mark.parametrize(
    ("name", "rises"),
    [
        ("val_accuracy", True),
        ("val_f1_score", True),
        ("auc", True),
        ("val_accelerometer_mae", False),
        ("val_various_mse", False),
        ("val_leaf1_mse", False),
        ("val_kl_divergence", False),
        ("hard_loss", False),
        ("val_teacher_agreement", True),
        ("val_teacher_kl", False),
        ("val_calibration_error", False),
    ],
)
def test_words_tell_what_is_better(name, rises):
    assert monitoring.rises(name, "auto") is rises


def test_only_what_will_be_logged_is_offered(net, data, tmp_path):
    distiller = Distiller(student=net(width=4), teacher=net())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile("sgd", loss=loss, metrics=["accuracy"])

    def fit(monitor, *others, **given):
        kept = StudentCheckpoint(tmp_path / "best.keras", monitor, "max")
        distiller.fit(*data, verbose=0, callbacks=[kept, *others], **given)

    held_out = {"validation_data": data}
    for monitor, given, match in [
        ("val_zebra", held_out, r"monitor must be in the logs.*Pass e.g. monitor='val_\w+'"),
        ("val_acuracy", held_out, "Pass e.g. monitor='val_accuracy'"),
        ("val_alpha", held_out, r"one of \['accuracy', 'hard_loss', 'loss', 'soft_targets', "
         r"'val_accuracy', 'val_loss'\]. Received: 'val_alpha'"),
        ("val_soft_targets", held_out, "monitor must be in the logs"),
        ("val_accuracy", {}, "Pass validation_data to fit"),
        ("val_teacher_agreement", held_out, "Give TeacherAgreement"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=match):
            fit(monitor, **given)
    fit("val_teacher_agreement", TeacherAgreement(), **held_out)
    fit("distils", EndDistillation(after=1))


@keras.saving.register_keras_serializable(package="tests")
class Active(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.activity = keras.metrics.Mean("activity")

    def call(self, inputs):
        self.activity.update_state(keras.ops.mean(inputs))
        return inputs


@pytest.mark.tensorflow  # Keras fails on JAX, without a Distiller, too
def test_metrics_of_the_students_layers_are_logged(net, data, tmp_path):
    student = keras.Sequential([keras.Input((4,)), Active(), keras.layers.Dense(3)])
    distiller = Distiller(student=student, teacher=net())
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    distiller.compile("sgd", loss=loss)
    for monitor in ("activity", "val_activity"):
        kept = StudentCheckpoint(tmp_path / "best.keras", monitor, "max")
        distiller.fit(*data, verbose=0, validation_data=data, callbacks=[kept])
        assert kept.epoch == 0
