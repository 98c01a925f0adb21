"""What there is: versions, the processor, and the environment variables that MLC-LLM and TVM read when they are imported.

Nothing here imports them.
"""

import ctypes
import hashlib
import importlib.util
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from tokometer_worker import Failed

#: Distributions that carry TVM, by the names of their metadata folders.
_TVM = re.compile(r"^(?:apache_tvm|tvm|mlc_ai(?:_nightly)?(?:_[a-z0-9]+)?)-([^-]+)\.(?:dist|egg)-info$", re.IGNORECASE)
_MLC = re.compile(r"^mlc_llm(?:_[a-z0-9]+)*-([^-]+)\.(?:dist|egg)-info$", re.IGNORECASE)
_VERSION = re.compile(r"""^__version__\s*(?::\s*\w+\s*)?=\s*["']([^"']+)["']""", re.MULTILINE)

#: Changes when the worker calls MLC-LLM's tools in another way: what was prepared before is then made anew.
RECIPE = "1"


def require() -> Path:
    """The folder of the package, without importing it."""
    folder = _package("mlc_llm")
    if folder is None or not (folder / "serve").is_dir():
        raise Failed("unsupported", f"{sys.executable} has no MLC-LLM; see https://llm.mlc.ai/docs/install/mlc_llm.html")
    return folder


def mlc_version() -> str:
    """The version of MLC-LLM: that of the installed distribution, else what its source says."""
    return _installed(_MLC) or _written(require() / "libinfo.py") or "unknown"


def tvm_version() -> str:
    """The version of the TVM that it compiles with."""
    found = _installed(_TVM)
    folder = _package("tvm")
    if found is None and folder is not None:
        found = next(filter(None, (_written(folder / name) for name in ("libinfo.py", "_version.py", "version.py"))), None)
    return found or "unknown"


def processor() -> str:
    """The processor with a mark of its features: compiled code for one may not run on another."""
    name = flags = ""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            for line in file:
                key, _, value = line.partition(":")
                if key.strip() == "model name" and not name:
                    name = value.strip()
                elif key.strip() in ("flags", "Features") and not flags:
                    flags = value.strip()
    except OSError:
        name = _asked("sysctl", "-n", "machdep.cpu.brand_string")
    mark = hashlib.sha256(" ".join(sorted(flags.split())).encode()).hexdigest()[:8] if flags else ""
    return f"{name or platform.machine()}{f' (features {mark})' if mark else ''}"


def available_threads() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def variables(threads: int) -> dict:
    """What this process and every child of it is to see.

    TVM's own default is half of the cores, and it pins its threads to them. Nothing may be compiled or downloaded behind
    our back: what was compiled is said, and measured.
    """
    wanted = {"TVM_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
    for name, value in {"TVM_BIND_THREADS": "0", "MLC_JIT_POLICY": "OFF", "MLC_DOWNLOAD_CACHE_POLICY": "OFF"}.items():
        wanted[name] = os.environ.get(name, value)
    return wanted


def cache_folder() -> Path:
    """Where the worker remembers things between runs."""
    root = os.environ.get("TOKOMETER_CACHE")
    return (Path(root) if root else Path.home() / ".cache" / "tokometer") / "mlc_llm"


#: Looked up here because nothing may be loaded between fork and exec.
_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def die_with_parent() -> None:
    """To be called in a child before it becomes the program: a worker that is killed must not leave it behind."""
    if _PRCTL:
        pr_set_pdeathsig, sigkill = 1, 9
        _PRCTL(pr_set_pdeathsig, sigkill, 0, 0, 0)


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    places = list((spec and spec.submodule_search_locations) or [])
    return Path(places[0]) if places else None


def _installed(pattern: re.Pattern) -> str | None:
    for place in sys.path:
        try:
            names = sorted(os.listdir(place or "."))
        except OSError:
            continue
        for match in filter(None, map(pattern.match, names)):
            return match.group(1)
    return None


def _written(file: Path) -> str | None:
    try:
        match = _VERSION.search(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return None
    return match.group(1) if match else None


def _asked(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
