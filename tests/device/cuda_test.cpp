// SPDX-License-Identifier: Apache-2.0
// The same promises on a GPU; skipped where there is none.
#include <gtest/gtest.h>

#include <vector>

#include "core/error.h"
#include "device/device.h"

namespace ocoee::device {
namespace {

const Device kGpu{Kind::cuda, 0};

class Cuda : public testing::Test {
 protected:
  void SetUp() override {
    if (cuda_device_count() == 0) GTEST_SKIP() << cuda_unavailable_reason();
  }
  static std::vector<float> read(const Memory& memory, size_t n, const Stream& stream) {
    std::vector<float> values(n);
    copy(values.data(), {}, memory.data(), kGpu, n * 4, stream);
    synchronize(stream);
    return values;
  }
};

TEST_F(Cuda, CopiesThereAndBackInOrder) {
  const OwnedStream stream(kGpu, true);
  const Memory device(16, Memory::Where::device, kGpu), pinned(16, Memory::Where::pinned, kGpu);
  EXPECT_EQ(device.device(), kGpu);
  EXPECT_EQ(pinned.device(), Device{});
  auto* host = static_cast<float*>(pinned.data());
  for (int i = 0; i < 4; ++i) host[i] = static_cast<float>(i);
  copy(device.data(), kGpu, host, {}, 16, stream.view());
  set_zero({device.data(), 1, DType::f32, kGpu}, stream.view());
  EXPECT_EQ(read(device, 4, stream.view()), (std::vector<float>{0, 1, 2, 3}));
}

TEST_F(Cuda, StreamsAreOrderedByEventsAndWaitsAreCounted) {
  const OwnedStream first(kGpu), second(kGpu);
  const Memory a(1 << 20, Memory::Where::device, kGpu), b(1 << 20, Memory::Where::device, kGpu);
  const int64_t before = host_waits();
  set_zero({a.data(), 1 << 18, DType::f32, kGpu}, first.view());
  Event event(kGpu);
  event.record(first.view());
  event.wait_on(second.view());
  copy(b.data(), kGpu, a.data(), kGpu, 1 << 20, second.view());
  EXPECT_EQ(host_waits(), before);
  synchronize(second.view());
  EXPECT_EQ(host_waits(), before + 1);
  EXPECT_TRUE(event.done());
}

TEST_F(Cuda, AGraphIsRecordedOnceAndReplayed) {
  const OwnedStream stream(kGpu);
  const Memory a(16, Memory::Where::device, kGpu), b(16, Memory::Where::device, kGpu);
  set_zero({a.data(), 4, DType::f32, kGpu}, stream.view());
  Graph graph;
  bool inside = false;
  graph.capture(stream.view(), [&] {
    inside = capturing(stream.view());
    copy(b.data(), kGpu, a.data(), kGpu, 16, stream.view());
  });
  EXPECT_TRUE(inside);
  EXPECT_FALSE(capturing(stream.view()));
  const std::vector<float> values{1, 2, 3, 4};
  copy(a.data(), kGpu, values.data(), {}, 16, stream.view());
  graph.replay(stream.view());
  EXPECT_EQ(read(b, 4, stream.view()), values);
}

TEST_F(Cuda, AnErrorInsideACaptureLeavesTheStreamUsable) {
  const OwnedStream stream(kGpu);
  Graph graph;
  EXPECT_THROW(graph.capture(stream.view(), [] { fail(ErrorKind::internal, "inside"); }), Error);
  EXPECT_FALSE(graph.captured());
  EXPECT_FALSE(capturing(stream.view()));
  synchronize(stream.view());
}

TEST_F(Cuda, MemoryThatIsNotThereIsAnErrorOfKindMemory) {
  try {
    const Memory memory(size_t{1} << 50, Memory::Where::device, kGpu);
    FAIL() << "allocated a petabyte";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::memory);
  }
}

}  // namespace
}  // namespace ocoee::device
