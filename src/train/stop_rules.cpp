// SPDX-License-Identifier: Apache-2.0
#include "train/stop_rules.h"

#include <cmath>

#include "core/error.h"

namespace ocoee::train {

void stop_on_bad_numbers(int64_t step, const std::string& name, const Update::Report& report,
                         double loss) {
  constexpr int64_t kMostSkips = 40, kMostZeros = 20;
  if (report.skipped_in_row >= kMostSkips) {
    fail(ErrorKind::numerics,
         "step {}: the gradients of '{}' overflowed float16 {} times in a row (loss scale {:g}). "
         "Nothing is learned this "
         "way: lower optimizer.learning_rate, or use precision.compute = \"bfloat16\"",
         step, name, report.skipped_in_row, report.loss_scale);
  }
  if (report.zero_gradients_in_row >= kMostZeros) {
    fail(ErrorKind::numerics,
         "step {}: the gradients of '{}' have been exactly zero {} times in a row. Nothing is "
         "learned this way: use precision.compute = \"bfloat16\" where float16 underflows, another "
         "run.seed or a lower optimizer.learning_rate where the loss has come to stand still",
         step, name, report.zero_gradients_in_row);
  }
  const bool overflow_is_handled = report.skipped_in_row > 0;
  if ((!std::isfinite(loss) || !report.finite) && !overflow_is_handled) {
    fail(ErrorKind::numerics,
         "step {}: the loss of '{}' is {} and its gradient norm {}. The last checkpoint is from "
         "before; lower "
         "optimizer.learning_rate, raise optimizer.warmup_steps or set optimizer.clip",
         step, name, loss, report.gradient_norm);
  }
}

}  // namespace ocoee::train
