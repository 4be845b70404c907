// SPDX-License-Identifier: Apache-2.0
#include "core/error.h"
#include "device/cuda_calls.h"
#include "device/device.h"

namespace ocoee::device {

struct Graph::Impl {
  std::function<void()> work;  // the CPU twin
  void* executable = nullptr;  // the CUDA graph
  ~Impl() { clear(); }
  void clear() {
    if (executable) cuda::destroy_graph(executable);
    executable = nullptr;
    work = nullptr;
  }
};

Graph::Graph() : impl_(std::make_unique<Impl>()) {}
Graph::~Graph() = default;
Graph::Graph(Graph&&) noexcept = default;

void Graph::capture(const Stream& stream, const std::function<void()>& work) {
  impl_->clear();
  if (stream.device.is_cuda()) {
    impl_->executable = cuda::capture(stream, work);
  } else {
    impl_->work = work;
  }
}

void Graph::replay(const Stream& stream) {
  OCOEE_CHECK(captured(), "a graph is replayed before it was captured");
  if (impl_->executable) {
    cuda::launch(impl_->executable, stream);
  } else {
    impl_->work();
  }
}

bool Graph::captured() const {
  return impl_ && (impl_->executable || impl_->work);
}

}  // namespace ocoee::device
