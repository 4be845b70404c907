#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The PyTorch peer of a training step: GPT-2 style, AdamW, the library's fused attention, eager or compiled.

    python3 bench/peers/gpt_step.py --layers 12 --width 768 --heads 12 --context 1024 --batch 64 \
        --vocabulary 50304 --device cuda --dtype bfloat16 [--compile] [--threads 2]

Prints one JSON line: tokens per second (median over steps after the warm-up), milliseconds, MFU by 6N + 12LdT against
989.5 TFLOP/s on a GPU, peak memory. float32 masters with autocast for bfloat16, gradient clipping off.
"""
import argparse
import json
import statistics
import sys
import time

import torch
import torch.nn as nn
import torch.nn.functional as F


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).split(width, 2)
        q, k, v = (t.view(batch, length, self.heads, -1).transpose(1, 2) for t in (q, k, v))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(mixed.transpose(1, 2).reshape(batch, length, width))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self, a):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(a.vocabulary, a.width), nn.Embedding(a.context, a.width)
        self.blocks = nn.ModuleList(Block(a.width, a.heads) for _ in range(a.layers))
        self.norm = nn.LayerNorm(a.width)
        self.head = nn.Linear(a.width, a.vocabulary, bias=False)
        self.head.weight = self.wte.weight
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)

    def forward(self, tokens, targets):
        x = self.wte(tokens) + self.wpe.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.loss(x, targets)

    def loss(self, x, targets):
        return F.cross_entropy(self.head(self.norm(x)).flatten(0, 1).float(), targets.flatten())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("layers", 4), ("width", 128), ("heads", 4), ("context", 256), ("batch", 16), ("vocabulary", 69),
                          ("threads", 0), ("steps", 20), ("warmup", 5), ("micro", 0)):
        parser.add_argument("--" + name, type=int, default=default)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--clip", type=float, default=0.0)
    parser.add_argument("--serve", action="store_true", help="a line on stdin, eager or compiled, is one run; its JSON line follows")
    parser.add_argument("--park", action="store_true", help="between runs weights and states wait in host memory")
    a = parser.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    torch.set_float32_matmul_precision("high")
    torch.manual_seed(0)
    cuda = a.device == "cuda"
    model = Gpt(a).to(a.device)
    count = sum(p.numel() for p in model.parameters())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    runs = {"eager": model}
    data = torch.randint(0, min(a.vocabulary, 50257), (a.batch, a.context + 1), device=a.device)
    micro = a.micro or a.batch

    def step(run):
        for rows in data.split(micro):
            with torch.autocast(a.device, dtype=torch.bfloat16, enabled=a.dtype == "bfloat16"):
                loss = run(rows[:, :-1], rows[:, 1:]) * (len(rows) / a.batch)
            loss.backward()
        if a.clip:
            nn.utils.clip_grad_norm_(model.parameters(), a.clip)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def move(place):
        for p in model.parameters():
            p.data = p.data.to(place)
            optimizer.state[p] = {k: v.to(place) for k, v in optimizer.state[p].items()}

    def measure(kind):
        if a.park:
            move(a.device)
        if kind not in runs:
            runs[kind] = torch.compile(model)
        run = runs[kind]
        for _ in range(a.warmup):
            step(run)
        times = []
        if cuda:
            torch.cuda.reset_peak_memory_stats()
            torch.cuda.synchronize()
            begin = time.perf_counter()
            for _ in range(a.steps):
                step(run)
            torch.cuda.synchronize()
            times = [(time.perf_counter() - begin) / a.steps]
        else:
            for _ in range(a.steps):
                begin = time.perf_counter()
                step(run)
                times.append(time.perf_counter() - begin)
        seconds = statistics.median(times)
        tokens = a.batch * a.context / seconds
        flops = 6 * count + 12 * a.layers * a.width * a.context
        return {"peer": f"pytorch {torch.__version__} {kind}", "parameters": count, "tokens_per_second": tokens,
                "milliseconds": seconds * 1e3, "mfu": tokens * flops / 989.5e12 if cuda else None,
                "peak_bytes": torch.cuda.max_memory_allocated() if cuda else None}

    def rest():  # others measure meanwhile
        optimizer.zero_grad(set_to_none=True)
        if a.park:
            move("cpu")
        if cuda:
            torch.cuda.empty_cache()

    for line in sys.stdin if a.serve else ["compiled" if a.compile else "eager"]:
        try:
            found = measure(line.strip())
        except torch.OutOfMemoryError as error:
            if not a.serve:
                raise
            found = {"peer": line.strip(), "failure": str(error), "tokens_per_second": float("nan"), "peak_bytes": 0}
        rest()
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
