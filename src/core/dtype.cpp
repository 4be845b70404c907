// SPDX-License-Identifier: Apache-2.0
#include "core/dtype.h"

#include <array>

#include "core/error.h"

namespace ocoee {
namespace {
struct Row {
  DType dtype;
  std::string_view name;
  size_t bytes;
};
constexpr std::array<Row, 13> kTable{{{DType::u8, "U8", 1},
                                      {DType::i8, "I8", 1},
                                      {DType::i16, "I16", 2},
                                      {DType::u16, "U16", 2},
                                      {DType::i32, "I32", 4},
                                      {DType::u32, "U32", 4},
                                      {DType::i64, "I64", 8},
                                      {DType::u64, "U64", 8},
                                      {DType::f16, "F16", 2},
                                      {DType::bf16, "BF16", 2},
                                      {DType::f32, "F32", 4},
                                      {DType::f64, "F64", 8},
                                      {DType::boolean, "BOOL", 1}}};
}  // namespace

size_t size_of(DType dtype) {
  return kTable[static_cast<size_t>(dtype)].bytes;
}
std::string_view name_of(DType dtype) {
  return kTable[static_cast<size_t>(dtype)].name;
}

DType dtype_from_name(std::string_view name) {
  for (const Row& row : kTable) {
    if (row.name == name) return row.dtype;
  }
  fail(ErrorKind::data,
       "unknown element type '{}': expected a safetensors type such as F32, BF16 or I64", name);
}

}  // namespace ocoee
