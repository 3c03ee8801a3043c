"""What a model is made of: its head, the signals of its layers, and what makes them comparable."""

__all__ = [
    "final_activation",
    "heads",
    "linear_ends",
    "models",
    "pairs",
    "ports",
    "projectors",
    "structures",
    "tapped_graph",
    "taps",
]
