"""Names that must not collide."""

import keras
import pytest

from keras_kd import Distiller, Term, _keras
from keras_kd.losses import MultiLabelSoftTargets

CROSS_ENTROPY = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def test_no_private_name_of_keras_is_shadowed(net):
    distiller = Distiller(student=net(), teacher=net())
    for ours, theirs in (
        (distiller, keras.Model()),
        (distiller.terms[0], keras.layers.Layer()),
        (distiller._watch, keras.metrics.Metric()),
        (distiller._columns, _keras.MetricsList([])),
    ):
        private = {name for name in vars(type(ours)) if name[0] == "_" and name[1] != "_"}
        private |= {name for name in vars(ours) if name[0] == "_"} - set(vars(theirs))
        assert not private & set(dir(theirs))


def test_one_loss_object_serves_several_terms(net, data, frozen):
    x, y = data
    loss = MultiLabelSoftTargets(temperature=2.0)
    terms = [Term(loss, name="a"), Term(loss, weight=0.0, name="b")]
    distiller = Distiller(student=net(), teacher=net(width=32), terms=terms)
    distiller.terms[1].temperature.assign(9.0)
    logs = frozen(distiller, CROSS_ENTROPY)(x, y)
    assert logs["a"] != logs["b"]
    assert logs["loss"] == pytest.approx(logs["hard_loss"] + logs["a"], rel=1e-5)
