// SPDX-License-Identifier: Apache-2.0
#include "plan/collective.h"

#include <algorithm>
#include <cmath>

namespace ocoee::plan {
namespace {

// Ranks of a group that lie in one unit of `devices`.
int64_t ranks_within(Group group, int64_t devices) {
  return std::clamp<int64_t>(devices / group.stride, 1, group.ranks);
}

BytesPerSecond reached(const Link& link, const Curve& of_kind, Bytes bytes) {
  return link.bandwidth * (of_kind.at.empty() ? link.efficiency : of_kind)(bytes.value);
}

}  // namespace

int64_t Network::ranks_in_node(Group group) const {
  return ranks_within(group, machine_.node.devices);
}

Network::Path Network::path(Group group, Bytes bytes, Kind kind) const {
  const int64_t in_node = ranks_in_node(group);
  const int64_t in_package =
      machine_.package.devices > 0 ? ranks_within(group, machine_.package.devices) : 1;
  Path path{BytesPerSecond(1e30), Seconds(0), Seconds(0)};
  const auto cross = [&](const Link& link, double shares, double hops) {
    const Curve& curve = kind == Kind::copied_half ? link.copy_efficiency
                         : kind == Kind::half      ? link.gather_efficiency
                                                   : link.efficiency;
    path.bandwidth = std::min(path.bandwidth, reached(link, curve, bytes) * shares);
    path.latency += link.latency * hops;
    path.call = std::max(path.call, link.call);
  };
  const double nodes = std::ceil(static_cast<double>(group.ranks) / static_cast<double>(in_node));
  const auto n = static_cast<double>(group.ranks);
  if (in_package > 1)
    cross(machine_.package, 1,
          in_package == group.ranks ? n : n - n / static_cast<double>(in_package));
  // A ring within one node comes round there too.
  if (in_node > in_package)
    cross(machine_.node, 1, n / static_cast<double>(in_package) - (nodes > 1 ? nodes : 0));
  // Between nodes a ring's efficiency is that of the pieces that each port passes on.
  if (group.ranks > in_node) {
    bytes = bytes / n / static_cast<double>(in_node);
    cross(machine_.network, static_cast<double>(in_node), nodes);
  }
  return path;
}

Seconds Network::ring(Group group, Bytes whole, Kind kind) const {
  const Path p = path(group, whole, kind);
  const auto n = static_cast<double>(group.ranks);
  return p.latency * ((n - 1) / n) + whole * ((n - 1) / n) / p.bandwidth;
}

Seconds Network::quickest_pass(Group group, Bytes whole, Kind kind) const {
  const Seconds flat = ring(group, whole, kind);
  const int64_t in_node = ranks_in_node(group);
  if (in_node == 1 || in_node == group.ranks || group.ranks % in_node != 0) return flat;
  const Group inner{in_node, group.stride};
  const Group outer{group.ranks / in_node, group.stride * in_node};
  return std::min(
      flat, ring(inner, whole, kind) + ring(outer, whole / static_cast<double>(in_node), kind));
}

bool Network::copies(Group group, By by) const {
  return by == By::copies && ranks_in_node(group) == group.ranks &&
         !machine_.node.copy_efficiency.at.empty();
}

Seconds Network::half(Group group, Bytes whole, By by) const {
  if (group.ranks <= 1) return Seconds(0);
  const Kind kind = copies(group, by) ? Kind::copied_half : Kind::half;
  return path(group, whole, kind).call + quickest_pass(group, whole, kind);
}

Seconds Network::all_reduce(Group group, Bytes whole) const {
  if (group.ranks <= 1) return Seconds(0);
  const Path p = path(group, whole, Kind::all_reduce);
  const auto n = static_cast<double>(group.ranks);
  const Seconds tree = p.latency * (2 * std::log2(n) / n) + 2 * whole / p.bandwidth;
  return p.call + std::min(quickest_pass(group, whole, Kind::all_reduce) * 2, tree);
}

Seconds Network::reduce_scatter(Group group, Bytes whole, By by) const {
  return half(group, whole, by);
}
Seconds Network::all_gather(Group group, Bytes whole, By by) const {
  return half(group, whole, by);
}

const Link& Network::link_at(int64_t distance) const {
  return distance < machine_.package.devices ? machine_.package
         : distance < machine_.node.devices  ? machine_.node
                                             : machine_.network;
}

Seconds Network::message(int64_t distance, Bytes bytes) const {
  const Link& link = link_at(distance);
  return (link.message_latency > Seconds(0) ? link.message_latency : link.latency) +
         bytes / reached(link, link.message_efficiency, bytes);
}

double Network::overlap_loss(Group group, By by) const {
  if (copies(group, by)) return machine_.node.copy_loss;
  return (group.ranks > ranks_in_node(group) ? machine_.network : machine_.node).overlap_loss;
}

}  // namespace ocoee::plan
