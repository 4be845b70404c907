// SPDX-License-Identifier: Apache-2.0
#include "nn/float8.h"

#include "nn/no_tape.h"
#include "nn/tensors.h"

namespace ocoee::nn {

Float8Table::Float8Table(int64_t products, const c10::Device& device) {
  const NoTape no_grad;
  const auto floats = at::TensorOptions().dtype(at::kFloat).device(device);
  const auto e4m3 = static_cast<int64_t>(kernels::Float8::e4m3),
             e5m2 = static_cast<int64_t>(kernels::Float8::e5m2);
  formats_ =
      at::tensor({e4m3, e4m3, e5m2}, at::kLong).to(at::kByte).repeat({products, 1}).to(device);
  seen_ = at::zeros({products, 3}, floats);
  first_seen_ = at::zeros({products, 3}, floats);
  largest_ = at::zeros({products, 3}, floats);
  scale_ = at::ones({products, 3}, floats);
  inverse_ = at::ones({products, 3, kernels::kInverseStride}, floats);
}

kernels::Float8Scales Float8Table::scales(int64_t first, int64_t count) const {
  kernels::Float8Scales a;
  a.count = count;
  a.formats = static_cast<const kernels::Float8*>(formats_.data_ptr()) + first;
  a.seen = seen_.data_ptr<float>() + first;
  a.largest = largest_.data_ptr<float>() + first;
  a.scale = scale_.data_ptr<float>() + first;
  a.inverse = inverse_.data_ptr<float>() + kernels::kInverseStride * first;
  return a;
}

void Float8Table::loaded() {
  if (largest_.numel() == 0) return;  // a stage without such products
  fresh_ = largest_.max().item<float>() <= 0;
  kernels::Float8Scales a = scales(0, largest_.numel());
  a.keep = 1;
  kernels::float8_scales(a, current_stream(place_of(seen_)));
}

void Float8Table::finish_step(const std::vector<comm::Communicator*>& groups) {
  const device::Stream stream = current_stream(place_of(seen_));
  for (comm::Communicator* group : groups) {
    if (group->size() > 1) group->all_reduce(buffer_of(seen_), comm::Reduce::max, stream);
  }
  kernels::float8_scales(scales(0, largest_.numel()), stream);
  fresh_ = false;
}

at::Tensor Float8::bytes(const at::Tensor& x, Operand operand, bool transposed) const {
  const at::Tensor dense = x.contiguous();
  const int64_t slot = 3 * product + operand;
  const device::Stream stream = current_stream(place_of(dense));
  kernels::ToFloat8 a;
  a.dtype = dtype_of(dense.scalar_type());
  a.format = operand == gradient ? kernels::Float8::e5m2 : kernels::Float8::e4m3;
  a.width = dense.size(-1);
  a.rows = a.width > 0 ? dense.numel() / a.width : 0;
  a.x = dense.data_ptr();
  if (table->fresh_) {
    // Apart from what is recorded: an evaluation may come before the first step.
    kernels::Float8Scales now = table->scales(slot, 1);
    a.seen = now.seen = table->first_seen_.data_ptr<float>() + slot;
    kernels::to_float8(a, stream);
    const at::Tensor unused = at::zeros({1}, table->largest_.options());
    now.largest = unused.data_ptr<float>();
    kernels::float8_scales(now, stream);
  }
  a.seen = table->records_ ? table->seen_.data_ptr<float>() + slot : nullptr;
  a.scale = table->scale_.data_ptr<float>() + slot;
  a.transposed = transposed;
  const at::Tensor out = transposed
                             ? at::empty({a.width, a.rows}, dense.options().dtype(at::kByte))
                             : at::empty({a.rows, a.width}, dense.options().dtype(at::kByte));
  a.out = out.data_ptr<uint8_t>();
  kernels::to_float8(a, stream);
  return out;
}

const float* Float8::inverse(Operand operand) const {
  return table->inverse_.data_ptr<float>() + kernels::kInverseStride * (3 * product + operand);
}

at::Tensor Float8::rounded(const at::Tensor& x, Operand operand) const {
  ++table->roundings_;
  const at::Tensor small =
      bytes(x, operand).view(operand == gradient ? at::kFloat8_e5m2 : at::kFloat8_e4m3fn);
  const at::Tensor scaled =
      small.to(at::kFloat) * table->inverse_.select(2, 0).flatten()[3 * product + operand];
  return scaled.to(x.scalar_type()).view(x.sizes());
}

}  // namespace ocoee::nn
