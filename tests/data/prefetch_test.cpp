// SPDX-License-Identifier: Apache-2.0
#include "data/prefetch.h"

#include <atomic>
#include <chrono>
#include <cmath>
#include <cstring>
#include <numeric>
#include <thread>

#include "data/arrays.h"
#include "data/support.h"
#include "data/windows.h"

namespace ocoee::data {
namespace {

std::shared_ptr<const Source> positions() {
  return std::make_shared<FunctionSource>(
      std::vector<FieldSpec>{{"position", DType::i64, {}}, {"twice", DType::f32, {2}}},
      [](int64_t position, const std::vector<void*>& rows) {
        *static_cast<int64_t*>(rows[0]) = position;
        static_cast<float*>(rows[1])[0] = static_cast<float*>(rows[1])[1] =
            static_cast<float>(position);
      });
}

// The positions that one rank sees, step by step, in order.
std::vector<std::vector<int64_t>> steps_of(const BatchShape& shape, int64_t first, int64_t end,
                                           PrefetchOptions options = {}) {
  Prefetcher prefetcher(positions(), shape, first, end, std::move(options));
  std::vector<std::vector<int64_t>> steps;
  int64_t index = 0;
  while (auto batch = prefetcher.next()) {
    if (batch->index() == 0) steps.emplace_back();
    EXPECT_EQ(batch->step(), first + static_cast<int64_t>(steps.size()) - 1);
    EXPECT_EQ(batch->index(), index++ % shape.micro_batches());
    const auto* rows = static_cast<const int64_t*>(batch->field(0));
    const auto* twice = static_cast<const float*>(batch->field(1));
    for (int64_t r = 0; r < shape.micro; ++r) {
      steps.back().push_back(rows[r]);
      EXPECT_EQ(twice[2 * r + 1], static_cast<float>(rows[r]));
    }
  }
  EXPECT_FALSE(prefetcher.next().has_value());
  return steps;
}

TEST(Prefetcher, AStepSeesTheSameSamplesOnAnyPartition) {
  std::vector<int64_t> expected(24);
  for (const int64_t size : {1, 2, 3, 4}) {
    for (const int64_t micro : {1, 2, 6}) {
      if (24 % (size * micro) != 0) continue;
      std::vector<std::vector<int64_t>> together(5);
      for (int64_t rank = 0; rank < size; ++rank) {
        const auto steps = steps_of({24, micro, rank, size}, 0, 5);
        ASSERT_EQ(steps.size(), 5u);
        for (size_t s = 0; s < 5; ++s) {
          together[s].insert(together[s].end(), steps[s].begin(), steps[s].end());
        }
      }
      for (size_t s = 0; s < 5; ++s) {
        std::iota(expected.begin(), expected.end(), static_cast<int64_t>(24 * s));
        std::sort(together[s].begin(), together[s].end());
        EXPECT_EQ(together[s], expected);
      }
    }
  }
}

TEST(Prefetcher, PositionsFollowTheStatedFormula) {
  EXPECT_EQ(steps_of({12, 2, 1, 3}, 7, 8).at(0), (std::vector<int64_t>{86, 87, 92, 93}));
}

TEST(Prefetcher, ResumedEqualsUninterrupted) {
  const BatchShape shape{16, 2, 1, 2};
  const auto all = steps_of(shape, 0, 20);
  for (const int64_t first : {1, 7, 19, 20, 25}) {
    const auto rest = steps_of(shape, first, 20);
    const auto kept = static_cast<int64_t>(all.size());
    EXPECT_EQ(rest, std::vector(all.begin() + std::min(first, kept), all.end()));
  }
}

TEST(Prefetcher, ThreadsAndDepthDoNotMatter) {
  const BatchShape shape{12, 3, 0, 2};
  const auto expected = steps_of(shape, 3, 30);
  for (const int threads : {1, 3, 8}) {
    for (const int depth : {1, 2, 5}) {
      EXPECT_EQ(steps_of(shape, 3, 30, {.threads = threads, .depth = depth}), expected);
    }
  }
}

TEST(Prefetcher, GenomeWindowsAreTheSameOnOneAndTwoRanks) {
  const auto part = whole(Corpus::from_records({{"a", "", testing::random_bases(4000, 1)}}));
  const auto source = std::make_shared<WindowSource>(part, make_tokenizer("codon"),
                                                     WindowOptions{.seed = 5, .context = 8});
  const auto read = [&](int64_t rank, int64_t size) {
    std::vector<std::vector<int64_t>> rows;
    Prefetcher prefetcher(source, {8, 2, rank, size}, 0, 4);
    while (auto batch = prefetcher.next()) {
      const auto* tokens = static_cast<const int64_t*>(batch->field(0));
      for (int r = 0; r < 2; ++r) rows.emplace_back(tokens + 9 * r, tokens + 9 * (r + 1));
    }
    return rows;
  };
  auto one = read(0, 1), two = read(0, 2);
  const auto second = read(1, 2);
  two.insert(two.end(), second.begin(), second.end());
  std::sort(one.begin(), one.end());
  std::sort(two.begin(), two.end());
  EXPECT_EQ(one, two);
}

TEST(Prefetcher, EndsWithoutBeingRead) {
  for (int i = 0; i < 50; ++i) {
    Prefetcher prefetcher(positions(), {4, 1, 0, 1}, 0);
    if (i % 2) prefetcher.next();
  }
}

TEST(Prefetcher, DoesNotWaitForMoreThanTheSampleAtHand) {
  std::atomic<int> filled{0};
  auto slow = std::make_shared<FunctionSource>(
      std::vector<FieldSpec>{{"x", DType::i64, {}}}, [&](int64_t, const std::vector<void*>&) {
        ++filled;
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
      });
  { Prefetcher prefetcher(slow, {100000, 100000, 0, 1}, 0, -1, {.threads = 2}); }
  EXPECT_LT(filled, 1000);
}

TEST(Prefetcher, ABatchOutlivesThePrefetcher) {
  std::optional<Prefetcher::Batch> kept;
  {
    Prefetcher prefetcher(positions(), {4, 4, 0, 1}, 3);
    kept = prefetcher.next();
  }
  EXPECT_EQ(static_cast<const int64_t*>(kept->field(0))[3], 15);
}

TEST(Prefetcher, ABatchIsNotRefilledWhileItIsHeld) {
  Prefetcher prefetcher(positions(), {1, 1, 0, 1}, 0, -1, {.threads = 4, .depth = 3});
  auto first = prefetcher.next();
  auto second = prefetcher.next();
  EXPECT_EQ(*static_cast<const int64_t*>(prefetcher.next()->field(0)), 2);
  EXPECT_EQ(*static_cast<const int64_t*>(first->field(0)), 0);
  EXPECT_EQ(*static_cast<const int64_t*>(second->field(0)), 1);
  EXPECT_ANY_THROW(prefetcher.next());  // batch 3 needs the memory of batch 0
  first.reset();
  EXPECT_EQ(*static_cast<const int64_t*>(prefetcher.next()->field(0)), 3);
}

TEST(Prefetcher, ErrorsAreRethrownInOrder) {
  const auto source =
      std::make_shared<FunctionSource>(std::vector<FieldSpec>{{"x", DType::i64, {}}},
                                       [](int64_t position, const std::vector<void*>& rows) {
                                         if (position == 5)
                                           fail(ErrorKind::data, "sample {} is broken", position);
                                         *static_cast<int64_t*>(rows[0]) = position;
                                       });
  Prefetcher prefetcher(source, {1, 1, 0, 1}, 0, -1, {.threads = 3, .depth = 8});
  for (int64_t p = 0; p < 5; ++p) {
    EXPECT_EQ(*static_cast<const int64_t*>(prefetcher.next()->field(0)), p);
  }
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(testing::message_of([&] { prefetcher.next(); }), "sample 5 is broken");
  }
}

TEST(Prefetcher, MemoryComesFromTheCaller) {
  std::atomic<int> blocks{0};
  BatchMemory memory{[&](size_t bytes) {
    ++blocks;
    return std::shared_ptr<void>(::operator new(bytes), [&](void* p) {
      --blocks;
      ::operator delete(p);
    });
  }};
  {
    Prefetcher prefetcher(positions(), {4, 2, 0, 1}, 0, 3,
                          {.threads = 1, .depth = 3, .memory = memory});
    while (prefetcher.next()) {
    }
    EXPECT_EQ(blocks, 6);  // three slots of two fields
  }
  EXPECT_EQ(blocks, 0);
}

TEST(ArraySource, GivesItsRowsInOrderAndAgain) {
  const int32_t values[] = {10, 11, 20, 21, 30, 31};
  std::vector<std::byte> bytes(sizeof values);
  std::memcpy(bytes.data(), values, sizeof values);
  const ArraySource source({{"pair", DType::i32, {2}}}, {bytes}, 3);
  EXPECT_EQ(source.size(), 3);
  for (int64_t p = 0; p < 7; ++p) {
    int32_t row[2] = {};
    source.fill(p, {row});
    EXPECT_EQ(row[0], values[2 * (p % 3)]);
    EXPECT_EQ(row[1], values[2 * (p % 3) + 1]);
  }
}

TEST(GaussianRing, PointsLieAroundTheModes) {
  const auto source =
      gaussian_ring({.seed = 1, .modes = 8, .radius = 2, .deviation = 0.1, .latent = 3});
  EXPECT_EQ(source.fields()[1].elements(), 3);
  std::vector<int> modes(8);
  double noise_squares = 0;
  for (int64_t p = 0; p < 8000; ++p) {
    float point[2], noise[3];
    source.fill(p, {point, noise});
    const double turn = std::atan2(point[1], point[0]) / (2 * M_PI) * 8;
    ++modes[static_cast<size_t>(std::lround(turn) + 8) % 8];
    EXPECT_NEAR(std::hypot(point[0], point[1]), 2, 0.6);
    for (const float x : noise) noise_squares += x * x;
  }
  for (const int count : modes) EXPECT_NEAR(count, 1000, 150);
  EXPECT_NEAR(noise_squares / 24000, 1, 0.05);
}

}  // namespace
}  // namespace ocoee::data
