// SPDX-License-Identifier: Apache-2.0
// Times of collectives over the links of a machine. A group's ranks lie `stride` devices apart;
// where they cross packages and nodes follows from that. The quickest of three ways is taken:
//   ring       call + 2 (n - 1) latency + 2 (n - 1) / n bytes / bandwidth
//   tree       call + 2 log2(n) latency + 2 bytes / bandwidth
//   two-level  a ring within each node, a ring between nodes of what each rank holds then
// and half a ring for an all-gather or a reduce-scatter.
// Ranks of a group that share a node share its ports to the network; other groups of the node,
// which communicate at the same time, use theirs.
#pragma once

#include <cstdint>

#include "plan/machine.h"

namespace ocoee::plan {

struct Group {
  int64_t ranks = 1, stride = 1;
};

class Network {
 public:
  explicit Network(const Machine& machine) : machine_(machine) {}

  Seconds all_reduce(Group group, Bytes whole) const;
  // By kernels (NCCL), or by the copy engines of one node where the machine's profile has them.
  enum class By : uint8_t { kernels, copies };
  // `whole`: what one rank puts in.
  Seconds reduce_scatter(Group group, Bytes whole, By by = By::kernels) const;
  // `whole`: what one rank gets.
  Seconds all_gather(Group group, Bytes whole, By by = By::kernels) const;
  Seconds message(int64_t distance, Bytes bytes) const;  // to the rank `distance` devices away
  double overlap_loss(Group group, By by = By::kernels) const;  // of the slowest links it uses
  const Link& link_at(int64_t distance) const;                  // to the rank so many devices away

  bool copies(Group group, By by) const;
  int64_t ranks_in_node(Group group) const;

 private:
  enum class Kind : uint8_t { all_reduce, half, copied_half };
  struct Path {  // as a ring sees it
    BytesPerSecond bandwidth;
    Seconds latency, call;  // latency of the whole way round
  };
  Path path(Group group, Bytes bytes, Kind kind) const;
  // One pass, without the call: a reduce-scatter, an all-gather, half an all-reduce.
  Seconds ring(Group group, Bytes whole, Kind kind) const;
  Seconds quickest_pass(Group group, Bytes whole, Kind kind) const;  // of one and two levels
  Seconds half(Group group, Bytes whole, By by) const;

  Machine machine_;
};

}  // namespace ocoee::plan
