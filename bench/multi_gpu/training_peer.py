#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The GPT of bench/peers/gpt_step.py on several GPUs by PyTorch's DistributedDataParallel or FSDP2 (fully_shard), eager or
compiled: under DDP the whole, which torch.compile splits where gradients are summed; under FSDP2 a block at a time, and the loss.

    torchrun --nproc-per-node 2 bench/multi_gpu/training_peer.py --how ddp --compile --layers 24 --width 1024 --heads 16 --batch 32

Ranks without a GPU take the CPU and gloo, to try it.
"""
import argparse
import contextlib
import json
import os
import pathlib
import sys
import time

import torch
import torch.distributed as dist

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "peers"))
from gpt_step import Gpt  # noqa: E402


def parallel(a, model, device):
    if a.how == "ddp":
        run = torch.nn.parallel.DistributedDataParallel(model, device_ids=[device.index] if device.type == "cuda" else None,
                                                        gradient_as_bucket_view=True)
        return torch.compile(run) if a.compile else run
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
    policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
    if a.compile:
        model.loss = torch.compile(model.loss)
    for block in model.blocks:
        if a.compile:
            block.compile()
        fully_shard(block, mp_policy=policy)
    return fully_shard(model, mp_policy=policy)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--how", choices=["ddp", "fsdp"], default="ddp")
    parser.add_argument("--compile", action="store_true")
    for name, default in (("layers", 24), ("width", 1024), ("heads", 16), ("context", 1024), ("batch", 32), ("vocabulary", 50304),
                          ("steps", 20), ("warmup", 5), ("accumulated", 1)):
        parser.add_argument("--" + name, type=int, default=default)
    a = parser.parse_args()
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(device)
        dist.init_process_group("nccl", device_id=device)
    else:
        dist.init_process_group("gloo")
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    model = Gpt(a).to(device)
    run = parallel(a, model, device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    data = torch.randint(0, a.vocabulary, (a.accumulated, a.batch, a.context + 1), device=device)
    bare = getattr(run, "_orig_mod", run)

    def step():
        for index, rows in enumerate(data):
            last = index + 1 == a.accumulated
            if a.how == "fsdp":
                bare.set_requires_gradient_sync(last)
            with bare.no_sync() if a.how == "ddp" and not last else contextlib.nullcontext():
                with torch.autocast(device.type, dtype=torch.bfloat16):
                    loss = run(rows[:, :-1], rows[:, 1:]) / a.accumulated
                loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def wait():
        dist.barrier()
        if cuda:
            torch.cuda.synchronize()

    for _ in range(a.warmup):
        step()
    wait()
    begin = time.perf_counter()
    for _ in range(a.steps):
        step()
    wait()
    seconds = (time.perf_counter() - begin) / a.steps
    if dist.get_rank() == 0:
        print(json.dumps({"tokens_per_second": a.accumulated * a.batch * a.context * dist.get_world_size() / seconds,
                          "step_seconds": seconds, "peak_bytes": torch.cuda.max_memory_allocated() if cuda else None}), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
