import pytest

from keras_kd.callbacks import monitoring


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
