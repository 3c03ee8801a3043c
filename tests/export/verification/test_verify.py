import numpy as np
import pytest

from keras_kd.export import VerificationError
from keras_kd.export.student.outputs import Output
from keras_kd.export.student.signature import Signature
from keras_kd.export.verification import verify
from keras_kd.export.verification.accuracy import Accuracy
from keras_kd.export.verification.reference import reference


@pytest.fixture
def answers():
    random = np.random.default_rng(3)
    return {"classes": random.normal(size=(40, 5)), "size": random.normal(size=(40, 1)) * 100}


def test_the_worst_output_counts(answers):
    noise = np.random.default_rng(4).normal(size=(40, 5))
    actual = {"size": answers["size"], "classes": answers["classes"] + 0.1 * noise}
    result = verify.compare(answers, actual)
    want = np.sqrt(np.sum((0.1 * noise) ** 2) / np.sum(answers["classes"] ** 2))
    assert result.relative_error == pytest.approx(want, rel=1e-12)
    same = [a.argmax() == b.argmax() for a, b in zip(answers["classes"], actual["classes"])]
    assert result.argmax_agreement == sum(same) / 40
    assert result.samples == 40


def test_without_classes_there_is_no_argmax(answers):
    expected = {"size": answers["size"]}
    assert verify.compare(expected, expected) == verify.Comparison(0.0, None, 40, 0.0)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool"])
def test_whole_numbers_are_equal_or_not(dtype):
    ids = np.random.default_rng(0).integers(0, 2, (50, 4)).astype(dtype)
    others = ids.copy()
    others[:3, 1] = 1 - ids[:3, 1].astype(int)
    result = verify.compare({"ids": ids}, {"ids": others})
    assert result == verify.Comparison(3 / 200, 197 / 200, 50, None)


def test_ids_that_are_near_are_as_wrong_as_others():
    ids = np.arange(100)
    assert verify.compare({"ids": ids}, {"ids": ids + 1}).relative_error == 1
    assert verify.compare({"ids": ids}, {"ids": ids + 1}).argmax_agreement == 0


def test_ids_may_differ_where_two_scores_are_equal():
    ids, scores = Output("ids", (None,), None, "int32"), Output("scores", (None, 3), None)
    assert verify.check_tolerance(None, 1e-5, [scores]) == 1e-5
    assert verify.check_tolerance(None, 1e-5, [scores, ids]) == 1e-3
    assert verify.check_tolerance(None, 0.15, [ids]) == 0.15
    assert verify.check_tolerance(1e-6, 1e-5, [ids]) == 1e-6


def test_zeros_are_compared_too():
    zeros = {"x": np.zeros((3, 1))}
    assert verify.compare(zeros, zeros).relative_error == 0
    assert verify.compare(zeros, {"x": np.ones((3, 1))}).relative_error == np.inf


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_file_that_is_not_finite_is_refused(answers, bad):
    actual = {name: array.copy() for name, array in answers.items()}
    actual["size"][3] = bad
    with pytest.raises(
        VerificationError, match=r"'size' must hold finite numbers.*1 NaN or infinite"
    ):
        verify.compare(answers, actual)


def test_names_and_shapes_must_match(answers):
    with pytest.raises(VerificationError, match="names and shapes"):
        verify.compare(answers, {"classes": answers["classes"]})
    with pytest.raises(VerificationError, match="names and shapes"):
        verify.compare({"x": np.zeros((2, 1))}, {"x": np.zeros((2,))})


def test_the_tolerance_is_the_largest_error_allowed(cnn):
    signature = Signature.of(cnn, 1)
    expected = reference(signature, cnn, signature.generated(20))
    comparison = verify.compare(expected, {name: 1.01 * x for name, x in expected.items()})
    assert comparison.relative_error == pytest.approx(0.01, rel=1e-4)
    verify.require_close(comparison, 0.0101, "The file")
    with pytest.raises(VerificationError, match=r"at most 0\.0099\. Received: 0\.01, argmax .*100"):
        verify.require_close(comparison, 0.0099, "The file")


def test_the_drop_of_accuracy_allowed():
    shares = Accuracy(0.9, 0.897, "classes")
    verify.require_accuracy(shares, None)
    verify.require_accuracy(shares, 0.003)
    verify.require_accuracy(Accuracy(0.9, 0.95, "classes"), 0)
    with pytest.raises(
        VerificationError, match=r"at most 0\.20%.*0\.30%, from 90\.00% to 89\.70%, of.*classes"
    ):
        verify.require_accuracy(shares, 0.002)


@pytest.mark.parametrize("tolerance", [0, -1, "0.1", True, np.nan, np.inf])
def test_tolerance_is_a_positive_number(tolerance):
    words = r"tolerance must be a finite number above 0.*Pass e.g. tolerance=0\.1\."
    with pytest.raises((TypeError, ValueError), match=words):
        verify.check_tolerance(tolerance, 0.1)
    assert verify.check_tolerance(None, 0.1) == 0.1
    assert verify.check_tolerance(1, 0.1) == 1.0
