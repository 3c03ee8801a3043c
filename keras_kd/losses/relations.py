"""What the losses share that compare the examples of a batch with each other."""

from typing import Any

from keras import ops

from keras_kd.losses.base import same_shape
from keras_kd.losses.features import FeatureLoss, flat
from keras_kd.losses.sizes import same_positions

__all__ = ["RelationLoss", "products"]


class RelationLoss(FeatureLoss):
    """A loss between the relations of a batch's examples, whatever the features' sizes."""

    needs = frozenset({"mask"})
    batch_statistic = True
    one_shape = False
    needs_pairs = True
    rule = "features (batch, ...) of one batch, each of any shape"

    def fits(self, teacher: tuple, student: tuple) -> bool:
        """Whether both have the examples of one batch."""
        return min(len(teacher), len(student)) >= 2 and same_shape(teacher[:1], student[:1])

    def rows(self, y_true: Any, y_pred: Any) -> tuple[Any, Any]:
        """Returns the teacher's and the student's features, a row per example.

        Where the student's mask leaves positions out, both networks' features count as 0.

        Raises:
            ValueError: If there is a mask, and the teacher has other positions.
        """
        teacher, student, mask = self.pair(y_true, y_pred)
        if mask is not None:
            self.check_positions(teacher, student)
            teacher = same_positions(teacher, student)
        return flat(teacher, mask), flat(student, mask)


def products(rows: Any) -> Any:
    """Returns the scalar product of each row with each."""
    return ops.matmul(rows, ops.transpose(rows))
