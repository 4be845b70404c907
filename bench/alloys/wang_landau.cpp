// SPDX-License-Identifier: Apache-2.0
// bench_wang_landau EDGE FINAL_LN_F [WINDOWS]: the mean relative error of ln g of the periodic
// square Ising lattice against exact counts, under mpirun on any number of ranks.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>

#include "science/ising_square.h"
#include "science/samplers.h"

using namespace ocoee;
using namespace ocoee::alloy;
using namespace ocoee::alloy::testing_support;

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "bench_wang_landau EDGE FINAL_LN_F [WINDOWS]\n");
    return 2;
  }
  const int edge = std::atoi(argv[1]);
  comm::World world = comm::World::start();
  WangLandau walk = square_wang_landau(*world.host(), edge, std::atof(argv[2]),
                                       argc > 3 ? std::atoi(argv[3]) : 1, 1);
  while (!walk.finished()) walk.advance();
  const auto ln_g = walk.ln_g();
  const double cpu = static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  if (world.rank() != 0) return 0;
  const DensityOfStates found = walk.density(ln_g[0], edge * edge * std::log(2.0));
  const std::vector<double> exact = ln_g_ising_square(edge);
  double sum = 0;
  size_t next = 0;
  for (const double one : exact)
    if (!std::isinf(one)) sum += std::abs(found.ln_g.at(next++) / one - 1);
  std::printf(
      "L %d  levels %zu  ln f %.1e  windows %d  ranks %d  exchanges %lld of %lld  %.0f CPU s a "
      "rank: mean error of ln g %.4f %%\n",
      edge, next, std::atof(argv[2]), argc > 3 ? std::atoi(argv[3]) : 1, world.size(),
      static_cast<long long>(walk.exchanged()), static_cast<long long>(walk.tried()), cpu,
      100 * sum / static_cast<double>(next));
  return 0;
}
