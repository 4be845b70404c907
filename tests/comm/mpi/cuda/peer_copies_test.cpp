// SPDX-License-Identifier: Apache-2.0
// Collectives by copy engines, on a GPU for each rank or on one that ranks share. Skipped where
// there is none. Numbers are small integers, so every sum is exact.
#include "comm/peer_copies.h"

#include <gtest/gtest.h>

#include "comm/mesh.h"
#include "device/device.h"
#include "support/mpi_world.h"

namespace ocoee::comm {
namespace {

using device::Buffer;
using device::Memory;

class PeerCopiesOnGpu : public testing::Test {
 protected:
  void SetUp() override {
    const int gpus = device::cuda_device_count();
    if (gpus == 0) GTEST_SKIP() << device::cuda_unavailable_reason();
    World& world = testing_support::world();
    if (world.size() == 1) GTEST_SKIP() << "one rank copies to nobody";
    gpu_ = {device::Kind::cuda, world.local_rank() % gpus};
    stream_ = std::make_unique<device::OwnedStream>(gpu_);
    Shape shape;
    shape[Axis::data] = world.size();
    mesh_ = std::make_unique<Mesh>(world, shape, device::Device{});
    copies_ = PeerCopies::connect(mesh_->shared_axis(Axis::data), gpu_);
    ASSERT_TRUE(copies_) << "no way between these GPUs";
    size_ = world.size(), rank_ = world.rank();
  }
  void TearDown() override {
    if (stream_) device::synchronize(stream_->view());
  }

  static float number(int rank, int64_t i) { return static_cast<float>((rank * 7 + i * 3) % 11); }
  float sum(int64_t i) const {
    float out = 0;
    for (int r = 0; r < size_; ++r) out += number(r, i);
    return out;
  }
  Memory array(int64_t count) const {
    std::vector<float> values(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) values[static_cast<size_t>(i)] = number(rank_, i);
    Memory memory(values.size() * 4, Memory::Where::device, gpu_);
    device::copy(memory.data(), gpu_, values.data(), {}, values.size() * 4, stream_->view());
    device::synchronize(stream_->view());
    return memory;
  }
  std::vector<float> read(const Memory& memory) const {
    std::vector<float> values(memory.bytes() / 4);
    device::copy(values.data(), {}, memory.data(), gpu_, memory.bytes(), stream_->view());
    device::synchronize(stream_->view());
    return values;
  }
  Buffer view(const Memory& memory) const {
    return {memory.data(), static_cast<int64_t>(memory.bytes() / 4), DType::f32, gpu_};
  }
  void run(Kind kind, const Buffer& in, const Buffer& out) const {
    const Communicator::Operation o{kind, in, out, Reduce::sum, -1, stream_->view()};
    ASSERT_TRUE(copies_->takes(o));
    copies_->enqueue(o, stream());
  }

  cudaStream_t stream() const { return static_cast<cudaStream_t>(stream_->view().handle); }

  int size_ = 1, rank_ = 0;
  device::Device gpu_;
  std::unique_ptr<device::OwnedStream> stream_;
  std::unique_ptr<Mesh> mesh_;
  std::unique_ptr<PeerCopies> copies_;
};

// A block in one piece, of an odd number of elements, and one that does not fit the others' slots.
TEST_F(PeerCopiesOnGpu, SumsAndGathers) {
  for (const int64_t block : {int64_t{300'001}, int64_t{17'500'000}}) {
    const Memory whole = array(block * size_), own = array(block), gathered = array(block * size_);
    run(Kind::reduce_scatter, view(whole), view(own));
    const std::vector<float> sums = read(own);
    for (int64_t i = 0; i < block; ++i)
      ASSERT_EQ(sums[static_cast<size_t>(i)], sum(rank_ * block + i)) << i;
    run(Kind::all_gather, view(own), view(gathered));
    const std::vector<float> all = read(gathered);
    for (int64_t i = 0; i < block * size_; ++i) ASSERT_EQ(all[static_cast<size_t>(i)], sum(i)) << i;
    const Memory reduced = array(block * size_);
    run(Kind::all_reduce, view(reduced), view(reduced));
    EXPECT_EQ(read(reduced), all);
  }
}

TEST_F(PeerCopiesOnGpu, OwnBlocksInPlace) {
  const int64_t block = 1 << 20;
  const Memory whole = array(block * size_);
  const Buffer own = view(whole).slice(rank_ * block, block);
  run(Kind::reduce_scatter, view(whole), own);
  run(Kind::all_gather, own, view(whole));
  const std::vector<float> all = read(whole);
  for (int64_t i = 0; i < block * size_; ++i) ASSERT_EQ(all[static_cast<size_t>(i)], sum(i)) << i;
}

// What the others wait for leaves before this rank's own block is made.
TEST_F(PeerCopiesOnGpu, AnOwnBlockMayComeLater) {
  const int64_t block = 1 << 20;
  const Memory whole = array(block * size_), kept = array(block * size_), out = array(block);
  const Buffer own = view(whole).slice(rank_ * block, block),
               made = view(kept).slice(rank_ * block, block);
  Communicator::Operation o{Kind::reduce_scatter, view(whole), view(out)};
  o.own_later = true;
  ASSERT_TRUE(copies_->takes_own_later(o));
  for (int time = 0; time < 3; ++time) {
    device::set_zero(own, stream_->view());
    copies_->push_blocks(o, stream());
    device::copy(own.data, gpu_, made.data, gpu_, own.bytes(), stream_->view());
    copies_->sum_blocks(o, stream());
    const std::vector<float> sums = read(out);
    for (int64_t i = 0; i < block; ++i)
      ASSERT_EQ(sums[static_cast<size_t>(i)], sum(rank_ * block + i)) << i;
  }
  const int64_t large = 17'500'000;  // more than a slot holds
  const Memory more = array(large * size_), sums = array(large);
  EXPECT_FALSE(copies_->takes_own_later({Kind::reduce_scatter, view(more), view(sums)}));
}

TEST_F(PeerCopiesOnGpu, AGatherMayLeaveOutItsOwnBlock) {
  const int64_t block = 1 << 20;
  const Memory own = array(block), gathered = array(block * size_);
  Communicator::Operation o{Kind::all_gather, view(own), view(gathered)};
  o.others_alone = true;
  copies_->enqueue(o, stream());
  const std::vector<float> all = read(gathered);
  for (int64_t i = 0; i < block * size_; ++i) {
    const auto from = static_cast<int>(i / block);
    const float left = number(rank_, i), sent = number(from, i % block);
    ASSERT_EQ(all[static_cast<size_t>(i)], from == rank_ ? left : sent) << i;
  }
}

// An odd number of collectives in a graph, replayed, with others between: nobody overtakes.
TEST_F(PeerCopiesOnGpu, ReplaysInterleavedWithOthers) {
  const int64_t block = 1 << 19;
  const Memory first = array(block * size_), kept = array(block * size_), own = array(block),
               gathered = array(block * size_);
  device::Graph graph;
  graph.capture(stream_->view(), [&] {
    device::copy(kept.data(), gpu_, first.data(), gpu_, first.bytes(), stream_->view());
    run(Kind::all_reduce, view(kept), view(kept));
    run(Kind::reduce_scatter, view(first), view(own));
  });
  for (int i = 0; i < 20; ++i) {
    graph.replay(stream_->view());
    if (i % 3 == 0) run(Kind::all_gather, view(own), view(gathered));
  }
  const std::vector<float> a = read(kept), b = read(own), c = read(gathered);
  for (int64_t i = 0; i < block * size_; ++i) ASSERT_EQ(a[static_cast<size_t>(i)], sum(i)) << i;
  for (int64_t i = 0; i < block; ++i)
    ASSERT_EQ(b[static_cast<size_t>(i)], sum(rank_ * block + i)) << i;
  EXPECT_EQ(c, a);
}

// What is small, no sum, or of integers stays with NCCL, whatever the addresses.
TEST_F(PeerCopiesOnGpu, TakesLargeSumsAndGathersAlone) {
  const auto takes = [&](Kind kind, int64_t in, int64_t out, DType dtype = DType::f32,
                         Reduce op = Reduce::sum) {
    return copies_->takes({kind, {nullptr, in, dtype, gpu_}, {nullptr, out, dtype, gpu_}, op});
  };
  const int64_t large = 1 << 20;
  EXPECT_TRUE(takes(Kind::all_gather, large, large * size_, DType::u8));
  EXPECT_FALSE(takes(Kind::all_gather, large - 1, (large - 1) * size_, DType::u8));
  EXPECT_TRUE(takes(Kind::all_reduce, large * size_, large * size_, DType::bf16));
  EXPECT_FALSE(takes(Kind::all_reduce, large * size_ + 1, large * size_ + 1));
  EXPECT_FALSE(takes(Kind::all_reduce, large * size_, large * size_, DType::f32, Reduce::max));
  EXPECT_FALSE(takes(Kind::reduce_scatter, large * size_, large, DType::i64));
  EXPECT_FALSE(takes(Kind::broadcast, large, large));
}

}  // namespace
}  // namespace ocoee::comm
