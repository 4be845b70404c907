// SPDX-License-Identifier: Apache-2.0
#include "parallel/step_graph.h"

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

namespace ocoee::parallel {

struct StepGraph::Impl {
  device::Device device;
  int64_t eager_runs = 0;
  int64_t runs = 0;
  std::unique_ptr<at::cuda::CUDAGraph> graph;
};

StepGraph::StepGraph(const device::Device& device, int64_t eager_runs)
    : impl_(std::make_unique<Impl>()) {
  impl_->device = device;
  impl_->eager_runs = eager_runs;
}
StepGraph::~StepGraph() = default;
StepGraph::StepGraph(StepGraph&&) noexcept = default;

void StepGraph::run(const std::function<void()>& step) {
  if (!impl_->device.is_cuda() || impl_->eager_runs == 0 || impl_->runs < impl_->eager_runs) {
    ++impl_->runs;
    step();
    return;
  }
  if (!impl_->graph) {
    c10::cuda::getCurrentCUDAStream().synchronize();
    impl_->graph = std::make_unique<at::cuda::CUDAGraph>();
    // thread_local: a prefetching thread may allocate pinned memory meanwhile
    impl_->graph->capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
    step();
    impl_->graph->capture_end();
  }
  impl_->graph->replay();
}

bool StepGraph::captured() const {
  return impl_->graph != nullptr;
}

struct StreamScope::Impl {
  explicit Impl(c10::cuda::CUDAStream stream) : guard(stream) {}
  c10::cuda::CUDAStreamGuard guard;
};

StreamScope::StreamScope(const device::Device& device) {
  if (!device.is_cuda()) return;
  const auto index = static_cast<c10::DeviceIndex>(device.index);
  impl_ = std::make_unique<Impl>(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, index));
}
StreamScope::~StreamScope() = default;

int64_t peak_allocated_bytes(const device::Device& device) {
  if (!device.is_cuda()) return 0;
  const auto stats =
      c10::cuda::CUDACachingAllocator::getDeviceStats(static_cast<c10::DeviceIndex>(device.index));
  return stats.allocated_bytes[0].peak;
}

}  // namespace ocoee::parallel
