// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "kernels/library.h"

namespace ocoee::bench {
namespace {

at::TensorOptions options(DType dtype, device::Device device) {
  const auto type = dtype == DType::bf16  ? at::kBFloat16
                    : dtype == DType::f16 ? at::kHalf
                    : dtype == DType::f64 ? at::kDouble
                                          : at::kFloat;
  return at::TensorOptions().dtype(type).device(
      device.is_cuda() ? at::Device(at::kCUDA, static_cast<c10::DeviceIndex>(device.index))
                       : at::Device(at::kCPU));
}
at::Tensor values(DType dtype, at::IntArrayRef shape, device::Device device) {
  return at::randn(shape, options(dtype, device));
}
at::Tensor ids(int64_t rows, int64_t below, device::Device device) {
  return at::randint(below, {rows}, options(DType::f32, device).dtype(at::kLong));
}

}  // namespace

void set_library_threads(int threads) {
  at::set_num_threads(threads);
}

Work library_norm_forward(DType dtype, int64_t rows, int64_t width, bool rms,
                          device::Device device) {
  const auto x = values(dtype, {rows, width}, device), w = values(dtype, {width}, device),
             b = values(dtype, {width}, device);
  if (rms) return [=] { at::_fused_rms_norm(x, {width}, w, 1e-5); };
  return [=] { at::native_layer_norm(x, {width}, w, b, 1e-5); };
}

Work library_norm_backward(DType dtype, int64_t rows, int64_t width, bool rms,
                           device::Device device) {
  const auto x = values(dtype, {rows, width}, device), w = values(dtype, {width}, device),
             b = values(dtype, {width}, device);
  const auto dy = values(dtype, {rows, width}, device),
             passing = values(dtype, {rows, width}, device);
  const auto gw = values(DType::f32, {width}, device), gb = values(DType::f32, {width}, device);
  if (rms && !device.is_cuda()) return {};  // the library has none on the CPU
  if (rms) {
    const auto rstd = std::get<1>(at::_fused_rms_norm(x, {width}, w, 1e-5));
    return [=] {
      auto [dx, dw] = at::_fused_rms_norm_backward(dy, x, {width}, rstd, w, {true, true});
      dx.add_(passing);
      gw.add_(dw);
    };
  }
  const auto [y, mean, rstd] = at::native_layer_norm(x, {width}, w, b, 1e-5);
  return [=, mean = mean, rstd = rstd] {
    auto [dx, dw, db] =
        at::native_layer_norm_backward(dy, x, {width}, mean, rstd, w, b, {true, true, true});
    dx.add_(passing);
    gw.add_(dw);
    gb.add_(db);
  };
}

Work library_gelu_forward(DType dtype, int64_t rows, int64_t width, device::Device device) {
  const auto x = values(dtype, {rows, width}, device);
  return [=] { at::gelu(x, "tanh"); };
}
Work library_gelu_backward(DType dtype, int64_t rows, int64_t width, device::Device device) {
  const auto x = values(dtype, {rows, width}, device), dy = values(dtype, {rows, width}, device);
  return [=] { at::gelu_backward(dy, x, "tanh"); };
}
Work library_swiglu_forward(DType dtype, int64_t rows, int64_t inner, device::Device device) {
  const auto x = values(dtype, {rows, 2 * inner}, device);
  return [=] { at::silu(x.narrow(1, 0, inner)) * x.narrow(1, inner, inner); };
}

Work library_cross_entropy(DType dtype, int64_t rows, int64_t columns, device::Device device) {
  const auto logits = values(dtype, {rows, columns}, device), targets = ids(rows, columns, device);
  const auto wide = dtype == DType::f64 ? at::kDouble : at::kFloat;
  return [=] {  // what eager code runs: widen, log-softmax, pick; and back
    const auto log_p = at::log_softmax(logits.to(wide), 1);
    const auto [loss, weight] = at::nll_loss_forward(log_p, targets, {}, at::Reduction::Mean, -100);
    const auto one = at::ones({}, loss.options());
    const auto d =
        at::nll_loss_backward(one, log_p, targets, {}, at::Reduction::Mean, -100, weight);
    at::_log_softmax_backward_data(d, log_p, 1, wide).to(logits.scalar_type());
  };
}

Work library_dropout(DType dtype, int64_t rows, int64_t width, device::Device device) {
  const auto x = values(dtype, {rows, width}, device),
             residual = values(dtype, {rows, width}, device);
  return [=] { residual + std::get<0>(at::native_dropout(x, 0.1, true)); };
}
Work library_embedding_forward(DType dtype, int64_t rows, int64_t width, int64_t vocabulary,
                               device::Device device) {
  const auto table = values(dtype, {vocabulary, width}, device),
             index = ids(rows, vocabulary, device);
  return [=] { at::embedding(table, index); };
}
Work library_embedding_backward(DType dtype, int64_t rows, int64_t width, int64_t vocabulary,
                                device::Device device) {
  const auto dy = values(dtype, {rows, width}, device), index = ids(rows, vocabulary, device);
  const auto gradient = at::zeros({vocabulary, width}, options(DType::f32, device));
  return [=] { gradient.add_(at::embedding_dense_backward(dy, index, vocabulary, -1, false)); };
}

Work library_rotary(DType dtype, int64_t rows, int64_t width, int64_t head_dim,
                    device::Device device) {
  const int64_t heads = width / head_dim, half = head_dim / 2;
  const auto x = values(dtype, {rows, heads, head_dim}, device),
             cos = values(dtype, {rows, 1, half}, device),
             sin = values(dtype, {rows, 1, half}, device);
  return [=] {  // what eager code runs
    const auto a = x.narrow(2, 0, half), b = x.narrow(2, half, half);
    at::cat({a * cos - b * sin, b * cos + a * sin}, 2);
  };
}
Work library_to_float8(DType dtype, int64_t rows, int64_t width, device::Device device) {
  const auto x = values(dtype, {rows, width}, device);
  return [=] {
    x.abs().max();
    (x * 2).clamp(-448, 448).to(at::kFloat8_e4m3fn);
  };
}
Work library_adamw(int64_t count, device::Device device) {
  const auto zeros = [&] { return at::zeros({count}, options(DType::f32, device)); };
  const auto p = values(DType::f32, {count}, device), g = values(DType::f32, {count}, device),
             m = zeros(), v = zeros();
  const auto step = at::ones({}, options(DType::f32, device));
  return [=] {
    at::_fused_adamw_({p}, {g}, {m}, {v}, {}, {step}, 1e-3, 0.9, 0.95, 0.1, 1e-8, false, false);
  };
}
Work library_sum_of_squares(int64_t count, device::Device device) {
  const auto x = values(DType::f32, {count}, device);
  return [=] { at::linalg_vector_norm(x, 2); };
}
Work library_column_sum(DType dtype, int64_t rows, int64_t width, device::Device device) {
  const auto x = values(dtype, {rows, width}, device), out = values(DType::f32, {width}, device);
  return [=] { out.add_(x.sum(0)); };
}
Work library_accumulate(int64_t count, device::Device device) {
  const auto sum = values(DType::f32, {count}, device), x = values(DType::bf16, {count}, device);
  return [=] { sum.add_(x); };
}

Work library_products(device::Device device) {
  const auto a = values(DType::bf16, {16384, 4096}, device),
             b = values(DType::bf16, {4096, 4096}, device);
  auto out = values(DType::bf16, {16384, 4096}, device);
  return [=]() mutable {
    for (int i = 0; i < 3; ++i) at::mm_out(out, a, b);
  };
}

}  // namespace ocoee::bench
