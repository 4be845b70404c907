// SPDX-License-Identifier: Apache-2.0
// Dropout keyed by Philox: whether an element falls is a function of (seed, step, the element's id
// in the whole activation), so it does not change with layout, ranks, threads or recompute, and the
// backward pass makes the mask anew.
//
//   y = [residual +] keep * x / (1 - probability)
//   keep: word id % 4 of Philox(key(seed, dropout, step), id / 4) is at least probability * 2^32
//
// The local [rows, width] array is a part of a whole one: row r stands at first_row + r, or at
// first_row + row_index[r]; its columns begin at first_column of whole_width. first_row counts the
// rows of samples before this micro-batch.
#pragma once

#include "core/random.h"
#include "device/device.h"

namespace ocoee::kernels {

struct Dropout {
  DType dtype = DType::f32;
  int64_t rows = 0, width = 0;
  int64_t first_row = 0;
  const int64_t* row_index = nullptr;         // on the device, [rows]; or null
  int64_t first_column = 0, whole_width = 0;  // 0: width
  double probability = 0;
  uint64_t seed = 0;               // of the run, mixed with the layer's name and site
  const int64_t* state = nullptr;  // on the device: [step, ...]
  const void* x = nullptr;
  const void* residual = nullptr;  // or null
  void* y = nullptr;               // may be x or residual itself
};
// Forward and, with x = dy and y = dx, backward.
void dropout(const Dropout& a, const device::Stream& stream);

struct DropoutRule {  // what kernels derive from the above
  uint32_t threshold;
  double scale;
};
inline DropoutRule dropout_rule(double probability) {
  const double threshold = probability * 4294967296.0;
  return {static_cast<uint32_t>(threshold < 4294967295.0 ? threshold : 4294967295.0),
          1 / (1 - probability)};
}
OCOEE_HOST_DEVICE inline int64_t dropout_first_id(const Dropout& a, int64_t row) {
  const int64_t whole = a.whole_width ? a.whole_width : a.width;
  return (a.first_row + (a.row_index ? a.row_index[row] : row)) * whole + a.first_column;
}

namespace cpu {
void dropout(const Dropout& a);
}  // namespace cpu
namespace cuda {
void dropout(const Dropout& a, const device::Stream& stream);
}  // namespace cuda

}  // namespace ocoee::kernels
