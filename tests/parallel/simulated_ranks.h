// SPDX-License-Identifier: Apache-2.0
// A job of many ranks, planned in one process: what each rank is on the mesh, which boxes of the
// state it holds, the checkpoint's manifest, the pipeline's schedule, and what each rank of another
// layout would read from that checkpoint. No tensor exists.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "comm/mesh.h"
#include "core/error.h"
#include "parallel/weight_layout.h"
#include "plan/placement.h"
#include "plan/schedule.h"
#include "run/checkpoint_plan.h"
#include "run/manifest.h"

namespace ocoee::parallel {

struct JobLayout {
  comm::Shape shape;
  Shard shard = Shard::states;  // of masters and moments
};

// Masters and the two moments of AdamW on one rank.
inline run::State held_by(const plan::ModelSpec& model, const JobLayout& layout, int rank) {
  const comm::Shape& shape = layout.shape;
  const auto at = comm::coordinate_of(shape, rank);
  const auto along = [&](comm::Axis axis) { return at[static_cast<size_t>(axis)]; };
  const plan::ModelSpec stage =
      plan::stage_model(model, shape[comm::Axis::pipeline], 1, along(comm::Axis::pipeline)).model;
  const plan::ModelSpec part =
      plan::tensor_part(stage, shape[comm::Axis::tensor], along(comm::Axis::tensor));
  const std::vector<int> replicas =
      comm::group_of(shape, rank, {comm::Axis::data, comm::Axis::context, comm::Axis::spatial});
  const bool split = layout.shard != Shard::none;
  const auto which = std::lower_bound(replicas.begin(), replicas.end(), rank) - replicas.begin();
  const WeightLayout weights(part, split ? static_cast<int64_t>(replicas.size()) : 1,
                             split ? which : 0);
  run::State state;
  for (const char* prefix : {"", "optimizer.lm.first_moment.", "optimizer.lm.second_moment."}) {
    for (WeightLayout::Array& one : weights.arrays(prefix, DType::f32))
      state.arrays.push_back(std::move(one.array));
  }
  return state;
}

inline run::Manifest manifest_of(const plan::ModelSpec& model, const JobLayout& layout) {
  std::vector<std::string> holdings;
  for (int rank = 0; rank < layout.shape.ranks(); ++rank)
    holdings.push_back(run::holdings_text(held_by(model, layout, rank)));
  run::Manifest manifest;
  run::WritePlan plan = run::make_write_plan(holdings);
  manifest.arrays = std::move(plan.arrays);
  std::set<std::string> files;
  for (const run::ManifestArray& array : manifest.arrays) {
    for (const run::ManifestPiece& piece : array.pieces) files.insert(piece.file);
  }
  for (const std::string& file : files) manifest.files.push_back({file, 0, 0});
  return manifest;
}

struct Reads {                 // of all ranks
  int64_t held = 0, read = 0;  // elements
  int64_t pieces = 0;
  size_t most_files = 0;  // that one rank opens
};

// What every rank of `layout` reads to go on from the checkpoint.
inline Reads reads_of(const run::Manifest& manifest, const plan::ModelSpec& model,
                      const JobLayout& layout) {
  std::map<std::string, const run::ManifestArray*> arrays;
  for (const run::ManifestArray& array : manifest.arrays) arrays[array.name] = &array;
  Reads reads;
  for (int rank = 0; rank < layout.shape.ranks(); ++rank) {
    std::set<const std::string*, bool (*)(const std::string*, const std::string*)> files(
        [](const std::string* a, const std::string* b) { return *a < *b; });
    for (const run::StateArray& wanted : held_by(model, layout, rank).arrays) {
      for (const run::Piece& piece : wanted.pieces) {
        reads.held += piece.box.elements();
        for (const run::ManifestPiece& stored : arrays.at(wanted.name)->pieces) {
          const int64_t common = run::intersect(stored.box, piece.box).elements();
          if (common == 0) continue;
          reads.read += common;
          ++reads.pieces;
          files.insert(&stored.file);
        }
      }
    }
    reads.most_files = std::max(reads.most_files, files.size());
  }
  return reads;
}

}  // namespace ocoee::parallel
