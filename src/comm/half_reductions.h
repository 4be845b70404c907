// SPDX-License-Identifier: Apache-2.0
// Element-wise reductions of two-byte floats, each done in float and rounded to nearest even;
// written to vectorise.
#pragma once

#include <cstdint>

#include "comm/communicator.h"

namespace ocoee::comm {

// inout[i] = op(in[i], inout[i]); NaN stays NaN in sums. `dtype` is bf16 or f16.
void reduce_halves(DType dtype, Reduce op, const uint16_t* in, uint16_t* inout, int64_t count);

}  // namespace ocoee::comm
