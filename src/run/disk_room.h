// SPDX-License-Identifier: Apache-2.0
// Whether the disk has room for a run's checkpoints. Asked before the first step: else hours may
// pass until one cannot be written.
#pragma once

#include <cstdint>
#include <string>

#include "run/task.h"

namespace ocoee::run {

struct DiskRoom {
  double each = 0;    // bytes of a checkpoint
  int64_t count = 0;  // that may lie there at a time
  double free = 0;    // bytes, those of the run's own checkpoints among them

  bool is_enough() const { return each * static_cast<double>(count) <= free; }
  // "checkpoints: 9.78 MiB each, at most 4 at a time, 39.10 MiB; 24.00 MiB are free".
  std::string words() const;
};

// The newest that are kept, the best, and the one that is being written; no more than a run of so
// many steps has.
DiskRoom disk_room(const RunConfig& run, double checkpoint_bytes, int64_t steps);

}  // namespace ocoee::run
