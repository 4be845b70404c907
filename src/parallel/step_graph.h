// SPDX-License-Identifier: Apache-2.0
// A training step as one CUDA graph: run a few times as it is, then captured, then replayed. On the
// CPU, and when disabled, it is just called. The step must read nothing on the host and keep its
// tensors' addresses.
#pragma once

#include <functional>
#include <memory>

#include "device/device.h"

namespace ocoee::parallel {

class StepGraph {
 public:
  // `eager_runs` before the capture; 0 = never capture.
  StepGraph(const device::Device& device, int64_t eager_runs);
  ~StepGraph();
  StepGraph(StepGraph&&) noexcept;
  void run(const std::function<void()>& step);
  bool captured() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Puts this thread's work on a stream of its own for as long as it lives, as capture needs, and has
// LibTorch's waits counted. Nothing on the CPU.
class StreamScope {
 public:
  explicit StreamScope(const device::Device& device);
  ~StreamScope();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// How often the host has waited for the device since the program began: in our own calls, and in
// those of LibTorch that a thread makes within its StreamScope (item(), nonzero(), copies to
// pageable memory).
int64_t host_waits();

// Waits for all that was asked of the device, on every stream; for measurements alone.
void wait_for_device(const device::Device& device);

}  // namespace ocoee::parallel
