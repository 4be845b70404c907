// SPDX-License-Identifier: Apache-2.0
#include "plan/pipeline_time.h"

#include <algorithm>

namespace ocoee::plan {
namespace {

struct Sums {
  double work = 0, slowest = 0;  // of a micro-batch: all stages, and the slowest one
  double messages = 0;           // there and back through all stages
};

double least_seconds(const std::vector<Passes>& stages, const ScheduleRequest& schedule,
                     const Sums& all, double hop) {
  const size_t p = stages.size();
  const auto m = static_cast<double>(schedule.micro_batches);
  const auto v = static_cast<double>(schedule.chunks);
  const bool splits = schedule.kind == ScheduleKind::zero_bubble;
  double least = 0, before = 0, passed = 0;  // sums over j < i of w_j, and of messages
  double first_way = 0;  // what must be over before stage i begins, and after it ends
  for (size_t i = 0; i < p; ++i) {
    const Passes& stage = stages[i];
    const double w = stage.work();
    least = std::max(least, first_way + passed + m * w);
    if (schedule.kind == ScheduleKind::one_f_one_b && m >= static_cast<double>(p)) {
      const double later = all.work - before - w + all.messages - passed;
      const double held = static_cast<double>(p - i);
      least = std::max(least, before + passed + 2 * later + (m - held + 1) * w);
    }
    before += w;
    // Weight work that is put off may end after the stages before have ended.
    first_way += (stage.forward + (splits ? 0 : stage.input + stage.weight)) / v;
    passed += (splits ? hop / 2 : hop) * stage.message;
  }
  return least;
}

double gpipe(const std::vector<Passes>& stages, double m, double messages) {
  double up = 0, down = 0, most_up = 0, most_down = 0;
  for (const Passes& stage : stages) {
    up += stage.forward;
    down += stage.input + stage.weight;
    most_up = std::max(most_up, stage.forward);
    most_down = std::max(most_down, stage.input + stage.weight);
  }
  return up + down + messages + (m - 1) * (most_up + most_down);
}

double zero_bubble(const std::vector<Passes>& stages, double m, const Sums& all) {
  const auto p = static_cast<double>(stages.size());
  double lost = 0;
  for (const Passes& stage : stages)
    lost += std::max(0.0, stage.forward + stage.input - stage.weight);
  return m * all.slowest + lost * (p - 1) / p + all.messages;
}

}  // namespace

PipelineTime pipeline_time(const std::vector<Passes>& stages, const ScheduleRequest& schedule,
                           bool blocking) {
  const auto m = static_cast<double>(schedule.micro_batches);
  const double hop = blocking ? 0 : 2;
  Sums all;
  for (const Passes& stage : stages) {
    all.work += stage.work();
    all.slowest = std::max(all.slowest, stage.work());
  }
  if (stages.size() == 1) return {m * all.slowest, m * all.slowest};
  for (size_t s = 0; s + 1 < stages.size(); ++s) all.messages += hop * stages[s].message;

  const double least = least_seconds(stages, schedule, all, hop);
  double seconds = least;
  switch (schedule.kind) {
    case ScheduleKind::gpipe:
      seconds = gpipe(stages, m, all.messages);
      break;
    case ScheduleKind::one_f_one_b:
      break;
    case ScheduleKind::interleaved:
      seconds = m * all.slowest + (all.work - all.slowest) / static_cast<double>(schedule.chunks) +
                all.messages;
      break;
    case ScheduleKind::zero_bubble:
      seconds = zero_bubble(stages, m, all);
      break;
  }
  return {std::max(seconds, least), least};
}

}  // namespace ocoee::plan
