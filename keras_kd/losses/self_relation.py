"""MiniLM's relations: how the tokens of a sequence attend to each other."""

import math
from typing import Any

import keras
from keras import ops

from keras_kd._errors import check_count
from keras_kd.losses.base import categorical_kl, far_below, per_position, same_shape
from keras_kd.losses.features import FeatureLoss, Features, zeroed
from keras_kd.losses.sizes import same_positions

__all__ = ["SelfRelation", "relation", "relation_divergence"]


def relation(first: Any, second: Any, mask: Any, heads: int) -> Any:
    """Returns the log-softmax over the keys of `X·Yᵀ/√d`, `(batch, heads, queries, keys)`.

    Args:
        first: `X`, the queries' side, `(batch, tokens, size)`.
        second: `Y`, the keys' side, same shape.
        mask: Boolean, `(batch, tokens)`, true where a token counts, or `None` for all.
        heads: Number of heads into which the vectors are split, `d` numbers each.
    """
    x, y = (_split(zeroed(vectors, mask), heads) for vectors in (first, second))
    scores = ops.matmul(x, ops.swapaxes(y, -1, -2)) / (first.shape[-1] // heads) ** 0.5
    if mask is not None:
        scores = ops.where(mask[:, None, None, :], scores, far_below(scores))
    return ops.log_softmax(scores, axis=-1)


def _split(vectors: Any, heads: int) -> Any:
    batch, tokens = ops.shape(vectors)[:2]
    parts = (batch, tokens, heads, vectors.shape[-1] // heads)
    return ops.swapaxes(ops.reshape(vectors, parts), 1, 2)


def relation_divergence(teacher: Any, student: Any, mask: Any) -> Any:
    """Returns the KL of each sequence's relations, the mean over heads and valid queries.

    Args:
        teacher: `relation`s of the teacher, `(batch, heads, queries, keys)`.
        student: Those of the student, same shape.
        mask: Boolean, `(batch, tokens)`, or `None`.
    """
    values = ops.mean(categorical_kl(teacher, student), axis=1)
    if mask is None:
        return ops.mean(values, axis=-1)
    counted = ops.cast(mask, values.dtype)
    return ops.sum(values * counted, axis=-1) / ops.maximum(ops.sum(counted, axis=-1), 1.0)


@keras.saving.register_keras_serializable(package="keras_kd")
class SelfRelation(FeatureLoss):
    """The student's tokens relate to each other as the teacher's do.

    MiniLM's: `KL(softmax(R_t) ‖ softmax(R_s))` with `R = X·Xᵀ/√d`, where `X` are the queries, keys
    or values of one attention layer, joined and split again into `relation_heads` parts of `d`
    numbers; the mean over parts and valid tokens. Widths and heads of the networks may differ. One
    relation a Term: three Terms, on `"att:query"`, `"att:key"` and `"att:value"`, are MiniLM v2.

    Args:
        relation_heads: Number of parts; it divides both networks' widths.
        name: Name of the loss. Default `"self_relation"`.
        reduction: As in `keras.losses.Loss`. Default `"sum_over_batch_size"`.

    Attributes:
        default_weight: 1/3, the share of one of MiniLM's three relations.

    Call arguments:
        y_true: The teacher's vectors, `(batch, tokens, width)` or `(batch, tokens, heads, size)`,
            any float dtype; or a dict `{"teacher": vectors, "mask": mask}` with a mask
            `(batch, tokens)`: padding is neither query nor key.
        y_pred: The student's vectors, as many tokens.

    Call returns:
        One value per sequence, `(batch,)`, float32 (float64 for float64 inputs).

    Raises:
        ValueError: If the tokens' numbers differ, `relation_heads` does not divide a width, or the
            mask does not fit.
        TypeError: If `relation_heads` is not an integer.

    Example:
    >>> loss = keras_kd.losses.SelfRelation(relation_heads=4)
    >>> term = keras_kd.Term(loss, teacher="att:query", student="att:query")
    >>> loss.call(keras.random.normal((2, 7, 64)), keras.random.normal((2, 7, 8))).shape[0]
    2

    Reference:
        - [Wang et al., MiniLMv2: Multi-Head Self-Attention Relation Distillation, ACL 2021](
            https://arxiv.org/abs/2012.15828)
    """

    default_weight = 1 / 3
    needs = frozenset({"mask"})
    one_shape = False
    rule = "vectors (batch, tokens, width) of one sequence, relation_heads dividing each width"
    mend = "Choose relation_heads that divides both widths, or compare layers of one sequence"

    def __init__(
        self,
        relation_heads: int,
        name: str = "self_relation",
        reduction: str | None = "sum_over_batch_size",
    ):
        super().__init__(name=name, reduction=reduction)
        self.relation_heads = check_count("relation_heads", relation_heads)

    def fits(self, teacher: tuple, student: tuple) -> bool:
        """Whether there are vectors of one sequence that can be split."""
        if not {len(teacher), len(student)} <= {3, 4}:
            return False
        widths = [_product(shape[2:]) for shape in (teacher, student)]
        splits = all(width is not None and width % self.relation_heads == 0 for width in widths)
        return splits and same_shape(teacher[:2], student[:2])

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Returns the loss of each sequence."""
        teacher, student, mask = self.pair(y_true, y_pred)
        heads = self.relation_heads
        return relation_divergence(
            *(relation(vectors, vectors, mask, heads) for vectors in (teacher, student)), mask
        )

    def pair(self, y_true: Any, y_pred: Any) -> Features:
        """Returns vectors `(batch, tokens, width)`, their heads joined, and the mask."""
        mask = y_true.get("mask") if isinstance(y_true, dict) else None
        if isinstance(y_true, dict):
            y_true = {**y_true, "mask": None}
        teacher, student, _ = super().pair(y_true, y_pred)
        teacher, student = _joined(teacher), _joined(student)
        teacher = same_positions(teacher, student)
        if mask is not None:
            mask = ops.cast(per_position("mask", mask, student), "bool")
        return Features(teacher, student, mask)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that rebuild the loss."""
        return {**super().get_config(), "relation_heads": self.relation_heads}


def _joined(vectors: Any) -> Any:
    width = _product(vectors.shape[2:])
    return ops.reshape(vectors, (*ops.shape(vectors)[:2], width))


def _product(sizes: tuple) -> int | None:
    return None if None in sizes else math.prod(sizes)
