// SPDX-License-Identifier: Apache-2.0
#include "parallel/step_graph.h"

namespace ocoee::parallel {

struct StepGraph::Impl {};
StepGraph::StepGraph(const device::Device&, int64_t) {}
StepGraph::~StepGraph() = default;
StepGraph::StepGraph(StepGraph&&) noexcept = default;
void StepGraph::run(const std::function<void()>& step) {
  step();
}
bool StepGraph::captured() const {
  return false;
}

struct StreamScope::Impl {};
StreamScope::StreamScope(const device::Device&) {}
StreamScope::~StreamScope() = default;

int64_t host_waits() {
  return device::host_waits();
}

void wait_for_device(const device::Device&) {}

}  // namespace ocoee::parallel
