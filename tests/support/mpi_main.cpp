// SPDX-License-Identifier: Apache-2.0
// A main for test programs that run on several ranks: rank 0 prints what passes, every rank prints
// its failures with its rank, and a failure anywhere fails the program everywhere. A rank that
// leaves a test early would leave its peers in a collective: the watchdog ends such a run.
#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>

#include "comm/communicator.h"
#include "comm/watchdog.h"
#include "support/mpi_world.h"

namespace ocoee::testing_support {
namespace {

std::unique_ptr<comm::World> the_world;

class RankPrinter final : public testing::EmptyTestEventListener {
 public:
  explicit RankPrinter(int rank) : rank_(rank) {}
  void OnTestStart(const testing::TestInfo& test) override {
    test_ = std::string(test.test_suite_name()) + "." + test.name();
  }
  void OnTestPartResult(const testing::TestPartResult& result) override {
    if (!result.failed()) return;
    // gtest reports under its lock: to ask it for the test's name here would wait for ever.
    std::fprintf(stderr, "rank %d: %s: %s:%d: failure\n%s\n", rank_, test_.c_str(),
                 result.file_name() ? result.file_name() : "?", result.line_number(),
                 result.message());
  }

 private:
  int rank_;
  std::string test_;
};

}  // namespace

comm::World& world() {
  return *the_world;
}

}  // namespace ocoee::testing_support

int main(int argc, char** argv) {
  using namespace ocoee;
  testing::InitGoogleTest(&argc, argv);
  testing_support::the_world = std::make_unique<comm::World>(comm::World::start());
  comm::World& world = testing_support::world();
  int failed = 0;
  {
    comm::WatchdogOptions options;
    options.collective_timeout_seconds = 120;
    options.stopped_after_seconds = 60;  // sanitizers and full machines are slow
    const comm::Watchdog watchdog(world, options);
    testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
    if (world.rank() != 0) {
      delete listeners.Release(listeners.default_result_printer());
      listeners.Append(new testing_support::RankPrinter(world.rank()));
    }
    const int here = RUN_ALL_TESTS();
    failed = world.host()->all_reduce_value(here, comm::Reduce::max) > 0 ? 1 : 0;
  }
  testing_support::the_world.reset();
  return failed;
}
