// SPDX-License-Identifier: Apache-2.0
// GPU buffers: staged through the host, with all ranks on one GPU; and NCCL, on a GPU per rank, or
// in a group of one where there is a single GPU. Skipped where there is none.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "comm/backend.h"
#include "comm/mesh.h"
#include "core/error.h"
#include "device/device.h"
#include "support/mpi_world.h"

namespace ocoee::comm {
namespace {

using device::Device;
using device::Memory;

// Floats on a GPU.
class Array {
 public:
  Array(Device gpu, std::vector<float> values, device::Stream stream)
      : gpu_(gpu),
        count_(static_cast<int64_t>(values.size())),
        memory_(values.size() * 4, Memory::Where::device, gpu),
        stream_(stream) {
    device::copy(memory_.data(), gpu, values.data(), {}, values.size() * 4, stream);
    device::synchronize(stream);
  }
  Buffer buffer() const { return {memory_.data(), count_, DType::f32, gpu_}; }
  std::vector<float> read() const {
    std::vector<float> values(static_cast<size_t>(count_));
    device::copy(values.data(), {}, memory_.data(), gpu_, values.size() * 4, stream_);
    device::synchronize(stream_);
    return values;
  }

 private:
  Device gpu_;
  int64_t count_;
  Memory memory_;
  device::Stream stream_;
};

float number(int rank, int64_t i) {
  return static_cast<float>((rank * 7 + i * 3) % 11);
}
std::vector<float> numbers(int rank, int64_t count) {
  std::vector<float> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(number(rank, i));
  return out;
}

class OnGpu : public testing::TestWithParam<Backend> {
 protected:
  void SetUp() override {
    const int gpus = device::cuda_device_count();
    if (gpus == 0) GTEST_SKIP() << device::cuda_unavailable_reason();
    World& world = testing_support::world();
    const bool nccl = GetParam() == Backend::nccl;
    if (nccl && !nccl_available()) GTEST_SKIP() << "built without NCCL";
    if (nccl && world.size() > 1 && gpus < world.local_size())
      GTEST_SKIP() << "NCCL wants a GPU for each rank";
    gpu_ = {device::Kind::cuda, nccl ? world.local_rank() : 0};
    stream_ = std::make_unique<device::OwnedStream>(gpu_);
    if (nccl && world.size() == 1) {
      alone_ = make_nccl_communicator("data", make_self_communicator("data", 0), gpu_);
      return;
    }
    Shape shape;
    shape[Axis::data] = world.size();
    mesh_ = std::make_unique<Mesh>(world, shape, gpu_, GetParam());
  }
  // And, by NCCL, as part of a graph.
  void eager_and_replayed(const std::function<void()>& work, const Buffer& result,
                          const std::function<void()>& expect) {
    work();
    expect();
    if (GetParam() != Backend::nccl) return;
    device::Graph graph;
    graph.capture(stream(), work);
    for (int i = 0; i < 3; ++i) {
      device::set_zero(result, stream());
      graph.replay(stream());
      expect();
    }
  }
  Communicator& group() { return alone_ ? *alone_ : mesh_->axis(Axis::data); }
  Array own(int64_t count) { return Array(gpu_, numbers(group().rank(), count), stream()); }
  device::Stream stream() const { return stream_->view(); }
  float sum(int64_t i) {
    float out = 0;
    for (int r = 0; r < group().size(); ++r) out += number(r, i);
    return out;
  }

  Device gpu_;
  std::unique_ptr<device::OwnedStream> stream_;
  std::unique_ptr<Mesh> mesh_;
  std::shared_ptr<Communicator> alone_;
};

TEST_P(OnGpu, EveryKind) {
  Communicator& g = group();
  const int n = g.size(), rank = g.rank();
  const Array reduced = own(1000), whole = own(100 * n), scattered = own(100),
              gathered = own(50 * n), sent = own(10 * n), taken = own(10 * n), given = own(20);
  g.all_reduce(reduced.buffer(), Reduce::sum, stream());
  g.reduce_scatter(whole.buffer(), scattered.buffer(), Reduce::sum, stream());
  g.all_gather(own(50).buffer(), gathered.buffer(), stream());
  g.all_to_all(sent.buffer(), taken.buffer(), stream());
  g.broadcast(given.buffer(), n - 1, stream());
  const auto a = reduced.read(), b = scattered.read(), c = gathered.read(), d = taken.read(),
             e = given.read();
  for (int64_t i = 0; i < 1000; ++i) ASSERT_EQ(a[static_cast<size_t>(i)], sum(i));
  for (int64_t i = 0; i < 100; ++i) ASSERT_EQ(b[static_cast<size_t>(i)], sum(rank * 100 + i));
  for (int64_t i = 0; i < 50 * n; ++i)
    ASSERT_EQ(c[static_cast<size_t>(i)], number(static_cast<int>(i / 50), i % 50));
  for (int64_t i = 0; i < 10 * n; ++i)
    ASSERT_EQ(d[static_cast<size_t>(i)], number(static_cast<int>(i / 10), rank * 10 + i % 10));
  for (int64_t i = 0; i < 20; ++i) ASSERT_EQ(e[static_cast<size_t>(i)], number(n - 1, i));
}

TEST_P(OnGpu, OwnBlocksInPlace) {
  Communicator& g = group();
  const int n = g.size(), rank = g.rank();
  const Array whole = own(64 * n), gathered = own(64 * n);
  g.reduce_scatter(whole.buffer(), whole.buffer().slice(64 * rank, 64), Reduce::sum, stream());
  g.all_gather(gathered.buffer().slice(64 * rank, 64), gathered.buffer(), stream());
  const auto a = whole.read(), b = gathered.read();
  for (int64_t i = 0; i < 64; ++i)
    ASSERT_EQ(a[static_cast<size_t>(rank * 64 + i)], sum(rank * 64 + i));
  for (int64_t i = 0; i < 64 * n; ++i)
    ASSERT_EQ(b[static_cast<size_t>(i)], number(static_cast<int>(i / 64), i));
}

TEST_P(OnGpu, MessagesAndHostBuffers) {
  Communicator& g = group();
  EXPECT_EQ(g.all_reduce_value(1, Reduce::sum), g.size());  // host data on the same communicator
  g.barrier();
  if (g.size() < 2) return;
  const Array out = own(30), in = own(30);
  if (g.rank() == 0) g.send(out.buffer(), 1, stream());
  if (g.rank() == 1) g.receive(in.buffer(), 0, stream());
  if (g.rank() == 1) {
    EXPECT_EQ(in.read(), numbers(0, 30));
  }
  const int n = g.size(), before = (g.rank() + n - 1) % n;
  const Array arrived = own(30);
  g.exchange_async(out.buffer(), (g.rank() + 1) % n, arrived.buffer(), before, stream())
      ->wait(stream());
  EXPECT_EQ(arrived.read(), numbers(before, 30));
}

TEST_P(OnGpu, AsynchronousWorkWaitsOnTheStream) {
  Communicator& g = group();
  const Array first = own(1000), second = own(2000);
  const int64_t waits = device::host_waits();
  WorkHandle a = g.all_reduce_async(first.buffer(), Reduce::sum, stream()),
             b = g.all_reduce_async(second.buffer(), Reduce::max, stream());
  b->wait(stream());
  a->wait(stream());
  if (GetParam() == Backend::nccl) {
    EXPECT_EQ(device::host_waits(), waits);
  }
  const auto values = first.read();
  for (int64_t i = 0; i < 1000; ++i) ASSERT_EQ(values[static_cast<size_t>(i)], sum(i));
}

TEST_P(OnGpu, InsideAGraph) {
  Communicator& g = group();
  const Array from = own(500), to = own(500);
  device::Graph graph;
  const auto work = [&] {
    device::copy(to.buffer().data, gpu_, from.buffer().data, gpu_, from.buffer().bytes(), stream());
    g.all_reduce(to.buffer(), Reduce::sum, stream());
  };
  if (GetParam() == Backend::host_staged &&
      g.size() > 1) {  // refused with a reason, and the stream stays usable
    EXPECT_THROW(graph.capture(stream(), work), Error);
    device::synchronize(stream());
    g.start({Kind::barrier, {}, {}, Reduce::sum, -1, {}})->wait({});
    return;
  }
  if (GetParam() == Backend::nccl)
    g.all_reduce(own(500).buffer(), Reduce::sum, stream());  // NCCL connects at its first call
  graph.capture(stream(), work);
  for (int i = 0; i < 3; ++i) graph.replay(stream());
  const auto values = to.read();
  for (int64_t i = 0; i < 500; ++i) ASSERT_EQ(values[static_cast<size_t>(i)], sum(i));
}

// By kernels, and by copy engines, for which it is large enough; eager, and as part of a graph.
TEST_P(OnGpu, ASumWhoseOwnBlockComesLater) {
  World& world = testing_support::world();
  if (world.size() == 1) GTEST_SKIP() << "nobody to sum with";
  const bool nccl = GetParam() == Backend::nccl;
  for (const CopyEngines copies : {CopyEngines::off, CopyEngines::tensor}) {
    Shape shape;
    shape[Axis::tensor] = world.size(), shape.copy_engines = copies;
    Mesh mesh(world, shape, gpu_, GetParam());
    Communicator& g = mesh.axis(Axis::tensor);
    EXPECT_EQ(g.has_copy_engines(), nccl && copies == CopyEngines::tensor);
    const int64_t block = 1 << 19;
    const Array whole = own(block * g.size()), made = own(block * g.size()), out = own(block);
    const Buffer late = whole.buffer().slice(g.rank() * block, block),
                 from = made.buffer().slice(g.rank() * block, block);
    const auto sum_late = [&] {
      device::set_zero(late, stream());
      const WorkHandle work =
          g.reduce_scatter_own_later(whole.buffer(), out.buffer(), Reduce::sum, stream());
      device::copy(late.data, gpu_, from.data, gpu_, from.bytes(), stream());
      work->own_block_queued(stream());
      work->wait(stream());
    };
    const auto expect_sums = [&] {
      const auto values = out.read();
      for (int64_t i = 0; i < block; ++i)
        ASSERT_EQ(values[static_cast<size_t>(i)], sum(g.rank() * block + i)) << i;
    };
    eager_and_replayed(sum_late, out.buffer(), expect_sums);
  }
}

TEST_P(OnGpu, CopyEnginesOfTheDataAxis) {
  World& world = testing_support::world();
  if (world.size() == 1) GTEST_SKIP() << "nobody to sum with";
  const bool nccl = GetParam() == Backend::nccl;
  for (const CopyEngines copies : {CopyEngines::tensor, CopyEngines::tensor_and_data}) {
    Shape shape;
    shape[Axis::data] = world.size(), shape.copy_engines = copies;
    Mesh mesh(world, shape, gpu_, GetParam());
    Communicator& g = mesh.axis(Axis::data);
    EXPECT_EQ(g.has_copy_engines(), nccl && copies == CopyEngines::tensor_and_data);
    const int64_t count = 1 << 20;
    const Array from = own(count), to = own(count);
    const auto work = [&] {
      device::copy(to.buffer().data, gpu_, from.buffer().data, gpu_, from.buffer().bytes(),
                   stream());
      g.all_reduce(to.buffer(), Reduce::sum, stream());
    };
    const auto expect_sums = [&] {
      const auto sums = to.read();
      for (int64_t i = 0; i < count; ++i) ASSERT_EQ(sums[static_cast<size_t>(i)], sum(i)) << i;
    };
    eager_and_replayed(work, to.buffer(), expect_sums);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, OnGpu, testing::Values(Backend::host_staged, Backend::nccl),
                         [](const auto& chosen) {
                           return chosen.param == Backend::nccl ? "Nccl" : "Staged";
                         });

}  // namespace
}  // namespace ocoee::comm
