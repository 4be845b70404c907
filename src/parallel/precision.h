// SPDX-License-Identifier: Apache-2.0
// What is computed in which type: weights and activations in `compute`; masters, gradients and
// optimizer states in float32, or float64 when computing in it. Beside bfloat16, gradients may be
// kept in bfloat16 too, and masters as what lies below their values (kernels/split_master.h).
#pragma once

#include <c10/core/ScalarType.h>

#include <string>

#include "nn/tensors.h"

namespace ocoee::parallel {

struct Precision {
  c10::ScalarType compute = c10::kFloat;
  c10::ScalarType master() const { return compute == c10::kDouble ? c10::kDouble : c10::kFloat; }
  bool bfloat16_gradients = false;
  c10::ScalarType gradient() const { return bfloat16_gradients ? c10::kBFloat16 : master(); }
  bool split_masters = false;
  // What the array of masters holds, where it is not whole masters: 16 bits of each.
  c10::ScalarType kept_master() const { return split_masters ? c10::kShort : master(); }
  bool has_master_copy() const { return compute != master(); }
};
// As in a recipe: "float32" | "float64" | "bfloat16" | "float16"; "float32" | "bfloat16";
// "float32" | "split".
Precision precision_from_name(const std::string& compute, const std::string& gradients = "float32",
                              const std::string& masters = "float32");

using nn::buffer_of;
using nn::current_stream;
using nn::dtype_of;
using nn::scalar_type_of;
using nn::torch_device;

}  // namespace ocoee::parallel
