// SPDX-License-Identifier: Apache-2.0
// Coordinates and groups are arithmetic: no MPI.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "comm/mesh.h"

namespace ocoee::comm {
namespace {

std::vector<Shape> factorisations(int ranks, int axis = 0) {
  if (axis == kAxes) return ranks == 1 ? std::vector<Shape>{Shape{}} : std::vector<Shape>{};
  std::vector<Shape> out;
  for (int extent = 1; extent <= ranks; ++extent) {
    if (ranks % extent != 0) continue;
    for (Shape shape : factorisations(ranks / extent, axis + 1)) {
      shape[static_cast<Axis>(axis)] = extent;
      out.push_back(shape);
      shape.pipeline_inside = true;
      if (axis == 0) out.push_back(shape);
    }
  }
  return out;
}

TEST(Shape, OfEightRanksHasAllFactorisationsInBothOrders) {
  EXPECT_EQ(factorisations(8).size(), 2 * 56u);  // three factors of two over six axes: (8 over 3)
}

TEST(Shape, RanksAndCoordinatesGoRoundTrip) {
  for (const int ranks : {1, 2, 6, 8, 12}) {
    for (const Shape& shape : factorisations(ranks)) {
      ASSERT_EQ(shape.ranks(), ranks);
      for (int rank = 0; rank < ranks; ++rank) {
        const auto at = coordinate_of(shape, rank);
        for (size_t a = 0; a < kAxes; ++a) ASSERT_LT(at[a], shape.size[a]);
        ASSERT_EQ(rank_of(shape, at), rank);
      }
    }
  }
}

TEST(Shape, ShardGroupsAndTheirTwinsCrossOnce) {
  const std::vector<int> replicas{1, 3, 5, 7, 9, 11};  // of some pipeline stage
  EXPECT_EQ(shard_group_of(replicas, 2, 7), (std::vector<int>{5, 7}));
  EXPECT_EQ(twins_of(replicas, 2, 7), (std::vector<int>{3, 7, 11}));
  for (const int group : {1, 2, 3, 6}) {
    for (const int rank : replicas) {
      const auto shard = shard_group_of(replicas, group, rank),
                 twins = twins_of(replicas, group, rank);
      ASSERT_EQ(shard.size() * twins.size(), replicas.size());
      std::vector<int> both;
      std::set_intersection(shard.begin(), shard.end(), twins.begin(), twins.end(),
                            std::back_inserter(both));
      ASSERT_EQ(both, std::vector<int>{rank});
    }
  }
}

TEST(Shape, GroupsCutTheRanksIntoEqualParts) {
  const std::vector<std::vector<Axis>> choices{{Axis::tensor},
                                               {Axis::data},
                                               {Axis::pipeline, Axis::tensor},
                                               {Axis::data, Axis::context, Axis::spatial},
                                               {}};
  for (const Shape& shape : factorisations(8)) {
    for (const auto& varying : choices) {
      int extent = 1;
      for (const Axis axis : varying) extent *= shape[axis];
      std::set<std::vector<int>> groups;
      for (int rank = 0; rank < 8; ++rank) {
        const std::vector<int> group = group_of(shape, rank, varying);
        ASSERT_EQ(static_cast<int>(group.size()), extent);
        ASSERT_TRUE(std::is_sorted(group.begin(), group.end()));
        ASSERT_TRUE(std::binary_search(group.begin(), group.end(), rank));
        groups.insert(group);
      }
      ASSERT_EQ(static_cast<int>(groups.size()) * extent, 8);
    }
  }
}

TEST(Shape, TheFastestAxisComesFirst) {
  Shape shape;
  shape[Axis::tensor] = 2;
  shape[Axis::data] = 3;
  shape[Axis::pipeline] = 2;
  EXPECT_EQ(group_of(shape, 0, {Axis::tensor}), (std::vector<int>{0, 1}));
  EXPECT_EQ(group_of(shape, 3, {Axis::data}), (std::vector<int>{1, 3, 5}));
  EXPECT_EQ(group_of(shape, 4, {Axis::pipeline}), (std::vector<int>{4, 10}));
  shape.pipeline_inside = true;
  EXPECT_EQ(group_of(shape, 3, {Axis::tensor}), (std::vector<int>{2, 3}));
  EXPECT_EQ(group_of(shape, 4, {Axis::pipeline}), (std::vector<int>{4, 6}));
  EXPECT_EQ(group_of(shape, 3, {Axis::data}), (std::vector<int>{3, 7, 11}));
}

}  // namespace
}  // namespace ocoee::comm
