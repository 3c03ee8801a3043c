"""Which losses a Term takes, and which it refuses at construction."""

import re

import pytest
from keras import losses

from keras_kd import Term
from keras_kd.losses import SoftTargets

FORM = re.compile(r" must .*\. Expected: .+\. Received: .+\. [A-Z].+\.$", re.DOTALL)


def refused(error, words):
    """Expects `error` with these words and in the form of all messages."""
    return pytest.raises(error, match=f"(?s){words}", check=lambda e: bool(FORM.search(str(e))))


@pytest.mark.parametrize("loss", ["mse", losses.mean_squared_error, None, SoftTargets])
def test_a_term_takes_a_loss_object(loss):
    with refused(TypeError, "The loss of a Term must be a loss object"):
        Term(loss)


@pytest.mark.parametrize(
    ("loss", "better"),
    [
        (losses.KLDivergence(), "SoftTargets"),
        (losses.CategoricalCrossentropy(from_logits=True), "SoftTargets"),
        (losses.SparseCategoricalCrossentropy(), "SoftTargets"),
        (losses.BinaryCrossentropy(from_logits=True), "MultiLabelSoftTargets"),
    ],
)
def test_stock_probability_losses_on_logits_name_the_right_class(loss, better):
    with refused(ValueError, rf"compare logits with logits.*keras_kd.losses.{better}\(\)"):
        Term(loss)


@pytest.mark.skipif(
    not hasattr(losses, "CategoricalGeneralizedCrossEntropy"), reason="this Keras does not have it"
)
def test_the_newest_stock_probability_loss_too():
    with refused(ValueError, "compare logits with logits"):
        Term(losses.CategoricalGeneralizedCrossEntropy())


@pytest.mark.parametrize("loss", [SoftTargets(), losses.MeanSquaredError()])
def test_a_shared_temperature_is_another_terms(loss):
    with refused(TypeError, "temperature must be another Term's"):
        Term(loss, temperature=3.0)


def test_a_term_is_reduced():
    with refused(ValueError, "must be reduced to a scalar"):
        Term(SoftTargets(reduction=None))
