// SPDX-License-Identifier: Apache-2.0
// What would change: one quantity of a configuration varied, the rest held. Each curve is one that
// the Frontier study (Dash et al. 2024) draws its observations from, or a scaling curve.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plan/predict.h"

namespace ocoee::plan {

struct WhatIfPoint {
  double x = 0;
  double devices = 0, batch = 0;  // samples a step
  double seconds = 0;             // a step
  double rate = 0;                // tokens a second and device
  double bytes = 0;               // of the fullest rank
  bool fits = false;
};

struct WhatIfSeries {
  std::string name;
  std::vector<WhatIfPoint> points;
};

struct WhatIf {
  std::string id, title, x, caption;
  std::vector<WhatIfSeries> series;
  double x_now = 0;  // where the configuration stands
};

// weak, strong, sequence, batch, tensor, pipeline, micro, attention, shard; a curve whose axis
// cannot be varied is left out.
std::vector<WhatIf> what_if(const Workload& workload, const System& system, const Machine& machine,
                            const Configuration& configuration);

// The same model on longer or shorter samples; the positions it has stay as they are.
Workload with_sequence(Workload workload, int64_t sequence);

struct Checkpoints {
  Seconds write;     // 0: not known
  Seconds interval;  // of training between two; 0: none are written
};

// To a number of tokens, with what checkpoints take.
struct Effort {
  double checkpoint_hours = 0;                                             // of `hours`
  double hours = 0, device_hours = 0, node_hours = 0, megawatt_hours = 0;  // the last 0: not known
};
Effort effort(const Machine& machine, double tokens, double tokens_per_second, int64_t devices,
              const Checkpoints& checkpoints = {});

}  // namespace ocoee::plan
