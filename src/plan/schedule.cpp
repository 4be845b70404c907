// SPDX-License-Identifier: Apache-2.0
#include "plan/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "core/error.h"
#include "core/text.h"

namespace ocoee::plan {
namespace {

// One forward or backward of a chunk, before sends, receives and gathers are put around it.
struct Compute {
  Action action;
  int chunk;
  int micro;
};
using Order = std::vector<Compute>;

Order gpipe_order(int micro_batches) {
  Order order;
  for (int m = 0; m < micro_batches; ++m) order.push_back({Action::forward, 0, m});
  for (int m = 0; m < micro_batches; ++m) {
    order.push_back({Action::backward, 0, m});
    order.push_back({Action::weight, 0, m});
  }
  return order;
}

// Weight work of micro-batch k follows the backward of k + delay; delay 0 is plain 1F1B.
Order one_f_one_b_order(int micro_batches, int warmup, int delay) {
  Order order;
  int next_forward = 0, next_weight = 0;
  for (; next_forward < std::min(warmup, micro_batches); ++next_forward) {
    order.push_back({Action::forward, 0, next_forward});
  }
  for (int m = 0; m < micro_batches; ++m) {
    order.push_back({Action::backward, 0, m});
    if (m >= delay) order.push_back({Action::weight, 0, next_weight++});
    if (next_forward < micro_batches) order.push_back({Action::forward, 0, next_forward++});
  }
  while (next_weight < micro_batches) order.push_back({Action::weight, 0, next_weight++});
  return order;
}

// Position k in a stage's forward order runs chunk (k / p) % v of the micro-batches in groups of p;
// backwards run chunks in reverse. What is left over joins the last group.
Compute interleaved_item(int position, bool is_forward, int stages, int chunks, int micro_batches) {
  const int per_group = stages * chunks, last_group = micro_batches / stages - 1;
  const int group = std::min(position / per_group, last_group);
  const int first_micro = group * stages;
  const int size = group == last_group ? micro_batches - first_micro : stages;
  const int within = position - group * per_group;
  const int chunk = within / size;
  return {is_forward ? Action::forward : Action::backward, is_forward ? chunk : chunks - 1 - chunk,
          first_micro + within % size};
}

int interleaved_warmup(const ScheduleRequest& r, int stage) {
  const int total = r.micro_batches * r.chunks;
  const int largest_group = r.stages + r.micro_batches % r.stages;
  return std::min(total, (r.stages - stage - 1) * 2 + (r.chunks - 1) * largest_group);
}

Order interleaved_order(const ScheduleRequest& r, int stage) {
  const int total = r.micro_batches * r.chunks;
  const int warmup = interleaved_warmup(r, stage);
  const auto item = [&](int position, bool is_forward) {
    return interleaved_item(position, is_forward, r.stages, r.chunks, r.micro_batches);
  };
  Order order;
  for (int k = 0; k < warmup; ++k) order.push_back(item(k, true));
  for (int k = 0; k < total; ++k) {
    if (warmup + k < total) order.push_back(item(warmup + k, true));
    const Compute back = item(k, false);
    order.push_back(back);
    order.push_back({Action::weight, back.chunk, back.micro});
  }
  return order;
}

Order order_of(const ScheduleRequest& r, int stage) {
  const int remaining = r.stages - stage;
  switch (r.kind) {
    case ScheduleKind::gpipe:
      return gpipe_order(r.micro_batches);
    case ScheduleKind::one_f_one_b:
      return one_f_one_b_order(r.micro_batches, remaining, 0);
    case ScheduleKind::zero_bubble:
      return one_f_one_b_order(r.micro_batches, remaining, stage);
    case ScheduleKind::interleaved:
      return interleaved_order(r, stage);
  }
  return {};
}

// Puts sends, receives, gathers and releases around the computations of one stage.
class Wrapper {
 public:
  Wrapper(const ScheduleRequest& request, int stage, const Order& order)
      : r_(request), stage_(stage), order_(order) {
    steps_.reserve(order.size() * 5 / 2 + 8);
  }

  std::vector<Step> wrap() {
    for (size_t i = 0; i < order_.size(); ++i) {
      const Compute& c = order_[i];
      if (c.action == Action::weight) {
        add(Action::weight, c);
        continue;
      }
      const bool is_forward = c.action == Action::forward;
      if (arrives(c, is_forward)) {
        add(is_forward ? Action::receive_forward : Action::receive_backward, c,
            peer(is_forward ? -1 : 1));
      }
      if (r_.gather) add(Action::gather, c);
      add(c.action, c);
      if (!is_forward && does_weights(i)) add(Action::weight, order_[++i]);
      if (r_.gather) add(Action::release, c);
      if (leaves(c, is_forward)) {
        add(is_forward ? Action::send_forward : Action::send_backward, c,
            peer(is_forward ? 1 : -1));
      }
    }
    return std::move(steps_);
  }

 private:
  int part(const Compute& c) const { return c.chunk * r_.stages + stage_; }
  bool arrives(const Compute& c, bool is_forward) const {
    return r_.stages > 1 && (is_forward ? part(c) > 0 : part(c) + 1 < r_.stages * r_.chunks);
  }
  bool leaves(const Compute& c, bool is_forward) const {
    return r_.stages > 1 && (is_forward ? part(c) + 1 < r_.stages * r_.chunks : part(c) > 0);
  }
  uint16_t peer(int step) const {
    return static_cast<uint16_t>((stage_ + step + r_.stages) % r_.stages);
  }
  void add(Action action, const Compute& c, uint16_t peer = 0) {
    steps_.push_back({action, static_cast<uint8_t>(c.chunk), peer, static_cast<uint32_t>(c.micro)});
  }
  // One pass does both; zero_bubble's gradients leave before its weight work, where any leave.
  bool does_weights(size_t i) const {
    if (r_.kind != ScheduleKind::zero_bubble) return true;
    return !leaves(order_[i], /*is_forward=*/false) && i + 1 < order_.size() &&
           order_[i + 1].action == Action::weight && order_[i + 1].micro == order_[i].micro;
  }

  const ScheduleRequest& r_;
  int stage_;
  const Order& order_;
  std::vector<Step> steps_;
};

}  // namespace

const char* name_of(Action action) {
  static const char* const names[] = {"receive_forward",  "forward",  "send_forward",
                                      "receive_backward", "backward", "send_backward",
                                      "weight",           "gather",   "release"};
  return names[static_cast<size_t>(action)];
}

const char* name_of(ScheduleKind kind) {
  static const char* const names[] = {"gpipe", "1f1b", "interleaved", "zero_bubble"};
  return names[static_cast<size_t>(kind)];
}

ScheduleKind schedule_from_name(const std::string& name) {
  std::vector<std::string> names;
  for (const ScheduleKind kind : {ScheduleKind::gpipe, ScheduleKind::one_f_one_b,
                                  ScheduleKind::interleaved, ScheduleKind::zero_bubble}) {
    if (name == name_of(kind)) return kind;
    names.emplace_back(name_of(kind));
  }
  const std::string near = nearest(name, names);
  fail(ErrorKind::config, "no schedule is named '{}'{}; expected one of {}", name,
       near.empty() ? "" : ", did you mean '" + near + "'?", join(names, ", "));
}

std::string schedule_problem(const ScheduleRequest& r) {
  if (r.stages < 1 || r.micro_batches < 1 || r.chunks < 1) {
    return fmt::format("stages {}, micro-batches {} and chunks {} must be at least 1", r.stages,
                       r.micro_batches, r.chunks);
  }
  if (r.stages > std::numeric_limits<uint16_t>::max()) {
    return fmt::format("{} stages are more than the 65535 that a schedule can number", r.stages);
  }
  if (r.kind != ScheduleKind::interleaved && r.chunks > 1) {
    return fmt::format("schedule {} has one chunk a stage, not {}: use interleaved, or 1 chunk",
                       name_of(r.kind), r.chunks);
  }
  if (r.kind != ScheduleKind::interleaved) return "";
  if (r.stages == 1) return "interleaving needs at least 2 stages: use 1f1b";
  if (r.chunks < 2) return "interleaving needs at least 2 chunks a stage: use 1f1b, or 2 chunks";
  if (r.chunks > std::numeric_limits<uint8_t>::max()) return "at most 255 chunks a stage";
  if (r.micro_batches < r.stages) {
    return fmt::format("interleaving over {} stages needs at least {} micro-batches, not {}",
                       r.stages, r.stages, r.micro_batches);
  }
  return "";
}

Schedule make_schedule(const ScheduleRequest& request) {
  const std::string problem = schedule_problem(request);
  if (!problem.empty()) fail(ErrorKind::config, "layout.schedule: {}", problem);
  Schedule schedule;
  schedule.request = request;
  schedule.stages.reserve(static_cast<size_t>(request.stages));
  for (int stage = 0; stage < request.stages; ++stage) {
    const Order order = order_of(request, stage);
    schedule.stages.push_back(Wrapper(request, stage, order).wrap());
  }
  return schedule;
}

int64_t activations_in_flight(const ScheduleRequest& r, int stage) {
  switch (r.kind) {
    case ScheduleKind::gpipe:
      return r.micro_batches;
    case ScheduleKind::one_f_one_b:
      return std::min(r.micro_batches, r.stages - stage);
    case ScheduleKind::zero_bubble:
      return std::min(r.micro_batches, r.stages);
    case ScheduleKind::interleaved:
      return std::min(r.micro_batches * r.chunks, interleaved_warmup(r, stage) + 1);
  }
  return 0;
}

double ideal_bubble_overhead(const ScheduleRequest& r) {
  const double overhead =
      static_cast<double>(r.stages - 1) / (static_cast<double>(r.chunks) * r.micro_batches);
  return r.kind == ScheduleKind::zero_bubble ? overhead / 3 : overhead;
}

}  // namespace ocoee::plan
