"""What does `import keras_kd` add to `import keras, tensorflow`?

Question: does importing the package stay free of heavy packages? Required: less than 0.2 s, median
of fresh processes that have imported keras and tensorflow already.

    python benchmarks/import_time.py --runs=9
"""

import subprocess
import sys

from absl import app, flags
from interleaved import save, summary

_RUNS = flags.DEFINE_integer("runs", 9, "Fresh processes, after one uncounted.")

CODE = (
    "import time; import keras, tensorflow; start = time.perf_counter(); import keras_kd; "
    "print(time.perf_counter() - start)"
)


def one_import():
    command = [sys.executable, "-c", CODE]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def main(_):
    one_import()
    seconds = summary([one_import() for _ in range(_RUNS.value)])
    print(f"import keras_kd adds {seconds['median']:.3f} s (required < 0.2 s)")
    command = f"python benchmarks/import_time.py --runs={_RUNS.value}"
    print("written to", save("import_time", command, {"seconds": seconds}).name)


if __name__ == "__main__":
    app.run(main)
