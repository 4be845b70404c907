// SPDX-License-Identifier: Apache-2.0
// bench_scale: the 1T model (128 layers, width 25600, 160 heads) on 4,096 simulated ranks (tensor
// 8, pipeline 64, data 8), as one process: mesh arithmetic, schedule, manifest, and the plan that
// reads it into another layout (tensor 4, pipeline 32, data 32). Ends with 1 where that takes more
// than 60 s or 4 GiB of resident memory, or misses an element.
#include <fmt/format.h>

#include "core/trace.h"
#include "models/gpt.h"
#include "parallel/simulated_ranks.h"
#include "parallel/tensor_memory.h"

namespace {

using namespace ocoee;
using comm::Axis;

constexpr double kMostSeconds = 60, kMostGib = 4;

class Stage {
 public:
  explicit Stage(const char* name) : name_(name), begin_(trace::now_seconds()) {}
  void done(const std::string& what) const {
    fmt::print("{:<12}{:>8.1f} s   {}\n", name_, trace::now_seconds() - begin_, what);
    std::fflush(stdout);
  }

 private:
  const char* name_;
  double begin_;
};

parallel::JobLayout layout_of(int tensor, int data, int pipeline) {
  parallel::JobLayout layout;
  layout.shape[Axis::tensor] = tensor;
  layout.shape[Axis::data] = data;
  layout.shape[Axis::pipeline] = pipeline;
  return layout;
}

}  // namespace

int main() {
  const double begin = trace::now_seconds();
  models::GptConfig config;
  config.layers = 128, config.width = 25600, config.heads = 160, config.context = 2048;
  const plan::ModelSpec model = models::build_gpt(config, 50304);
  const parallel::JobLayout from = layout_of(8, 8, 64), to = layout_of(4, 32, 32);
  fmt::print("{} parameters\n", model.parameters());

  const Stage mesh("mesh");
  size_t members = 0;
  for (int rank = 0; rank < from.shape.ranks(); ++rank) {
    for (const Axis axis : {Axis::tensor, Axis::data, Axis::pipeline})
      members += comm::group_of(from.shape, rank, {axis}).size();
    if (comm::rank_of(from.shape, comm::coordinate_of(from.shape, rank)) != rank) return 1;
  }
  mesh.done(fmt::format("{} ranks, {} places in groups", from.shape.ranks(), members));

  const Stage scheduling("schedule");
  const plan::Schedule schedule =
      plan::make_schedule({plan::ScheduleKind::one_f_one_b, 64, 1600, 1, /*gather=*/true});
  size_t steps = 0;
  for (const auto& stage : schedule.stages) steps += stage.size();
  scheduling.done(fmt::format("{} actions of 64 stages, 1600 micro-batches", steps));

  const Stage saving("manifest");
  const run::Manifest manifest = parallel::manifest_of(model, from);
  size_t pieces = 0;
  for (const run::ManifestArray& array : manifest.arrays) pieces += array.pieces.size();
  const std::string text = run::to_text(manifest);
  saving.done(fmt::format("{} arrays, {} boxes, {} files, {:.0f} MiB of text",
                          manifest.arrays.size(), pieces, manifest.files.size(),
                          static_cast<double>(text.size()) / (1 << 20)));

  const Stage loading("reading");
  const run::Manifest parsed = run::parse_manifest(text, "manifest.json");
  loading.done(fmt::format("{} arrays", parsed.arrays.size()));

  const Stage resharding("reshard");
  const parallel::Reads reads = parallel::reads_of(parsed, model, to);
  resharding.done(fmt::format("{} reads, {} of {} elements, at most {} files a rank", reads.pieces,
                              reads.read, reads.held, reads.most_files));
  const double seconds = trace::now_seconds() - begin,
               gib = static_cast<double>(parallel::peak_resident_bytes()) / (1 << 30);
  const bool holds = seconds <= kMostSeconds && gib <= kMostGib && reads.read == reads.held;
  fmt::print("{:<12}{:>8.1f} s   {:.2f} GiB resident at most ({} s and {} GiB allowed): {}\n",
             "all", seconds, gib, kMostSeconds, kMostGib, holds ? "holds" : "does not hold");
  return holds ? 0 : 1;
}
