#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""torch.distributed's collectives, measured as collectives.cpp measures ours.

    torchrun --nproc-per-node 2 bench/multi_gpu/collectives_peer.py [smallest] [largest]
"""
import argparse
import json
import os
import time

import torch
import torch.distributed as dist


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("smallest", type=int, nargs="?", default=8192, help="bytes")
    parser.add_argument("largest", type=int, nargs="?", default=1 << 30, help="bytes")
    a = parser.parse_args()
    smallest, largest = a.smallest, a.largest
    gpu = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    torch.cuda.set_device(gpu)
    dist.init_process_group("nccl", device_id=gpu)
    n, rank = dist.get_world_size(), dist.get_rank()
    a, b = (torch.zeros(largest // 2, dtype=torch.bfloat16, device=gpu) for _ in range(2))
    size = smallest
    while size <= largest:
        count = size // 2
        whole, out, part = a[:count], b[:count], a[: count // n]
        cases = [("all_reduce", 2 * (n - 1) / n, lambda: dist.all_reduce(whole)),
                 ("reduce_scatter", (n - 1) / n, lambda: dist.reduce_scatter_tensor(b[: count // n], whole)),
                 ("all_gather", (n - 1) / n, lambda: dist.all_gather_into_tensor(out, part)),
                 ("all_to_all", (n - 1) / n, lambda: dist.all_to_all_single(out, whole))]
        calls = 200 if size <= 1 << 20 else 50 if size <= 64 << 20 else 20
        for name, factor, call in cases:
            for _ in range(10):
                call()
            torch.cuda.synchronize()
            dist.barrier()
            torch.cuda.synchronize()
            begin = time.perf_counter()
            for _ in range(calls):
                call()
            torch.cuda.synchronize()
            took = torch.tensor([(time.perf_counter() - begin) / calls], device=gpu)
            dist.all_reduce(took, op=dist.ReduceOp.MAX)
            if rank == 0:
                print(json.dumps({"who": "torch", "kind": name, "bytes": size, "microseconds": took.item() * 1e6,
                                  "bus": size / took.item() * factor}), flush=True)
        size *= 2
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
