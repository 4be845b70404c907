// SPDX-License-Identifier: Apache-2.0
#include "parallel/step_graph.h"

#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <c10/util/Exception.h>

namespace ocoee::parallel {
namespace {

thread_local int64_t torch_waits = 0;

// LibTorch can warn of each call that waits for the device. Autograd's own threads hand their
// warnings to the thread that called backward.
class WaitCounter final : public c10::WarningHandler {
 public:
  void process(const c10::Warning& warning) override {
    if (warning.msg().find("synchronizing CUDA operation") != std::string::npos)
      ++torch_waits;
    else
      before_->process(warning);
  }

 private:
  c10::WarningHandler* before_ = c10::WarningUtils::get_warning_handler();
};

void warn_of_waits(c10::cuda::SyncDebugMode mode) {
  c10::cuda::warning_state().set_sync_debug_mode(mode);
}

}  // namespace

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
    // The graph has memory of its own; what the eager steps took goes back first.
    c10::cuda::CUDACachingAllocator::emptyCache();
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
  explicit Impl(c10::cuda::CUDAStream stream) : on_stream(stream), counting(&counter) {
    warn_of_waits(c10::cuda::SyncDebugMode::L_WARN);
  }
  ~Impl() { warn_of_waits(c10::cuda::SyncDebugMode::L_DISABLED); }
  c10::cuda::CUDAStreamGuard on_stream;
  WaitCounter counter;
  c10::WarningUtils::WarningHandlerGuard counting;
};

StreamScope::StreamScope(const device::Device& device) {
  if (!device.is_cuda()) return;
  const auto index = static_cast<c10::DeviceIndex>(device.index);
  impl_ = std::make_unique<Impl>(c10::cuda::getStreamFromPool(/*isHighPriority=*/true, index));
}
StreamScope::~StreamScope() = default;

int64_t host_waits() {
  return device::host_waits() + torch_waits;
}

void wait_for_device(const device::Device& device) {
  if (device.is_cuda()) c10::cuda::device_synchronize();
}

}  // namespace ocoee::parallel
