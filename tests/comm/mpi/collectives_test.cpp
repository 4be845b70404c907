// SPDX-License-Identifier: Apache-2.0
// Every kind of collective, over every element type and backend, against a serial reference.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "comm/elements.h"
#include "comm/mesh.h"
#include "comm/mpi_support.h"
#include "comm/wire.h"
#include "comm/world_impl.h"
#include "core/error.h"
#include "support/mpi_world.h"

namespace ocoee::comm {
namespace {

enum class Over { plain, pieces, staged };  // pieces: MPI that can count to 7

std::string name_of(Over over) {
  return over == Over::plain ? "Mpi" : over == Over::pieces ? "MpiInPieces" : "Staged";
}

// Small whole numbers: every type holds them and their sums exactly, so the order of a sum does not
// matter.
double value_of(int rank, int64_t i, DType dtype) {
  return static_cast<double>((rank * 7 + i * 3 + rank * i) % (dtype == DType::boolean ? 2 : 11));
}

double reduced(Reduce op, int ranks, int64_t i, DType dtype) {
  double out = value_of(0, i, dtype);
  for (int r = 1; r < ranks; ++r) {
    const double v = value_of(r, i, dtype);
    out = op == Reduce::sum ? out + v : op == Reduce::max ? std::max(out, v) : std::min(out, v);
  }
  return out;
}

class Collectives : public testing::TestWithParam<std::tuple<Over, DType>> {
 protected:
  void SetUp() override {
    World& world = testing_support::world();
    if (world.size() == 1) {
      communicator_ = make_self_communicator("test", 0);
      return;
    }
    MPI_Comm copy = MPI_COMM_NULL;
    MPI_Comm_dup(world.impl().mpi, &copy);
    std::vector<int> ranks(static_cast<size_t>(world.size()));
    std::iota(ranks.begin(), ranks.end(), 0);
    const int64_t largest = over() == Over::pieces ? 7 : std::numeric_limits<int>::max();
    communicator_ = make_mpi_communicator("test", copy, ranks, largest);
    if (over() == Over::staged)
      communicator_ = make_staged_communicator("test", communicator_, true);
  }
  Over over() const { return std::get<0>(GetParam()); }
  DType dtype() const { return std::get<1>(GetParam()); }
  Communicator& group() { return *communicator_; }
  int rank() const { return communicator_->rank(); }
  int size() const { return communicator_->size(); }
  std::vector<Reduce> operations() const {
    if (dtype() == DType::boolean) return {Reduce::max, Reduce::min};
    return {Reduce::sum, Reduce::max, Reduce::min};
  }
  Elements own(int64_t count) const {
    Elements e(dtype(), count);
    for (int64_t i = 0; i < count; ++i) e.set(i, value_of(rank(), i, dtype()));
    return e;
  }
  static constexpr int64_t kCounts[] = {0, 1, 7, 50};

 private:
  std::shared_ptr<Communicator> communicator_;
};

TEST_P(Collectives, AllReduce) {
  for (const int64_t count : kCounts) {
    for (const Reduce op : operations()) {
      Elements e = own(count);
      group().all_reduce(e.buffer(), op);
      for (int64_t i = 0; i < count; ++i)
        ASSERT_EQ(e.get(i), reduced(op, size(), i, dtype())) << count << " " << i;
    }
  }
}

TEST_P(Collectives, ReduceScatter) {
  for (const int64_t count : kCounts) {
    for (const Reduce op : operations()) {
      Elements in = own(count * size()), out(dtype(), count);
      group().reduce_scatter(in.buffer(), out.buffer(), op);
      for (int64_t i = 0; i < count; ++i)
        ASSERT_EQ(out.get(i), reduced(op, size(), rank() * count + i, dtype()));
      for (int64_t i = 0; i < in.count(); ++i)
        ASSERT_EQ(in.get(i), value_of(rank(), i, dtype())) << "the input changed";
    }
  }
}

TEST_P(Collectives, ReduceScatterIntoItsOwnBlock) {
  for (const int64_t count : kCounts) {
    for (const Reduce op : operations()) {
      Elements in = own(count * size());
      group().reduce_scatter(in.buffer(), in.buffer().slice(rank() * count, count), op);
      for (int64_t i = 0; i < in.count(); ++i) {
        const bool mine = i / count == rank();
        ASSERT_EQ(in.get(i), mine ? reduced(op, size(), i, dtype()) : value_of(rank(), i, dtype()))
            << i;
      }
    }
  }
}

// Others' blocks may leave before this rank's own is made.
TEST_P(Collectives, ReduceScatterWhoseOwnBlockComesLater) {
  for (const int64_t count : kCounts) {
    for (const Reduce op : operations()) {
      Elements in = own(count * size()), out(dtype(), count);
      for (int64_t i = 0; i < count; ++i) in.set(rank() * count + i, 0);
      const WorkHandle work = group().reduce_scatter_own_later(in.buffer(), out.buffer(), op);
      for (int64_t i = rank() * count; i < (rank() + 1) * count; ++i)
        in.set(i, value_of(rank(), i, dtype()));
      work->own_block_queued({});
      work->wait({});
      for (int64_t i = 0; i < count; ++i)
        ASSERT_EQ(out.get(i), reduced(op, size(), rank() * count + i, dtype()));
    }
  }
}

TEST_P(Collectives, AllGather) {
  for (const int64_t count : kCounts) {
    Elements in = own(count), out(dtype(), count * size()), same(dtype(), count * size());
    group().all_gather(in.buffer(), out.buffer());
    for (int64_t i = 0; i < count; ++i) same.set(rank() * count + i, value_of(rank(), i, dtype()));
    group().all_gather(same.buffer().slice(rank() * count, count), same.buffer());
    for (int64_t i = 0; i < out.count(); ++i) {
      const double expected = value_of(static_cast<int>(i / count), i % count, dtype());
      ASSERT_EQ(out.get(i), expected);
      ASSERT_EQ(same.get(i), expected) << "from its own block";
    }
  }
}

TEST_P(Collectives, BroadcastFromEachRank) {
  for (const int64_t count : kCounts) {
    for (int root = 0; root < size(); ++root) {
      Elements e = own(count);
      group().broadcast(e.buffer(), root);
      for (int64_t i = 0; i < count; ++i) ASSERT_EQ(e.get(i), value_of(root, i, dtype()));
    }
  }
}

TEST_P(Collectives, AllToAll) {
  for (const int64_t count : kCounts) {
    Elements in = own(count * size()), out(dtype(), count * size());
    group().all_to_all(in.buffer(), out.buffer());
    group().all_to_all(in.buffer(), in.buffer());
    for (int64_t i = 0; i < out.count(); ++i) {
      const double expected =
          value_of(static_cast<int>(i / count), rank() * count + i % count, dtype());
      ASSERT_EQ(out.get(i), expected);
      ASSERT_EQ(in.get(i), expected) << "in place";
    }
  }
}

TEST_P(Collectives, MessagesAroundARing) {
  if (size() == 1) GTEST_SKIP() << "nobody to send to";
  const int next = (rank() + 1) % size(), previous = (rank() + size() - 1) % size();
  for (const int64_t count : kCounts) {
    Elements out = own(count), in(dtype(), count);
    const WorkHandle sent = group().send_async(out.buffer(), next),
                     received = group().receive_async(in.buffer(), previous);
    received->wait({});
    sent->wait({});
    for (int64_t i = 0; i < count; ++i) ASSERT_EQ(in.get(i), value_of(previous, i, dtype()));
  }
}

TEST_P(Collectives, ExchangesAroundARing) {
  if (size() == 1) GTEST_SKIP() << "nobody to send to";
  const int next = (rank() + 1) % size(), previous = (rank() + size() - 1) % size();
  for (const int64_t count : kCounts) {
    Elements out = own(count), in(dtype(), count), other = own(2 * count), back(dtype(), 2 * count);
    const WorkHandle forth = group().exchange_async(out.buffer(), next, in.buffer(), previous),
                     and_back =
                         group().exchange_async(other.buffer(), previous, back.buffer(), next);
    while (!and_back->done()) {
    }
    and_back->wait({});
    forth->wait({});
    for (int64_t i = 0; i < count; ++i) ASSERT_EQ(in.get(i), value_of(previous, i, dtype()));
    for (int64_t i = 0; i < 2 * count; ++i) ASSERT_EQ(back.get(i), value_of(next, i, dtype()));
  }
}

TEST_P(Collectives, ManyAtATimeFinishInAnyOrder) {
  std::vector<Elements> all;
  std::vector<WorkHandle> works;
  for (int k = 0; k < 6; ++k) all.push_back(own(20 + k));
  for (Elements& e : all) works.push_back(group().all_reduce_async(e.buffer(), Reduce::max));
  Elements gathered(dtype(), 3 * size()), part = own(3);
  works.push_back(group().all_gather_async(part.buffer(), gathered.buffer()));
  double busy = 1;  // the host works while the operations are under way
  while (!works.back()->done()) busy = busy * 0.5 + 1;
  EXPECT_LE(busy, 2);
  for (size_t k = works.size(); k-- > 0;) works[k]->wait({});
  for (Elements& e : all) {
    for (int64_t i = 0; i < e.count(); ++i)
      ASSERT_EQ(e.get(i), reduced(Reduce::max, size(), i, dtype()));
  }
  for (int64_t i = 0; i < gathered.count(); ++i)
    ASSERT_EQ(gathered.get(i), value_of(static_cast<int>(i / 3), i % 3, dtype()));
}

TEST_P(Collectives, DroppedWorkIsWaitedFor) {
  Elements e = own(30);
  group().all_reduce_async(e.buffer(), Reduce::max).reset();
  for (int64_t i = 0; i < e.count(); ++i)
    ASSERT_EQ(e.get(i), reduced(Reduce::max, size(), i, dtype()));
  group().barrier();
}

INSTANTIATE_TEST_SUITE_P(All, Collectives,
                         testing::Combine(testing::Values(Over::plain, Over::pieces, Over::staged),
                                          testing::ValuesIn(kAllTypes)),
                         [](const auto& chosen) {
                           return name_of(std::get<0>(chosen.param)) + "_" +
                                  std::string(ocoee::name_of(std::get<1>(chosen.param)));
                         });

TEST(Communicator, HostBuffersNeedNoAlignment) {
  Communicator& group = *testing_support::world().host();
  std::vector<char> bytes(8 * 5 + 1);
  for (int64_t i = 0; i < 5; ++i) {
    const double one = 1;
    std::memcpy(bytes.data() + 1 + 8 * i, &one, 8);
  }
  group.all_reduce({bytes.data() + 1, 5, DType::f64, {}}, Reduce::sum);
  double last = 0;
  std::memcpy(&last, bytes.data() + 1 + 8 * 4, 8);
  EXPECT_EQ(last, group.size());
}

TEST(Communicator, NothingComesBetweenASumAndItsOwnBlock) {
  World& world = testing_support::world();
  if (world.size() == 1) GTEST_SKIP() << "one rank sums nothing";
  Shape shape;
  shape[Axis::data] = world.size();
  Mesh mesh(world, shape, {});
  Communicator& group = mesh.axis(Axis::data);
  std::vector<float> all(static_cast<size_t>(world.size()), 1.0F);
  float one = 0;
  const Buffer in{all.data(), world.size(), DType::f32, {}}, out{&one, 1, DType::f32, {}};
  const WorkHandle work = group.reduce_scatter_own_later(in, out, Reduce::sum);
  EXPECT_THROW(group.barrier(), Error);
  work->own_block_queued({});
  work->wait({});
  EXPECT_EQ(one, static_cast<float>(world.size()));
  group.barrier();
}

TEST(Communicator, CarriesControlData) {
  Communicator& group = *testing_support::world().host();
  EXPECT_EQ(group.all_reduce_value(group.rank() + 0.5, Reduce::max), group.size() - 0.5);
  EXPECT_EQ(group.all_reduce_value(1, Reduce::sum), group.size());
  const std::string own(static_cast<size_t>(group.rank()) * 3,
                        static_cast<char>('a' + group.rank()));
  const std::vector<std::string> all = group.all_gather_text(own);
  ASSERT_EQ(static_cast<int>(all.size()), group.size());
  for (int r = 0; r < group.size(); ++r) {
    EXPECT_EQ(all[static_cast<size_t>(r)],
              std::string(static_cast<size_t>(r) * 3, static_cast<char>('a' + r)));
  }
  const int root = group.size() - 1;
  EXPECT_EQ(group.broadcast_text(group.rank() == root ? "from the last" : "not me", root),
            "from the last");
  EXPECT_EQ(group.broadcast_text("", 0), "");
  EXPECT_EQ(group.gather_text(own, root), group.rank() == root ? all : std::vector<std::string>());
}

TEST(Communicator, CountsPayloadsByKind) {
  World& world = testing_support::world();
  Communicator& group = *world.host();
  std::vector<float> small(10), large(static_cast<size_t>(10 * group.size()));
  const Buffer one{small.data(), 10, DType::f32, {}},
      many{large.data(), 10 * group.size(), DType::f32, {}};
  group.reset_counters();
  group.all_reduce(one, Reduce::sum);
  group.all_reduce(one, Reduce::sum);
  group.reduce_scatter(many, one, Reduce::sum);
  group.all_gather(one, many);
  group.broadcast(one, 0);
  group.all_to_all(many, many);
  group.barrier();
  if (group.size() > 1 && group.rank() == 0) group.send(one, 1);
  if (group.size() > 1 && group.rank() == 1) group.receive(one, 0);
  std::vector<float> other(10);
  const int before = (group.rank() + group.size() - 1) % group.size();
  if (group.size() > 1)
    group
        .exchange_async(one, (group.rank() + 1) % group.size(), {other.data(), 10, DType::f32, {}},
                        before)
        ->wait({});
  const Counters& c = group.counters();
  const auto expect = [&](Kind kind, int64_t calls, int64_t bytes) {
    const int64_t on = group.size() > 1 ? 1 : 0;  // a group of one counts nothing
    EXPECT_EQ(c.calls[static_cast<size_t>(kind)], on * calls) << comm::name_of(kind);
    EXPECT_EQ(c.bytes[static_cast<size_t>(kind)], on * bytes) << comm::name_of(kind);
  };
  expect(Kind::all_reduce, 2, 80);
  expect(Kind::reduce_scatter, 1, 40 * group.size());
  expect(Kind::all_gather, 1, 40 * group.size());
  expect(Kind::broadcast, 1, 40);
  expect(Kind::all_to_all, 1, 40 * group.size());
  expect(Kind::barrier, 1, 0);
  expect(Kind::send, group.rank() == 0 ? 2 : 1, group.rank() == 0 ? 80 : 40);
  expect(Kind::receive, group.rank() == 1 ? 2 : 1, group.rank() == 1 ? 80 : 40);
}

// The table of nccl-tests' PERFORMANCE.md, and what point-to-point messages add to it.
TEST(Communicator, WireBytesAreBusBandwidthsFactors) {
  for (const int n : {2, 4, 8}) {
    EXPECT_DOUBLE_EQ(wire_factor(Kind::all_reduce, n) * n, 2 * (n - 1));
    for (const Kind kind : {Kind::reduce_scatter, Kind::all_gather, Kind::all_to_all})
      EXPECT_DOUBLE_EQ(wire_factor(kind, n) * n, n - 1);
    EXPECT_EQ(wire_factor(Kind::broadcast, n), 1);
    EXPECT_EQ(wire_factor(Kind::send, n) + wire_factor(Kind::receive, n), 1);
    EXPECT_EQ(wire_factor(Kind::barrier, n), 0);
  }
}

TEST(Communicator, AShorterMessageThanExpectedIsAnError) {
  Communicator& group = *testing_support::world().host();
  if (group.size() < 2) GTEST_SKIP() << "nobody to send to";
  std::vector<double> data(10);
  // Past the record of calls: the watchdog of this program would end it, and rightly.
  const auto part = [&](int64_t count) { return Buffer{data.data(), count, DType::f64, {}}; };
  if (group.rank() == 0) group.start({Kind::send, part(4), {}, Reduce::sum, 1, {}})->wait({});
  if (group.rank() == 1) {
    const WorkHandle work = group.start({Kind::receive, {}, part(10), Reduce::sum, 0, {}});
    try {
      work->wait({});
      ADD_FAILURE() << "a short message passed";
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::comm);
    }
  }
  group.barrier();
}

}  // namespace
}  // namespace ocoee::comm
