// SPDX-License-Identifier: Apache-2.0
#include "comm/mpi_support.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"

namespace ocoee::comm {
namespace {

float widen_bf16(uint16_t bits) {
  const uint32_t word = static_cast<uint32_t>(bits) << 16;
  float value;
  std::memcpy(&value, &word, 4);
  return value;
}

uint16_t narrow_bf16(float value) {  // round to nearest, ties to even; NaN stays NaN
  uint32_t word;
  std::memcpy(&word, &value, 4);
  if ((word & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((word >> 16) | 0x40);
  return static_cast<uint16_t>((word + 0x7fff + ((word >> 16) & 1)) >> 16);
}

float widen_f16(uint16_t bits) {
  _Float16 half;
  std::memcpy(&half, &bits, 2);
  return static_cast<float>(half);
}
uint16_t narrow_f16(float value) {
  const auto half = static_cast<_Float16>(value);
  uint16_t bits;
  std::memcpy(&bits, &half, 2);
  return bits;
}

template <float (*Widen)(uint16_t), uint16_t (*Narrow)(float), Reduce Op>
void reduce_half(void* in, void* inout, int* length, MPI_Datatype*) {
  const auto* a = static_cast<const uint16_t*>(in);
  auto* b = static_cast<uint16_t*>(inout);
  for (int i = 0; i < *length; ++i) {
    const float x = Widen(a[i]), y = Widen(b[i]);
    b[i] = Narrow(Op == Reduce::sum ? x + y : Op == Reduce::max ? std::max(x, y) : std::min(x, y));
  }
}

struct HalfTypes {
  MPI_Datatype bf16, f16;
  MPI_Op ops[2][3];
  HalfTypes() {
    MPI_Type_contiguous(2, MPI_BYTE, &bf16);
    MPI_Type_contiguous(2, MPI_BYTE, &f16);
    MPI_Type_commit(&bf16);
    MPI_Type_commit(&f16);
    MPI_Op_create(reduce_half<widen_bf16, narrow_bf16, Reduce::sum>, 1, &ops[0][0]);
    MPI_Op_create(reduce_half<widen_bf16, narrow_bf16, Reduce::max>, 1, &ops[0][1]);
    MPI_Op_create(reduce_half<widen_bf16, narrow_bf16, Reduce::min>, 1, &ops[0][2]);
    MPI_Op_create(reduce_half<widen_f16, narrow_f16, Reduce::sum>, 1, &ops[1][0]);
    MPI_Op_create(reduce_half<widen_f16, narrow_f16, Reduce::max>, 1, &ops[1][1]);
    MPI_Op_create(reduce_half<widen_f16, narrow_f16, Reduce::min>, 1, &ops[1][2]);
  }
};

const HalfTypes& half_types() {
  static const HalfTypes types;  // MPI frees what is left when it ends
  return types;
}

}  // namespace

void check_mpi(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  fail(ErrorKind::comm, "MPI: {} failed: {}", what, std::string(text, static_cast<size_t>(length)));
}

MPI_Datatype mpi_type(DType dtype) {
  switch (dtype) {
    case DType::u8: return MPI_UINT8_T;
    case DType::i8: return MPI_INT8_T;
    case DType::i16: return MPI_INT16_T;
    case DType::u16: return MPI_UINT16_T;
    case DType::i32: return MPI_INT32_T;
    case DType::u32: return MPI_UINT32_T;
    case DType::i64: return MPI_INT64_T;
    case DType::u64: return MPI_UINT64_T;
    case DType::bf16: return half_types().bf16;
    case DType::f16: return half_types().f16;
    case DType::f32: return MPI_FLOAT;
    case DType::f64: return MPI_DOUBLE;
    case DType::boolean: return MPI_UINT8_T;
  }
  return MPI_BYTE;
}

MPI_Op mpi_op(Reduce op, DType dtype) {
  if (dtype == DType::bf16) return half_types().ops[0][static_cast<size_t>(op)];
  if (dtype == DType::f16) return half_types().ops[1][static_cast<size_t>(op)];
  return op == Reduce::sum ? MPI_SUM : op == Reduce::max ? MPI_MAX : MPI_MIN;
}

}  // namespace ocoee::comm
