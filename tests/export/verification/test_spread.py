import keras
import numpy as np
import pytest

from keras_kd import export
from keras_kd.export.verification import verify
from keras_kd.export.verification.spread import spread_error


@pytest.fixture
def answers():
    return np.random.default_rng(0).normal(size=(50, 3)) + 1000


def test_the_formula(answers):
    got = answers + np.random.default_rng(1).normal(size=answers.shape)
    distances = [np.linalg.norm(row - np.median(answers, axis=0)) for row in answers]
    kept = [i for i in range(50) if i != np.argmax(distances)]
    mean = sum(answers[i] for i in kept) / 49
    error = sum(((got[i] - answers[i]) ** 2).sum() for i in kept)
    spread = sum(((answers[i] - mean) ** 2).sum() for i in kept)
    assert spread_error(answers, got, False) == pytest.approx(np.sqrt(error / spread), rel=1e-9)


def test_one_answer_for_all_is_1_whatever_the_offset_and_the_outlier(answers):
    answers[7] = 1e6
    kept = np.delete(answers, 7, axis=0)
    constant = np.broadcast_to(kept.mean(axis=0), answers.shape)
    assert spread_error(answers, constant, False) == pytest.approx(1)


def test_probabilities_are_as_fine_as_bytes():
    want = np.full((40, 5), 0.2) + np.random.default_rng(0).uniform(-1e-4, 1e-4, (40, 5))
    got = np.full_like(want, 51 / 256)
    assert spread_error(want, got, False) > 1
    assert spread_error(want, got, True) < 0.25


@pytest.mark.parametrize("want", [np.ones((1, 2)), np.ones((9, 2)), 1e4 + np.arange(9) / 1e4])
def test_answers_that_do_not_differ(want):
    assert spread_error(want, want, False) is None


def comparison(spread):
    return verify.Comparison(0.001, None, 40, spread)


def test_what_is_refused():
    verify.require_spread(comparison(None), 0.15)
    verify.require_spread(comparison(0.49), 0.15)
    verify.require_spread(comparison(0.9), 1)
    with pytest.raises(verify.VerificationError, match=r"at most 0\.5 of the spread.*0\.51 \(1:"):
        verify.require_spread(comparison(0.51), 0.15)


def with_offset():
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    kernel = np.random.default_rng(0).normal(size=(8, 1))
    model.set_weights([0.1 * kernel, np.array([1000.0])])
    return model, np.random.default_rng(1).normal(size=(200, 8)).astype("float32")


def with_outlier():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(4, use_bias=False)])
    model.set_weights([np.array([[1.0, 2.0, 3.0, 4.0]])])
    data = np.random.default_rng(1).normal(size=(200, 1)).astype("float32")
    data[0] = 1e4
    return model, data


@pytest.mark.parametrize("case", [with_offset, with_outlier])
def test_an_int8_file_that_answers_all_alike_is_refused(in_process, tmp_path, case):
    model, data = case()
    path = tmp_path / "a.tflite"
    with pytest.raises(verify.VerificationError, match="must tell samples apart"):
        export.tflite(model, path, "int8", data)
    assert not path.exists()
    assert export.tflite(model, path, verify=data).spread_error < 0.01
