// SPDX-License-Identifier: Apache-2.0
// bench_onsager [EDGE] [SAMPLES]: energy and magnetisation of the periodic square Ising model by
// single flips, two sweeps a sample, against Onsager's and Yang's results for the infinite lattice.
// Above the transition the magnetisation is zero, which single flips are slow to show to 1e-4: that
// is measured, with its sign, by the multi-spin sweeps at 1024 x 1024.
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "kernels/alloy_ising.h"
#include "science/alloy/ladder_analysis.h"
#include "science/alloy/order.h"
#include "science/samplers.h"

using namespace ocoee;
using namespace ocoee::alloy;

namespace {

void print(const char* what, const Estimate& found, double exact) {
  std::printf("  %s %s, exact %.6f, off %.1e (%.1f errors)", what, text_of(found).c_str(), exact,
              std::abs(found.value - exact), std::abs(found.value - exact) / found.error);
}

void magnetisation_of_multi_spins(double temperature, int64_t samples) {
  constexpr int64_t kEdge = 1024, kSites = kEdge * kEdge;
  std::vector<uint32_t> colours[2];
  for (auto& colour : colours) colour.assign(kSites / 64, 0xffffffff);
  kernels::Ising a;
  a.width = a.height = kEdge, a.beta = 1 / temperature, a.seed = 1;
  a.spins[0] = colours[0].data(), a.spins[1] = colours[1].data();
  std::vector<double> magnetisation, energy;
  for (int64_t n = -100; n < samples; ++n) {
    for (int s = 0; s < 4; ++s, ++a.sweep) kernels::ising_sweep(a, {});
    if (n < 0) continue;
    uint64_t sums[2] = {0, 0};
    kernels::ising_measure({kEdge, kEdge, {a.spins[0], a.spins[1]}, sums}, {});
    magnetisation.push_back(2 * static_cast<double>(sums[0]) / kSites - 1);
    energy.push_back(2 * static_cast<double>(sums[1]) / kSites - 2);
  }
  std::printf("L %lld  T %.1f  multi-spin", static_cast<long long>(kEdge), temperature);
  print("energy", mean_of(energy), -0.8173095925);
  print("magnetisation", mean_of(magnetisation), 0);
  std::printf("\n");
}

}  // namespace

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
    std::printf("L %lld  T %.1f", static_cast<long long>(edge), known.t);
    print("energy", point.energy, known.energy);
    if (!std::isnan(known.magnetisation)) print("magnetisation", point.order, known.magnetisation);
    std::printf("\n");
    std::fflush(stdout);
  }
  magnetisation_of_multi_spins(3, samples / 2);
  return 0;
}
