#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#SBATCH --nodes=16
srun --ntasks-per-node 8 python pretrain_gpt.py --num-layers 96 --hidden-size 12288 \
  --num-attention-heads 96 --seq-length 2048 --micro-batch-size 1 --global-batch-size 1280 \
  --tensor-model-parallel-size 4 --pipeline-model-parallel-size 16 --fp16 --deepspeed_config ds.json
