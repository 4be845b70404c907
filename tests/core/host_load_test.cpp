// SPDX-License-Identifier: Apache-2.0
#include "core/host_load.h"

#include <gtest/gtest.h>

namespace ocoee {
namespace {

TEST(HostLoad, WaitingIsNoWork) {
  // user, nice, system, idle, iowait, irq, softirq, steal, guest (counted as user already)
  EXPECT_DOUBLE_EQ(host_busy_seconds("cpu  100 20 30 4000 5000 6 7 8 50 0\n", 100), 1.71);
  EXPECT_DOUBLE_EQ(host_busy_seconds("cpu  100 20 30 4000", 10), 15);
  EXPECT_EQ(host_busy_seconds("", 100), 0);
  EXPECT_EQ(host_busy_seconds("intr 5 6 7", 100), 0);
}

TEST(HostLoad, WorkCounts) {
  const double before = process_busy_seconds(), host = host_busy_seconds();
  while (process_busy_seconds() - before < 0.2) {
  }
  EXPECT_GT(host_busy_seconds(), host);
}

}  // namespace
}  // namespace ocoee
