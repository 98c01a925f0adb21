"""Trains the model: AdamW over the tasks and the prose, one seed, one thread.

    python train.py --out run            # continues where a run in that folder stopped
"""

import argparse
import json
import os
import pathlib
import time

os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import jax
import jax.numpy as jnp
import numpy as np

import data
import layout
import model

TEXT_WEIGHT = 0.3
WARM_UP = 100
BETAS = (0.9, 0.98)
WEIGHT_DECAY = 0.05
CLIP = 1.0
NAMES = ["arithmetic", "letters", "choice", "text"]


def loss(weights, batch):
    """Mean cross-entropy of the answers' tokens plus that of the text, and the mean of each part of the batch."""
    sums, counts = [], []
    for ids, weight in batch:
        scores = jax.nn.log_softmax(model.logits(layout.CONFIG, weights, ids[:, :-1]))
        picked = jnp.take_along_axis(scores, ids[:, 1:, None], axis=-1)[..., 0]
        sums.append(-(picked * weight).sum())
        counts.append(weight.sum())
    kinds = len(data.ROWS)
    means = jnp.stack([s / c for s, c in zip(sums, counts)])
    return sum(sums[:kinds]) / sum(counts[:kinds]) + TEXT_WEIGHT * sum(means[kinds:]), means


def rate_at(step, steps, peak):
    """Learning rate: linear warm-up, then level, then linear down to nothing over the last 40%."""
    return peak * jnp.minimum(jnp.minimum((step + 1) / WARM_UP, 1.0), (steps - step) / (0.4 * steps))


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


def save(path, state, step):
    """Writes a checkpoint, whole or not at all."""
    arrays = {f"{i} {name}": np.asarray(x) for i, part in enumerate(state) for name, x in part.items()}
    partial = path.with_name("partial.npz")
    np.savez(partial, step=step, **arrays)
    os.replace(partial, path)


def load(path, seed):
    """The state (weights, first and second moments) and the next step."""
    if not path.is_file():
        weights = model.initial(layout.CONFIG, seed)
        return (weights, *({name: np.zeros_like(w) for name, w in weights.items()} for _ in range(2))), 0
    with np.load(path) as file:
        parts = [{n[2:]: file[n] for n in file.files if n.startswith(f"{i} ")} for i in range(3)]
        return tuple(parts), int(file["step"])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder of the checkpoint and the log")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--until", type=int, help="stop after this step")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint = args.out / "checkpoint.npz"
    state, step = load(checkpoint, args.seed)
    source = data.Data(args.seed)
    state = jax.tree.map(jnp.asarray, state)
    recent = []
    began, seconds = step, time.monotonic()
    with open(args.out / "log.jsonl", "a", encoding="utf-8") as log:
        while step < min(args.steps, args.until or args.steps):
            rate = rate_at(step, args.steps, args.rate)
            batch = source.step(step)
            *state, means, size = update(*state, batch, jnp.float32(step), rate)
            recent.append(np.pad(means, (0, 1), constant_values=np.nan)[: len(NAMES)])
            step += 1
            if step % 20 == 0:
                per_step = (time.monotonic() - seconds) / (step - began)
                average = np.nanmean(recent[-20:], axis=0)
                entry = {"step": step, **{n: round(float(x), 4) for n, x in zip(NAMES, average)}}
                entry |= {"gradient": round(float(size), 3), "seconds_per_step": round(per_step, 3)}
                print(json.dumps(entry), file=log, flush=True)
            if step % 200 == 0:
                save(checkpoint, state, step)
    save(checkpoint, state, step)


if __name__ == "__main__":
    main()
