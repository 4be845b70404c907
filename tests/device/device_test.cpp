// SPDX-License-Identifier: Apache-2.0
#include "device/device.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

#include "core/error.h"

namespace ocoee::device {
namespace {

const Device kCpu{};

TEST(Device, IsNamed) {
  EXPECT_EQ(name_of(kCpu), "cpu");
  EXPECT_EQ(name_of({Kind::cuda, 3}), "cuda:3");
}

TEST(Buffer, SlicesByElements) {
  std::vector<double> values(10);
  const Buffer whole{values.data(), 10, DType::f64, {}};
  const Buffer part = whole.slice(3, 4);
  EXPECT_EQ(part.data, values.data() + 3);
  EXPECT_EQ(part.bytes(), 32u);
  EXPECT_EQ(whole.bytes(), 80u);
}

TEST(Memory, OfTheHostIsAlignedAndMoves) {
  for (const Memory::Where where :
       {Memory::Where::host, Memory::Where::pinned, Memory::Where::device}) {
    Memory memory(1000, where, kCpu);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory.data()) % 64, 0u);
    EXPECT_EQ(memory.device(), kCpu);
    std::memset(memory.data(), 7, 1000);
    void* const data = memory.data();
    Memory moved = std::move(memory);
    EXPECT_EQ(moved.data(), data);
    EXPECT_EQ(moved.bytes(), 1000u);
    Memory other(10, where, kCpu);
    other = std::move(moved);
    EXPECT_EQ(static_cast<char*>(other.data())[999], 7);
  }
}

TEST(Memory, MoreThanTheMachineHasIsAnErrorOfKindMemory) {
  try {
    Memory memory(SIZE_MAX - 10, Memory::Where::host, kCpu);
    FAIL() << "allocated " << memory.bytes();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::memory);
  }
}

TEST(Copy, AndSetZeroOnTheHostRunAtOnce) {
  std::vector<float> from{1, 2, 3}, to(3);
  const OwnedStream stream(kCpu);
  copy(to.data(), kCpu, from.data(), kCpu, 12, stream.view());
  EXPECT_EQ(to, from);
  set_zero({to.data(), 2, DType::f32, {}}, stream.view());
  EXPECT_EQ(to, (std::vector<float>{0, 0, 3}));
  copy(from.data() + 1, kCpu, from.data(), kCpu, 8, {});  // ranges may overlap
  EXPECT_EQ(from, (std::vector<float>{1, 1, 2}));
}

TEST(Event, OfTheHostKeepsTheOrderOfTime) {
  Event first(kCpu, true), second(kCpu, true);
  first.record({});
  second.record({});
  EXPECT_TRUE(second.done());
  EXPECT_GE(second.milliseconds_since(first), 0.0);
}

TEST(HostWaits, DoNotMoveOnTheCpu) {
  const int64_t before = host_waits();
  const OwnedStream stream(kCpu);
  Event event(kCpu);
  event.record(stream.view());
  event.wait_on(stream.view());
  event.synchronize();
  synchronize(stream.view());
  EXPECT_EQ(host_waits(), before);
}

TEST(Graph, ReplaysItsWorkWithTheValuesOfNow) {
  Graph graph;
  EXPECT_FALSE(graph.captured());
  int input = 1, sum = 0;
  graph.capture({}, [&] { sum += input; });
  EXPECT_TRUE(graph.captured());
  EXPECT_EQ(sum, 0);  // captured, not run
  graph.replay({});
  input = 10;
  graph.replay({});
  EXPECT_EQ(sum, 11);
  Graph moved = std::move(graph);
  moved.replay({});
  EXPECT_EQ(sum, 21);
  EXPECT_FALSE(capturing({}));
}

TEST(Properties, OfAGpuThatIsMissingAreAnError) {
  if (cuda_device_count() > 0) GTEST_SKIP() << "this machine has a GPU";
  EXPECT_FALSE(cuda_unavailable_reason().empty());
  try {
    properties({Kind::cuda, 0});
    FAIL() << "a GPU was described where none is";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::device);
    EXPECT_NE(std::string(error.what()).find("fix:"), std::string::npos);
  }
}

TEST(Properties, OfTheHost) {
  const Properties p = properties(kCpu);
  EXPECT_GT(p.memory_bytes, size_t{1} << 20);
  EXPECT_GE(p.multiprocessors, 1);
}

}  // namespace
}  // namespace ocoee::device
