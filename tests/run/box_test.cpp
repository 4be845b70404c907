// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <numeric>

#include "core/random.h"
#include "run/box_runs.h"
#include "run/state.h"

namespace ocoee::run {
namespace {

std::vector<int64_t> index_of(const Box& box, int64_t i) {
  std::vector<int64_t> index(box.size.size());
  for (size_t d = box.size.size(); d-- > 0;) {
    index[d] = box.offset[d] + i % box.size[d];
    i /= box.size[d];
  }
  return index;
}

TEST(Box, ElementsOfScalarsAndEmptyBoxes) {
  EXPECT_EQ((Box{{}, {}}).elements(), 1);
  EXPECT_EQ((Box{{0, 3}, {4, 5}}).elements(), 20);
  EXPECT_EQ((Box{{0, 0, 0}, {int64_t{1} << 40, int64_t{1} << 40, 0}}).elements(), 0);
}

TEST(Box, Intersection) {
  EXPECT_EQ(intersect({{0, 2}, {4, 4}}, {{3, 0}, {5, 3}}), (Box{{3, 2}, {1, 1}}));
  EXPECT_EQ(intersect({{0}, {4}}, {{4}, {2}}).elements(), 0);
  EXPECT_EQ(intersect({{}, {}}, {{}, {}}).elements(), 1);
}

// Random pairs of boxes in one to four dimensions, against element-by-element copies.
TEST(Box, CopyOverlapEqualsElementwiseCopy) {
  for (uint64_t trial = 0; trial < 400; ++trial) {
    RandomStream random(3, Purpose::plugin_first, 0, trial);
    const auto below = [&](int64_t n) {
      return static_cast<int64_t>(random.uniform() * static_cast<double>(n));
    };
    const size_t dims = 1 + trial % 4;
    Box from, to;
    for (size_t d = 0; d < dims; ++d) {
      const int64_t extent = 1 + below(7);
      for (Box* box : {&from, &to}) {
        const bool whole = below(3) == 0;
        const int64_t begin = whole ? 0 : below(extent);
        box->offset.push_back(begin);
        box->size.push_back(whole ? extent : 1 + below(extent - begin));
      }
    }
    std::vector<int32_t> source(static_cast<size_t>(from.elements()));
    std::iota(source.begin(), source.end(), 1);
    std::vector<int32_t> got(static_cast<size_t>(to.elements()), 0), expected = got;
    copy_overlap(from, source.data(), to, got.data(), sizeof(int32_t));
    for (int64_t i = 0; i < from.elements(); ++i) {
      for (int64_t j = 0; j < to.elements(); ++j) {
        if (index_of(from, i) == index_of(to, j))
          expected[static_cast<size_t>(j)] = source[static_cast<size_t>(i)];
      }
    }
    EXPECT_EQ(got, expected) << "trial " << trial;
  }
}

TEST(Box, RunsJoinWholeTrailingDimensions) {
  std::vector<std::array<int64_t, 3>> runs;
  const auto note = [&](int64_t from, int64_t to, int64_t n) { runs.push_back({from, to, n}); };
  for_each_run({{0, 0, 0}, {4, 3, 2}}, {{1, 0, 0}, {2, 3, 2}}, note);
  EXPECT_EQ(runs, (std::vector<std::array<int64_t, 3>>{{6, 0, 12}}));
  runs.clear();
  for_each_run({{0, 0}, {2, 4}}, {{0, 1}, {2, 2}}, note);
  EXPECT_EQ(runs, (std::vector<std::array<int64_t, 3>>{{1, 0, 2}, {5, 2, 2}}));
  runs.clear();
  for_each_run({{}, {}}, {{}, {}}, note);
  EXPECT_EQ(runs, (std::vector<std::array<int64_t, 3>>{{0, 0, 1}}));
}

TEST(Box, HostPieceCopiesBothWays) {
  std::vector<float> memory{1, 2, 3};
  const Piece piece = host_piece({{4}, {3}}, memory.data(), DType::f32);
  std::vector<float> host(3);
  piece.save(host.data());
  EXPECT_EQ(host, memory);
  host = {7, 8, 9};
  piece.load(host.data());
  EXPECT_EQ(memory, host);
}

}  // namespace
}  // namespace ocoee::run
