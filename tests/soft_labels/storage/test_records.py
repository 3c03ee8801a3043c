import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_kd.soft_labels.storage.records import Record, check_temperature, dense, record_type


def softmax(z):
    z = np.asarray(z, "float64")
    powers = np.exp(z - z.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def logits(*shape, scale=4.0):
    return (scale * np.random.default_rng(0).normal(size=shape)).astype("float32")


def through_storage(name, record, z):
    """Encodes, stores in records and rebuilds dense logits at a temperature."""
    rows = np.empty(len(z), record_type({name: record}))
    for field, values in record.encode(name, z).items():
        rows[field] = values
    fields = {field: np.ascontiguousarray(rows[field]) for field in rows.dtype.names}
    return lambda temperature: keras.ops.convert_to_numpy(dense(fields, name, record, temperature))


def test_bytes_of_an_answer():
    assert record_type({"output": Record((10,))}).itemsize <= 22
    top = Record((1000,), top_k=10, temperatures=(4.0,))
    assert record_type({"output": top}).itemsize <= 48


def test_dense_answers_come_back_rounded():
    z = logits(6, 10)
    assert np.array_equal(through_storage("a", Record((10,)), z)(None), z.astype("float16"))
    exact = through_storage("a", Record((10,), dtype="float32"), z)(None)
    assert np.array_equal(exact, z)


def test_a_softmax_is_stored_without_its_mean():
    z = logits(6, 10) + 1000.0
    back = through_storage("a", Record((10,), centered=True), z)(None)
    np.testing.assert_allclose(back, z - z.mean(-1, keepdims=True), atol=5e-3)


@pytest.mark.parametrize("classes", [300, 70_000])
@pytest.mark.parametrize("shape", [(), (5,)])
def test_top_classes_keep_their_probability_and_that_of_all_others(classes, shape):
    z = logits(4, *shape, classes)
    record = Record((*shape, classes), "float32", top_k=10, temperatures=(1.0, 4.0))
    rebuilt = through_storage("a", record, z)
    kept = np.argsort(-z, axis=-1)[..., :10]
    for temperature in (1.0, 4.0):
        p, q = softmax(z / temperature), softmax(rebuilt(temperature) / temperature)
        top_p, top_q = (np.take_along_axis(values, kept, -1) for values in (p, q))
        np.testing.assert_allclose(top_q, top_p, rtol=2e-5)
        rest = (1 - top_p.sum(-1, keepdims=True)) / (classes - 10)
        np.put_along_axis(q, kept, rest, -1)
        np.testing.assert_allclose(q, np.broadcast_to(rest, q.shape), rtol=2e-4)


def test_top_classes_come_in_order():
    values = Record((300,), top_k=5, temperatures=(4.0,)).encode("a", logits(7, 300))
    assert np.array_equal(values["a.indices"], np.argsort(-logits(7, 300), axis=-1)[:, :5])
    assert (np.diff(values["a.logits"], axis=-1) <= 0).all()


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 400),
    st.sampled_from(["float16", "float32"]),
    st.booleans(),
    st.lists(st.floats(0.5, 8.0), min_size=1, max_size=3),
)
def test_a_record_survives_json(classes, dtype, centered, temperatures):
    top_k = classes // 2 or None
    record = Record((classes,), dtype, centered, top_k, tuple(temperatures) if top_k else ())
    assert Record.from_json(record.to_json()) == record


def test_what_float16_cannot_hold_is_refused():
    with pytest.raises(ValueError, match=r"must fit the dtype.*Received: 70000.*float32"):
        Record((3,)).encode("output", np.array([[70000.0, 0.0, 0.0]], "float32"))


def test_another_temperature_is_refused():
    record = Record((1000,), top_k=10, temperatures=(4.0,))
    check_temperature(4.0, "output", record)
    check_temperature(2.0, "output", Record((10,)))
    with pytest.raises(ValueError, match=r"one of \[4.0\]. Received: 2.*temperatures=\[2\]"):
        check_temperature(2.0, "output", record)
