"""Trains the model: AdamW over the tasks and the prose, one seed, one thread.

    python train.py --out run            # continues where a run in that folder stopped
"""

import argparse
import json
import os
import pathlib
import platform
import time

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import jax
import jax.numpy as jnp
import numpy as np

import data
import layout
import model

TEXT_WEIGHT = 0.5
# Step and share of the highest learning rate. Batches are small: what the high rate leaves undone, the low one does.
SCHEDULE = [(0, 0.0), (100, 1.0), (781, 1.0), (1101, 5 / 13), (1650, 0.35), (2100, 0.0)]
STEPS = SCHEDULE[-1][0]
BETAS = (0.9, 0.98)
WEIGHT_DECAY = 0.05
CLIP = 1.0
NAMES = ["arithmetic", "letters", "choice", "text"]


def loss(weights, batch):
    """Cross-entropy per token, averaged over the kinds of rows, so that short answers count as much as long ones, plus
    that of the text where the batch has any; and the mean of each part of the batch."""
    means = []
    for ids, weight in batch:
        scores = jax.nn.log_softmax(model.logits(layout.CONFIG, weights, ids[:, :-1]))
        picked = jnp.take_along_axis(scores, ids[:, 1:, None], axis=-1)[..., 0]
        means.append(-(picked * weight).sum() / weight.sum())
    kinds = len(data.ROWS)
    return sum(means[:kinds]) / kinds + TEXT_WEIGHT * sum(means[kinds:]), jnp.stack(means)


def rate_at(step, peak):
    """Learning rate: a straight line between the knots of the schedule."""
    steps, rates = zip(*SCHEDULE)
    return np.float32(peak * np.interp(step + 1, steps, rates))


@jax.jit
def update(weights, first, second, batch, step, rate):
    """One step of AdamW (Loshchilov and Hutter, 2019) with clipped gradients; vectors are not decayed."""
    (_, means), gradient = jax.value_and_grad(loss, has_aux=True)(weights, batch)
    size = jnp.sqrt(sum((g * g).sum() for g in gradient.values()))
    scale = jnp.minimum(1.0, CLIP / (size + 1e-6))
    new = ({}, {}, {})
    for name, g in gradient.items():
        g = g * scale
        m = BETAS[0] * first[name] + (1 - BETAS[0]) * g
        v = BETAS[1] * second[name] + (1 - BETAS[1]) * g * g
        step_size = (m / (1 - BETAS[0] ** (step + 1))) / (jnp.sqrt(v / (1 - BETAS[1] ** (step + 1))) + 1e-8)
        decay = WEIGHT_DECAY * weights[name] if weights[name].ndim == 2 else 0.0
        new[0][name], new[1][name], new[2][name] = weights[name] - rate * (step_size + decay), m, v
    return *new, means, size


def save(path, state, step, cpu_seconds):
    """Writes a checkpoint, whole or not at all."""
    arrays = {f"{i} {name}": np.asarray(x) for i, part in enumerate(state) for name, x in part.items()}
    partial = path.with_name("partial.npz")
    np.savez(partial, step=step, cpu_seconds=cpu_seconds, **arrays)
    os.replace(partial, path)


def load(path, seed):
    """The state (weights, first and second moments), the next step, and the processor time spent so far."""
    if not path.is_file():
        weights = model.initial(layout.CONFIG, seed)
        return (weights, *({name: np.zeros_like(w) for name, w in weights.items()} for _ in range(2))), 0, 0.0
    with np.load(path) as file:
        parts = [{n[2:]: file[n] for n in file.files if n.startswith(f"{i} ")} for i in range(3)]
        return tuple(parts), int(file["step"]), float(file["cpu_seconds"]) if "cpu_seconds" in file.files else 0.0


def processor():
    """The processor's name, as Linux tells it."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the checkpoint and the log")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--until", type=int, help="stop after this step")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint = args.out / "checkpoint.npz"
    state, step, spent = load(checkpoint, args.seed)
    source = data.Data(args.seed)
    state = jax.tree.map(jnp.asarray, state)
    recent = []
    began, seconds = step, time.monotonic()
    log_path = args.out / "log.jsonl"
    lines = log_path.read_text(encoding="utf-8").splitlines(True) if log_path.is_file() else []
    log_path.write_text("".join(line for line in lines if json.loads(line)["step"] <= step), encoding="utf-8")
    with open(log_path, "a", encoding="utf-8") as log:
        while step < min(STEPS, args.until or STEPS):
            rate = rate_at(step, args.rate)
            batch = source.step(step)
            *state, means, size = update(*state, batch, jnp.float32(step), rate)
            recent.append(np.pad(means, (0, 1), constant_values=np.nan)[: len(NAMES)])
            step += 1
            if step % 20 == 0:
                per_step = (time.monotonic() - seconds) / (step - began)
                average = np.nanmean(recent[-20:], axis=0)
                entry = {"step": step, **{n: round(float(x), 4) for n, x in zip(NAMES, average)}}
                entry |= {"gradient": round(float(size), 3), "seconds_per_step": round(per_step, 3)}
                entry["cpu_seconds"] = round(spent + time.process_time(), 1)
                print(json.dumps(entry), file=log, flush=True)
            if step % 200 == 0:
                save(checkpoint, state, step, spent + time.process_time())
    save(checkpoint, state, step, spent + time.process_time())
    if step == STEPS:
        command = f"python train.py --out run --rate {args.rate} --seed {args.seed}"
        about = {"command": command, "seed": args.seed, "steps": STEPS}
        about |= {"cpu_seconds": round(spent + time.process_time()), "cpu": processor()}
        about |= {"python": platform.python_version(), "jax": jax.__version__, "numpy": np.__version__}
        (args.out / "training.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
