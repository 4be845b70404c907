// SPDX-License-Identifier: Apache-2.0
// Sums that are bit-equal from run to run and for any number of threads.
#pragma once

#include "device/device.h"

namespace ocoee::kernels {

// out += factor * sum of x[i]^2, all in float64. dtype f32, bf16, f16 or f64. `factor` is for
// parameters that several ranks hold: each contributes its share.
struct SumOfSquares {
  DType dtype = DType::f32;
  const void* x = nullptr;
  int64_t count = 0;
  double factor = 1;
  double* out = nullptr;      // on the device
  void* workspace = nullptr;  // of sum_of_squares_workspace() bytes
};
void sum_of_squares(const SumOfSquares& a, const device::Stream& stream);
size_t sum_of_squares_workspace(int64_t count, const device::Device& device);

// out[column] += sum over rows of x[row, column]: the gradient of a bias.
struct ColumnSum {
  DType dtype = DType::f32;  // of x: f32, bf16, f16 or f64
  int64_t rows = 0, width = 0;
  const void* x = nullptr;    // [rows, width]
  void* out = nullptr;        // [width] f32 / f64, or bf16
  void* workspace = nullptr;  // of column_sum_workspace() bytes
  bool bf16_out = false;
};
void column_sum(const ColumnSum& a, const device::Stream& stream);
size_t column_sum_workspace(DType dtype, int64_t rows, int64_t width, const device::Device& device);

namespace cpu {
void sum_of_squares(const SumOfSquares& a);
size_t sum_of_squares_workspace(int64_t count);
void column_sum(const ColumnSum& a);
size_t column_sum_workspace(DType dtype, int64_t rows, int64_t width);
}  // namespace cpu
namespace cuda {
void sum_of_squares(const SumOfSquares& a, const device::Stream& stream);
size_t sum_of_squares_workspace(int64_t count, const device::Device& device);
void column_sum(const ColumnSum& a, const device::Stream& stream);
size_t column_sum_workspace(DType dtype, int64_t rows, int64_t width, const device::Device& device);
}  // namespace cuda

}  // namespace ocoee::kernels
