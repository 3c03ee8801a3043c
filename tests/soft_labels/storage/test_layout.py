import itertools

from hypothesis import given
from hypothesis import strategies as st

from keras_kd.soft_labels.storage.layout import Layout


@given(st.integers(1, 3_000_000), st.integers(1, 400), st.integers(1, 9))
def test_every_sample_lies_in_one_shard_of_one_worker(samples, views, workers):
    layout = Layout.of(samples, views, 21)
    spans = [layout.span(number) for number in range(layout.shards)]
    assert spans[0].start == 0
    assert spans[-1].stop == samples
    assert all(a.stop == b.start for a, b in itertools.pairwise(spans))
    assert all(len(span) > 0 for span in spans)
    shares = [layout.share(worker, workers) for worker in range(workers)]
    assert [number for share in shares for number in share] == list(range(layout.shards))


def test_shards_are_small_enough_to_lose_and_large_enough_to_be_few():
    assert Layout.of(50_000, 10, 21).shards == 49
    assert Layout.of(1_281_167, 300, 45).shards < 6000
    assert Layout.of(300, 1, 21).shards == 1


def test_maps_of_many_classes_are_shared_out_by_their_bytes():
    bytes_of_a_map = 513 * 513 * 21 * 2
    layout = Layout.of(1464, 10, bytes_of_a_map)
    assert layout.samples_per_shard * 10 * bytes_of_a_map < 2**28
