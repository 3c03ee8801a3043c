import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest

from keras_kd.runtimes import _messages, worker
from keras_kd.runtimes.worker import CrashError, Worker, WorkerError

PROGRAM = f"""
import os, signal, sys, time
sys.path.insert(0, {str(Path(_messages.__file__).parent)!r})
import _messages

def answer(facts, arrays):
    if "signal" in facts:
        print("the last words", file=sys.stderr, flush=True)
        os.kill(os.getpid(), facts["signal"])
    if "raise" in facts:
        raise ValueError(facts["raise"])
    time.sleep(facts.get("sleep", 0))
    print("a library's chatter", flush=True)
    return {{"process": os.getpid(), "variable": os.environ.get("KD_A")}}, [2 * x for x in arrays]

_messages.serve(answer)
"""


@pytest.fixture
def program(tmp_path):
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    return [sys.executable, str(file)]


@pytest.fixture
def echo(program):
    made = Worker(program, lambda: dict(os.environ), "KD_")
    yield made
    made.close()


def test_arrays_there_and_back(echo):
    arrays = [np.arange(6, dtype="int8").reshape(2, 3), np.float64(1.5), np.zeros((0, 4), "int64")]
    _, got = echo.ask({}, [np.asarray(x) for x in arrays])
    for want, x in zip(arrays, got):
        assert (x.shape, x.dtype) == (np.shape(want), np.asarray(want).dtype)
        np.testing.assert_array_equal(x, 2 * want)


def test_more_than_a_pipe_holds(echo):
    array = np.random.default_rng(0).normal(size=(1000, 1000))
    np.testing.assert_array_equal(echo.ask({}, [array, array])[1][1], 2 * array)


def test_one_process_answers_all(echo):
    assert echo.process is None
    assert echo.ask({})[0]["process"] == echo.ask({})[0]["process"] == echo.process
    assert echo.ask({}, fresh=True)[0]["process"] == echo.process


def test_an_exception_does_not_end_it(echo):
    before = echo.ask({})[0]["process"]
    with pytest.raises(WorkerError, match=r"^the reason$") as error:
        echo.ask({"raise": "the reason"})
    assert "ValueError: the reason" in error.value.traceback
    assert echo.ask({})[0]["process"] == before


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
@pytest.mark.parametrize("name", ["SIGABRT", "SIGSEGV", "SIGKILL"])
def test_a_crash_is_told_and_mended(echo, name):
    with pytest.raises(CrashError, match=f"died of {name}: the last words") as error:
        echo.ask({"signal": int(getattr(signal, name))})
    assert (error.value.signal, error.value.words) == (name, "the last words")
    assert echo.ask({}, [np.ones(2)])[1][0].tolist() == [2, 2]


def test_one_that_died_between_two_requests_is_replaced(echo):
    first = echo.ask({})[0]["process"]
    os.kill(first, signal.SIGTERM)
    # Until it can be waited for: a process whose first thread is gone may have others that are not.
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    assert echo.ask({})[0]["process"] != first


def worker_lives(process):
    state = Path(f"/proc/{process}/stat")
    if not Path("/proc/self").exists():
        pytest.skip("needs Linux' /proc")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


def test_signals_without_a_name_are_numbers():
    assert str(CrashError(-40, "the last words")) == "its process died of signal 40: the last words"


def test_a_changed_environment_needs_a_new_one(echo, monkeypatch):
    first = echo.ask({})[0]["process"]
    monkeypatch.setenv("OTHER", "1")
    assert echo.ask({})[0]["process"] == first
    monkeypatch.setenv("KD_A", "1")
    reply, _ = echo.ask({})
    assert reply["process"] != first
    assert reply["variable"] == "1"


def test_an_interrupt_ends_the_request_under_way(echo, monkeypatch):
    first = echo.ask({})[0]["process"]
    with monkeypatch.context() as patch:

        def interrupted(_):
            raise KeyboardInterrupt

        patch.setattr(worker._messages, "read", interrupted)
        with pytest.raises(KeyboardInterrupt):
            echo.ask({}, [np.zeros(3)])
    reply, arrays = echo.ask({}, [np.ones(1)])
    assert reply["process"] != first
    assert arrays[0].tolist() == [2]


# The packages' own `__init__` would import TensorFlow.
SCRIPT = """
import os, signal, sys, types

for name, folder in (("keras_kd", {root!r}), ("keras_kd.runtimes", {folder!r})):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = [folder]
from keras_kd.runtimes.worker import Worker

echo = Worker(sys.argv[1:3], lambda: dict(os.environ))
process = echo.ask({{}})[0]["process"]
{body}
"""


def parent(program, body):
    """Runs a script that starts a worker and prints the worker's process."""
    folder = Path(worker.__file__).parent
    strict = ("-W", "error", "-W", "ignore::DeprecationWarning")  # of forks beside threads
    script = SCRIPT.format(root=str(folder.parent), folder=str(folder), body=textwrap.dedent(body))
    return subprocess.run(
        [sys.executable, *strict, "-c", script, *program],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs Linux' /proc")
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("print(process, flush=True)", 0),
        ("print(process, flush=True)\nos.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        # The copy of the pipe in a fork that lives on must not keep it alive.
        (
            """
            if os.fork() == 0:
                os.closerange(0, 3)
                import time
                time.sleep(3)
                os._exit(0)
            print(process, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
            """,
            -signal.SIGKILL,
        ),
    ],
    ids=["end", "kill", "fork"],
)
def test_it_ends_with_its_parent(program, body, code):
    done = parent(program, body)
    assert done.returncode == code, done.stderr
    process, end = int(done.stdout), time.monotonic() + 2
    while worker_lives(process):
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_has_a_process_of_its_own(program):
    body = """
        child = os.fork()
        print(process, echo.ask({})[0]["process"] == process, flush=True)
        if child:
            sys.exit(os.waitpid(child, 0)[1])
    """
    done = parent(program, body)
    assert done.returncode == 0, done.stderr
    assert sorted(line.split()[1] for line in done.stdout.splitlines()) == ["False", "True"]


def test_a_worker_is_this_python_and_this_keras_kd_without_a_gpu(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/mine")
    monkeypatch.setenv("PYTHONSAFEPATH", "1")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    variables = worker.environment()
    assert variables["CUDA_VISIBLE_DEVICES"] == "-1"
    assert variables["KERAS_BACKEND"] == "tensorflow"
    assert "PYTHONSAFEPATH" not in variables
    package, mine, *_ = variables["PYTHONPATH"].split(os.pathsep)
    assert os.path.samefile(
        os.path.join(package, "keras_kd", "runtimes", "worker.py"), worker.__file__
    )
    assert mine == "/mine"


def test_a_worker_finds_modules_of_this_folder(monkeypatch):
    monkeypatch.setattr(sys, "path", ["", "below", *sys.path])
    paths = worker.environment()["PYTHONPATH"].split(os.pathsep)
    assert {os.getcwd(), os.path.abspath("below")} <= set(paths)
    assert all(map(os.path.isabs, paths))


AT_WORK = """
import os, sys, threading, time
sys.path[:0] = {path!r}
import numpy as np
from keras_kd.runtimes.worker import Worker

def ask():
    busy.ask({{}}, [np.zeros(10_000_000)])

busy = Worker([sys.executable, "-c", "import time; time.sleep(600)"], lambda: dict(os.environ))
threading.Thread(target=ask, daemon=True).start()
while busy.process is None:
    time.sleep(0.01)
time.sleep(0.5)  # until the pipe is full
{body}
"""


@pytest.mark.parametrize(
    "body",
    [
        "threading.excepthook = lambda _: None",
        pytest.param(
            "process = os.fork()\n"
            "if not process:\n"
            "    os._exit(0)\n"
            "os.waitpid(process, 0)\n"
            "threading.excepthook = lambda _: None",
            marks=pytest.mark.skipif(not hasattr(os, "fork"), reason="needs forks"),
        ),
    ],
    ids=["exit", "fork"],
)
def test_a_request_under_way_holds_up_neither_the_exit_nor_a_fork(body):
    script = AT_WORK.format(path=[str(Path(worker.__file__).parents[2])], body=body)
    process = subprocess.Popen([sys.executable, "-c", script], start_new_session=True)
    try:
        assert process.wait(60) == 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
