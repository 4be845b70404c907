// SPDX-License-Identifier: Apache-2.0
// The kernels at the shapes that training meets: our work, the library's, and the bytes that must
// move.
#pragma once

#include <string>
#include <vector>

#include "kernels/library.h"

namespace ocoee::bench {

struct Case {
  std::string name;
  double bytes = 0;  // read and written once each: the least that must cross the memory bus
  Work ours, peer;
};

struct Shapes {
  DType dtype = DType::f32;
  int64_t rows = 0, width = 0, vocabulary = 0, parameters = 0;
};

// Makes the cases one at a time, since each holds its own buffers: calls visit(case), then frees
// them.
void for_each_case(const Shapes& shapes, const device::Stream& stream,
                   const std::function<void(const Case&)>& visit);

}  // namespace ocoee::bench
