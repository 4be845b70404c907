// SPDX-License-Identifier: Apache-2.0
// Seconds of a pipeline's passes, in closed form.
//
// A pipeline of unequal stages takes at least, for every stage i with w = forward + backward
// seconds of a micro-batch, x seconds of a message and m micro-batches (1f1b):
//   sum_{j<i} (w_j + 2 x_j) + m w_i
//   sum_{j<i} (w_j + 2 x_j) + 2 sum_{j>i} (w_j + 2 x_{j-1}) + (m - (p - i) + 1) w_i
// the second because stage i may hold no more than p - i micro-batches; both are equalities for
// equal stages, (m + p - 1) w. The other schedules have forms of their own (pipeline_time.cpp).
#pragma once

#include <vector>

#include "plan/schedule.h"

namespace ocoee::plan {

struct Passes {                               // seconds of a stage, all its chunks, a micro-batch
  double forward = 0, input = 0, weight = 0;  // backward: input gradients, weight gradients
  double message = 0;                         // to the next stage, of one chunk
  double taken = 0;  // of these: what messages take from the passes beside them
  double work() const { return forward + input + weight; }
};

struct PipelineTime {
  double seconds = 0;
  double least = 0;  // no execution of the schedule is quicker under the same costs
};

// `blocking`: messages hold the passes up, whose seconds say so already.
PipelineTime pipeline_time(const std::vector<Passes>& stages, const ScheduleRequest& schedule,
                           bool blocking);

}  // namespace ocoee::plan
