# SPDX-License-Identifier: Apache-2.0
"""Writes optimizer_golden.txt: what torch.optim does with a few numbers, for tests/optim/golden_test.cpp.

    python3 make_golden.py > optimizer_golden.txt      # needs torch; made with 2.11.0

Two parameter groups (the second without decay), gradients from a formula, clipping by global norm, a moving rate.
Lines: CASE name, then STEP learning_rate norm, then the parameters after it as hexadecimal floats.
"""
import math

import torch

torch.set_num_threads(1)
SIZES = (7, 5)
STEPS = 6


def start(dtype):
    values = [math.sin(1.0 + 0.7 * i) for i in range(sum(SIZES))]
    return list(torch.tensor(values, dtype=dtype).split(SIZES))


def gradient(step, dtype):
    values = [(1.0 + step) * math.cos(0.3 * i * (step + 1)) / 4 for i in range(sum(SIZES))]
    return torch.tensor(values, dtype=dtype).split(SIZES)


def case(name, dtype, decay, clip):
    parameters = [p.clone().requires_grad_() for p in start(dtype)]
    groups = [dict(params=[parameters[0]], weight_decay=decay), dict(params=[parameters[1]], weight_decay=0.0)]
    if name.startswith("adamw"):
        optimizer = torch.optim.AdamW(groups, lr=1.0, betas=(0.9, 0.95), eps=1e-8, foreach=False)
    else:
        optimizer = torch.optim.SGD(groups, lr=1.0, momentum=0.9)
    print(f"CASE {name} {'F32' if dtype == torch.float32 else 'F64'} {decay} {clip}")
    for step in range(STEPS):
        rate = 0.01 * (step + 1)
        for group in optimizer.param_groups:
            group["lr"] = rate
        for p, g in zip(parameters, gradient(step, dtype)):
            p.grad = g.clone()
        norm = torch.nn.utils.clip_grad_norm_(parameters, clip if clip > 0 else math.inf)
        optimizer.step()
        print(f"STEP {rate!r} {float(norm).hex()}")
        print(" ".join(float(v).hex() for p in parameters for v in p.detach()))


for precision in (torch.float32, torch.float64):
    case("adamw_decay_clip", precision, 0.1, 1.0)
    case("adamw_plain", precision, 0.0, 0.0)
    case("sgd_clip", precision, 0.0, 0.5)  # torch's SGD couples its decay with the gradient; ours is decoupled
