#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Loss and gradients of small decoders in PyTorch float64, for tests/parallel/golden_test.cpp.

    python decoder.py > decoder.json     # torch 2.11.0

Written from the definitions, with autograd and no fused call. Weights, tokens and targets are formulas, so that the
file holds results only: of two small decoders each gradient in full; of the decoders that tests/parallel/mpi/layout_test.cpp
lays out ("large") each gradient's norm and its products with two fixed vectors.
"""
import collections
import json
import math

import torch

SAMPLES = 3
Sizes = collections.namedtuple("Sizes", "vocabulary context width layers heads kv_heads inner")  # the last two: llama
SMALL, LARGE = Sizes(13, 6, 8, 2, 4, 2, 12), Sizes(97, 32, 64, 8, 8, 4, 192)
torch.set_default_dtype(torch.float64)


def parameters(style, sizes):
    """Names and shapes in the order of the model."""
    llama = style == "llama"
    width = sizes.width
    kv, inner = (sizes.kv_heads, sizes.inner) if llama else (sizes.heads, 4 * width)
    head = width // sizes.heads
    shapes = {"wte.weight": (sizes.vocabulary, width)}
    if not llama:
        shapes["wpe.weight"] = (sizes.context, width)

    def norm(name):
        shapes[f"{name}.weight"] = (width,)
        if not llama:
            shapes[f"{name}.bias"] = (width,)

    def linears(rows, columns, *names):
        for name in names:
            shapes[f"{name}.weight"] = (rows[name.split(".")[-1]], columns)
        for name in names if not llama else ():
            shapes[f"{name}.bias"] = (rows[name.split(".")[-1]],)

    for i in range(sizes.layers):
        block = f"blocks.{i}"
        norm(f"{block}.norm1")
        rows = {"q": width, "k": kv * head, "v": kv * head, "o": width}
        linears(rows, width, *[f"{block}.attention.{n}" for n in "qkv"])
        linears(rows, width, f"{block}.attention.o")
        norm(f"{block}.norm2")
        rows = {"gate": inner, "up": inner, "down": width}
        linears(rows, width, *[f"{block}.mlp.{n}" for n in (["gate", "up"] if llama else ["up"])])
        linears(rows, inner, f"{block}.mlp.down")
    norm("final_norm")
    if llama:
        shapes["lm_head.weight"] = (sizes.vocabulary, width)
    return shapes


def numbers(count, square, linear, constant, modulus):
    """(square i^2 + linear i + constant) mod modulus, spread over [-0.5, 0.5): exact on both sides."""
    i = torch.arange(count)
    return (square * i * i + linear * i + constant) % modulus / modulus - 0.5


def weight(number, name, shape, sizes):
    """The parameter with this number; norm weights are about 1."""
    count = math.prod(shape)
    if sizes is SMALL:
        values = torch.tensor([0.25 * math.sin(0.7 * i + 1.3 * number) for i in range(count)])
    else:
        values = 0.4 * numbers(count, 31, 17, 1009 * number, 2003)
    if "norm" in name and name.endswith("weight"):
        values = 1 + values
    return values.view(shape).requires_grad_(True)


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


def loss_of(style, sizes, p, tokens, targets, weights):
    llama = style == "llama"
    head = sizes.width // sizes.heads

    def linear(x, name):
        y = x @ p[f"{name}.weight"].T
        return y if llama else y + p[f"{name}.bias"]

    x = p["wte.weight"][tokens]
    if not llama:
        x = x + p["wpe.weight"]
    future = torch.ones(sizes.context, sizes.context, dtype=torch.bool).triu(1)
    for i in range(sizes.layers):
        h = normalise(x, p, f"blocks.{i}.norm1", llama)
        q, k, v = (linear(h, f"blocks.{i}.attention.{n}").unflatten(-1, (-1, head)).transpose(1, 2) for n in "qkv")
        if llama:
            q, k = rotate(q), rotate(k)
        k, v = (t.repeat_interleave(sizes.heads // t.shape[1], 1) for t in (k, v))
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


def summary(gradient):
    flat = gradient.flatten()
    first, second = numbers(len(flat), 13, 5, 0, 1009), numbers(len(flat), 7, 3, 0, 997)
    return [(flat * flat).sum().sqrt().item(), (flat * first).sum().item(), (flat * second).sum().item()]


def results_of(style, sizes):
    positions = torch.arange(SAMPLES * sizes.context).view(SAMPLES, sizes.context)
    tokens, targets = (positions * 7 + 3) % sizes.vocabulary, (positions * 5 + 1) % sizes.vocabulary
    weights = (positions % 3).double() / 2
    p = {name: weight(n, name, shape, sizes) for n, (name, shape) in enumerate(parameters(style, sizes).items())}
    loss = loss_of(style, sizes, p, tokens, targets, weights)
    loss.backward()
    if sizes is SMALL:
        kept = {name: [float(f"{v:.12g}") for v in t.grad.flatten()] for name, t in p.items()}
    else:
        kept = {name: [float(f"{v:.14g}") for v in summary(t.grad)] for name, t in p.items()}
    return {"loss": loss.item(), "gradients": kept}


def main():
    results = {"torch": torch.__version__}
    for style in ("gpt2", "llama"):
        results[style] = results_of(style, SMALL)
        results["large " + style] = results_of(style, LARGE)
    print(json.dumps(results, separators=(",", ":")))


if __name__ == "__main__":
    main()
