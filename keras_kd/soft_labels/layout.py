"""Which samples lie in which shard."""

from dataclasses import dataclass

# A shard holds so many answers, at least and at most, and a 64th of all in between.
_SMALLEST, _LARGEST, _SHARDS = 1024, 65536, 64
# Samples of a shard are a multiple of this, so that the pairs of a stream stay within one.
_MULTIPLE = 256


@dataclass(frozen=True)
class Layout:
    """How samples are shared out: equally many to each shard, but for the last."""

    samples: int
    views: int
    samples_per_shard: int

    @classmethod
    def of(cls, samples: int, views: int) -> "Layout":
        """Returns the layout for a number of samples and views, the same on every machine."""
        answers = min(max(samples * views // _SHARDS, _SMALLEST), _LARGEST)
        blocks = -(-answers // (views * _MULTIPLE))
        return cls(samples, views, blocks * _MULTIPLE)

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
