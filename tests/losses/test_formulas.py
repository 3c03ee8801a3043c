"""Losses against independent float64 formulas of value and gradient, over wide inputs."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from keras_kd.losses import (
    DIST,
    NKD,
    WTTM,
    DecoupledKD,
    GeneralizedJensenShannon,
    HardLabels,
    LogitMSE,
    MultiLabelSoftTargets,
    SoftTargets,
)
from keras_kd.losses.base import standardize

pytestmark = pytest.mark.numbers

SHAPES = st.sampled_from([(1, 3), (6, 5)])
# No signed zeros and no denormal numbers: of two such, backends differ in which is larger.
PAIRS = SHAPES.flatmap(
    lambda shape: arrays(
        "float32", (2, *shape), elements=st.integers(-25600, 25600).map(lambda n: n / 256)
    )
)
TEMPERATURES = st.floats(0.5, 20)
EXTREME = np.float32(
    [
        [[50.0, -50.0, 0.0], [1e4, -1e4, 0.0], [-1e4, 9e3, 1e4]],
        [[-5000.0, 5000.0, 0.0], [-1e4, 1e4, 0.0], [1e4, 1e4, -1e4]],
    ]
)


def log_sum_exp(z):
    top = z.max(-1, keepdims=True)
    return top + np.log(np.exp(z - top).sum(-1, keepdims=True))


def log_softmax(z):
    return z - log_sum_exp(z)


def softmax(z):
    return np.exp(log_softmax(z))


def log_sigmoid(z):
    return -np.logaddexp(0.0, -z)


def kl(log_p, log_q):
    return (np.exp(log_p) * (log_p - log_q)).sum(-1)


def soft_targets(t, s, temperature):
    log_p, log_q = log_softmax(t / temperature), log_softmax(s / temperature)
    return temperature**2 * kl(log_p, log_q), temperature * (np.exp(log_q) - np.exp(log_p))


def asymmetric(power):
    def formula(t, s, temperature):
        own = temperature**power
        log_p, log_q = log_softmax(t / temperature), log_softmax(s / own)
        return own**2 * kl(log_p, log_q), own * (np.exp(log_q) - np.exp(log_p))

    return formula


def multi_label(t, s, temperature):
    t, s = t / temperature, s / temperature
    on = np.exp(log_sigmoid(t)) * (log_sigmoid(t) - log_sigmoid(s))
    off = np.exp(log_sigmoid(-t)) * (log_sigmoid(-t) - log_sigmoid(-s))
    return (on + off).sum(-1), (np.exp(log_sigmoid(s)) - np.exp(log_sigmoid(t))) / temperature


def mse(t, s, _):
    return ((s - t) ** 2).mean(-1), 2 * (s - t) / s.shape[-1]


def wttm(t, s, temperature):
    log_power = log_softmax(t) / temperature
    power_sum = np.exp(log_sum_exp(log_power))
    log_p, log_q = log_softmax(log_power), log_softmax(s)
    return power_sum[..., 0] * kl(log_p, log_q), power_sum * (np.exp(log_q) - np.exp(log_p))


def jensen_shannon(beta):
    def formula(t, s, temperature):
        log_p, log_q = log_softmax(t / temperature), log_softmax(s / temperature)
        if beta == 0:
            return kl(log_p, log_q), (np.exp(log_q) - np.exp(log_p)) / temperature
        if beta == 1:
            log_m = log_p
            value = kl(log_q, log_p)
        else:
            log_m = np.logaddexp(np.log(beta) + log_p, np.log(1 - beta) + log_q)
            value = beta * kl(log_p, log_m) + (1 - beta) * kl(log_q, log_m)
        q = np.exp(log_q)
        inner = (1 if beta == 1 else 1 - beta) * q * (log_q - log_m)
        return value, (inner - q * inner.sum(-1, keepdims=True)) / temperature

    return formula


def by_target(t, s, formula):
    """Applies a formula of (target's log-odds, log-softmax of the others) row by row.

    The target is the teacher's top class. The formula gives a value and its derivatives by the
    student's log-odds and by its other logits, apart from the log-odds.
    """
    values, gradients = [], []
    for teacher, student in zip(t, s):
        y = teacher.argmax()
        (m_t, others_t), (m_s, others_s) = (
            (z[y] - log_sum_exp(np.delete(z, y))[0], log_softmax(np.delete(z, y)))
            for z in (teacher, student)
        )
        value, by_margin, by_others = formula(m_t, others_t, m_s, others_s)
        values.append(value)
        gradients.append(np.insert(by_others - by_margin * np.exp(others_s), y, by_margin))
    return np.array(values), np.array(gradients)


def decoupled(alpha, beta):
    def formula(t, s, temperature):
        def row(m_t, log_p, m_s, log_q):
            p, p_not = np.exp(log_sigmoid(m_t)), np.exp(log_sigmoid(-m_t))
            tckd = p * (log_sigmoid(m_t) - log_sigmoid(m_s))
            tckd += p_not * (log_sigmoid(-m_t) - log_sigmoid(-m_s))
            value = temperature**2 * (alpha * tckd + beta * kl(log_p, log_q))
            by_margin = temperature * alpha * (np.exp(log_sigmoid(m_s)) - p)
            return value, by_margin, temperature * beta * (np.exp(log_q) - np.exp(log_p))

        return by_target(t / temperature, s / temperature, row)

    return formula


def nkd(t, s, temperature):
    def own(m_t, _, m_s, log_q):
        p = np.exp(log_sigmoid(m_t))
        return -p * log_sigmoid(m_s), -p * np.exp(log_sigmoid(-m_s)), np.zeros_like(log_q)

    def others(_, log_p, m_s, log_q):
        cross_entropy = -(np.exp(log_p) * log_q).sum()
        return cross_entropy, 0.0, np.exp(log_q) - np.exp(log_p)

    own_value, own_gradient = by_target(t, s, own)
    value, gradient = by_target(t / temperature, s / temperature, others)
    return (
        own_value + 1.5 * temperature**2 * value,
        own_gradient + 1.5 * temperature * gradient,
    )


FORMULAS = {
    "soft_targets": (lambda t: SoftTargets(temperature=t), soft_targets),
    "soft_targets_student_0": (
        lambda t: SoftTargets(temperature=t, student_power=0.0),
        asymmetric(0.0),
    ),
    "soft_targets_student_half": (
        lambda t: SoftTargets(temperature=t, student_power=0.5),
        asymmetric(0.5),
    ),
    "multi_label": (lambda t: MultiLabelSoftTargets(temperature=t), multi_label),
    "decoupled_kd": (lambda t: DecoupledKD(1.0, 2.0, temperature=t), decoupled(1.0, 2.0)),
    "nkd": (lambda t: NKD(temperature=t), nkd),
    "wttm": (lambda t: WTTM(exponent=1 / t), wttm),
    "logit_mse": (lambda _: LogitMSE(), mse),
} | {
    f"jensen_shannon_{beta}": (
        lambda t, beta=beta: GeneralizedJensenShannon(beta, temperature=t),
        jensen_shannon(beta),
    )
    for beta in (0.0, 0.001, 0.3, 1.0)
}
every_formula = pytest.mark.parametrize("name", FORMULAS)


@pytest.fixture(scope="session")
def values_and_gradient(value_and_gradient):
    """Returns `f(loss, teacher, student)`: a value per example, and the gradient of their sum."""

    def both(loss, teacher, student):
        _, gradient = value_and_gradient(
            lambda s: keras.ops.sum(loss.call(teacher, s)), np.asarray(student)
        )
        return np.asarray(loss.call(teacher, student)), gradient

    return both


@every_formula
@settings(max_examples=30, deadline=None)
@given(pair=PAIRS, temperature=TEMPERATURES)
def test_equals_the_formula(values_and_gradient, name, pair, temperature):
    loss, formula = FORMULAS[name][0](temperature), FORMULAS[name][1]
    values, gradient = values_and_gradient(loss, *pair)
    expected, slope = formula(*pair.astype("float64"), temperature)
    # Rounding grows with the factor T² and with the logarithms.
    scale = max(1.0, temperature**2) * max(1.0, np.abs(pair).max() / temperature / 20)
    np.testing.assert_allclose(values, expected, rtol=2e-5, atol=2e-5 * scale)
    np.testing.assert_allclose(gradient, slope, rtol=2e-5, atol=4e-5 * scale)


@every_formula
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_a_confidently_wrong_student_still_learns(values_and_gradient, name, temperature):
    """No clipping, no underflow: the gradients are the formula's where it matters most."""
    loss, formula = FORMULAS[name][0](temperature), FORMULAS[name][1]
    values, gradient = values_and_gradient(loss, *EXTREME)
    expected, slope = formula(*EXTREME.astype("float64"), temperature)
    np.testing.assert_allclose(values, expected, rtol=2e-5, atol=1e-4)
    np.testing.assert_allclose(gradient, slope, rtol=2e-5, atol=1e-4 * temperature)
    saturates = name.startswith("jensen_shannon") and name != "jensen_shannon_0.0"
    assert saturates or (np.abs(gradient).max(-1) > 0.01).all()


@every_formula
def test_half_precision_inputs_are_computed_in_float32(name):
    teacher, student = np.float16([[300.0, 2.0, -7.5]]), np.float16([[1.5, 250.0, -3.0]])
    values = FORMULAS[name][0](2.0).call(teacher, student)
    expected, _ = FORMULAS[name][1](teacher.astype("float64"), student.astype("float64"), 2.0)
    np.testing.assert_allclose(values, expected, rtol=1e-5)


def pearson_distance(a, b, axis):
    a, b = (x - x.mean(axis, keepdims=True) for x in (a, b))
    norms = np.sqrt((a**2).sum(axis) * (b**2).sum(axis))
    return 1 - (a * b).sum(axis) / (norms + 1e-8)


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 1000),
    shape=st.sampled_from([(6, 5), (2, 3), (2, 3, 5), (2, 1, 3, 5)]),
    size=st.floats(0.5, 20),
    temperature=TEMPERATURES,
)
def test_dist_equals_the_formula(seed, shape, size, temperature):
    pair = np.random.default_rng(seed).normal(size=(2, *shape)).astype("float32") * size
    values = DIST(2.0, 3.0, temperature).call(*pair)
    p, q = softmax(pair.astype("float64") / temperature)
    columns = pearson_distance(*(x.reshape(-1, shape[-1]) for x in (p, q)), 0).mean()
    expected = 2.0 * pearson_distance(p, q, -1) + 3.0 * columns
    np.testing.assert_allclose(values / np.float32(temperature**2), expected, atol=2e-4)


def test_standardized_rows_have_zero_mean_and_unbiased_unit_deviation():
    z = np.random.default_rng(0).normal(3.0, 5.0, (4, 6)).astype("float32")
    result = np.asarray(standardize(keras.ops.convert_to_tensor(z)), "float64")
    expected = (z - z.mean(-1, keepdims=True)) / z.std(-1, ddof=1, keepdims=True)
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "loss", [SoftTargets(standardize=True), DecoupledKD(standardize=True)], ids=["kd", "dkd"]
)
@pytest.mark.parametrize("size", [0.0, 1e-20, 1e-3, 1e4])
def test_standardized_losses_are_finite(values_and_gradient, loss, size):
    pair = np.random.default_rng(0).normal(size=(2, 4, 5)).astype("float32") * np.float32(size)
    values, gradient = values_and_gradient(loss, *pair)
    assert np.isfinite(values).all()
    assert np.isfinite(gradient).all()
    assert loss.default_weight == 9.0


def test_standardizing_two_classes_warns():
    with pytest.warns(UserWarning, match="nothing with 2 classes"):
        SoftTargets(standardize=True).call(np.float32([[1.0, 2.0]]), np.float32([[2.0, 1.0]]))


def test_default_weights_are_the_papers():
    weights = {
        DIST: 2.0,
        WTTM: 4.0,
        NKD: 1.0,
        DecoupledKD: 1.0,
        GeneralizedJensenShannon: 1.0,
        LogitMSE: 1.0,
        SoftTargets: 1.0,
        MultiLabelSoftTargets: 1.0,
    }
    assert {loss: loss().default_weight for loss in weights} == weights


@settings(max_examples=30, deadline=None)
@given(PAIRS)
def test_hard_labels_equal_cross_entropy_to_the_top_class(pair):
    values = np.asarray(HardLabels().call(*pair))
    top, log_q = pair[0].argmax(-1), log_softmax(pair[1].astype("float64"))
    np.testing.assert_allclose(values, -log_q[np.arange(len(top)), top], rtol=2e-5, atol=1e-5)


def test_hard_labels_have_the_gradient_of_cross_entropy(values_and_gradient):
    for teacher, student in (EXTREME, np.random.default_rng(0).normal(size=(2, 6, 5)).astype("f4")):
        values, gradient = values_and_gradient(HardLabels(), teacher, student)
        one_hot = np.eye(teacher.shape[-1])[teacher.argmax(-1)]
        log_q = log_softmax(student.astype("float64"))
        np.testing.assert_allclose(values, -(one_hot * log_q).sum(-1), rtol=2e-5, atol=1e-5)
        np.testing.assert_allclose(gradient, np.exp(log_q) - one_hot, rtol=2e-5, atol=1e-5)
