"""Does a student that learns from a teacher end above one that learns alone?

Tasks x methods x seeds, the same budget, batches and initial weights. The question is asked of the
defaults first: whoever takes them must not end below the student alone. Every choice is made on a
part held out of the training data; `--test` scores the students that were trained on the test set,
each of them once. Required of the default: on no task more than 0.1 points below the student
alone (mean over the seeds), and above it on 80 % of the tasks.

    python benchmarks/accuracy.py --data=DIR [--subset=default] [--seeds=3]
        [--tasks=digits,banking77] [--methods="alone" --methods="dist, weight 2"] [--test]

DIR holds `load_data.py` with its folders. A run that is killed goes on where it stopped; several
may run at a time. What was trained is compared with the student alone, which is always trained too.
It goes into `results/accuracy.json`, beside what is there of the same code and settings; of that
file `python benchmarks/accuracy.py --table` makes the tables in README.md and docs.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import difflib
import json
import pathlib
import sys

from absl import app, flags
from interleaved import RESULTS, save

FLAGS = flags.FLAGS
flags.DEFINE_string("data", None, "Folder with load_data.py.")
flags.DEFINE_string("cache", "~/.cache/keras_kd/accuracy", "Where cells and teachers are kept.")
flags.DEFINE_list("tasks", [], "Names of tasks; default: all.")
flags.DEFINE_multi_string("methods", [], "Name of a method; may be given again. Default: --subset.")
flags.DEFINE_integer("seeds", 3, "Students of each method.", 1)
flags.DEFINE_integer("first_seed", 0, "The first of them.", 0)
flags.DEFINE_enum("subset", "all", ["default", "all"], "Methods; default ends in 45 minutes.")
flags.DEFINE_bool("test", False, "Score the trained students on the test set, each once.")
flags.DEFINE_bool("collect", False, "Train nothing, gather what there is.")
flags.DEFINE_bool("table", False, "Make the tables of the documentation, nothing else.")
SUBSETS = {"default": 1, "all": 9}  # last tier


def chosen(given, known, what):
    """Returns the objects of the given names, all where none is given."""
    from keras_kd._errors import message

    by_name = {each.name: each for each in known}
    for name in given:
        if name not in by_name:
            (close,) = difflib.get_close_matches(name, by_name, n=1, cutoff=0)
            rule, mend = f"name a {what} of the suite", f"Take {close!r}, the closest one"
            raise app.UsageError(
                message(
                    f"--{what}s must {rule}", expected=f"{[*by_name]}", received=name, mend=mend
                )
            )
    return [by_name[name] for name in given] or list(known)


def cells_to_do(tasks, methods, seeds):
    """Returns cells in the order in which they tell most: first tiers first, each on all tasks."""
    cells = [
        (method.tier, seed, methods.index(method), tasks.index(task))
        for method in methods
        for task in tasks
        for seed in seeds
        if method.suits(task)
    ]
    return [(tasks[task], methods[method], seed) for _, seed, method, task in sorted(cells)]


def train(cells, to_do):
    """Trains what is missing, in a new process now and then, because TensorFlow keeps traces."""
    trained = 0
    for task, method, seed in to_do:
        if cells.read(task, method, seed) is None:
            if trained == 20:
                os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
            cell = cells.train(task, method, seed)
            trained += cell is not None
            if cell:
                found = {name: value for name, value in cell.items() if name != "definition"}
                print(f"{task.name}, {method.name}, seed {seed}: {found}", flush=True)


def main(_):
    from accuracy_suite import tables

    if FLAGS.table:
        tables.write_all(RESULTS / "accuracy.json")
        return
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    from accuracy_suite import results
    from accuracy_suite.cells import Cells
    from accuracy_suite.methods import METHODS
    from accuracy_suite.tasks import TASKS

    tasks = chosen(FLAGS.tasks, TASKS, "task")
    methods = chosen(FLAGS.methods, METHODS, "method")
    if not FLAGS.methods:
        methods = [method for method in METHODS if method.tier <= SUBSETS[FLAGS.subset]]
    baselines = {method.baseline for method in methods}
    methods = [each for each in METHODS if each in methods or each.name in baselines]
    seeds = range(FLAGS.first_seed, FLAGS.first_seed + FLAGS.seeds)
    data = pathlib.Path(FLAGS.data).expanduser().resolve() if FLAGS.data else None
    if data and not (data / "load_data.py").exists():
        raise app.UsageError(f"--data must be a folder with load_data.py. Received: {data}.")
    cells = Cells(pathlib.Path(FLAGS.cache).expanduser(), data)
    to_do = cells_to_do(tasks, methods, seeds)
    if not FLAGS.collect:
        train(cells, to_do)
    if FLAGS.test:
        for task, method, seed in sorted(to_do, key=lambda cell: tasks.index(cell[0])):
            if cells.read(task, method, seed):
                cells.score_test(task, method, seed)
    found, file = results.collect(cells, TASKS, METHODS), RESULTS / "accuracy.json"
    last = json.loads(file.read_text())["results"] if file.exists() else {}
    found = results.merged(last, found, TASKS, METHODS)
    asked = {task.name: found[task.name] for task in tasks if task.name in found}
    for baseline in sorted(baselines):
        names = [m.name for m in methods if m.baseline == baseline and not m.is_alone]
        print(results.task_table(asked, dict(zip(names, names)), baseline=baseline))
    print(save("accuracy", "python benchmarks/accuracy.py --data=DIR", found))


if __name__ == "__main__":
    app.run(main)
