// SPDX-License-Identifier: Apache-2.0
// Softmax cross-entropy over rows of logits, in nats, forward and backward at once: the losses go
// out, and the gradient of the logits takes the logits' place, so that no copy of them in float32
// ever exists.
//
//   loss[r] = weight[r] * (log sum_c exp(z[r, c]) - z[r, target[r]])
//   dz[r, c] = scale * weight[r] * (softmax(z[r])[c] - [c = target[r]])
//
// A negative target leaves its row out (loss 0, gradient 0). A target beyond the columns gives a
// loss of NaN, which stops the run. For a vocabulary that is split over ranks, see
// PartialCrossEntropy.
#pragma once

#include "device/device.h"

namespace ocoee::kernels {

struct CrossEntropy {
  DType dtype = DType::f32;  // of the logits: f32, bf16, f16 or f64
  int64_t rows = 0, columns = 0;
  int64_t row_stride = 0;  // elements from row to row; the gradient of padding columns is set to 0
  void* logits = nullptr;  // [rows, row_stride]; replaced by their gradient if `gradient`
  const int64_t* targets = nullptr;  // [rows]
  const float* weights = nullptr;    // [rows], or null: all 1
  void* losses = nullptr;            // [rows] f32 (f64 for f64)
  bool gradient = true;              // false: the logits stay as they are
  const double* scale = nullptr;     // on the device, or null: 1
};
void cross_entropy(const CrossEntropy& a, const device::Stream& stream);

// The same in two steps, for columns [first_column, first_column + columns) of a split vocabulary.
// Between them the engine reduces over ranks: maxima by max; then, brought to the common maximum by
// rebase, sums and target logits by sum.
struct PartialCrossEntropy {
  DType dtype = DType::f32;
  int64_t rows = 0, columns = 0, row_stride = 0, first_column = 0, all_columns = 0;
  void* logits = nullptr;
  const int64_t* targets = nullptr;  // in the whole vocabulary
  const float* weights = nullptr;
  void* maximum = nullptr;       // [rows] f32 (f64 for f64)
  void* sum = nullptr;           // [rows] of exp(z - maximum)
  void* target_logit = nullptr;  // [rows], 0 where the target is another rank's
  void* losses = nullptr;        // second step only
  const double* scale = nullptr;
};
void cross_entropy_statistics(const PartialCrossEntropy& a, const device::Stream& stream);
// sum[r] *= exp(maximum[r] - common[r]): what the sums are about the common maximum.
void cross_entropy_rebase(const PartialCrossEntropy& a, const void* common,
                          const device::Stream& stream);
// With reduced statistics: writes losses (the same on every rank) and this rank's part of the
// gradient.
void cross_entropy_gradient(const PartialCrossEntropy& a, const device::Stream& stream);

namespace cpu {
void cross_entropy(const CrossEntropy& a);
void cross_entropy_statistics(const PartialCrossEntropy& a);
void cross_entropy_rebase(const PartialCrossEntropy& a, const void* common);
void cross_entropy_gradient(const PartialCrossEntropy& a);
}  // namespace cpu
namespace cuda {
void cross_entropy(const CrossEntropy& a, const device::Stream& stream);
void cross_entropy_statistics(const PartialCrossEntropy& a, const device::Stream& stream);
void cross_entropy_rebase(const PartialCrossEntropy& a, const void* common,
                          const device::Stream& stream);
void cross_entropy_gradient(const PartialCrossEntropy& a, const device::Stream& stream);
}  // namespace cuda

}  // namespace ocoee::kernels
