// SPDX-License-Identifier: Apache-2.0
#include "parallel/precision.h"

#include "core/error.h"

namespace ocoee::parallel {

Precision precision_from_name(const std::string& name) {
  if (name == "float32") return {at::kFloat};
  if (name == "float64") return {at::kDouble};
  if (name == "bfloat16") return {at::kBFloat16};
  if (name == "float16") return {at::kHalf};
  fail(ErrorKind::internal, "unknown precision '{}'", name);
}

}  // namespace ocoee::parallel
