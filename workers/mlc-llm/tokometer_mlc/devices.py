"""The devices that TVM can use here. TVM is asked in a process of its own: importing it fixes things for ever."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

from tokometer_worker import Failed

from . import environ

#: What shows that a GPU may be there; without any of them TVM is not asked.
_SIGNS = ("/dev/nvidia0", "/dev/nvidiactl", "/dev/kfd", "/dev/dri", "/System/Library/Frameworks/Metal.framework")

_PROBE = """
import json, tvm
found = []
for kind in ("cuda", "rocm", "metal", "vulkan", "opencl"):
    for index in range(16):
        try:
            device = tvm.device(kind, index)
            if not device.exist:
                break
        except Exception:
            break
        entry = {"kind": kind, "index": index}
        for name in ("device_name", "total_global_memory"):
            try:
                entry[name] = getattr(device, name)
            except Exception:
                pass
        found.append(entry)
print("devices:" + json.dumps(found, default=str))
"""


@functools.cache
def devices() -> tuple:
    """The devices as the protocol describes them, best first; the processor is always there."""
    return tuple(map(_described, _gpus())) + ({"name": "cpu", "description": environ.processor(), "kind": "cpu"},)


def choose(asked: str | None) -> dict:
    """The device of that name, or the best one."""
    for device in devices():
        if asked is None or plain(device["name"]) == plain(asked):
            return device
    raise Failed("unsupported", f"there is no device {asked!r} here; MLC-LLM sees {', '.join(d['name'] for d in devices())}")


def plain(name: str) -> str:
    """A name as everybody may write it: `CUDA0`, `cuda:0` and `cuda` are one."""
    name = name.lower().replace(":", "")
    return name[:-1] if name.endswith("0") and not name[:-1].endswith(tuple("0123456789")) else name


def _gpus() -> list:
    if not any(Path(sign).exists() for sign in _SIGNS):
        return []
    env = {**os.environ, **environ.variables(1)}
    try:
        ran = subprocess.run([sys.executable, "-c", _PROBE], capture_output=True, text=True, timeout=50, env=env,
                             stdin=subprocess.DEVNULL, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"TVM could not be asked for devices: {error}", file=sys.stderr)
        return []
    sys.stderr.write(ran.stderr)
    line = next((line for line in ran.stdout.splitlines() if line.startswith("devices:")), "devices:[]")
    return json.loads(line.removeprefix("devices:"))


def _described(entry: dict) -> dict:
    index, kind = entry["index"], entry["kind"]
    device = {"name": kind if index == 0 else f"{kind}:{index}", "description": str(entry.get("device_name") or kind),
              "kind": "gpu"}
    memory = entry.get("total_global_memory")
    if isinstance(memory, int) and memory > 0:
        device["memory_bytes"] = memory
    return device
