// SPDX-License-Identifier: Apache-2.0
// The matrix products of hand-written layers, each as its forward and the two halves of its
// backward, with what stands beside it (bias, GELU, residual) done in the same call where the
// library can. Tensors are contiguous; leading dimensions are rows: x [..., in], weight [out, in],
// bias [out], g [..., out].
//
// No tape: call under NoTape. Weight gradients gather in float32 (float64 when computing in
// it), without a copy of the product in the compute type where the library allows; where they are
// kept in bfloat16, sums are rounded to it as they are written.
//
// `float8`, unless empty: the operands are rounded to it first (nn/float8.h).
#pragma once

#include <ATen/core/Tensor.h>

#include "nn/float8.h"

namespace ocoee::nn {

// How many multiprocessors of a GPU the products that this thread asks for from now on leave to
// messages that run beside them: a product that has them all holds a message up, or waits for it.
void leave_multiprocessors(int count);
int multiprocessors_left();

// Results of forward products and gradients of inputs go into `into` where that is defined.

// x weight' + bias + residual; bias and residual may be undefined.
at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {},
                   const at::Tensor& residual = {}, const Float8& float8 = {},
                   const at::Tensor& into = {});

// GELU in its tanh form.
at::Tensor gelu_of(const at::Tensor& z, const at::Tensor& into = {});

// gelu(x weight' + bias); `before`, unless null, receives GELU's argument (where it is defined: in
// its memory).
at::Tensor product_gelu(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias,
                        at::Tensor* before, const Float8& float8 = {}, const at::Tensor& into = {});

// g weight: the gradient of x. `scale`: a float32 scalar on the device that multiplies it, or
// undefined.
at::Tensor product_input_gradient(const at::Tensor& g, const at::Tensor& weight,
                                  const at::Tensor& scale = {}, const Float8& float8 = {},
                                  const at::Tensor& into = {});

// (g weight) * gelu'(before): the gradient of GELU's argument, g and weight being those of the
// product that follows the GELU. Its column sums are added to `bias_gradient` unless undefined.
at::Tensor product_input_gradient_gelu(const at::Tensor& g, const at::Tensor& weight,
                                       const at::Tensor& before,
                                       const at::Tensor& bias_gradient = {},
                                       const Float8& float8 = {}, const at::Tensor& into = {});

// The same where GELU's output was not kept: that is made once more in the same pass, and returned;
// the gradient of GELU's argument takes the place of `before`.
at::Tensor product_input_gradient_gelu_again(const at::Tensor& g, const at::Tensor& weight,
                                             const at::Tensor& before,
                                             const at::Tensor& bias_gradient = {},
                                             const Float8& float8 = {},
                                             const at::Tensor& into = {});

// sums += the sums of g's columns, in float32 (float64) or, where they are kept so, bfloat16.
void add_column_sums(const at::Tensor& g, const at::Tensor& sums);

// weight_gradient += scale g' x (`adds` false: = instead), and bias_gradient += the column sums of
// g unless undefined.
void product_weight_gradient(const at::Tensor& g, const at::Tensor& x,
                             const at::Tensor& weight_gradient,
                             const at::Tensor& bias_gradient = {}, bool adds = true,
                             const at::Tensor& scale = {}, const Float8& float8 = {});

}  // namespace ocoee::nn
