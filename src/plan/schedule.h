// SPDX-License-Identifier: Apache-2.0
// Pipeline schedules as data: for each stage, the list of actions of one optimizer step, in order.
// Made by one function; the engine executes the list, and the simulator reads the same list.
//
// gpipe: all forwards, then all backwards (Huang et al. 2019).
//
// 1f1b: warm-up, then a forward and a backward in turn (Narayanan et al. 2021, PipeDream-flush).
//
// interleaved: 1f1b over `chunks` model chunks a stage (Narayanan et al. 2021, section 2.2).
//
// zero_bubble: 1f1b whose weight work is put off by the stage number (ZB-H1, Qi et al. 2024).
//
// Model chunk c of stage i is the part number c * stages + i of the model, counted from its first
// block.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ocoee::plan {

enum class Action : uint8_t {
  receive_forward,  // activations from the stage before; `peer` is its number
  forward,
  send_forward,
  receive_backward,  // gradients from the stage after
  backward,          // input gradients
  send_backward,
  weight,  // weight gradients; right after its backward where the schedule does not put it off
  // Of parameters that are sharded over the data axis. They become whole block by block, and go
  // when their block is through; what the schedule says is when a pass may ask for its first block
  // (the engine does so while the computation before it ends), and when its last block goes: unless
  // the next gather is of the same block.
  gather,
  release
};
const char* name_of(Action action);
constexpr bool computes(Action action) {
  return action == Action::forward || action == Action::backward || action == Action::weight;
}

struct Step {  // 8 bytes: a trillion-parameter run has a million of these
  Action action;
  uint8_t chunk;
  uint16_t peer;  // sends and receives only
  uint32_t micro;
  bool operator==(const Step&) const = default;
};

enum class ScheduleKind : uint8_t { gpipe, one_f_one_b, interleaved, zero_bubble };
const char* name_of(ScheduleKind kind);                    // as in a recipe: "1f1b"
ScheduleKind schedule_from_name(const std::string& name);  // throws Error(config)

struct ScheduleRequest {
  ScheduleKind kind = ScheduleKind::one_f_one_b;
  int stages = 1;
  int micro_batches = 1;
  int chunks = 1;       // more than 1 only for interleaved
  bool gather = false;  // parameters are sharded over the data axis
};

struct Schedule {
  ScheduleRequest request;
  std::vector<std::vector<Step>> stages;
};

// What is wrong with a request, with the nearest that works; empty: nothing.
std::string schedule_problem(const ScheduleRequest& request);

Schedule make_schedule(const ScheduleRequest& request);  // throws Error(config) with the problem

// The largest number of (chunk, micro-batch) activations that `stage` holds at once, from the
// closed forms: min(m, p - i) for 1f1b, m for gpipe, min(m, p) for zero_bubble, and in chunks
// min(m v, 2 (p - i) - 1 + (v - 1)(p + m mod p)) when interleaved.
int64_t activations_in_flight(const ScheduleRequest& request, int stage);

// Time lost over ideal time, equal stages: (p - 1) / (v m); zero_bubble with forward = backward =
// weight time: a third.
double ideal_bubble_overhead(const ScheduleRequest& request);

}  // namespace ocoee::plan
