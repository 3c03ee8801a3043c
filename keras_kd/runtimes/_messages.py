"""How a process and its workers talk: requests and replies of JSON and arrays, over pipes.

Needs NumPy alone and nothing of keras_kd, so that a worker that imports no more starts at once.
"""

import json
import math
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Sequence
from typing import IO, Any

import numpy as np

Message = tuple[dict[str, Any], Sequence[np.ndarray]]


def write(stream: IO[bytes], facts: dict[str, Any], arrays: Sequence[np.ndarray] = ()) -> None:
    """Sends one message: a line of JSON, then the arrays' bytes."""
    forms = [(array.dtype.str, array.shape) for array in arrays]
    stream.write(json.dumps({"facts": facts, "forms": forms}).encode() + b"\n")
    for array in arrays:
        stream.write(array.tobytes())
    stream.flush()


def read(stream: IO[bytes]) -> Message:
    """Receives one message.

    Raises:
        EOFError: If the other side has closed the stream.
    """
    head = json.loads(_whole(stream.readline(), None))
    arrays = []
    for dtype, shape in head["forms"]:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        arrays.append(np.frombuffer(_whole(stream.read(size), size), dtype).reshape(shape))
    return head["facts"], arrays


def _whole(data: bytes, size: int | None) -> bytes:
    if not data.endswith(b"\n") if size is None else len(data) < size:
        raise EOFError
    return data


def serve(answer: Callable[..., Message]) -> None:
    """Answers the requests on standard input, one after the other, until it ends.

    It ends with the parent, however that ends; then this process does, in the middle of its work.

    Args:
        answer: Called with what `read` returns; its exceptions are sent to the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to handle
    # What libraries print must not get between the replies.
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    while True:
        try:
            facts, arrays = answer(*requests.get())
        except Exception as error:
            words = "".join(traceback.format_exception(error))
            facts, arrays = {"error": str(error) or type(error).__name__, "traceback": words}, ()
        write(replies, facts, arrays)


def _listen(requests: "queue.SimpleQueue[Message]") -> None:
    try:
        while True:
            requests.put(read(sys.stdin.buffer))
    finally:
        os._exit(0)
