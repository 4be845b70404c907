// SPDX-License-Identifier: Apache-2.0
// The layouts of a number of ranks that are compared with one rank, and the comparison.
#pragma once

#include <string>
#include <vector>

#include "parallel/mpi/layout_case.h"

namespace ocoee::parallel {

inline constexpr Recompute kRecomputes[] = {Recompute::none, Recompute::selective, Recompute::full};

inline const Outcome& reference(const LayoutCase& c) {
  static std::map<std::string, Outcome> known;
  const std::string key = fmt::format("{} {} {} {} {} {}", c.style, c.dropout, c.attention_dropout,
                                      static_cast<int>(c.type), c.samples, c.steps);
  if (!known.contains(key)) {
    LayoutCase alone;
    alone.style = c.style, alone.dropout = c.dropout, alone.type = c.type;
    alone.attention_dropout = c.attention_dropout;
    alone.micro = alone.samples = c.samples;
    comm::World world = comm::World::alone();
    comm::Mesh mesh(world, comm::Shape{}, {});
    known[key] = train_case(alone, mesh, nullptr, c.steps);
  }
  return known[key];
}

inline void expect_equal(const LayoutCase& c) {
  SCOPED_TRACE(c.text());
  comm::World& world = testing_support::world();
  comm::Mesh mesh(world, c.shape(), {}, comm::Backend::mpi);
  const Outcome got = train_case(c, mesh, &mesh.world(), c.steps);
  // The norm of the first gradient is as near as the gradient itself; those of later steps are
  // taken at weights that the rounding of AdamW's float32 steps has moved apart.
  const Tolerances wide{1e-10, 1e-10, 1e-10, 1e-10, 1e-9},
      narrow{1e-5, 1e-5, 1e-4, 1e-5, 1e-3 * kLearningRate};
  expect_equal(got, reference(c), c.type == at::kDouble ? wide : narrow);
}

// ---- the cases

struct Factors {
  int tensor, pipeline, context, data;
};

inline std::vector<Factors> factorisations(int ranks) {
  std::vector<Factors> out;
  for (int t = 1; t <= ranks; ++t) {
    for (int p = 1; t * p <= ranks; ++p) {
      for (int c = 1; t * p * c <= ranks; ++c) {
        if (ranks % (t * p * c) == 0) out.push_back({t, p, c, ranks / (t * p * c)});
      }
    }
  }
  return out;
}

inline std::string refusal(const LayoutCase& c) {
  plan::LayoutConfig layout;
  layout.tensor = c.tensor, layout.pipeline = c.pipeline, layout.context = c.context;
  layout.chunks = c.chunks, layout.schedule = plan::name_of(c.schedule);
  layout.context_method = c.method == plan::ContextMethod::ring ? "ring" : "all_to_all";
  config::Problems problems;
  plan::check_placement(problems, models::build_gpt(case_model(c), kVocabulary),
                        {kSamples, c.micro}, layout, c.shape().ranks());
  return problems.text();
}

// As many micro-batches, or more where the schedule asks for them: operations are so small here
// that a micro-batch of one sample takes as long as one of four.
inline void set_micro_batches(LayoutCase& c, int64_t count) {
  c.micro = std::max<int64_t>(1, kSamples / c.data / count);
  while (c.micro > 1 && !refusal(c).empty()) c.micro /= 2;
}

// Each factorisation with a few variations, the lists turned against each other from one
// factorisation to the next, so that all pairs of variations meet. Of eight ranks, which have 20
// factorisations, one variation of four is left out in turn.
inline std::vector<LayoutCase> cases(int ranks) {
  using plan::ScheduleKind;
  const std::vector<Shard> shards{Shard::none, Shard::states, Shard::gradients, Shard::parameters};
  const std::vector<ScheduleKind> schedules{ScheduleKind::gpipe, ScheduleKind::one_f_one_b,
                                            ScheduleKind::interleaved, ScheduleKind::zero_bubble};
  std::vector<LayoutCase> out;
  size_t turn = static_cast<size_t>(ranks);
  for (const Factors& f : factorisations(ranks)) {
    ++turn;
    for (size_t i = 0; i < (ranks > 2 ? 4 : 6); ++i) {
      if (ranks > 4 && i == (turn / 3 + 1) % 4) continue;
      LayoutCase c;
      c.tensor = f.tensor, c.pipeline = f.pipeline, c.context = f.context, c.data = f.data;
      c.recompute = kRecomputes[(i + turn / 3) % 3];
      c.style = (i + turn / 2) % 2 == 0 ? "llama" : "gpt2";
      if (f.data * f.context > 1) c.shard = shards[i % 4];
      if (f.pipeline > 1) c.schedule = schedules[(i + turn) % 4];
      c.pipeline_inside = f.pipeline > 1 && f.data > 1 && i % 2 == 1;
      if (f.context > 1 && (i + turn / 4) % 2 == 0) c.method = plan::ContextMethod::all_to_all;
      c.chunks = c.schedule == ScheduleKind::interleaved ? 2 : 1;
      set_micro_batches(c, ((i + turn / 5) % 2 == 0 ? 1 : 2) * (f.pipeline > 1 ? 2 : 1));
      const bool varies = f.data * f.context > 1 || f.pipeline > 1;
      if (!varies && i >= 3) break;
      if (refusal(c).empty()) out.push_back(c);
    }
  }
  return out;
}

}  // namespace ocoee::parallel
