// SPDX-License-Identifier: Apache-2.0
// The counter that proves "no host read inside a step" sees the reads: LibTorch's, autograd's
// threads' and our own.
#include <gtest/gtest.h>

#include "device/device.h"
#include "parallel/step_graph.h"
#include "parallel/weight_store.h"

namespace ocoee::parallel {
namespace {

TEST(HostWaits, SeesEveryKindOfRead) {
  const device::Device gpu{device::Kind::cuda, 0};
  if (device::cuda_device_count() == 0) GTEST_SKIP() << device::cuda_unavailable_reason();
  const StreamScope stream(gpu);
  at::Tensor x =
      at::ones({8}, at::TensorOptions().device(torch_device(gpu))).set_requires_grad(true);
  int64_t seen = host_waits();

  const at::Tensor y = x.mul(2).sum();
  EXPECT_EQ(host_waits(), seen) << "work alone is no wait";

  EXPECT_EQ(y.item<float>(), 16);
  EXPECT_EQ(host_waits(), ++seen);

  EXPECT_EQ(x.detach().to(at::kCPU).sum().item<float>(), 8);
  EXPECT_EQ(host_waits(), ++seen);

  x.register_hook([](const at::Tensor& gradient) {
    EXPECT_EQ(gradient.sum().item<float>(), 16);  // on a thread of autograd's own
    return gradient;
  });
  torch::autograd::grad({y}, {x});
  EXPECT_EQ(host_waits(), ++seen);

  device::synchronize(current_stream(gpu));
  EXPECT_EQ(host_waits(), ++seen);
}

}  // namespace
}  // namespace ocoee::parallel
