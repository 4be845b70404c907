// SPDX-License-Identifier: Apache-2.0
#include "parallel/precision.h"

#include "core/error.h"

namespace ocoee::parallel {

Precision precision_from_name(const std::string& compute, const std::string& gradients,
                              const std::string& masters) {
  const bool narrow = gradients == "bfloat16";
  if (compute == "float32") return {at::kFloat, narrow};
  if (compute == "float64") return {at::kDouble, narrow};
  if (compute == "bfloat16") return {at::kBFloat16, narrow, masters == "split"};
  if (compute == "float16") return {at::kHalf, narrow};
  fail(ErrorKind::internal, "unknown precision '{}'", compute);
}

}  // namespace ocoee::parallel
