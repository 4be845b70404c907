// SPDX-License-Identifier: Apache-2.0
// The kernel tests on a GPU: test_kernels_cuda [gtest flags]. Ends with 77 (skipped) when there is
// no GPU.
#include <gtest/gtest.h>

#include <cstdio>

#include "kernels/harness.h"

int main(int argc, char** argv) {
  using namespace ocoee;
  testing::InitGoogleTest(&argc, argv);
  if (testing::GTEST_FLAG(list_tests)) return RUN_ALL_TESTS();
  if (device::cuda_device_count() == 0) {
    std::printf("skipped: %s\n", device::cuda_unavailable_reason().c_str());
    return 77;
  }
  kernels::test::test_device() = {device::Kind::cuda, 0};
  std::printf("kernels on %s\n", device::properties(kernels::test::test_device()).name.c_str());
  return RUN_ALL_TESTS();
}
