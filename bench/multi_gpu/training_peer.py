#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The GPT of bench/peers/gpt_step.py on several GPUs by PyTorch's DistributedDataParallel or FSDP2 (fully_shard).

    torchrun --nproc-per-node 2 bench/multi_gpu/training_peer.py --how ddp --layers 24 --width 1024 --heads 16 --batch 32
"""
import argparse
import json
import os
import pathlib
import sys
import time

import torch
import torch.distributed as dist

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "peers"))
from gpt_step import Gpt  # noqa: E402


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--how", choices=["ddp", "fsdp"], default="ddp")
    for name, default in (("layers", 24), ("width", 1024), ("heads", 16), ("context", 1024), ("batch", 32), ("vocabulary", 50304),
                          ("steps", 20), ("warmup", 5)):
        parser.add_argument("--" + name, type=int, default=default)
    a = parser.parse_args()
    gpu = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(gpu)
    dist.init_process_group("nccl", device_id=gpu)
    torch.manual_seed(0)
    torch.set_float32_matmul_precision("high")
    model = Gpt(a).to(gpu)
    if a.how == "ddp":
        run = torch.nn.parallel.DistributedDataParallel(model, device_ids=[gpu.index], gradient_as_bucket_view=True)
    else:
        from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
        policy = MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
        for block in model.blocks:
            fully_shard(block, mp_policy=policy)
        run = fully_shard(model, mp_policy=policy)
    optimizer = torch.optim.AdamW(run.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    data = torch.randint(0, a.vocabulary, (a.batch, a.context + 1), device=gpu)

    def step():
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = run(data[:, :-1], data[:, 1:])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    for _ in range(a.warmup):
        step()
    torch.cuda.synchronize()
    dist.barrier()
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(a.steps):
        step()
    torch.cuda.synchronize()
    seconds = (time.perf_counter() - begin) / a.steps
    if dist.get_rank() == 0:
        print(json.dumps({"tokens_per_second": a.batch * a.context * dist.get_world_size() / seconds,
                          "peak_bytes": torch.cuda.max_memory_allocated()}), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
