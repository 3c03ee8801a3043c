"""Which samples lie in which shard."""

from dataclasses import dataclass

__all__ = ["Layout"]

# A shard holds so many answers, at least and at most, and a 64th of all in between.
_SMALLEST, _LARGEST, _SHARDS = 1024, 65536, 64
_LARGEST_BYTES = 2**28
# Samples of a shard are a multiple of this, so that the pairs of a stream stay within one.
_MULTIPLE = 256


@dataclass(frozen=True)
class Layout:
    """How samples are shared out: equally many to each shard, but for the last."""

    samples: int
    views: int
    samples_per_shard: int

    @classmethod
    def of(cls, samples: int, views: int, itemsize: int, pairing: int = 1) -> "Layout":
        """Returns the layout, the same on every machine.

        Args:
            samples: The number of samples.
            views: The number of views of each.
            itemsize: Bytes of an answer.
            pairing: How many consecutive samples are mixed with each other.
        """
        answers = min(max(samples * views // _SHARDS, _SMALLEST), _LARGEST)
        per_shard = -(-answers // (views * _MULTIPLE)) * _MULTIPLE
        if pairing == 1:
            per_shard = min(per_shard, max(1, _LARGEST_BYTES // (views * itemsize)))
        return cls(samples, views, per_shard)

    @property
    def shards(self) -> int:
        """The number of shards."""
        return -(-self.samples // self.samples_per_shard)

    def span(self, number: int) -> range:
        """Returns the ids in a shard."""
        start = number * self.samples_per_shard
        return range(start, min(start + self.samples_per_shard, self.samples))

    def shape(self, number: int) -> tuple[int, int]:
        """Returns the shape of a shard's array."""
        return len(self.span(number)), self.views

    def share(self, worker: int, workers: int) -> range:
        """Returns the numbers of the shards that one of several workers writes."""
        return range(worker * self.shards // workers, (worker + 1) * self.shards // workers)
