"""Writes a raw log for every case of a sweep's plan: sweep_logs.py LOG PLAN FOLDER.

Each is a copy of LOG under a uuid, with the case, workload and settings of its own, times that fit these, and a closing line
whose sha256 is right.
"""

import hashlib
import json
import os
import random
import re
import sys


def read(path: str) -> tuple[dict[str, str], list[dict]]:
    """Header and events of a log, without its closing line."""
    with open(path, encoding="utf-8") as file:
        header, body = file.read().split("\n\n", 1)
    pairs = dict(line.split(": ", 1) for line in header.split("\n"))
    return pairs, [json.loads(line) for line in body.rstrip("\n").split("\n")][:-1]


def scaled(generated: dict, workload: dict, factor: float) -> dict:
    """A pass over this workload that takes that many times as long."""
    times = {key: [int(ns * factor) for ns in generated[key]] for key in ("done_ns", "enqueued_ns") if key in generated}
    own = {"prompt_tokens": workload["prompt_tokens"], "context_tokens": workload["depth"]}
    return {**generated, **own, **times}


def log_of(planned: dict, header: dict[str, str], events: list[dict], uuid: str, seed: int) -> bytes:
    """The log of a planned case."""
    case, chance = planned["case"], random.Random(seed)
    workload, threads = case["workload"], case["settings"]["threads"] or 1
    # `mock-4` has four bits; the mock engine's models have 10^9 parameters.
    bits = int(case["native"].rsplit("-", 1)[-1])
    pace = bits / 8 * (1 + workload["depth"] / 500) / threads**0.8
    own = {
        "quantize": case["quantize"],
        "native_quantize": case["native"],
        "uuid": uuid,
        "case": planned["hash"],
        "sweep_case": planned["hash"],
        **{key: str(value) for key, value in workload.items()},
    }
    lines = [f"{key}: {value}" for key, value in {**header, **own}.items() if key not in ("bits_per_weight", "weights_bytes")]
    lines.append("")
    weights = bits * 125_000_000
    loaded = {"native_quantize": case["native"], "threads": threads, "weights_bytes": weights, "weights_read_bytes": weights}
    for event in events:
        if event["event"] == "plan":
            event = {**event, "case": case}
        elif event["event"] == "load":
            event = {**event, "loaded": {**event["loaded"], **loaded}}
        elif event["event"] in ("warmup", "repetition"):
            generated = scaled(event["generated"], workload, pace * chance.uniform(0.99, 1.01))
            event = {**event, "generated": generated}
        lines.append(json.dumps(event, ensure_ascii=False, separators=(",", ":")))
    body = ("\n".join(lines) + "\n").encode()
    end = {"event": "end", "status": "ok", "events": len(events), "sha256": hashlib.sha256(body).hexdigest()}
    return body + json.dumps(end, separators=(",", ":")).encode() + b"\n"


def main() -> None:
    source, plan, folder = sys.argv[1:]
    header, events = read(source)
    name = re.sub(r"_[^_]+_seed(\d+)_uuid[0-9a-f]{8}", r"_{}_seed\1_uuid{}", os.path.basename(source))
    with open(plan, encoding="utf-8") as file:
        cases = [planned for block in json.load(file)["blocks"] for planned in block["cases"]]
    os.makedirs(folder, exist_ok=True)
    for number, planned in enumerate(cases, 1):
        # A multiplication by an odd number modulo 2^32 never gives the same twice.
        uuid = f"{number * 2654435761 % 2**32:08x}"
        with open(os.path.join(folder, name.format(planned["case"]["quantize"], uuid)), "wb") as file:
            file.write(log_of(planned, header, events, uuid, number))


if __name__ == "__main__":
    main()
