// SPDX-License-Identifier: Apache-2.0
// The layouts that are tested on GPUs. That their variations meet is tested where there is none
// (tests/parallel/mpi/gpu_cases_test.cpp).
#pragma once

#include <vector>

#include "parallel/mpi/layout_case.h"

namespace ocoee::parallel {

// Each shape of a mesh with every shard level, or three times where there is nothing to shard; the
// other lists are turned against each other, so that all pairs of variations meet on 2 or 4 ranks.
inline std::vector<LayoutCase> gpu_cases(int ranks, at::ScalarType type) {
  using plan::ScheduleKind;
  const ScheduleKind schedules[] = {ScheduleKind::interleaved, ScheduleKind::zero_bubble,
                                    ScheduleKind::one_f_one_b, ScheduleKind::gpipe};
  const Shard levels[] = {Shard::none, Shard::states, Shard::gradients, Shard::parameters};
  const Recompute recomputes[] = {Recompute::none, Recompute::full, Recompute::selective};
  std::vector<LayoutCase> out;
  int turn = 0;
  for (int pipeline = 1; pipeline <= ranks; pipeline *= 2) {
    for (int tensor = 1; tensor * pipeline <= ranks; tensor *= 2) {
      for (int context = 1; context * tensor * pipeline <= ranks; context *= 2) {
        const int data = ranks / (pipeline * tensor * context), replicas = data * context;
        if (pipeline * tensor * context * data != ranks) continue;
        for (int i = 0; i < (replicas > 1 ? 4 : 3); ++i, ++turn) {
          LayoutCase c;
          c.pipeline = pipeline, c.tensor = tensor, c.context = context, c.data = data;
          c.type = type;
          if (replicas > 1) c.shard = levels[i];
          if (i == 3 && replicas > 2) c.shard_group = 2;
          c.recompute = recomputes[(turn + turn / 3) % 3];
          c.offload = turn / 5 % 2 == 0;
          c.style = turn / 3 % 2 == 0 ? "gpt2" : "llama";
          c.dropout = turn / 6 % 2 == 0 ? 0 : 0.1;
          c.method =
              turn / 2 % 2 == 0 ? plan::ContextMethod::ring : plan::ContextMethod::all_to_all;
          if (pipeline > 1) c.schedule = schedules[(turn + turn / 2) % 4];
          c.chunks = c.schedule == ScheduleKind::interleaved ? 2 : 1;
          c.loss_chunks = turn / 7 % 2 == 0 ? 1 : 5;
          if (tensor > 1 && turn % 2 == 1) c.micro = 2, c.halves = Halves::on;
          // Whole samples of a rank, whose attention goes with their rows, and parts of one.
          if (tensor > 1 && turn % 2 == 0)
            c.own_rows_first = true, c.micro = turn % 4 == 0 ? tensor : 1;
          out.push_back(c);
        }
      }
    }
  }
  return out;
}

}  // namespace ocoee::parallel
