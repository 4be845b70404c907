// SPDX-License-Identifier: Apache-2.0
#include "run/checkpoint_plan.h"

#include <map>

#include "core/error.h"
#include "run/checkpoint_parts.h"

namespace ocoee::run {
namespace {

using nlohmann::json;

struct Holder {
  size_t rank, array, piece;
};
struct BoxLess {
  bool operator()(const Box& a, const Box& b) const {
    return a.offset != b.offset ? a.offset < b.offset : a.size < b.size;
  }
};
using Holders = std::map<Box, std::vector<Holder>, BoxLess>;

}  // namespace

std::string shard_name(int64_t rank) {
  return fmt::format("rank-{:05}.safetensors", rank);
}

std::string key_of(const std::string& array, const std::vector<int64_t>& shape, const Box& box) {
  return box.size == shape ? array : fmt::format("{}@{}", array, fmt::join(box.offset, "_"));
}

std::string holdings_text(const State& state) {
  json out = json::array();
  for (const StateArray& array : state.arrays) {
    json boxes = json::array();
    for (const Piece& piece : array.pieces) boxes.push_back({piece.box.offset, piece.box.size});
    out.push_back({array.name, array.shape, name_of(array.dtype), boxes});
  }
  return out.dump();
}

WritePlan make_write_plan(const std::vector<std::string>& holdings) {
  WritePlan plan;
  plan.of_rank.resize(holdings.size());
  std::map<std::string, size_t> index;  // arrays differ between ranks: stages hold different layers
  std::vector<Holders> holders;
  for (size_t rank = 0; rank < holdings.size(); ++rank) {
    const json held = json::parse(holdings[rank]);
    for (size_t a = 0; a < held.size(); ++a) {
      const auto [where, added] =
          index.try_emplace(held[a][0].get<std::string>(), plan.arrays.size());
      if (added) {
        plan.arrays.push_back(
            {where->first, held[a][1], dtype_from_name(held[a][2].get<std::string>()), {}});
        holders.emplace_back();
      }
      const ManifestArray& array = plan.arrays[where->second];
      OCOEE_CHECK(held[a][1] == array.shape && held[a][2] == name_of(array.dtype),
                  "rank {} holds '{}' with another shape or type than the ranks before", rank,
                  array.name);
      for (size_t p = 0; p < held[a][3].size(); ++p) {
        Box box{held[a][3][p][0], held[a][3][p][1]};
        if (box.elements() > 0) holders[where->second][std::move(box)].push_back({rank, a, p});
      }
    }
  }
  std::vector<uint64_t> bytes(holdings.size(), 0);
  for (size_t a = 0; a < plan.arrays.size(); ++a) {
    ManifestArray& array = plan.arrays[a];
    for (const auto& [box, who] : holders[a]) {
      const Holder* writer = &who[0];
      for (const Holder& holder : who) {
        if (bytes[holder.rank] < bytes[writer->rank]) writer = &holder;
      }
      bytes[writer->rank] += static_cast<uint64_t>(box.elements()) * size_of(array.dtype);
      plan.of_rank[writer->rank].push_back({writer->array, writer->piece});
      array.pieces.push_back({box, shard_name(static_cast<int64_t>(writer->rank)),
                              key_of(array.name, array.shape, box)});
    }
    try {
      check_cover(array, "the state");
    } catch (const Error& error) {
      fail(ErrorKind::internal, "a checkpoint cannot be written: {}", error.what());
    }
  }
  return plan;
}

}  // namespace ocoee::run
