#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""GPT-2 124M beside PyTorch from the same weights on the same tokens: loss curves in float32 and bfloat16.

    python3 bench/same_mathematics.py build-cuda/ocoee [--steps 200] [--float32-steps 20] [--batch 2] [--seeds 3]

Prints: the largest relative difference of the losses in float32; in bfloat16 the largest difference from PyTorch's float32
curve, beside how far PyTorch's own bfloat16 curve and those of other seeds of initial weights lie from it; whether two
runs in deterministic mode have the same bits, and what that mode costs.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench/peers"))
from gpt_step import Gpt  # noqa: E402

LENGTH, TEXT, HELD_OUT, VOCABULARY, SEED = 1024, 1_000_000, 0.1, 50304, 1
MASK, MASK64 = 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF
RECIPE = """version = 1
[run]
device = "cuda"
log_every = 1
[task]
name = "text_lm"
files = ["text.txt"]
held_out = {held_out}
vocabulary = {vocabulary}
[model]
layers = 12
width = 768
heads = 12
context = {length}
[batch]
global = {batch}
micro = {batch}
[optimizer]
learning_rate = 3e-4
schedule = "constant"
clip = 0.0
[train]
"""


def mix(x):
    x = (x + 0x9E3779B97F4A7C15) & MASK64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK64
    return x ^ (x >> 31)


def philox(c, k):
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & MASK, (a >> 32) ^ c[3] ^ k[1], a & MASK]
        k = [(k[0] + 0x9E3779B9) & MASK, (k[1] + 0xBB67AE85) & MASK]
    return c


def place(sample, places):
    """Where window `sample` of the stream begins (src/data/windows.h)."""
    k = mix((mix(SEED ^ (3 << 32))) & MASK64)
    draws, draw = [], 0
    while True:
        if not draws:
            draws, draw = philox([sample & MASK, sample >> 32, draw, 0], [k & MASK, k >> 32]), draw + 1
        product = ((draws[0] << 32) | draws[1]) * places
        draws = draws[2:]
        if (product & MASK64) >= (1 << 64) % places:
            return product >> 64


def ours(program, folder, name, dtype, steps, deterministic):
    subprocess.run([program, "run", "recipe.toml", f"run.dir={name}", f"precision.compute={dtype}", f"train.steps={steps}",
                    f"run.deterministic={str(deterministic).lower()}"], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    rows = [json.loads(line) for line in (folder / name / "metrics.jsonl").open()]
    rows = [r for r in rows if r.get("kind") == "step"]
    rates = sorted(r["tokens_per_second"] for r in rows[len(rows) // 2:])
    return [r["loss"] for r in rows], rates[len(rates) // 2]


def load(model, weights):
    own = model.state_dict()
    own["wte.weight"].copy_(weights["wte.weight"])
    own["wpe.weight"].copy_(weights["wpe.weight"])
    own["norm.weight"].copy_(weights["final_norm.weight"])
    own["norm.bias"].copy_(weights["final_norm.bias"])
    for i in range(12):
        theirs = f"blocks.{i}."
        for kind in ("weight", "bias"):
            own[theirs + "qkv." + kind].copy_(torch.cat([weights[f"{theirs}attention.{p}.{kind}"] for p in "qkv"]))
            for mine, name in (("proj", "attention.o"), ("up", "mlp.up"), ("down", "mlp.down"), ("norm1", "norm1"),
                               ("norm2", "norm2")):
                own[f"{theirs}{mine}.{kind}"].copy_(weights[f"{theirs}{name}.{kind}"])


def pytorch(batches, steps, weights, seed, dtype):
    torch.manual_seed(seed)
    shape = argparse.Namespace(layers=12, width=768, heads=12, context=LENGTH, vocabulary=VOCABULARY)
    model = Gpt(shape)
    with torch.no_grad():
        if weights:
            load(model, weights)
    model.cuda()
    decaying = [p for p in model.parameters() if p.dim() > 1]
    rest = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW([{"params": decaying, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}], lr=3e-4,
                                  betas=(0.9, 0.95), eps=1e-8, fused=True)
    losses = []
    for data in batches[:steps]:
        with torch.autocast("cuda", dtype=torch.bfloat16, enabled=dtype == "bfloat16"):
            loss = model(data[:, :-1], data[:, 1:])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        losses.append(loss.detach())
    return torch.stack(losses).tolist()


def furthest(a, b, relative=False):
    return max(abs(x - y) / (abs(y) if relative else 1) for x, y in zip(a, b))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    for name, default in (("steps", 200), ("float32-steps", 20), ("batch", 2), ("seeds", 3)):
        parser.add_argument("--" + name, type=int, default=default)
    a = parser.parse_args()
    program = str(pathlib.Path(a.program).resolve())
    sources = sorted(p for p in (ROOT / "src").rglob("*") if p.suffix in (".cpp", ".h", ".cu"))
    text = b"".join(p.read_bytes() for p in sources)[:TEXT]
    assert len(text) == TEXT
    places = int(TEXT * (1 - HELD_OUT)) - LENGTH + 1
    batches = []
    for step in range(a.steps):
        rows = [[1] + [5 + c for c in text[at:at + LENGTH]]
                for at in (place(step * a.batch + i, places) for i in range(a.batch))]
        batches.append(torch.tensor(rows).cuda())
    memory = pathlib.Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch:
        folder = pathlib.Path(scratch)
        (folder / "text.txt").write_bytes(text)
        (folder / "recipe.toml").write_text(RECIPE.format(held_out=HELD_OUT, vocabulary=VOCABULARY, length=LENGTH, batch=a.batch))
        exact, _ = ours(program, folder, "float32", "float32", a.float32_steps, True)
        weights = {}
        for shard in (folder / "float32/checkpoints/step-0").glob("*.safetensors"):
            weights |= load_file(shard)
        fast, rate = ours(program, folder, "fast", "bfloat16", a.steps, False)
        once, slower = ours(program, folder, "once", "bfloat16", a.steps, True)
        again, _ = ours(program, folder, "again", "bfloat16", a.steps, True)
    torch.backends.cuda.matmul.allow_tf32 = False
    reference = pytorch(batches, a.steps, weights, 0, "float32")
    low = pytorch(batches, a.steps, weights, 0, "bfloat16")
    others = [pytorch(batches, a.steps, None, seed, "bfloat16") for seed in range(1, a.seeds + 1)]
    late = a.steps // 4  # other seeds begin elsewhere; they are compared once the first fall is over
    print(f"loss {reference[0]:.4f} to {reference[-1]:.4f} in {a.steps} steps of {a.batch} x {LENGTH} tokens")
    print(f"float32, {a.float32_steps} steps: ours differs from PyTorch by at most {furthest(exact, reference, True):.2e} of the loss")
    print(f"bfloat16, from PyTorch's float32 curve: ours {furthest(fast, reference):.4f}, PyTorch's {furthest(low, reference):.4f}; "
          f"from step {late} on ours {furthest(fast[late:], reference[late:]):.4f}, PyTorch's "
          f"{furthest(low[late:], reference[late:]):.4f}, its other seeds "
          + ", ".join(f"{furthest(o[late:], reference[late:]):.4f}" for o in others))
    print(f"deterministic: {'the same bits' if once == again else 'DIFFERENT BITS'} in two runs, "
          f"{slower:,.0f} tokens/s where it is {rate:,.0f} without")


if __name__ == "__main__":
    main()
