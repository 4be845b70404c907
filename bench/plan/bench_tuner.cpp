// SPDX-License-Identifier: Apache-2.0
// How often, and after how many evaluations, a search comes within 2 % of the best of a table that
// holds every point: trials.jsonl of `ocoee tune ... --simulate --method random --trials 1000000`.
//   bench_tuner TRIALS METHOD FIRST_SEED SEEDS BUDGET [fits]
// `fits`: the search is told beforehand which points fit, which shows what learning that costs.
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
  std::map<uint64_t, double> seconds;  // by number of the point; infinite: it does not fit
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
    const bool ok = trial.at("outcome") == "ok";
    const double value =
        ok ? trial.at("value").get<double>() : std::numeric_limits<double>::infinity();
    table.seconds[table.space.number(trial.at("point").get<Point>())] = value;
    table.best = std::min(table.best, value);
  }
  return table;
}

// Evaluations until one is within 2 % of the best; budget + 1 where none is.
int evaluations(const Table& table, const std::string& method, uint64_t seed, int budget,
                bool fits) {
  TunerOptions options;
  options.method = method, options.seed = seed;
  options.admissible = [&](const Point& p) {
    const auto found = table.seconds.find(table.space.number(p));
    return found != table.seconds.end() && (!fits || std::isfinite(found->second));
  };
  Tuner tuner(table.space, options);
  for (int n = 1; n <= budget; ++n) {
    const auto point = tuner.suggest();
    if (!point) break;
    const double value = table.seconds.at(table.space.number(*point));
    const bool ok = value < std::numeric_limits<double>::infinity();
    tuner.finish(tuner.start(*point), ok ? TrialOutcome::ok : TrialOutcome::infeasible,
                 ok ? value : 0, 0);
    if (value <= 1.02 * table.best) return n;
  }
  return budget + 1;
}

}  // namespace

int main(int argc, char** argv) {
  const bool fits = argc == 7 && std::string(argv[6]) == "fits";
  if (argc != 6 && !fits) {
    std::fprintf(stderr, "bench_tuner TRIALS METHOD FIRST_SEED SEEDS BUDGET [fits]\n");
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
      const int n = evaluations(table, method, first + static_cast<uint64_t>(s), budget, fits);
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
