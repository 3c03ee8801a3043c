"""What is said of each kind of fault inside of compiled steps."""

__all__ = ["REPORTS"]

REPORTS = {
    "labels": {
        "what": "Labels must be ids of the student's classes, or -1 for none",
        "expected": "ids from 0 to the number of classes - 1; for binary losses and one-hot labels "
        "numbers from 0 to 1, and rows that miss as a whole (-1 in each place) or not at all",
        "found": "others",
        "mend": "Map the labels to 0, 1, ... and masks of 255 to 0 and 1, or give the student as "
        "many outputs as there are classes. If another id such as -100 marks examples to leave "
        "out, pass SparseCategoricalCrossentropy(ignore_class=-100); terms still count them",
    },
    "numbers": {
        "what": "Labels under a loss of your own must be classes for the plain form, which softens "
        "linear units as classes",
        "expected": "ids, or rows of numbers from -1 to 1",
        "found": "others",
        "mend": "Say what to distil: terms=[keras.losses.MeanSquaredError()] where the student "
        "gives numbers, terms=[keras_kd.losses.SoftTargets()] where it gives classes",
    },
    "hard_loss": {
        "what": "A loss of your own must give each example its value where labels miss",
        "expected": "a loss of shape (batch,) wherever labels are -1",
        "found": "a scalar, made with the missing labels as if they were class 0",
        "mend": "Return one value per example and leave the mean to Keras",
    },
    "settings": {
        "what": "What is assigned to alpha, temperature and weights must stay in range",
        "expected": "temperatures above 0, weights of at least 0, alpha from 0 to 1",
        "found": "others",
        "mend": "Correct the schedule that assigns them",
    },
    "temperatures": {
        "what": "The temperature must stay one that the labels were written for",
        "expected": "a temperature of SoftLabels.write(temperatures=...)",
        "found": "another",
        "mend": "Write the labels with all temperatures of the schedule",
    },
    "pairs": {
        "what": "Batches must have at least 2 examples for a term that compares them with each "
        "other",
        "expected": "batches of some dozens",
        "found": "an example alone",
        "mend": "Pass more examples in a batch; the last one may be smaller",
    },
    "answers": {
        "what": "The teacher must give finite answers",
        "expected": "finite numbers",
        "found": "NaN or Inf",
        "mend": "Look whether the batch itself is finite, then at what teacher.predict makes of it",
    },
}
