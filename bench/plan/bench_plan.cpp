// SPDX-License-Identifier: Apache-2.0
// bench_plan: the planner's own speed, on one thread. Layouts costed a second are all layouts that
// a search with tensor groups across nodes costs, each with its time and its memory by category.
// What many of them share, the costs of blocks and where pipelines are cut, was computed before; a
// whole search computes it too.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "models/shapes.h"
#include "plan/search.h"

namespace {

using namespace ocoee::plan;

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// The quickest of `repeats`: what the code takes when nothing else wants the core.
template <class Work>
double quickest(int repeats, Work work) {
  double best = 1e300;
  for (int i = 0; i < repeats; ++i) {
    const double begin = now();
    work();
    best = std::min(best, now() - begin);
  }
  return best;
}

Workload workload_of(const char* name) {
  const ocoee::models::NamedShape& shape = ocoee::models::named_shape(name);
  Workload w;
  w.name = name;
  w.model = ocoee::models::build_gpt(shape.config, shape.vocabulary);
  w.sequence = shape.config.context;
  w.global_batch = shape.batch;
  return w;
}

void costs(const char* name, int64_t devices) {
  Predictor predictor(workload_of(name), system_named("ocoee"), load_machine("frontier"));
  SearchRequest request;
  request.devices = devices;
  request.tensor_across_nodes = true;
  std::vector<Configuration> all;
  each_configuration(predictor, request, [&](const Configuration& c) {
    all.push_back(c);
    return predictor.predict(c).fits;
  });
  double sum = 0;
  const double seconds = quickest(5, [&] {
    for (const Configuration& c : all) sum += predictor.predict(c).seconds;
  });
  std::printf("%-5s on %5ld: %8zu layouts costed, %9.0f a second and core (%g)\n", name,
              static_cast<long>(devices), all.size(), static_cast<double>(all.size()) / seconds,
              sum > 0 ? 1.0 : 0.0);
}

void searches(const char* name, int64_t devices) {
  SearchResult result;
  const double seconds = quickest(3, [&] {
    Predictor predictor(workload_of(name), system_named("ocoee"), load_machine("frontier"));
    SearchRequest request;
    request.devices = devices;
    result = search(predictor, request);
  });
  std::printf("%-5s on %5ld: whole search %.3f s (%ld costed, %ld simulated)\n", name,
              static_cast<long>(devices), seconds, static_cast<long>(result.costed),
              static_cast<long>(result.simulated));
}

void plays(ScheduleKind kind, int stages, int micro_batches, int chunks) {
  const Schedule schedule = make_schedule({kind, stages, micro_batches, chunks});
  const std::vector<StageSeconds> seconds(static_cast<size_t>(stages), {1, 2, 0, 0.01});
  size_t steps = 0;
  for (const auto& list : schedule.stages) steps += list.size();
  const double best = quickest(30, [&] { simulate(schedule, seconds); });
  std::printf("%-12s %3d stages x %4d micro-batches x %d: played in %.2f ms (%zu steps)\n",
              name_of(kind), stages, micro_batches, chunks, 1e3 * best, steps);
}

}  // namespace

int main() {
  costs("175b", 1024);
  costs("1t", 3072);
  searches("175b", 1024);
  searches("1t", 3072);
  plays(ScheduleKind::one_f_one_b, 64, 1600, 1);
  plays(ScheduleKind::interleaved, 16, 640, 3);
  plays(ScheduleKind::zero_bubble, 64, 1600, 1);
  return 0;
}
