#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The passes of a GPT-2 training step over memory: bytes, the time they need at the memory's speed, and what was measured.

    python3 bench/transformer_passes.py --rows 65536 --width 768 --layers 12 --vocabulary 50304 \
        [--times FILE]

FILE is what bench/profile/libkernel_times.so wrote of a run; its steps are the calls of the optimizer's kernel. Products are bound by
arithmetic, 2 m n k at the rate measured for large ones; everything else by bytes, each array read once and written once.
"""
import argparse

BANDWIDTH, PRODUCTS = 4.3e12, 790e12  # measured on one H200: a device copy, and an 8192^3 product, bf16
KERNELS = (  # a piece of a kernel's name -> the pass it belongs to; the first that fits
    ("flash_bprop", "attention"), ("flash_fprop", "attention"), ("sdpa", "attention"), ("fmha", "attention"), ("dot_do_o", "attention"),
    ("cudnn", "attention"), ("flash_", "attention"),
    ("nvjet", "products"), ("gemm", "products"), ("cutlass", "products"), ("splitK", "products"), ("cublas", "products"),
    ("norm_forward", "norm forward"), ("norm_backward", "norm backward"), ("column_sum", "bias gradients"),
    ("add_column_partials", "second stage of sums over rows"),
    ("gelu", "gelu"), ("cross_entropy", "cross-entropy, in place"), ("update_kernel", "optimizer"),
    ("squares", "gradient norm"), ("fill of memory", "fills of memory"), ("add_runs", "embedding"), ("join_runs", "embedding"),
    ("add_positions", "embedding"), ("embedding", "embedding"), ("Radix", "embedding"), ("fill_keys", "embedding"),
    ("dropout", "dropout"), ("rotary", "rotary"), ("copy of memory", "copies"))


def passes(a, gelu_alone):
    n, c, v, half = a.rows, a.width, a.vocabulary, 2
    row = n * c * half
    block = 12 * c * c + 13 * c
    parameters = a.layers * block + (v + a.length + 2) * c
    flops = 6 * n * (a.layers * 12 * c * c + v * c)
    attention = a.layers * 3.5 * 2 * n * a.length * c  # causal: half of the square; the backward makes the scores anew
    yield "products", flops, "flops"
    yield "attention", attention, "flops"
    yield "norm forward", (2 * a.layers + 1) * 2 * row, "bytes"  # x -> h
    yield "norm backward", (2 * a.layers + 1) * 4 * row - row, "bytes"  # dy, x, passing gradient -> dx
    # Of qkv 3, output 1, up 4, down 1; where GELU's gradient is a pass of its own, that of up comes with it.
    yield "bias gradients", a.layers * (5 if gelu_alone else 9) * row, "bytes"
    if gelu_alone:
        yield "gelu", a.layers * 12 * row, "bytes"  # its argument, dy -> dx
    yield "cross-entropy, in place", 2 * n * v * half, "bytes"
    # Master, gradient, two moments in; master, moments, bf16 out, which is half of a split master.
    yield "optimizer", parameters * ((8 if a.masters == "split" else 10) + 4 * a.moments + a.gradient), "bytes"
    yield "gradient norm", parameters * a.gradient, "bytes"
    yield "embedding", 3 * row, "bytes"  # x out; its gradient in, for tokens and for positions


def measured(path):
    times, steps, whole = {}, 0, 0
    for line in open(path):
        if line.startswith("#"):
            whole = float(line.split()[-2])
            continue
        milliseconds, calls, _, name = line.split(None, 3)
        if "update_kernel" in name:
            steps += int(calls)
        kind = next((kind for piece, kind in KERNELS if piece in name), "other")
        times[kind] = times.get(kind, 0) + float(milliseconds)
    return {kind: time / steps for kind, time in times.items()}, whole / steps


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rows", 65536), ("width", 768), ("layers", 12), ("length", 1024), ("vocabulary", 50304)):
        parser.add_argument("--" + name, type=int, default=default)
    parser.add_argument("--gradient", type=int, default=4, choices=[2, 4], help="bytes of a gradient: precision.gradients")
    parser.add_argument("--moments", type=int, default=4, choices=[2, 4], help="bytes of each of two: precision.moments")
    parser.add_argument("--masters", default="float32", choices=["float32", "split"], help="precision.masters")
    parser.add_argument("--times")
    a = parser.parse_args()
    times, whole = measured(a.times) if a.times else ({}, 0)
    print("| pass | GB or TFLOP | bound, ms | measured, ms | share of the bound |\n|---|---|---|---|---|")
    bounds = total = 0
    for name, amount, unit in passes(a, "gelu" in times):
        bound = 1e3 * amount / (BANDWIDTH if unit == "bytes" else PRODUCTS)
        time = times.pop(name, 0)
        bounds, total = bounds + bound, total + time
        print(f"| {name} | {amount / (1e9 if unit == 'bytes' else 1e12):.2f} {'GB' if unit == 'bytes' else 'TFLOP'} | {bound:.2f} | "
              + (f"{time:.2f} | {100 * bound / time:.0f} % |" if time else "- | - |"))
    for name, time in sorted(times.items(), key=lambda item: -item[1]):
        total += time
        print(f"| {name} | - | - | {time:.2f} | - |")
    if whole > total:
        print(f"| between kernels | - | - | {whole - total:.2f} | - |")
        total = whole
    print(f"| step | | {bounds:.2f} | {f'{total:.2f}' if total else '-'} | {f'{100 * bounds / total:.0f} %' if total else '-'} |")


if __name__ == "__main__":
    main()
