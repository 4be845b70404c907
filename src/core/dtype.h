// SPDX-License-Identifier: Apache-2.0
// Element types of everything that is stored, sent or computed with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ocoee {

enum class DType : uint8_t { u8, i8, i16, u16, i32, u32, i64, u64, f16, bf16, f32, f64, boolean };

size_t size_of(DType dtype);            // bytes of one element
std::string_view name_of(DType dtype);  // the safetensors name: "F32", "BF16", "I64", ...
DType dtype_from_name(std::string_view safetensors_name);  // throws Error(data)

}  // namespace ocoee
