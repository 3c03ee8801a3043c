import keras
import numpy as np
import pytest

from keras_kd import export
from keras_kd.export import VerificationError
from keras_kd.export.verification import channels
from keras_kd.export.verification.spread import spread_error

layers = keras.layers


def check(want, got, head=None, tolerance=0.15):
    return channels.check({"y": np.float32(want)}, {"y": np.float32(got)}, {"y": head}, tolerance)


def rounded(values, step):
    return np.round(values / step) * step


@pytest.fixture
def boxes_and_scores():
    random = np.random.default_rng(0)
    return np.concatenate([random.uniform(0, 640, (50, 6, 4)), random.random((50, 6, 2))], axis=-1)


def test_the_worst_channel_counts():
    want = np.random.default_rng(0).normal(size=(60, 5, 3))
    got = want + np.random.default_rng(1).normal(size=want.shape) * [0.1, 0.3, 0.2]
    alone = [spread_error(want[..., c], got[..., c], False) for c in range(3)]
    assert check(want, got) == pytest.approx(max(alone), rel=1e-5)


def test_scores_beside_boxes_in_one_int8_output(boxes_and_scores):
    got = rounded(boxes_and_scores, 640 / 256)
    assert np.linalg.norm(got - boxes_and_scores) < 0.005 * np.linalg.norm(boxes_and_scores)
    words = r"every channel of the output 'y'.*in the channels 4, 5 of 6, from 0\.\d+ to 0\.99"
    with pytest.raises(VerificationError, match=words):
        check(boxes_and_scores, got)
    assert check(boxes_and_scores, got, tolerance=9) > 1
    assert check(boxes_and_scores[..., :4], got[..., :4]) < 0.01


def test_many_channels_are_named_in_short():
    want = np.random.default_rng(0).random((40, 30)) * ([1000] + 29 * [1])
    with pytest.raises(VerificationError, match="channels 1, 2, 3, 4, 5, 6, 7, 8 and 21 others of"):
        check(want, rounded(want, 4))


@pytest.mark.parametrize("small", [1e-2, 1e-4, 1e-6])
def test_however_small_a_channel_is(small):
    want = np.random.default_rng(0).normal(size=(40, 2)) * [1, small]
    with pytest.raises(VerificationError, match="channels 1 of 2"):
        check(want, want * [1, 0])


def test_a_channel_with_an_offset():
    random = np.random.default_rng(0)
    want = np.stack([random.normal(size=40) * 1e4, 3 + 0.1 * random.normal(size=40)], axis=-1)
    with pytest.raises(VerificationError, match="channels 1 of 2"):
        check(want, rounded(want, 10))
    with pytest.raises(VerificationError, match="channels 1 of 2"):
        check(want, np.stack([want[:, 0], np.full(40, want[:, 1].mean())], axis=-1))


def test_channels_that_do_not_vary_or_by_rounding_only():
    random = np.random.default_rng(0)
    want = np.stack([random.normal(size=40), np.full(40, 3.0), 1e-9 * random.normal(size=40)], -1)
    got = want * [1.01, 1.1, 0]
    assert check(want, got) == pytest.approx(0.01, rel=0.2)
    assert check(want[:, 1:2], got[:, 1:2]) is None  # no axis of channels
    assert check(want[:1], got[:1]) is None


@pytest.mark.parametrize("head", ["softmax", "sigmoid", None])
def test_scores_of_rare_classes_are_as_fine_as_bytes(head):
    random = np.random.default_rng(0)
    want = np.stack([random.random(40), 0.001 * random.random(40)], axis=-1)
    assert check(want, rounded(want, 1 / 256), head) < 0.5
    with pytest.raises(VerificationError, match="channels 1 of 2"):
        check(want, rounded(want, 1 / 256), "logits")


def test_whole_numbers_have_no_channels():
    ids = np.arange(60).reshape(30, 2)
    assert channels.check({"y": ids}, {"y": ids * 0}, {}, 0.1) is None


def price_and_rating():
    keras.utils.set_random_seed(0)
    hidden = layers.Dense(16, activation="relu", name="hidden")
    model = keras.Sequential([keras.Input((8,)), hidden, layers.Dense(2)])
    kernel, _ = model.layers[-1].get_weights()
    model.layers[-1].set_weights([kernel * [1e4, 1], np.array([0.0, 3.0])])
    return model, np.random.default_rng(0).normal(size=(120, 8)).astype("float32")


def test_two_units_in_one_output_need_outputs_of_their_own(in_process, tmp_path):
    model, data = price_and_rating()
    path = tmp_path / "a.tflite"
    with pytest.raises(VerificationError, match=r"channels 1 of 2.*Give them an output of their"):
        export.tflite(model, path, "int8", data)
    assert not path.exists()
    assert export.tflite(model, path, "dynamic", data).channel_error < 0.05
    hidden = model.get_layer("hidden").output
    kernel, bias = model.layers[-1].get_weights()
    heads = [layers.Dense(1, name=name) for name in ("price", "rating")]
    apart = keras.Model(model.inputs[0], [head(hidden) for head in heads])
    for unit, head in enumerate(heads):
        head.set_weights([kernel[:, unit : unit + 1], bias[unit : unit + 1]])
    assert export.tflite(apart, path, "int8", data).spread_error < 0.1
    got = export.predict(path, data)["rating"]
    np.testing.assert_allclose(got[:, 0], model.predict(data, verbose=0)[:, 1], atol=0.1)


def test_a_saved_model_is_judged_too(cnn, folder):
    assert folder[1].channel_error < 1e-3


def test_a_channel_of_float32_rounding_alone_does_not_count():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(256, 10)).astype("float32")
    x, y = (rng.dirichlet(np.ones(50), size=256).astype("float32") for _ in range(2))
    want, got = ((part.sum(1, dtype="float32") - 1)[:, None] for part in (x, y))
    assert 0 < np.ptp(want) < 1e-6
    answers = ({"y": np.concatenate([logits, channel], 1)} for channel in (want, got))
    assert channels.check(*answers, {"y": None}, 1e-3) == 0
