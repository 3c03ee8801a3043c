"""Runs exported files with LiteRT's ARM kernels, without a phone, and compares with this machine.

An aarch64 Python and the aarch64 wheels of ai-edge-litert and NumPy run under QEMU's user emulation
of a Cortex-A76. They come from Debian's packages and from PyPI into `--work`, nothing is installed.
Each file is asked the same seeded samples on both machines; what it stores is compared.

    python tools/arm64_check.py --low=0 --high=255 /tmp/benchmark_export/resnet8/{float,int}*.tflite

Where it cannot set itself up (no Debian on x86-64, no network) it says why and exits with 0.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import json
import platform
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import numpy as np
from absl import app, flags

from keras_kd.runtimes.litert import Runner

_WORK = flags.DEFINE_string("work", "/tmp/arm64_check", "Folder for the emulated system.")
_LOW = flags.DEFINE_float("low", -1.0, "Lowest value of the samples.")
_HIGH = flags.DEFINE_float("high", 1.0, "Highest value of the samples.")
_IDS = flags.DEFINE_integer("ids", 2, "Token ids from 0 on, for inputs of whole numbers.", 1)
_SAMPLES = flags.DEFINE_integer("samples", 20, "Samples for each file.", 1)
_RESULT = flags.DEFINE_string("result", None, "JSON file to write the comparison to.")

PYTHONS = ("3.11", "3.13", "3.12")  # Debian's, one for each of its releases
LIBRARIES = "libc6 libgcc-s1 libstdc++6 zlib1g libexpat1 libffi8 libbz2-1.0 liblzma5".split()  # noqa: SIM905
WHEELS = ("numpy<2.4", "flatbuffers", "protobuf", "tqdm", "typing-extensions", "backports-strenum")
PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux2014", "manylinux_2_17")
# The default CPU of QEMU gives wrong results in int8.
CPU = "cortex-a76"
# What LiteRT asks the system about its processor, and QEMU answers from the host.
SYSTEM_FILES = {
    "sys/devices/system/cpu/possible": "0\n",
    "sys/devices/system/cpu/present": "0\n",
    "proc/cpuinfo": (
        "processor\t: 0\nFeatures\t: fp asimd aes pmull sha1 sha2 crc32 atomics fphp asimdhp "
        "cpuid asimdrdm lrcpc dcpop asimddp\nCPU implementer\t: 0x41\nCPU architecture: 8\n"
        "CPU variant\t: 0x3\nCPU part\t: 0xd0b\nCPU revision\t: 1\n"
    ),
}
RUN = """
import platform, sys
import numpy as np
from ai_edge_litert.interpreter import Interpreter
file, samples, answers = sys.argv[1:]
run = Interpreter(model_path=file, num_threads=1).get_signature_runner()
with np.load(samples) as data:
    inputs = {name: data[name] for name in data.files}
size = next(iter(run.get_input_details().values()))["shape"][0]
batches = [
    run(**{name: array[i : i + size] for name, array in inputs.items()})
    for i in range(0, len(next(iter(inputs.values()))), size)
]
np.savez(answers, **{name: np.concatenate([b[name] for b in batches]) for name in batches[0]})
print(platform.machine(), np.__version__)
"""


class CannotSetUpError(Exception):
    """The emulated system cannot be had here."""


def do(*command, cwd=None):
    """Runs a command, and says what went wrong."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CannotSetUpError(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        raise CannotSetUpError(f"{' '.join(map(str, command[:9]))} ...: {done.stderr[-300:]}")


def emulated(work):
    """Returns the command that starts the emulated Python, after it has been made once."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise CannotSetUpError(f"this is {platform.system()} on {platform.machine()}")
    done, root = work / "python_version", work / "root"
    if not done.exists():
        shutil.rmtree(work, ignore_errors=True)
        root.mkdir(parents=True)
        qemu(work)
        version = debian(work, root)
        wheels(work, version)
        for name, text in SYSTEM_FILES.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        done.write_text(version)
    emulator = work / "host" / "usr" / "bin" / "qemu-aarch64-static"
    site = f"PYTHONPATH={work / 'site'}"
    python = root / "usr" / "bin" / f"python{done.read_text()}"
    return [str(x) for x in (emulator, "-cpu", CPU, "-L", root, "-E", site, python)]


def qemu(work):
    packages = work / "host_packages"
    packages.mkdir()
    do("apt-get", "download", "qemu-user-static", cwd=packages)
    unpack(packages, work / "host")


def debian(work, root):
    """Unpacks an aarch64 Python, whose lists of packages are kept apart from this machine's."""
    for folder in ("state/lists/partial", "cache/archives/partial", "packages"):
        (work / folder).mkdir(parents=True)
    (work / "state" / "status").write_text("")
    apart = {"State": "state", "State::status": "state/status", "Cache": "cache"}
    options = ["APT::Architecture=arm64", "APT::Architectures::=arm64"]
    options += [f"Dir::{name}={work / path}" for name, path in apart.items()]
    apt = ["apt-get", *(part for option in options for part in ("-o", option))]
    do(*apt, "update")
    do(*apt, "download", *LIBRARIES, cwd=work / "packages")
    for version in PYTHONS:
        names = [f"python{version}-minimal", f"libpython{version}-minimal"]
        try:
            do(*apt, "download", *names, f"libpython{version}-stdlib", cwd=work / "packages")
        except CannotSetUpError:
            continue
        unpack(work / "packages", root)
        return version
    raise CannotSetUpError(f"Debian has none of the Pythons {PYTHONS}")


def unpack(packages, target):
    for package in packages.glob("*.deb"):
        do("dpkg-deb", "-x", package, target)


def wheels(work, version):
    litert = f"ai-edge-litert=={metadata.version('ai-edge-litert')}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += [part for name in PLATFORMS for part in ("--platform", f"{name}_aarch64")]
    command += ["--implementation", "cp", "--python-version", version, "-d", work / "wheels"]
    do(*command, litert, *WHEELS)
    for wheel in (work / "wheels").glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(work / "site")


def answers_of(python, file, samples, target):
    done = subprocess.run(
        [*python, "-c", RUN, str(file), str(samples), str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{file} must run on both machines: {done.stderr[-2000:]}")
    with np.load(target) as data:
        return done.stdout.split()[-2:], {name: data[name] for name in data.files}


def drawn(tensor, random):
    """Returns seeded samples in the form that a file stores, in whole batches."""
    count = -(-_SAMPLES.value // (tensor.shape[0] or 1)) * (tensor.shape[0] or 1)
    shape = (count, *tensor.shape[1:])
    if tensor.scale is None and np.dtype(tensor.dtype).kind in "iu":
        return random.integers(0, _IDS.value, shape).astype(tensor.dtype)
    values = random.uniform(_LOW.value, _HIGH.value, shape)
    return tensor.stored(values).astype(tensor.dtype)


def compared(file, python, work):
    """Returns how far the answers of the two machines are apart, of the worst output."""
    random, inputs = np.random.default_rng(0), Runner(file.read_bytes()).inputs
    arrays = {tensor.name: drawn(tensor, random) for tensor in inputs}
    samples = work / "samples.npz"
    np.savez(samples, **arrays)
    machines = {}
    for name, command in (("here", [sys.executable]), ("arm", python)):
        machines[name] = answers_of(command, file, samples, work / f"{name}.npz")
    (machine, numpy_version), _ = machines["arm"]
    assert machine == "aarch64", machine
    pairs = [
        (np.float64(machines["here"][1][k]), np.float64(x)) for k, x in machines["arm"][1].items()
    ]
    return {
        "numpy": numpy_version,
        "dtypes": sorted({array.dtype.name for array in machines["arm"][1].values()}),
        "bit_identical": all(np.array_equal(a, b) for a, b in pairs),
        "largest_difference": max(float(np.abs(a - b).max()) for a, b in pairs),
        "relative_error": max(float(np.linalg.norm(a - b) / np.linalg.norm(a)) for a, b in pairs),
        "argmax_agreement": min(float(np.mean(a.argmax(-1) == b.argmax(-1))) for a, b in pairs),
    }


def main(arguments):
    files, work = [Path(name).resolve() for name in arguments[1:]], Path(_WORK.value).resolve()
    if not files:
        raise app.UsageError("name .tflite files that keras_kd has exported")
    try:
        python = emulated(work)
    except CannotSetUpError as error:
        print(f"skipped: {error}")
        return
    results = {}
    for file in files:
        results[file.name] = row = compared(file, python, work)
        print(file.name, json.dumps(row), flush=True)
    if _RESULT.value:
        record = {
            "emulated": f"{CPU} under qemu-user-static",
            "samples": _SAMPLES.value,
            "range": [_LOW.value, _HIGH.value],
            "ids": _IDS.value,
            "ai-edge-litert": metadata.version("ai-edge-litert"),
            "files": results,
        }
        Path(_RESULT.value).write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    app.run(main)
