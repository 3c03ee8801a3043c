"""Are data and augmentation those that labels were written for?"""

from typing import Any

from keras_kd._errors import refusal
from keras_kd.soft_labels.augmentation.stages import Augmentation
from keras_kd.soft_labels.views.purity import probe
from keras_kd.soft_labels.views.replay import Replay
from keras_kd.soft_labels.views.sources import Arrays, Stream, description

__all__ = [
    "check_data",
    "check_outputs",
    "check_partners",
    "given_augmentation",
    "known_augmentation",
    "replay",
]


def known_augmentation(augment: Any, stages: list[dict[str, Any]]) -> Augmentation | None:
    """Returns the augmentation that labels were written with, `None` where it is unknown.

    Raises:
        ValueError: If `augment` is another one.
    """
    if augment is None:
        return Augmentation.from_description(stages)
    augmentation = Augmentation.of(augment)
    if augmentation.description() != stages:
        raise refusal(
            "augment must be the one that the labels were written with",
            expected=_shown(stages),
            received=_shown(augmentation.description()),
            mend="Leave it out where it is made of keras_kd.soft_labels' functions",
        )
    return augmentation


def given_augmentation(augmentation: Augmentation | None, stages: list[dict]) -> Augmentation:
    """Returns the augmentation, which must be known to make pixels."""
    if augmentation is None:
        raise refusal(
            "augment must be given to SoftLabels.open where it has your own functions",
            expected=_shown(stages),
            received="None",
            mend="Call SoftLabels.open(directory, augment=...)",
        )
    return augmentation


def replay(content: dict[str, Any], augmentation: Augmentation | None, data: Any) -> Replay:
    """Returns the views that labels were written for, once they have been found to be the same.

    Args:
        content: The labels' manifest.
        augmentation: What makes the views, `None` where it is unknown.
        data: The source of the samples.

    Raises:
        ValueError: If the data or the augmentation are others than then.
    """
    check_data(content, data, description(data))
    augmentation = given_augmentation(augmentation, content["augmentation"]["stages"])
    views = Replay(
        augmentation, content["seed"], content["samples"], content["views"], content["pairing"]
    )
    check_partners(views, data)
    check_outputs(content, probe(views, data))
    return views


def check_data(content: dict[str, Any], data: Arrays | Stream, found: dict[str, Any]) -> None:
    """Raises where labels were written for other data."""
    expected = {"samples": content["samples"], **content["data"]}
    received = {"samples": data.samples, **found}
    if expected["all"] is None or received["all"] is None:
        expected["all"] = received["all"] = None
    other = [name for name in expected if expected[name] != received[name]]
    if other:
        names = [name for name in other if name in ("samples", "sample")] or ["content"]
        raise refusal(
            "The data must be those that the labels were written for",
            expected=", ".join(f"{name} {expected.get(name, 'as then')}" for name in names),
            received=", ".join(f"{name} {received.get(name, 'changed')}" for name in names),
            mend="Pass what SoftLabels.write was given, in its order; shuffle after soft.attach",
        )


def check_partners(replay: Replay, data: Arrays | Stream) -> None:
    """Raises where partners lie beyond what can be seen of a stream at once."""
    if isinstance(data, Stream) and replay.pairing > data.pairing:
        raise refusal(
            "Mixed labels that were written from arrays must be read with arrays",
            expected="soft.dataset(x, y)",
            received="soft.attach(dataset)",
            mend="Write them from the dataset, which mixes neighbours",
        )


def check_outputs(content: dict[str, Any], outputs: str) -> None:
    """Raises where the augmentation makes other pixels than it did."""
    if content["augmentation"]["outputs"] != outputs:
        raise refusal(
            "The augmentation must make the pixels that the teacher was shown",
            expected=f"the answers that were written, with {content['versions']}",
            received="other pixels for the first samples",
            mend="Undo the change of the function, or write the labels again",
        )


def _shown(stages: list[dict[str, Any]]) -> str:
    return ", then ".join(f"{s['name']}({s['parameters'] or ''})" for s in stages) or "none"
