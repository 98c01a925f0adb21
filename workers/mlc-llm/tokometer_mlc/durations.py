"""How long converting and compiling took here, to tell people before the next time. Only a help: any failure is silent."""

import json
import math
import os

from . import environ

#: Entries that are kept.
_KEPT = 200


def expected(step: str, device: str, layers: int, gigabytes: float) -> tuple[float, str]:
    """Seconds that a step will take, and where that is known from."""
    best = None
    for entry in _read():
        if (entry.get("step"), entry.get("device")) != (step, device):
            continue
        size, wanted = (entry.get("layers"), layers) if step == "compile" else (entry.get("gigabytes"), gigabytes)
        seconds = entry.get("seconds")
        if not all(isinstance(x, (int, float)) and x > 0 for x in (size, seconds)):
            continue
        distance = abs(math.log(max(wanted, 1e-3) / size))
        if best is None or distance <= best[0]:
            best = (distance, _scaled(step, seconds, size, wanted))
    if best is not None:
        return best[1], "as measured here before"
    return _guess(step, layers, gigabytes), "an estimate"


def remember(step: str, device: str, layers: int, gigabytes: float, seconds: float) -> None:
    """Keeps what a step took."""
    entry = {"step": step, "device": device, "layers": layers, "gigabytes": round(gigabytes, 4), "seconds": round(seconds, 1)}
    file = environ.cache_folder() / "durations.json"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_suffix(f".{os.getpid()}.tmp")
        aside.write_text(json.dumps([*_read(), entry][-_KEPT:], indent=0), encoding="utf-8")
        aside.replace(file)
    except OSError:
        pass


def words(seconds: float) -> str:
    """`40 s`, `3 min`."""
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _scaled(step: str, seconds: float, size: float, wanted: float) -> float:
    """From one size to another: converting grows with the bytes, compiling with the layers, both above a base."""
    share = _guess(step, wanted, wanted) / _guess(step, size, size)
    return seconds * share


def _guess(step: str, layers: float, gigabytes: float) -> float:
    """On two cores a compilation took about 100 s for 4 layers and 200 s for 16, a conversion 10 s and 45 s per GB."""
    return 70.0 + 8.0 * layers if step == "compile" else 10.0 + 45.0 * gigabytes


def _read() -> list:
    try:
        entries = json.loads((environ.cache_folder() / "durations.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
