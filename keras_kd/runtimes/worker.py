"""Processes that do the work which native code may end: a crash is theirs, not the caller's."""

import atexit
import collections
import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from keras_kd.runtimes import _messages

__all__ = ["CrashError", "Worker", "WorkerError", "environment"]

_WORDS = 2000
_SECONDS_TO_END = 5
_NOISE = re.compile(r"^(WARNING: All log messages before|[IW]\d{4} |INFO: ).*\n?", re.MULTILINE)


class WorkerError(RuntimeError):
    """A worker could not do what it was asked for; `traceback` is its own."""

    def __init__(self, text: str, traceback: str):
        super().__init__(text)
        self.traceback = traceback


class CrashError(RuntimeError):
    """A worker's process ended instead of answering.

    Attributes:
        signal: The name of the signal that ended it, or `None`.
        words: The last that it wrote to standard error.
    """

    def __init__(self, code: int, words: str):
        self.signal = _name(-code) if code < 0 else None
        self.words = words
        super().__init__(f"its process {self.how}{f': {words}' if words else ''}")

    @property
    def how(self) -> str:
        """How it ended."""
        return f"died of {self.signal}" if self.signal else "ended"


class Worker:
    """A process that answers requests one after the other, started by the first of them.

    It stays for the next request and ends with this process. A new one takes its place when it has
    died, and when the environment that it needs has changed.

    Args:
        command: The command line, of a program that calls `_messages.serve`.
        environment: Returns the process' environment variables.
        decisive: Pattern of the names of those that need a new process when they change.
    """

    def __init__(
        self, command: Sequence[str], environment: Callable[[], dict[str, str]], decisive: str = ""
    ):
        self._command, self._environment, self._decisive = command, environment, decisive
        self._reset()
        _ALL.add(self)

    def ask(
        self, facts: dict[str, Any], arrays: Sequence[np.ndarray] = (), fresh: bool = False
    ) -> _messages.Message:
        """Returns the reply to one request.

        Args:
            facts: What JSON can hold.
            arrays: Arrays.
            fresh: Whether a new process must answer.

        Raises:
            WorkerError: If the worker raises an exception.
            CrashError: If its process ends.
        """
        with self._lock:
            process = self._ready(fresh)
            try:
                _messages.write(process.stdin, facts, arrays)
                reply, answers = _messages.read(process.stdout)
            except (EOFError, OSError):  # on Windows, a broken pipe is an invalid argument
                raise self._died() from None
            except BaseException:  # an interrupt: the reply that is under way is nobody's
                self._end()
                raise
        if "error" in reply:
            raise WorkerError(reply["error"], reply["traceback"])
        return reply, answers

    @property
    def process(self) -> int | None:
        """The process' id, `None` without one."""
        return self._process.pid if self._process else None

    def close(self) -> None:
        """Ends the process, if there is one, in the middle of a request, too."""
        process = self._process
        if process is not None:
            process.kill()  # else the lock is held until the request is answered
        with self._lock:
            self._end()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._started_with: dict[str, str] = {}
        self._words: collections.deque[str] = collections.deque(maxlen=100)
        self._reader: threading.Thread | None = None

    def _ready(self, fresh: bool) -> subprocess.Popen:
        variables = self._environment()
        decisive = {x: y for x, y in variables.items() if re.match(self._decisive, x)}
        process = self._process
        if process and (fresh or process.poll() is not None or decisive != self._started_with):
            self._end()
        if self._process is None:
            self._started_with = decisive
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=os.path.abspath(os.sep),  # not a folder that anybody may want to remove
                env=variables,
            )
            self._words.clear()
            given = self._process.stderr, self._words
            self._reader = threading.Thread(target=_listen, args=given, daemon=True)
            self._reader.start()
        return self._process

    def _died(self) -> CrashError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS_TO_END)
        self._reader.join(_SECONDS_TO_END)
        words = _NOISE.sub("", "".join(self._words))[-_WORDS:].strip()
        code = self._process.poll()
        self._end()
        return CrashError(code or 0, words)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError):
                stream.close()

    def _forget(self) -> None:
        """In a fork, whose copy of the pipe would keep the process alive after its parent."""
        process = self._process
        if process is not None:
            process.returncode = 0  # not this process' child
            for stream in (process.stdin, process.stdout, process.stderr):
                # Not the stream itself: it would wait for the lock of a thread that was writing.
                with contextlib.suppress(OSError):
                    stream.raw.close()
        self._reset()


def _listen(stream: IO[bytes], words: collections.deque[str]) -> None:
    with contextlib.suppress(ValueError, OSError):  # closed
        for line in stream:
            words.append(line.decode(errors="replace"))


def _name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # of real time
        return f"signal {number}"


def environment() -> dict[str, str]:
    """Returns this process' environment variables, as a worker needs them: no GPU, no warnings."""
    package = str(Path(__file__).parents[2])
    given = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    changes = {
        "CUDA_VISIBLE_DEVICES": "-1",
        "KERAS_BACKEND": "tensorflow",
        # Absolute, because the worker works in another folder: "" stands for this one.
        "PYTHONPATH": os.pathsep.join([package, *map(os.path.abspath, [*given, *sys.path])]),
        # The caller's own rules, such as "error", are not meant for TensorFlow's converter.
        "PYTHONWARNINGS": "ignore",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    return {x: y for x, y in os.environ.items() if x != "PYTHONSAFEPATH"} | changes


_ALL: "weakref.WeakSet[Worker]" = weakref.WeakSet()


def _close_all() -> None:
    for worker in list(_ALL):
        worker.close()


def _forget_all() -> None:
    for worker in list(_ALL):
        worker._forget()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
