// SPDX-License-Identifier: Apache-2.0
// bench_onsager [EDGE] [SAMPLES]: energy and magnetisation of the periodic square Ising model by
// single flips, two sweeps a sample, against Onsager's and Yang's results for the infinite lattice.
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "science/alloy/ladder_analysis.h"
#include "science/alloy/order.h"
#include "science/samplers.h"

using namespace ocoee;
using namespace ocoee::alloy;

int main(int argc, char** argv) {
  const int64_t edge = argc > 1 ? std::atoll(argv[1]) : 256;
  const int64_t samples = argc > 2 ? std::atoll(argv[2]) : 8000;
  const auto model = testing_support::pair_model("square", {edge, edge, 1}, ising(1));
  const OrderParameter order("magnetisation", model->grid()->lattice());
  struct Known {
    double t, energy, magnetisation;
  };
  for (const Known& known :
       {Known{1.5, -1.9511165731, 0.9864996026}, Known{2.0, -1.7455645753, 0.9113193779},
        Known{3.0, -0.8173095925, NAN}}) {
    LadderSeries series;
    series.sites = edge * edge;
    series.k_t = {known.t};
    series.energy.resize(1);
    series.order.resize(1);
    Configuration configuration(model->grid());
    flip(*model, configuration, 1 / known.t, {0, 0}, 300 * series.sites, {1, 0, 0});
    Energy energy = model->total(configuration);
    for (int64_t n = 1; n <= samples; ++n) {
      energy += flip(*model, configuration, 1 / known.t, {0, 0}, 2 * series.sites,
                     {1, 0, static_cast<uint64_t>(n)})
                    .change;
      series.energy[0].push_back(model->value(energy));
      series.order[0].push_back(order.of(configuration, 2));
    }
    const LadderPoint point = analyse(series)[0];
    std::printf("L %lld  T %.1f  energy %s, exact %.6f, off %.1e (%.1f errors)",
                static_cast<long long>(edge), known.t, text_of(point.energy).c_str(), known.energy,
                point.energy.value - known.energy,
                (point.energy.value - known.energy) / point.energy.error);
    if (!std::isnan(known.magnetisation))
      std::printf("  magnetisation %s, exact %.6f, off %.1e (%.1f errors)",
                  text_of(point.order).c_str(), known.magnetisation,
                  point.order.value - known.magnetisation,
                  (point.order.value - known.magnetisation) / point.order.error);
    std::printf("\n");
    std::fflush(stdout);
  }
  return 0;
}
