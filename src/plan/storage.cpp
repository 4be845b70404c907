// SPDX-License-Identifier: Apache-2.0
#include "plan/storage.h"

#include <algorithm>

namespace ocoee::plan {

Bytes sample_bytes(const Workload& w) {
  return Bytes(4.0 * static_cast<double>(w.global_batch * w.sequence));
}

Bytes checkpoint_bytes(const Workload& w) {
  const double master = std::max<double>(4, static_cast<double>(w.compute_bytes()));
  const double states = static_cast<double>(w.moment_bytes()) * w.optimizer_states;
  return Bytes(static_cast<double>(w.model.parameters()) * (master + states));
}

Seconds storage_seconds(Bytes bytes, BytesPerSecond rate, const Machine& machine, int64_t devices) {
  if (rate <= BytesPerSecond(0)) return Seconds(0);
  const int64_t nodes = (devices + machine.node.devices - 1) / machine.node.devices;
  return bytes / (rate * static_cast<double>(nodes));
}

}  // namespace ocoee::plan
