// SPDX-License-Identifier: Apache-2.0
// The numbers of an optimizer step that change from step to step. They lie on the compute device
// and kernels read them there, so the host reads nothing inside a step and a captured CUDA graph
// can be replayed.
//
//   1. set_learning_rate()   before the step, outside a captured graph (a kernel argument)
//   2. sum_of_squares()      of the gradients into sum_of_squares; the engine adds it up over ranks
//   3. finish_step()         norm, clip factor, overflow, loss scale, bias corrections
//   4. adamw() or sgd()      reads what finish_step() left
#pragma once

#include <cmath>
#include <cstdint>

#include "core/random.h"  // OCOEE_HOST_DEVICE
#include "device/device.h"

namespace ocoee::kernels {

struct StepScalars {
  double learning_rate = 0;
  double sum_of_squares = 0;   // of the scaled gradients, over all ranks once reduced
  double gradient_norm = 0;    // without the loss scale, before clipping
  double gradient_factor = 1;  // what the gradient is multiplied by: clip factor / loss scale
  double correction1 = 1;      // 1 - beta1^t, t the number of the update that is being made, from 1
  double correction2 = 1;      // 1 - beta2^t
  double loss_scale = 1;       // multiply the backward seed by it
  int64_t updates = 0;         // made so far; a skipped step does not count
  int64_t good_steps = 0;      // since the loss scale changed
  int64_t skipped_in_row = 0;  // overflows in a row, with loss scaling
  int64_t skipped = 0;         // in all
  int64_t zero_in_row = 0;     // steps in a row whose gradient was exactly zero
  int64_t skip = 0;            // 1: this step leaves weights and states as they are
  int64_t finite = 1;          // without loss scaling: 0 once any gradient has been NaN or infinite
};

// Constants of a run.
struct StepRules {
  double clip = 0;  // largest gradient norm; 0 = no clipping
  double beta1 = 0, beta2 = 0;
  bool scales_loss = false;        // dynamic loss scaling, for float16
  int64_t growth_interval = 2000;  // steps without overflow before the scale grows
  double growth = 2, backoff = 0.5;
  double least_scale = 1, most_scale = 16777216;
};

// Step 3, once on each rank, from the same sum: all ranks decide alike. A step with a non-finite
// gradient is skipped. The clip factor is min(1, clip / (norm + 1e-6)), as in
// torch.nn.utils.clip_grad_norm_.
OCOEE_HOST_DEVICE inline void finish_step_at(StepScalars& s, const StepRules& rules) {
  const double norm = sqrt(s.sum_of_squares) / s.loss_scale;
  const bool finite = norm <= 1.7e308;  // false for NaN and infinity
  s.gradient_norm = norm;
  s.skip = finite ? 0 : 1;
  s.skipped += s.skip;
  s.zero_in_row = norm == 0 ? s.zero_in_row + 1 : 0;
  s.gradient_factor = 1 / s.loss_scale;
  if (rules.clip > 0 && finite) {
    const double factor = rules.clip / (norm + 1e-6);
    if (factor < 1) s.gradient_factor *= factor;
  }
  if (finite) {
    ++s.updates;
    s.correction1 = 1 - pow(rules.beta1, static_cast<double>(s.updates));
    s.correction2 = 1 - pow(rules.beta2, static_cast<double>(s.updates));
  }
  if (!rules.scales_loss) {
    if (!finite) s.finite = 0;
    return;
  }
  s.skipped_in_row = finite ? 0 : s.skipped_in_row + 1;
  s.good_steps = finite ? s.good_steps + 1 : 0;
  double scale = s.loss_scale;
  if (!finite) scale *= rules.backoff;
  if (s.good_steps >= rules.growth_interval) {
    scale *= rules.growth;
    s.good_steps = 0;
  }
  scale = scale < rules.least_scale ? rules.least_scale : scale;
  s.loss_scale = scale > rules.most_scale ? rules.most_scale : scale;
}

void set_learning_rate(StepScalars* scalars, double learning_rate, const device::Stream& stream);
void finish_step(StepScalars* scalars, const StepRules& rules, const device::Stream& stream);

namespace cuda {
void set_learning_rate(StepScalars* scalars, double learning_rate, const device::Stream& stream);
void finish_step(StepScalars* scalars, const StepRules& rules, const device::Stream& stream);
}  // namespace cuda

}  // namespace ocoee::kernels
