// SPDX-License-Identifier: Apache-2.0
// Something to tune: a space of layouts, and what a step takes in each.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "plan/tune/tuner.h"

namespace ocoee::plan {

inline KnobSpace layout_space() {
  return KnobSpace({parse_knob("tensor=1..16*2"), parse_knob("pipeline=1..16*2"),
                    parse_knob("micro=1..8"), parse_knob("shard=none,states,parameters"),
                    parse_knob("recompute=none,full")});
}

// A stand-in for step time with an optimum inside, and a memory limit that hides the fastest.
struct Landscape {
  KnobSpace space = layout_space();
  double value(const Point& p) const {
    const double tensor = std::exp2(p[0]), pipeline = std::exp2(p[1]), micro = p[2] + 1;
    const double shard[] = {1.0, 1.02, 1.25}, recompute[] = {1.0, 1.3};
    return (10 + 0.4 * tensor + 6 / micro + 0.15 * micro * micro + 8 * (pipeline - 1) / 64) *
           shard[p[3]] * recompute[p[4]];
  }
  bool fits(const Point& p) const {
    const double states[] = {18, 8, 3}, kept[] = {1, 0.1};
    const double model = 40 / (std::exp2(p[0]) * std::exp2(p[1]));
    return model * states[p[3]] + 6.0 * (p[2] + 1) * kept[p[4]] / std::exp2(p[0]) < 60;
  }
  double best() const {
    double least = 1e300;
    for (uint64_t n = 0; n < static_cast<uint64_t>(space.points()); ++n) {
      const Point p = space.point(n);
      if (fits(p)) least = std::min(least, value(p));
    }
    return least;
  }
};

}  // namespace ocoee::plan
