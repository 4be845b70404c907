// SPDX-License-Identifier: Apache-2.0
#include "comm/mpi_support.h"

#include "comm/half_reductions.h"
#include "core/error.h"

namespace ocoee::comm {
namespace {

template <DType Type, Reduce Op>
void reduce_in_mpi(void* in, void* inout, int* length, MPI_Datatype*) {
  reduce_halves(Type, Op, static_cast<const uint16_t*>(in), static_cast<uint16_t*>(inout), *length);
}

struct HalfTypes {
  MPI_Datatype bf16 = MPI_DATATYPE_NULL, f16 = MPI_DATATYPE_NULL;
  MPI_Op ops[2][3];
  HalfTypes() {
    for (MPI_Datatype* type : {&bf16, &f16}) {
      check_mpi(MPI_Type_contiguous(2, MPI_BYTE, type), "MPI_Type_contiguous");
      check_mpi(MPI_Type_commit(type), "MPI_Type_commit");
    }
    const auto create = [](MPI_User_function* function, MPI_Op& op) {
      check_mpi(MPI_Op_create(function, 1, &op), "MPI_Op_create");
    };
    create(reduce_in_mpi<DType::bf16, Reduce::sum>, ops[0][0]);
    create(reduce_in_mpi<DType::bf16, Reduce::max>, ops[0][1]);
    create(reduce_in_mpi<DType::bf16, Reduce::min>, ops[0][2]);
    create(reduce_in_mpi<DType::f16, Reduce::sum>, ops[1][0]);
    create(reduce_in_mpi<DType::f16, Reduce::max>, ops[1][1]);
    create(reduce_in_mpi<DType::f16, Reduce::min>, ops[1][2]);
  }
};

const HalfTypes& half_types() {
  static const HalfTypes types;  // MPI frees what is left when it ends
  return types;
}

}  // namespace

void check_mpi(int code, const char* what) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING] = "";
  int length = 0;
  MPI_Error_string(code, text, &length);
  fail(ErrorKind::comm, "MPI: {} failed: {}", what, std::string(text, static_cast<size_t>(length)));
}

MPI_Datatype mpi_type(DType dtype) {
  switch (dtype) {
    case DType::u8:
      return MPI_UINT8_T;
    case DType::i8:
      return MPI_INT8_T;
    case DType::i16:
      return MPI_INT16_T;
    case DType::u16:
      return MPI_UINT16_T;
    case DType::i32:
      return MPI_INT32_T;
    case DType::u32:
      return MPI_UINT32_T;
    case DType::i64:
      return MPI_INT64_T;
    case DType::u64:
      return MPI_UINT64_T;
    case DType::bf16:
      return half_types().bf16;
    case DType::f16:
      return half_types().f16;
    case DType::f32:
      return MPI_FLOAT;
    case DType::f64:
      return MPI_DOUBLE;
    case DType::boolean:
      return MPI_UINT8_T;  // one byte, 0 or 1
  }
  return MPI_BYTE;
}

MPI_Op mpi_op(Reduce op, DType dtype) {
  if (dtype == DType::bf16) return half_types().ops[0][static_cast<size_t>(op)];
  if (dtype == DType::f16) return half_types().ops[1][static_cast<size_t>(op)];
  OCOEE_CHECK(dtype != DType::boolean || op != Reduce::sum,
              "a sum of booleans; use max for any, min for all");
  return op == Reduce::sum ? MPI_SUM : op == Reduce::max ? MPI_MAX : MPI_MIN;
}

}  // namespace ocoee::comm
