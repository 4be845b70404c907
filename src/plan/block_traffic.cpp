// SPDX-License-Identifier: Apache-2.0
// What travels within a block: rows over the tensor axis, keys and values over the context axis;
// and the halves of a micro-batch that take turns, so that what travels of one runs beside the work
// of the other.
#include <algorithm>

#include "plan/layer_cost.h"

namespace ocoee::plan {

Network::By mover_of_rows(const System& system, const Workload& workload) {
  return system.by_tensor && workload.copy_engines ? Network::By::copies : Network::By::kernels;
}

// Gathers the input of a split layer and sums its output, there and back. `products`: between the
// two stand products that rows can travel beside.
void LayerCost::tensor_traffic(double width, bool input, bool output, bool products) {
  if (group_.ranks == 1) return;
  const Bytes bytes(e_ * width * T_);
  if (system_.norms_sharded) {
    const double gather = network_.all_gather(group_, bytes, by_).value;
    const double scatter = network_.reduce_scatter(group_, bytes, by_).value;
    // Beside a product: what is gathered again for the weight gradient, and, where products take
    // a rank's own rows apart, all that is gathered, and the sums of a forward pass. In turns,
    // others see to that.
    const double loss = in_turns_ ? 1 : network_.overlap_loss(group_, by_), beside = loss * gather;
    const bool apart = own_rows_apart_ && products;
    const double ahead = apart ? beside : gather, behind = apart ? loss * scatter : scatter;
    b_.forward.of(Work::tensor) += (input ? ahead : 0) + (output ? behind : 0);
    b_.input.of(Work::tensor) += (output ? ahead : 0) + (input ? scatter + beside : 0);
  } else {
    const double sum = network_.all_reduce(group_, bytes).value;
    if (output) b_.forward.of(Work::tensor) += sum;
    if (input) b_.input.of(Work::tensor) += sum;
  }
}

// The backward pass gathers the input of a split layer and sums its gradient.
void LayerCost::gather_and_sum(double width) {
  if (group_.ranks == 1) return;
  const Bytes bytes(e_ * width * T_);
  b_.input.of(Work::tensor) += system_.norms_sharded
                                   ? network_.all_gather(group_, bytes, by_).value +
                                         network_.reduce_scatter(group_, bytes, by_).value
                                   : network_.all_reduce(group_, bytes).value;
}

// Keys and values of the other context ranks arrive while scores are computed.
void LayerCost::context_traffic(double bytes, double hidden_by) {
  if (context_.ranks == 1) return;
  const Bytes whole(bytes * static_cast<double>(context_.ranks));
  const double gather = network_.all_gather(context_, whole).value;
  b_.forward.of(Work::context) += std::max(0.0, gather - hidden_by);
  b_.input.of(Work::context) += std::max(0.0, 2 * gather - 2 * hidden_by);
}

// As this engine decides it (parallel/engine.h), on GPUs of their own.
bool BlockCosts::takes_turns(const Shape& shape) const {
  if (!system_.by_tensor || shape.tensor == 1 || shape.micro % 2 != 0) return false;
  const bool gpu = machine_.device.workspace > Bytes(0);
  const bool copies = network_.copies({shape.tensor, 1}, mover_of_rows(system_, workload_));
  return workload_.halves == "on" || (workload_.halves == "auto" && gpu && !copies);
}

// The exchanges of one half run beside the work of the other, and take a share of it. Memory is at
// most that of a whole micro-batch.
BlockCost BlockCosts::in_turns(const BlockSpec& block, const Shape& shape, Seconds byte) const {
  BlockCost out = cost(block, shape, byte);
  const BlockCost half = cost(block, {shape.tensor, shape.context, shape.micro / 2}, byte, true);
  const double loss = network_.overlap_loss({shape.tensor, 1}, mover_of_rows(system_, workload_));
  const auto twice = [](const WorkSeconds& one) {
    WorkSeconds both = one;
    return both += one;
  };
  // `beside`: seconds of further work of the same pass.
  const auto exposed = [&](WorkSeconds& pass, double beside) {
    double& exchanges = pass.of(Work::tensor);
    const double work = pass.total() - exchanges + beside;
    exchanges = std::max(0.0, exchanges - work) + loss * std::min(exchanges, work);
  };
  out.forward = twice(half.forward);
  out.input = twice(half.input);
  out.weight = twice(half.weight);
  for (size_t mode = 0; mode < out.again.size(); ++mode) {
    out.again[mode] = twice(half.again[mode]);
    exposed(out.again[mode], 0);
  }
  exposed(out.forward, 0);
  exposed(out.input, out.weight.total());
  return out;
}

}  // namespace ocoee::plan
