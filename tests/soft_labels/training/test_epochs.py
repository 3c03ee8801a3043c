import pytest

from keras_kd.soft_labels.training.epochs import EpochCallback, Epochs


class Labels:
    """Notes what the callback sets."""

    def __init__(self):
        self.seen = []

    def start_epoch(self, epoch, steps):
        self.seen.append((epoch, steps))


def test_passes_count_up_once_they_are_under_way():
    epochs = Epochs()
    first = epochs.start()
    assert epochs.start() == first == (0, 0)  # a look at one batch shifts nothing
    epochs.advance(*first)
    assert epochs.start()[0] == 1


def test_what_is_set_comes_next():
    epochs = Epochs()
    epochs.set(7)
    seven = epochs.start()
    assert seven[0] == 7
    epochs.advance(*seven)
    assert epochs.start()[0] == 8


def test_a_pass_from_before_does_not_undo_what_is_set():
    epochs = Epochs()
    before = epochs.start()
    epochs.set(5)
    epochs.advance(*before)
    assert epochs.start()[0] == 5


def test_epochs_of_fewer_steps_have_come_to_a_pass():
    epochs = Epochs(batches=10)
    epochs.set(5, steps_per_epoch=4)  # 20 batches: two passes are over
    assert epochs.start()[0] == 2


def test_the_callback_sets_each_epoch():
    labels = Labels()
    callback = EpochCallback(labels)
    callback.on_train_begin()
    for epoch in (3, 4):
        callback.on_epoch_begin(epoch)
    assert labels.seen == [(3, None), (4, None)]


@pytest.mark.tensorflow
@pytest.mark.parametrize("epoch", [-1, 1.5, "0"])
def test_what_is_no_epoch_is_refused(images, classifier, write, epoch):
    soft = write(teacher=classifier(8), data=images[0])
    with pytest.raises((TypeError, ValueError), match="epoch must be an integer of at least 0"):
        soft.start_epoch(epoch)


def test_with_steps_per_epoch_the_callback_sets_the_first_epoch_of_each_fit():
    labels = Labels()
    callback = EpochCallback(labels, steps_per_epoch=2)
    for first in (0, 2):
        callback.on_train_begin()
        callback.on_epoch_begin(first)
        callback.on_epoch_begin(first + 1)
    assert labels.seen == [(0, 2), (2, 2)]
