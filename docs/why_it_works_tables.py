"""The tables of why_it_works.md, from the numbers in benchmarks/results/why_it_works.json."""

import numpy as np

from keras_kd._text import bytes_in_words, markdown

TITLES = {"fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}


def similar_pairs(results):
    """Returns a table of the classes that a teacher holds for most alike."""
    rows = []
    for name, shares in results["similarity"].items():
        pairs = [(share, c, other) for c, row in shares.items() for other, share in row.items()]
        for share, shown, other in sorted(pairs, reverse=True)[:3]:
            rows.append([f"{shown} ({TITLES[name]})", other, f"{100 * share:.0f} %"])
    return markdown(["the image shows", "the teacher also thinks of", "share"], rows)


def noise_by_loss(results):
    """Returns a table of the gradients' noise: median and range of the students."""
    rows, columns = [], []
    for name, found in results["gradients"].items():
        for stage, losses in found["noise"].items():
            columns = list(losses)
            values = [
                f"{np.median(each):.1f} ({min(each):.1f} to {max(each):.1f})"
                for each in losses.values()
            ]
            rows.append([f"{TITLES[name]}, {stage}", *values])
    return markdown(["student", *columns], rows)


def accuracy_by_weights(results):
    """Returns a table of the accuracy that is left where small weights are 0."""
    shares = [f"{share:.0%}" for share in results["weights"]["ResNet-56"]["set to 0"]]
    rows = [
        [name, f"{found['parameters']:,}", *(f"{100 * top1:.1f}" for top1 in found["top-1"])]
        for name, found in results["weights"].items()
    ]
    return markdown(["network", "parameters", *shares], rows)


def macs_by_network(results):
    """Returns a table of the multiply-accumulates of one answer."""
    networks = [(f"{n} (CIFAR-10)", each["MACs"]) for n, each in results["weights"].items()]
    methods = {row["method"]: row for row in results["students"]["rows"]}
    networks += [(f"{n} (Fashion-MNIST)", methods[n]["macs"]) for n in ("Teacher", "Student")]
    rows, teacher = [], None
    for name, count in networks:
        teacher = count if name.startswith(("ResNet-56", "Teacher")) else teacher
        rows.append([name, f"{count / 1e6:.2f} M", f"{count / teacher:.1%}"])
    return markdown(["network", "MACs of an answer", "of the teacher's"], rows)


def compared(results):
    """Returns the table of teacher, students and file."""
    rows = [
        [
            row["method"],
            f"{row['parameters']:,}",
            bytes_in_words(row["bytes"]),
            f"{row['top1']:.2%}".replace("%", " %"),
            f"{row['agreement']:.2%}".replace("%", " %"),
        ]
        for row in results["students"]["rows"]
    ]
    return markdown(["Method", "Parameters", "Model size", "Top-1", "Agreement"], rows)


TABLES = {
    "similarity": similar_pairs,
    "gradients": noise_by_loss,
    "weights": accuracy_by_weights,
    "costs": macs_by_network,
    "students": compared,
}
