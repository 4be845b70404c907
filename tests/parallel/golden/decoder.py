#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loss and gradients of small decoders in PyTorch float64, for tests/parallel/golden_test.cpp.

    python decoder.py > decoder.json     # torch 2.11.0

Written from the definitions, with autograd and no fused call. Weights, tokens and targets are formulas, so that the
file holds results only.
"""
import json
import math

import torch

VOCABULARY, CONTEXT, SAMPLES, WIDTH, LAYERS, HEADS = 13, 6, 3, 8, 2, 4
torch.set_default_dtype(torch.float64)


def parameters(style):
    """Names and shapes in the order of the model."""
    llama = style == "llama"
    kv, inner = (2, 12) if llama else (HEADS, 4 * WIDTH)
    head = WIDTH // HEADS
    shapes = {"wte.weight": (VOCABULARY, WIDTH)}
    if not llama:
        shapes["wpe.weight"] = (CONTEXT, WIDTH)

    def norm(name):
        shapes[f"{name}.weight"] = (WIDTH,)
        if not llama:
            shapes[f"{name}.bias"] = (WIDTH,)

    def linears(rows, columns, *names):
        for name in names:
            shapes[f"{name}.weight"] = (rows[name.split(".")[-1]], columns)
        for name in names if not llama else ():
            shapes[f"{name}.bias"] = (rows[name.split(".")[-1]],)

    for i in range(LAYERS):
        block = f"blocks.{i}"
        norm(f"{block}.norm1")
        rows = {"q": WIDTH, "k": kv * head, "v": kv * head, "o": WIDTH}
        linears(rows, WIDTH, *[f"{block}.attention.{n}" for n in "qkv"])
        linears(rows, WIDTH, f"{block}.attention.o")
        norm(f"{block}.norm2")
        rows = {"gate": inner, "up": inner, "down": WIDTH}
        linears(rows, WIDTH, *[f"{block}.mlp.{n}" for n in (["gate", "up"] if llama else ["up"])])
        linears(rows, inner, f"{block}.mlp.down")
    norm("final_norm")
    if llama:
        shapes["lm_head.weight"] = (VOCABULARY, WIDTH)
    return shapes


def weight(number, name, shape):
    """Element i of the parameter with this number; norm weights are about 1."""
    count = math.prod(shape)
    values = [0.25 * math.sin(0.7 * i + 1.3 * number) for i in range(count)]
    if "norm" in name and name.endswith("weight"):
        values = [1 + v for v in values]
    return torch.tensor(values).view(shape).requires_grad_(True)


def normalise(x, p, name, llama):
    if llama:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-5) * p[f"{name}.weight"]
    centred = x - x.mean(-1, keepdim=True)
    scale = torch.rsqrt(centred.square().mean(-1, keepdim=True) + 1e-5)
    return centred * scale * p[f"{name}.weight"] + p[f"{name}.bias"]


def rotate(t):
    """[B, heads, T, D]: pairs (i, i + D/2)."""
    half = t.shape[-1] // 2
    rates = 10000.0 ** (-torch.arange(half) * 2.0 / t.shape[-1])
    angles = torch.arange(t.shape[2]).unsqueeze(1) * rates
    a, b = t[..., :half], t[..., half:]
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)


def loss_of(style, p, tokens, targets, weights):
    llama = style == "llama"
    head = WIDTH // HEADS

    def linear(x, name):
        y = x @ p[f"{name}.weight"].T
        return y if llama else y + p[f"{name}.bias"]

    x = p["wte.weight"][tokens]
    if not llama:
        x = x + p["wpe.weight"][:CONTEXT]
    future = torch.ones(CONTEXT, CONTEXT, dtype=torch.bool).triu(1)
    for i in range(LAYERS):
        h = normalise(x, p, f"blocks.{i}.norm1", llama)
        q, k, v = (linear(h, f"blocks.{i}.attention.{n}").unflatten(-1, (-1, head)).transpose(1, 2) for n in "qkv")
        if llama:
            q, k = rotate(q), rotate(k)
        k, v = (t.repeat_interleave(HEADS // t.shape[1], 1) for t in (k, v))
        scores = (q @ k.transpose(2, 3) / math.sqrt(head)).masked_fill(future, -math.inf)
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + linear(mixed, f"blocks.{i}.attention.o")
        h = normalise(x, p, f"blocks.{i}.norm2", llama)
        up = linear(h, f"blocks.{i}.mlp.up")
        if llama:
            gate = linear(h, f"blocks.{i}.mlp.gate")
            inner = gate * torch.sigmoid(gate) * up
        else:
            inner = 0.5 * up * (1 + torch.tanh(math.sqrt(2 / math.pi) * (up + 0.044715 * up**3)))
        x = x + linear(inner, f"blocks.{i}.mlp.down")
    h = normalise(x, p, "final_norm", llama)
    logits = h @ p["lm_head.weight" if llama else "wte.weight"].T
    picked = logits.log_softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1)
    return -(picked * weights).sum()


def main():
    positions = torch.arange(SAMPLES * CONTEXT).view(SAMPLES, CONTEXT)
    tokens, targets = (positions * 7 + 3) % VOCABULARY, (positions * 5 + 1) % VOCABULARY
    weights = (positions % 3).double() / 2
    results = {"torch": torch.__version__}
    for style in ("gpt2", "llama"):
        p = {name: weight(n, name, shape) for n, (name, shape) in enumerate(parameters(style).items())}
        loss = loss_of(style, p, tokens, targets, weights)
        loss.backward()
        results[style] = {"loss": loss.item(),
                          "gradients": {name: [float(f"{v:.12g}") for v in t.grad.flatten()] for name, t in p.items()}}
    print(json.dumps(results, separators=(",", ":")))


if __name__ == "__main__":
    main()
