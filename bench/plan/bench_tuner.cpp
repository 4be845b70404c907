// SPDX-License-Identifier: Apache-2.0
// How often, and after how many evaluations, a search comes within 2 % of the best of a table that
// holds every point: trials.jsonl of `ocoee tune ... --simulate --method random --trials 1000000`.
//   bench_tuner TRIALS METHOD FIRST_SEED SEEDS BUDGET [memory|nothing|fits]
// The search is told what trials that worked held (`memory`), that they worked (`nothing` more), or
// beforehand which points fit, which shows what learning that costs.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>

#include "core/error.h"
#include "plan/tune/tuner.h"

namespace {

using ocoee::plan::KnobSpace;
using ocoee::plan::Point;
using ocoee::plan::TrialOutcome;
using ocoee::plan::Tuner;
using ocoee::plan::TunerOptions;

struct Table {
  KnobSpace space;
  struct Entry {
    double seconds = std::numeric_limits<double>::infinity();  // it does not fit
    ocoee::plan::TrialMemory memory;
  };
  std::map<uint64_t, Entry> points;  // by number
  double best = std::numeric_limits<double>::infinity();
};

Table read_table(const char* path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  std::vector<ocoee::plan::Knob> knobs;
  const nlohmann::json header = nlohmann::json::parse(line);
  for (const auto& knob : header.at("knobs")) {
    std::string values;
    for (const auto& value : knob.at("values"))
      values += (values.empty() ? "" : ",") + value.get<std::string>();
    knobs.push_back(ocoee::plan::parse_knob(knob.at("key").get<std::string>() + "=" + values));
  }
  Table table{KnobSpace(std::move(knobs)), {}};
  while (std::getline(in, line)) {
    const auto trial = nlohmann::json::parse(line);
    Table::Entry entry;
    if (trial.at("outcome") == "ok") entry.seconds = trial.at("value").get<double>();
    entry.memory = {trial.value("memory", 0.0), trial.value("out_of_memory", false)};
    table.points[table.space.number(trial.at("point").get<Point>())] = entry;
    table.best = std::min(table.best, entry.seconds);
  }
  return table;
}

// Evaluations until one is within 2 % of the best; budget + 1 where none is.
int evaluations(const Table& table, const std::string& method, uint64_t seed, int budget,
                const std::string& told) {
  TunerOptions options;
  options.method = method, options.seed = seed, options.exact_memory = true;
  options.admissible = [&](const Point& p) {
    const auto found = table.points.find(table.space.number(p));
    return found != table.points.end() && (told != "fits" || std::isfinite(found->second.seconds));
  };
  Tuner tuner(table.space, options);
  for (int n = 1; n <= budget; ++n) {
    const auto point = tuner.suggest();
    if (!point) break;
    const auto& [seconds, memory] = table.points.at(table.space.number(*point));
    const bool ok = std::isfinite(seconds);
    tuner.finish(tuner.start(*point), ok ? TrialOutcome::ok : TrialOutcome::infeasible,
                 ok ? seconds : 0, 0, "", told == "nothing" ? ocoee::plan::TrialMemory() : memory);
    if (seconds <= 1.02 * table.best) return n;
  }
  return budget + 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string told = argc == 7 ? argv[6] : "memory";
  if (argc < 6 || argc > 7 || (told != "memory" && told != "nothing" && told != "fits")) {
    std::fprintf(stderr,
                 "bench_tuner TRIALS METHOD FIRST_SEED SEEDS BUDGET [memory|nothing|fits]\n");
    return 2;
  }
  try {
    const Table table = read_table(argv[1]);
    const std::string method = argv[2];
    const uint64_t first = std::stoull(argv[3]);
    const int seeds = std::stoi(argv[4]), budget = std::stoi(argv[5]);
    std::vector<int> counts;
    int found = 0;
    for (int s = 0; s < seeds; ++s) {
      const int n = evaluations(table, method, first + static_cast<uint64_t>(s), budget, told);
      found += n <= budget;
      counts.push_back(std::min(n, budget));
    }
    const double mean = std::accumulate(counts.begin(), counts.end(), 0.0) / seeds;
    std::nth_element(counts.begin(), counts.begin() + seeds / 2, counts.end());
    fmt::print("{} of {} within 2 % in {}; evaluations: median {}, mean {:.1f}\n", found, seeds,
               budget, counts[static_cast<size_t>(seeds / 2)], mean);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
