// SPDX-License-Identifier: Apache-2.0
// Whoever measures waits sees each of them once: it begins, and then it ends.
#include "comm/wait_observer.h"

#include <gtest/gtest.h>

#include <numeric>
#include <string>

#include "comm/mpi_support.h"
#include "comm/world_impl.h"
#include "support/mpi_world.h"

namespace ocoee::comm {
namespace {

std::shared_ptr<Communicator> over_mpi() {
  World& world = testing_support::world();
  MPI_Comm copy = MPI_COMM_NULL;
  MPI_Comm_dup(world.impl().mpi, &copy);
  std::vector<int> ranks(static_cast<size_t>(world.size()));
  std::iota(ranks.begin(), ranks.end(), 0);
  return make_mpi_communicator("test", copy, ranks, std::numeric_limits<int>::max());
}

TEST(WaitObserver, SeesEveryWaitOnce) {
  if (testing_support::world().size() < 2) GTEST_SKIP() << "a rank alone waits for nobody";
  const std::shared_ptr<Communicator> plain = over_mpi();
  const std::shared_ptr<Communicator> staged =
      make_staged_communicator("test", over_mpi(), /*stage_all=*/true);
  std::string seen;
  double value = 1;
  const Buffer buffer{&value, 1, DType::f64, {}};
  const int next = (plain->rank() + 1) % plain->size(),
            before = (plain->rank() + plain->size() - 1) % plain->size();
  double arriving = 0;
  const auto waits_of = [&](Communicator& group) {
    seen.clear();
    observe_waits([&](const device::Stream&, bool begins) { seen += begins ? "(" : ")"; });
    const WorkHandle work = group.all_reduce_async(buffer, Reduce::sum);
    const std::string asked = seen;
    while (!work->done()) {
    }
    EXPECT_EQ(seen, asked) << "to ask whether it is over is no wait";
    work->wait({});
    group.exchange_async(buffer, next, {&arriving, 1, DType::f64, {}}, before)->wait({});
    observe_waits({});
    group.all_reduce(buffer, Reduce::sum);
    return seen;
  };
  EXPECT_EQ(waits_of(*plain), "()()()");  // a sum, and both halves of an exchange
  EXPECT_EQ(waits_of(*staged),
            "()()"
            "()()()");  // and the copies with which each begins
}

}  // namespace
}  // namespace ocoee::comm
