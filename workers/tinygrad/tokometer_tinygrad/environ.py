"""The environment that tinygrad reads once, when it is imported: device, threads, compiler, kernel cache.

Nothing here imports tinygrad. What the user has set stays: a variable is only given a value that it does not have.
"""

import ctypes.util
import hashlib
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tokometer_worker import Failed

#: That there is no compiler, and what mends it.
NO_CLANG = (
    "tinygrad compiles its CPU kernels with Clang, and none was found. Install it (Debian and Ubuntu: `apt-get install "
    "clang`; Fedora: `dnf install clang`; macOS: `xcode-select --install`), or set CC to the path of one"
)
#: Device nodes and libraries by which a GPU shows itself: tinygrad's name, what to look for, words.
_GPUS = (
    ("METAL", "/System/Library/Frameworks/Metal.framework", None, "Metal"),
    ("AMD", "/dev/kfd", None, "AMD GPU"),
    ("CUDA", "/dev/nvidia0", "cuda", "NVIDIA GPU"),
)


@dataclass(frozen=True)
class Compiler:
    """A Clang: its path and the first line of its `--version`."""

    path: str
    version: str


def tinygrad_version() -> str:
    """The version of the installed tinygrad, without importing it."""
    try:
        return metadata.version("tinygrad")
    except metadata.PackageNotFoundError:
        raise Failed("unsupported", "tinygrad is not installed in this worker's environment: "
                     "`pip install --no-deps --require-hashes -r workers/tinygrad/requirements.txt`") from None


def before_0_14() -> bool:
    """Whether the installed tinygrad is older than 0.14. What differs once it is imported: `versions`."""
    return tuple(int(part) for part in tinygrad_version().split(".")[:2]) < (0, 14)


def compiler() -> Compiler | None:
    """The Clang in use: `CC`, `clang` or the newest `clang-N` on the PATH, or one that the set-up put beside Python."""
    beside = str(Path(sys.executable).with_name("clang"))
    names = [os.environ["CC"]] if os.environ.get("CC") else ["clang", *(f"clang-{n}" for n in range(30, 12, -1)), beside]
    for path in filter(None, map(shutil.which, names)):
        try:
            ran = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=20, stdin=subprocess.DEVNULL)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if ran.returncode == 0 and "clang" in ran.stdout:
            return Compiler(path, ran.stdout.splitlines()[0].strip())
    return None


def processor() -> str:
    """The CPU in words."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def available_threads() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def devices() -> list:
    """Devices for the handshake, best first; only looked for, none is opened."""
    found = []
    for name, node, library, words in _GPUS:
        if os.path.exists(node) and (library is None or ctypes.util.find_library(library)):
            found.append({"name": name, "description": _nvidia() or words if name == "CUDA" else words, "kind": "gpu"})
    return [*found, {"name": "CPU", "description": processor(), "kind": "cpu"}]


def _nvidia() -> str | None:
    """The name of the first NVIDIA GPU."""
    try:
        ran = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True,
                             text=True, timeout=20, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = ran.stdout.splitlines()
    return lines[0].strip() if ran.returncode == 0 and lines else None


@dataclass(frozen=True)
class Settings:
    """What is fixed once tinygrad is imported. `device` may name a renderer, as `CPU:LLVM`; None: tinygrad chooses."""

    device: str | None
    threads: int
    beam: int = 0

    @property
    def on_cpu(self) -> bool:
        """Whether the CPU computes."""
        return self.device is not None and self.device.split(":")[0] == "CPU"

    @property
    def needs_clang(self) -> bool:
        """Whether kernels are compiled by a Clang executable."""
        return self.on_cpu and self.device.split(":")[1:2] in ([], [""], ["CLANGJIT"])


def choose(device: str | None, threads: int | None, beam: int) -> Settings:
    """The settings for a load: the CPU where no GPU shows itself and none is asked for."""
    device = device or os.environ.get("DEV") or None
    if device is None and len(devices()) == 1:
        device = "CPU"
    return Settings(device.upper() if device and device.count(":") < 2 else device, threads or available_threads(), beam)


def prepare(settings: Settings, clang: Compiler | None) -> None:
    """Sets the environment for an import of tinygrad with these settings."""
    # From 0.14 on, the CPU's runtime compiles small programs of its own with Clang, whatever compiles the kernels.
    if clang is None and (settings.needs_clang or (settings.on_cpu and not before_0_14())):
        raise Failed("unsupported", NO_CLANG)
    if settings.device:
        os.environ["DEV"] = settings.device
    if clang:
        os.environ["CC"] = clang.path
    os.environ["CPU_COUNT"] = os.environ["NUM_CPU_THREADS"] = str(settings.threads)  # its name until 0.13 and from 0.14 on
    os.environ["PARALLEL"] = "0"  # a pool of compiling processes would outlive this one
    if settings.beam:
        os.environ["JITBEAM"] = str(settings.beam)  # for recorded functions only, not while loading
    wanted = {
        "CACHEDB": str(cache_file(settings, clang)),
        "ALIGNED": "0",  # vectors of 64 bytes may lie at any float
        "SPEC": "0",  # the checker of generated programs does not know vectors in custom nodes
        "JIT_BATCH_SIZE": "0" if settings.on_cpu else "32",  # on a CPU all kernels of a step are one submission
        "TRACEMETA": "0",
    }
    for name, value in wanted.items():
        os.environ.setdefault(name, value)


def cache_file(settings: Settings, clang: Compiler | None) -> Path:
    """The kernel cache: one file per tinygrad, compiler and machine, since its keys name none of them."""
    root = os.environ.get("TOKOMETER_CACHE")
    folder = Path(root) / "tinygrad" if root else Path.home() / ".cache" / "tokometer" / "tinygrad"
    folder.mkdir(parents=True, exist_ok=True)
    what = (clang.version if clang else "none", clang.path if clang else "", processor(), platform.machine(), _flags())
    mark = hashlib.sha256("\n".join(what).encode()).hexdigest()[:12]
    return folder / f"kernels-{tinygrad_version()}-{mark}.db"


def _flags() -> str:
    """The CPU's features, for which kernels are compiled."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:
        return ""
