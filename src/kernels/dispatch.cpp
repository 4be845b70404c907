// SPDX-License-Identifier: Apache-2.0
// Which version of a kernel runs: that of the stream's device.
#include "core/error.h"
#include "kernels/activation.h"
#include "kernels/alloy_ising.h"
#include "kernels/alloy_swap.h"
#include "kernels/cast.h"
#include "kernels/cross_entropy.h"
#include "kernels/dropout.h"
#include "kernels/embedding.h"
#include "kernels/float8.h"
#include "kernels/norm.h"
#include "kernels/optimizer_step.h"
#include "kernels/reduce.h"
#include "kernels/rotary.h"

#ifdef OCOEE_WITH_CUDA
#define OCOEE_ON_CUDA(call) call
#else
#define OCOEE_ON_CUDA(call) without_cuda()
#endif

namespace ocoee::kernels {
namespace {

#ifndef OCOEE_WITH_CUDA
[[noreturn]] void without_cuda() {
  fail(ErrorKind::device,
       "a GPU kernel is asked for, but {}\n    fix: set run.device = \"cpu\", or build with ./dev "
       "cuda",
       device::cuda_unavailable_reason());
}
#endif

}  // namespace

#define OCOEE_KERNEL(name, Arguments)                                         \
  void name(const Arguments& a, const device::Stream& stream) {               \
    if (stream.device.is_cuda()) OCOEE_ON_CUDA(return cuda::name(a, stream)); \
    cpu::name(a);                                                             \
  }

OCOEE_KERNEL(norm_forward, NormForward)
OCOEE_KERNEL(norm_backward, NormBackward)
OCOEE_KERNEL(sum_of_squares, SumOfSquares)
OCOEE_KERNEL(column_sum, ColumnSum)
OCOEE_KERNEL(adamw, AdamW)
OCOEE_KERNEL(sgd, Sgd)
OCOEE_KERNEL(gelu_forward, Gelu)
OCOEE_KERNEL(gelu_backward, Gelu)
OCOEE_KERNEL(swiglu_forward, Swiglu)
OCOEE_KERNEL(swiglu_backward, Swiglu)
OCOEE_KERNEL(cross_entropy, CrossEntropy)
OCOEE_KERNEL(cross_entropy_statistics, PartialCrossEntropy)
OCOEE_KERNEL(cross_entropy_gradient, PartialCrossEntropy)
OCOEE_KERNEL(dropout, Dropout)
OCOEE_KERNEL(rotary, Rotary)
OCOEE_KERNEL(embedding_forward, Embedding)
OCOEE_KERNEL(embedding_backward, EmbeddingBackward)
OCOEE_KERNEL(to_float8, ToFloat8)
OCOEE_KERNEL(float8_scales, Float8Scales)
OCOEE_KERNEL(alloy_swap, AlloySwap)
OCOEE_KERNEL(alloy_count, AlloyCount)
OCOEE_KERNEL(alloy_fill, AlloyFill)
OCOEE_KERNEL(ising_sweep, Ising)
OCOEE_KERNEL(ising_measure, IsingMeasure)

void cross_entropy_rebase(const PartialCrossEntropy& a, const void* common,
                          const device::Stream& stream) {
  if (stream.device.is_cuda()) OCOEE_ON_CUDA(return cuda::cross_entropy_rebase(a, common, stream));
  cpu::cross_entropy_rebase(a, common);
}

void cast(const device::Buffer& from, const device::Buffer& to, const device::Stream& stream) {
  OCOEE_CHECK(from.count == to.count, "{} elements into {}", from.count, to.count);
  if (stream.device.is_cuda()) OCOEE_ON_CUDA(return cuda::cast(from, to, stream));
  cpu::cast(from, to);
}

void accumulate(const device::Buffer& x, double factor, const device::Buffer& sum,
                const device::Stream& stream) {
  OCOEE_CHECK(x.count == sum.count, "{} elements into {}", x.count, sum.count);
  if (stream.device.is_cuda()) OCOEE_ON_CUDA(return cuda::accumulate(x, factor, sum, stream));
  cpu::accumulate(x, factor, sum);
}

void set_learning_rate(StepScalars* scalars, double learning_rate, const device::Stream& stream) {
  if (stream.device.is_cuda())
    OCOEE_ON_CUDA(return cuda::set_learning_rate(scalars, learning_rate, stream));
  scalars->learning_rate = learning_rate;
}

void finish_step(StepScalars* scalars, const StepRules& rules, const device::Stream& stream) {
  if (stream.device.is_cuda()) OCOEE_ON_CUDA(return cuda::finish_step(scalars, rules, stream));
  finish_step_at(*scalars, rules);
}

size_t norm_backward_workspace(DType dtype, int64_t rows, int64_t width,
                               const device::Device& device) {
  if (device.is_cuda())
    OCOEE_ON_CUDA(return cuda::norm_backward_workspace(dtype, rows, width, device));
  return cpu::norm_backward_workspace(dtype, rows, width);
}

size_t sum_of_squares_workspace(int64_t count, const device::Device& device) {
  if (device.is_cuda()) OCOEE_ON_CUDA(return cuda::sum_of_squares_workspace(count, device));
  return cpu::sum_of_squares_workspace(count);
}

size_t column_sum_workspace(DType dtype, int64_t rows, int64_t width,
                            const device::Device& device) {
  if (device.is_cuda())
    OCOEE_ON_CUDA(return cuda::column_sum_workspace(dtype, rows, width, device));
  return cpu::column_sum_workspace(dtype, rows, width);
}

size_t embedding_backward_workspace(const EmbeddingBackward& a, const device::Device& device) {
  if (device.is_cuda()) OCOEE_ON_CUDA(return cuda::embedding_backward_workspace(a));
  static_cast<void>(a);
  return 0;  // the CPU version needs none
}

}  // namespace ocoee::kernels
