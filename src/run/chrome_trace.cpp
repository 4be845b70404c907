// SPDX-License-Identifier: Apache-2.0
// The Trace Event Format: complete events ("X") in microseconds, names of processes and threads
// ("M").
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/file.h"
#include "run/elsewhere.h"
#include "run/run_directory.h"

namespace ocoee::run {
namespace {

using nlohmann::json;

// `shift` brings this rank's clock to that of rank 0.
std::string events_of_rank(const std::vector<trace::Span>& spans, int rank, size_t most,
                           double shift) {
  std::string out = json{{"ph", "M"},
                         {"name", "process_name"},
                         {"pid", rank},
                         {"args", {{"name", fmt::format("rank {}", rank)}}}}
                        .dump();
  std::map<std::string, int> threads;
  for (size_t i = 0; i < spans.size(); ++i) {
    const trace::Span& span = spans[i];
    if (i >= most / 2 && i + most / 2 < spans.size()) continue;
    const auto [track, added] = threads.try_emplace(span.track, static_cast<int>(threads.size()));
    if (added)
      out += ",\n" + json{{"ph", "M"},
                          {"name", "thread_name"},
                          {"pid", rank},
                          {"tid", track->second},
                          {"args", {{"name", span.track}}}}
                         .dump();
    out += fmt::format(
        ",\n{{\"ph\":\"X\",\"name\":{},\"pid\":{},\"tid\":{},\"ts\":{:.1f},\"dur\":{:.1f},"
        "\"args\":{{\"step\":{}}}}}",
        json(span.name).dump(), rank, track->second, (span.begin_seconds + shift) * 1e6,
        std::max(0.0, span.end_seconds - span.begin_seconds) * 1e6, span.step);
  }
  return out;
}

}  // namespace

void write_trace(const std::filesystem::path& path, const std::vector<trace::Span>& spans,
                 comm::Communicator& world) {
  // About 100 bytes a span; the whole stays within what a browser opens.
  constexpr size_t kMostSpans = 256000;
  const size_t most = std::min<size_t>(20000, kMostSpans / static_cast<size_t>(world.size()));
  world.barrier();  // the ranks leave it together: their clocks agree here
  double here = trace::now_seconds(), first_ranks = here;
  if (world.size() > 1) world.broadcast({&first_ranks, 1, DType::f64, {}}, 0);
  const auto all =
      world.gather_text(events_of_rank(spans, world.rank(), most, first_ranks - here), 0);
  if (world.rank() != 0) return;
  std::string text = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n";
  for (size_t r = 0; r < all.size(); ++r) text += (r > 0 ? ",\n" : "") + all[r];
  write_file_atomically(path, text + "\n]}\n", kElsewhere);
}

}  // namespace ocoee::run
