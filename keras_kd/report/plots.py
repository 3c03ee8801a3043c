"""Pictures of a distillation, as matplotlib figures (extra `plot`)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_kd._errors import refusal
from keras_kd._extras import require
from keras_kd.report.measures import probabilities
from keras_kd.report.tables import Comparison

__all__ = ["accuracy_against_size", "class_similarity", "flipped", "learning_curves"]

# Told apart by those who see few colors (Okabe and Ito), on white and on black.
_COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
_LIGHT = {"ink": "#1f1f1f", "paper": "#ffffff", "faint": "#d0d0d0"}
_DARK = {"ink": "#e8e8e8", "paper": "#16181d", "faint": "#44474f"}


def _figure(columns: int = 1, rows: int = 1, *, size: tuple[float, float], dark: bool) -> Any:
    """Returns a figure and its axes, in the colors of a light or a dark page."""
    require("matplotlib", extra="plot")
    from matplotlib.figure import Figure

    colors = _DARK if dark else _LIGHT
    figure = Figure(figsize=size, layout="constrained", facecolor=colors["paper"])
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes:
        axis.set_facecolor(colors["paper"])
        axis.tick_params(colors=colors["ink"], which="both")
        for text in (axis.title, axis.xaxis.label, axis.yaxis.label):
            text.set_color(colors["ink"])
        for side, spine in axis.spines.items():
            spine.set_color(colors["faint"])
            spine.set_visible(side in ("left", "bottom"))
    return figure, axes, colors


def learning_curves(history: Any, *, dark: bool = False) -> Any:
    """Draws the columns of a training's logs over the epochs: losses, shares, and settings.

    Args:
        history: What `fit` returned, or a dict of lists by column.
        dark: Whether for a dark page.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: If there is no epoch.
        ImportError: If matplotlib is not installed.
    """
    logs = getattr(history, "history", history)
    if not isinstance(logs, Mapping) or not any(len(values) for values in logs.values()):
        raise _nothing("history", "the History of a fit of one epoch or more", logs)
    panels: dict[str, list[str]] = {"losses": [], "shares": [], "settings": []}
    for name in dict.fromkeys(name.removeprefix("val_") for name in logs):
        if "learning_rate" not in name:
            panels[_panel(name)].append(name)
    panels = {title: names for title, names in panels.items() if names}
    figure, axes, colors = _figure(len(panels), size=(5.2 * len(panels), 3.8), dark=dark)
    for axis, (title, panel) in zip(axes, panels.items()):
        for number, name in enumerate(panel):
            color = _COLORS[number % len(_COLORS)]
            for column, style in ((name, "-"), (f"val_{name}", "--")):
                if column in logs:
                    epochs = np.arange(1, len(logs[column]) + 1)
                    label = f"{name} (validation)" if style == "--" else name
                    mark = "o" if len(epochs) == 1 else None
                    axis.plot(epochs, logs[column], style, color=color, label=label, marker=mark)
        axis.set(xlabel="epoch", title=title)
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.legend(frameon=False, labelcolor=colors["ink"], fontsize=8)
    return figure


def _panel(name: str) -> str:
    """Returns where a column belongs: a temperature would dwarf the losses."""
    if name.endswith(("alpha", "temperature", "weight", "distils")):
        return "settings"
    shares = ("acc", "agreement", "calibration", "top_")
    return "shares" if any(share in name for share in shares) else "losses"


def accuracy_against_size(comparison: Comparison, *, dark: bool = False) -> Any:
    """Draws Top-1 against the size of teacher, students and files, on a logarithmic axis.

    Teachers of which no size is known are left out.

    Args:
        comparison: What `report.compare` found.
        dark: Whether for a dark page.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: If matplotlib is not installed.
        ValueError: If no size is known.
    """
    sized = [row for row in comparison.rows if row.bytes]
    if not sized:
        methods = [row.method for row in comparison.rows]
        raise _nothing(
            "comparison", "a Keras model or a .tflite file, whose size is known", methods
        )
    figure, (axis,), colors = _figure(size=(6.4, 4), dark=dark)
    rows = sorted(sized, key=lambda row: (row.top1, row.bytes))
    for number, row in enumerate(sized):
        axis.scatter(row.bytes / 1e3, 100 * row.top1, s=70, color=_COLORS[number % len(_COLORS)])
    middle = np.sqrt(max(r.bytes for r in rows) * min(r.bytes for r in rows))
    close = 0.05 * (rows[-1].top1 - rows[0].top1)
    for number, row in enumerate(rows):
        to_the_left = row.bytes > middle
        # Names of points that are close stand above and below their middle.
        below = row is not rows[-1] and rows[number + 1].top1 - row.top1 < close
        above = number > 0 and row.top1 - rows[number - 1].top1 < close
        axis.annotate(
            row.method,
            (row.bytes / 1e3, 100 * row.top1),
            xytext=(-9 if to_the_left else 9, 0),
            textcoords="offset points",
            ha="right" if to_the_left else "left",
            va="top" if below else "bottom" if above else "center",
            color=colors["ink"],
        )
    axis.set_xscale("log")
    axis.xaxis.get_major_locator().set_params(subs=(1, 2, 5))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter("")
    axis.margins(x=0.15, y=0.15)
    axis.grid(color=colors["faint"], linewidth=0.5)
    axis.set_axisbelow(True)
    axis.set(xlabel="size in kB", ylabel="Top-1 in %")
    return figure


def class_similarity(
    outputs: Any, y: Any, names: Sequence[str] | None = None, *, dark: bool = False
) -> Any:
    """Draws what a teacher's soft targets say about the classes: which is like which.

    A row is the mean of the teacher's probabilities over the samples of a class, without the class
    itself: the share of what is left that each other class has.

    Args:
        outputs: The teacher's logits or probabilities, `(samples, classes)`.
        y: Class ids, `(samples,)`.
        names: The classes' names.
        dark: Whether for a dark page.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: If a class has no sample, or there are not as many names as classes.
        ImportError: If matplotlib is not installed.
    """
    shares = similarity(outputs, y)
    classes = len(shares)
    names = [str(n) for n in (range(classes) if names is None else names)]
    if len(names) != classes:
        raise _nothing("names", f"{classes} names", names)
    side = max(4.0, 0.55 * classes)
    figure, (axis,), colors = _figure(size=(side + 1.2, side), dark=dark)
    image = axis.imshow(np.where(np.eye(classes, dtype=bool), np.nan, shares), cmap="viridis")
    slanted = {"rotation": 60, "ha": "right", "rotation_mode": "anchor"}
    axis.set_xticks(range(classes), names, **slanted if max(map(len, names)) > 3 else {})
    axis.set_yticks(range(classes), names)
    axis.set(xlabel="the teacher also thinks of", ylabel="the image shows")
    limit = np.nanmax(np.where(np.eye(classes, dtype=bool), np.nan, shares))
    for row in range(classes):
        best = int(np.argmax(np.where(np.arange(classes) == row, -1, shares[row])))
        ink = "black" if shares[row, best] > 0.6 * limit else "white"
        text = f"{100 * shares[row, best]:.0f}"
        axis.text(best, row, text, ha="center", va="center", color=ink, fontsize=8)
    bar = figure.colorbar(image, shrink=0.8)
    bar.set_label("share of what is not the class itself", color=colors["ink"])
    bar.ax.tick_params(colors=colors["ink"])
    return figure


def similarity(outputs: Any, y: Any) -> np.ndarray:
    """Returns what `class_similarity` draws, `(classes, classes)`, 0 on the diagonal."""
    soft, y = probabilities(outputs), np.asarray(y).reshape(-1)
    classes = soft.shape[1]
    if len(y) != len(soft) or set(range(classes)) - set(y.tolist()):
        raise _nothing(
            "y", f"a label for each of {len(soft)} samples, and all {classes} classes", y
        )
    means = np.stack([soft[y == label].mean(0) for label in range(classes)])
    np.fill_diagonal(means, 0.0)
    return means / np.maximum(means.sum(-1, keepdims=True), 1e-300)


def flipped(
    x: Any,
    y: Any,
    student: Any,
    distilled: Any,
    names: Sequence[str] | None = None,
    *,
    most: int = 12,
    dark: bool = False,
) -> Any:
    """Draws images that the student alone got wrong and the distilled one right.

    Args:
        x: Images, `(samples, height, width)` or `(samples, height, width, 1 or 3)`.
        y: Class ids.
        student: Outputs of the student trained without the teacher, `(samples, classes)`.
        distilled: The distilled student's.
        names: The classes' names.
        most: How many images are shown, first those that the distilled student is surest of.
        dark: Whether for a dark page.

    Returns:
        A `matplotlib.figure.Figure`, whose title also says how many went the other way.

    Raises:
        ValueError: If the samples differ, or `x` does not hold images.
        ImportError: If matplotlib is not installed.
    """
    x, y = np.asarray(x), np.asarray(y).reshape(-1)
    alone, taught = probabilities(student, "student"), probabilities(distilled, "distilled")
    if not len(x) == len(y) == len(alone) == len(taught) or x.ndim not in (3, 4):
        shapes = [np.shape(each) for each in (x, y, alone, taught)]
        raise _nothing("x, y, student and distilled", "images and answers of one length", shapes)
    names = [str(n) for n in (range(alone.shape[1]) if names is None else names)]
    before, after = alone.argmax(-1), taught.argmax(-1)
    helped = np.flatnonzero((before != y) & (after == y))
    harmed = int(np.sum((before == y) & (after != y)))
    shown = helped[np.argsort(-taught[helped].max(-1))][:most]
    columns = min(max(len(shown), 1), 6)
    rows = max(-(-len(shown) // columns), 1)
    size = (1.7 * max(columns, 3), 2.1 * rows + 0.5)
    figure, axes, colors = _figure(columns, rows, size=size, dark=dark)
    low, high = float(x.min()), float(x.max())
    for axis in axes:
        axis.set_axis_off()
    for axis, index in zip(axes, shown):
        image = (x[index].astype("float64") - low) / max(high - low, 1e-12)
        gray = image.ndim == 2 or image.shape[-1] == 1
        axis.imshow(image.squeeze() if gray else image, cmap="gray" if gray else None)
        title = f"{names[after[index]]}\nnot {names[before[index]]}"
        axis.set_title(title, fontsize=8, color=colors["ink"])
    figure.suptitle(
        f"right after distillation: {len(helped)}; wrong after it: {harmed}", color=colors["ink"]
    )
    return figure


def _nothing(what: str, expected: str, received: Any) -> ValueError:
    return refusal(
        f"{what} must hold what the picture shows",
        expected=expected,
        received=repr(received)[:200],
        mend="Pass the same samples to all",
    )
