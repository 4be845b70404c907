// SPDX-License-Identifier: Apache-2.0
#include "nn/products.h"

#include <array>
#include <map>

#include "core/error.h"
#include "kernels/activation.h"
#include "kernels/reduce.h"
#include "nn/gpu_calls.h"
#include "nn/matrix_product.h"
#include "nn/tensors.h"

namespace ocoee::nn {
namespace {

using kernels::Epilogue;

thread_local int left_to_messages = 0;

at::Tensor rows_of(const at::Tensor& t) {
  return t.reshape({-1, t.size(-1)});
}

// Half precision on a GPU, and contiguous: what the library's fused products are for.
bool suits_gpu(const at::Tensor& t) {
  return t.is_cuda() && t.is_contiguous() &&
         (t.scalar_type() == at::kBFloat16 || t.scalar_type() == at::kHalf);
}

bool even(int64_t a, int64_t b, int64_t c) {
  return a % 8 == 0 && b % 8 == 0 && c % 8 == 0;
}

std::vector<int64_t> with_last(const at::Tensor& t, int64_t last) {
  std::vector<int64_t> shape = t.sizes().vec();
  shape.back() = last;
  return shape;
}

void* address(const at::Tensor& t) {
  return t.defined() ? t.data_ptr() : nullptr;
}

// y = epilogue(x weight'); false where the library cannot.
bool gpu_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                 const at::Tensor& residual, Epilogue epilogue, at::Tensor* before,
                 const at::Tensor& y) {
  kernels::Matmul call;
  call.n = weight.size(0);
  call.k = weight.size(1);
  call.m = call.k > 0 ? x.numel() / call.k : 0;
  if (!suits_gpu(x) || (residual.defined() && !residual.is_contiguous()) ||
      !even(call.m, call.n, call.k) || x.numel() == 0)
    return false;
  call.dtype = call.d_dtype = dtype_of(x.scalar_type());
  call.b_transposed = true;
  call.a = x.data_ptr();
  call.b = weight.data_ptr();
  call.c = address(residual);
  call.d = y.data_ptr();
  call.bias = address(bias);
  if (before && !before->defined()) *before = at::empty_like(y);
  call.aux = before ? before->data_ptr() : nullptr;
  call.epilogue = epilogue;
  return gpu_matmul(call, x);
}

// dx = scale g weight, or that times gelu'(before).
at::Tensor gpu_input_gradient(const at::Tensor& g, const at::Tensor& weight,
                              const at::Tensor& before, const at::Tensor& scale,
                              const at::Tensor& into) {
  kernels::Matmul call;
  call.k = weight.size(0);
  call.n = weight.size(1);
  call.m = call.k > 0 ? g.numel() / call.k : 0;
  if (!suits_gpu(g) || !even(call.m, call.n, call.k) || g.numel() == 0) return {};
  const at::Tensor dx = into.defined() ? into : at::empty(with_last(g, call.n), g.options());
  call.dtype = call.d_dtype = dtype_of(g.scalar_type());
  call.a = g.data_ptr();
  call.b = weight.data_ptr();
  call.d = dx.data_ptr();
  call.alpha = static_cast<const float*>(address(scale));
  call.aux = address(before);
  call.epilogue = before.defined() ? Epilogue::gelu_gradient : Epilogue::none;
  return gpu_matmul(call, g) ? dx : at::Tensor();
}

struct Float8Operand {
  at::Tensor tensor;
  Float8::Operand operand;
  bool transposed = false;
};

// d [m, n] (+)= a [m, k] b' [n, k] (+ bias), a and b rounded to float8; false where the library
// cannot. What is added lies in d: the library adds nothing else to such products.
bool gpu_float8(const Float8& float8, const Float8Operand& a, const Float8Operand& b,
                const at::Tensor& d, bool adds, const at::Tensor& bias = {}) {
  const at::Tensor& t = a.tensor;
  if (!t.is_cuda() || t.scalar_type() != at::kBFloat16 || t.numel() == 0 ||
      !has_float8_products(place_of(t)))
    return false;
  const at::Tensor first = float8.bytes(t, a.operand, a.transposed),
                   second = float8.bytes(b.tensor, b.operand, b.transposed);
  const auto format = [](Float8::Operand operand) {
    return operand == Float8::gradient ? kernels::Float8::e5m2 : kernels::Float8::e4m3;
  };
  kernels::Matmul call;
  call.m = first.size(0), call.n = second.size(0), call.k = first.size(1);
  if (call.m % 16 != 0 || call.n % 16 != 0 || call.k % 16 != 0) return false;
  call.d_dtype = dtype_of(d.scalar_type());
  call.float8 = true;
  call.b_transposed = true;
  call.a = first.data_ptr(), call.b = second.data_ptr(), call.d = d.data_ptr();
  call.c = adds ? call.d : nullptr;
  call.bias = address(bias);
  call.epilogue = bias.defined() ? Epilogue::bias : Epilogue::none;
  call.a_format = format(a.operand), call.b_format = format(b.operand);
  call.a_inverse = float8.inverse(a.operand), call.b_inverse = float8.inverse(b.operand);
  call.exact_sums = a.operand == Float8::gradient;
  return gpu_matmul(call, d);
}

bool gpu_weight_gradient(const at::Tensor& g, const at::Tensor& x,
                         const at::Tensor& weight_gradient, bool adds, const at::Tensor& scale) {
  kernels::Matmul call;
  call.m = weight_gradient.size(0);
  call.n = weight_gradient.size(1);
  call.k = call.n > 0 ? x.numel() / call.n : 0;
  if (!suits_gpu(g) || !suits_gpu(x) || !even(call.m, call.n, call.k) || x.numel() == 0)
    return false;
  call.dtype = dtype_of(g.scalar_type());
  call.d_dtype = dtype_of(weight_gradient.scalar_type());
  call.a_transposed = true;
  call.a = g.data_ptr();
  call.b = x.data_ptr();
  call.d = weight_gradient.data_ptr();
  call.c = adds ? call.d : nullptr;
  call.alpha = static_cast<const float*>(address(scale));
  call.exact_sums = call.d_dtype == DType::bf16;
  return gpu_matmul(call, x);
}

// dx *= gelu'(before), with its column sums in the same pass. `again`: that takes the place of
// `before`, and gelu(before) that of dx.
void multiply_by_gelu_gradient(const at::Tensor& dx, const at::Tensor& before,
                               const at::Tensor& bias_gradient, bool again = false) {
  const device::Device place = place_of(dx);
  kernels::Gelu a;
  a.dtype = dtype_of(dx.scalar_type());
  a.width = dx.size(-1);
  a.rows = a.width > 0 ? dx.numel() / a.width : 0;
  a.x = before.data_ptr();
  a.dy = a.out = dx.data_ptr();
  if (again) a.out = before.data_ptr(), a.y = dx.data_ptr();
  at::Tensor space;
  if (bias_gradient.defined()) {
    space = workspace(kernels::column_sum_workspace(a.dtype, a.rows, a.width, place), dx);
    a.d_bias = bias_gradient.data_ptr();
    a.workspace = space.data_ptr();
  }
  kernels::gelu_backward(a, current_stream(place));
}

// The product of product_input_gradient_gelu, with gelu' in its epilogue or in a pass of its own.
at::Tensor input_gradient_gelu(bool in_epilogue, const at::Tensor& g, const at::Tensor& weight,
                               const at::Tensor& before, const at::Tensor& bias_gradient,
                               const at::Tensor& into) {
  if (in_epilogue) {
    const at::Tensor dx = gpu_input_gradient(g, weight, before, {}, into);
    if (dx.defined()) {
      if (bias_gradient.defined()) add_column_sums(dx, bias_gradient);
      return dx;
    }
  }
  const at::Tensor dx = product_input_gradient(g, weight, {}, {}, into).contiguous();
  multiply_by_gelu_gradient(dx, before, bias_gradient);
  return dx;
}

// The library has good kernels with that epilogue for some shapes and bad ones for others: timed
// once for each shape, unless the same choice is wanted in every run.
bool epilogue_is_faster(const at::Tensor& g, const at::Tensor& weight, const at::Tensor& before,
                        const at::Tensor& bias_gradient) {
  if (!suits_gpu(g) || at::globalContext().deterministicAlgorithms()) return false;
  const device::Stream stream = current_stream(place_of(g));
  static std::map<std::array<int64_t, 4>, bool> known;
  const std::array<int64_t, 4> shape{g.numel(), weight.size(0), weight.size(1),
                                     bias_gradient.defined()};
  const auto found = known.find(shape);
  if (found != known.end()) return found->second;
  if (device::capturing(stream)) return false;
  const at::Tensor sums = bias_gradient.defined() ? at::zeros_like(bias_gradient) : at::Tensor();
  double times[2] = {0, 0};
  for (int round = 0; round < 5; ++round) {
    for (const bool in_epilogue : {false, true}) {
      device::Event begin(stream.device, true), end(stream.device, true);
      begin.record(stream);
      input_gradient_gelu(in_epilogue, g, weight, before, sums, {});
      end.record(stream);
      end.synchronize();
      if (round > 0) times[in_epilogue] += end.milliseconds_since(begin);
    }
  }
  return known[shape] = times[1] < times[0];
}

}  // namespace

void leave_multiprocessors(int count) {
  left_to_messages = count;
}
int multiprocessors_left() {
  return left_to_messages;
}

at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                   const at::Tensor& residual, const Float8& float8, const at::Tensor& into) {
  const at::Tensor y = into.defined() ? into : at::empty(with_last(x, weight.size(0)), x.options());
  if (float8) {
    if (residual.defined() && x.is_cuda()) y.copy_(residual);
    if (gpu_float8(float8, {x, Float8::input}, {weight, Float8::weight}, y, residual.defined(),
                   bias))
      return y;
    return product(float8.rounded(x, Float8::input), float8.rounded(weight, Float8::weight), bias,
                   residual, {}, y);
  }
  const Epilogue epilogue = bias.defined() ? Epilogue::bias : Epilogue::none;
  if (gpu_product(x, weight, bias, residual, epilogue, nullptr, y)) return y;
  const at::Tensor rows = rows_of(y);  // a view: y is contiguous
  if (bias.defined())
    matrix_product(rows_of(x), weight.t(), bias, rows);
  else
    matrix_product(rows_of(x), weight.t(), rows);
  if (residual.defined()) y.add_(residual);
  return y;
}

at::Tensor gelu_of(const at::Tensor& z, const at::Tensor& into) {
  const at::Tensor y = into.defined() ? into : at::empty(z.sizes(), z.options()),
                   dense = z.contiguous();
  kernels::Gelu a;
  a.dtype = dtype_of(z.scalar_type());
  a.width = z.size(-1);
  a.rows = a.width > 0 ? z.numel() / a.width : 0;
  a.x = dense.data_ptr();
  a.out = y.data_ptr();
  kernels::gelu_forward(a, current_stream(place_of(z)));
  return y;
}

at::Tensor product_gelu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                        at::Tensor* before, const Float8& float8, const at::Tensor& into) {
  const at::Tensor y = into.defined() ? into : at::empty(with_last(x, weight.size(0)), x.options());
  if (!float8 && gpu_product(x, weight, bias, {}, Epilogue::gelu, before, y)) return y;
  const at::Tensor argument = product(x, weight, bias, {}, float8, before ? *before : at::Tensor());
  if (before) *before = argument;
  return gelu_of(argument, y);
}

at::Tensor product_input_gradient(const at::Tensor& g, const at::Tensor& weight,
                                  const at::Tensor& scale, const Float8& float8,
                                  const at::Tensor& into) {
  const auto result = [&] {
    return into.defined() ? into : at::empty(with_last(g, weight.size(1)), g.options());
  };
  if (float8) {
    OCOEE_CHECK(!scale.defined(), "float8 products take no factor");
    const at::Tensor dx = result();
    if (gpu_float8(float8, {g, Float8::gradient}, {weight, Float8::weight, true}, dx, false))
      return dx;
    return product_input_gradient(float8.rounded(g, Float8::gradient),
                                  float8.rounded(weight, Float8::weight), {}, {}, dx);
  }
  const at::Tensor dx = gpu_input_gradient(g, weight, {}, scale, into);
  if (dx.defined()) return dx;
  const at::Tensor plain = result();
  matrix_product(rows_of(g), weight, rows_of(plain));
  return scale.defined() ? plain.mul_(scale) : plain;
}

at::Tensor product_input_gradient_gelu(const at::Tensor& g, const at::Tensor& weight,
                                       const at::Tensor& before, const at::Tensor& bias_gradient,
                                       const Float8& float8, const at::Tensor& into) {
  if (float8) {
    const at::Tensor dx = product_input_gradient(g, weight, {}, float8, into);
    multiply_by_gelu_gradient(dx, before, bias_gradient);
    return dx;
  }
  return input_gradient_gelu(epilogue_is_faster(g, weight, before, bias_gradient), g, weight,
                             before, bias_gradient, into);
}

at::Tensor product_input_gradient_gelu_again(const at::Tensor& g, const at::Tensor& weight,
                                             const at::Tensor& before,
                                             const at::Tensor& bias_gradient, const Float8& float8,
                                             const at::Tensor& into) {
  const at::Tensor y = product_input_gradient(g, weight, {}, float8, into).contiguous();
  multiply_by_gelu_gradient(y, before, bias_gradient, /*again=*/true);
  return y;
}

void add_column_sums(const at::Tensor& g, const at::Tensor& sums) {
  const at::Tensor dense = rows_of(g).contiguous();
  const device::Device place = place_of(dense);
  kernels::ColumnSum a;
  a.dtype = dtype_of(dense.scalar_type());
  a.rows = dense.size(0);
  a.width = dense.size(1);
  a.x = dense.data_ptr();
  a.out = sums.data_ptr();
  a.bf16_out = sums.scalar_type() == at::kBFloat16;
  const at::Tensor space =
      workspace(kernels::column_sum_workspace(a.dtype, a.rows, a.width, place), dense);
  a.workspace = space.data_ptr();
  kernels::column_sum(a, current_stream(place));
}

void product_weight_gradient(const at::Tensor& g, const at::Tensor& x,
                             const at::Tensor& weight_gradient, const at::Tensor& bias_gradient,
                             bool adds, const at::Tensor& scale, const Float8& float8) {
  if (float8) {
    OCOEE_CHECK(!scale.defined(), "float8 products take no factor");
    if (!gpu_float8(float8, {g, Float8::gradient, true}, {x, Float8::input, true}, weight_gradient,
                    adds))
      product_weight_gradient(float8.rounded(g, Float8::gradient), float8.rounded(x, Float8::input),
                              weight_gradient, {}, adds);
    if (bias_gradient.defined()) add_column_sums(g, bias_gradient);
    return;
  }
  if (!gpu_weight_gradient(g, x, weight_gradient, adds, scale)) {
    const at::Tensor rows = rows_of(g);
    // The smaller operand takes the factor.
    const at::Tensor in = scale.defined() ? rows_of(x) * scale.to(x.scalar_type()) : rows_of(x);
    if (g.scalar_type() != weight_gradient.scalar_type()) {
      const at::Tensor all = at::mm(rows.t(), in);
      adds ? weight_gradient.add_(all) : weight_gradient.copy_(all);
    } else {
      matrix_product(rows.t(), in, weight_gradient, adds);
    }
  }
  if (bias_gradient.defined()) add_column_sums(g, bias_gradient);
}

}  // namespace ocoee::nn
