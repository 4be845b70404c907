// SPDX-License-Identifier: Apache-2.0
// bench_alloys [--seconds S] [--case NAME]: trials a CPU second of canonical swaps of random far
// pairs of unlike species on one core, one line a case: name, sites, neighbours, species, trials/s,
// share accepted. bench/alloys/peers.py runs it beside icet and smol.
#include <fmt/format.h>

#include <cstdio>
#include <cstring>
#include <ctime>
#include <string>

#include "science/alloy/moves.h"
#include "science/alloy/pair_model.h"

using namespace ocoee;
using namespace ocoee::alloy;

namespace {

// Of this thread's core: what others do on the machine is not counted.
double now() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

// Four species on bcc.
PairInteractions four_species(int shells) {
  PairInteractions pairs({"Mo", "W", "Nb", "Ta"}, shells);
  RandomStream random(3, Purpose::monte_carlo, 0, 0);
  for (int s = 0; s < shells; ++s)
    for (int a = 0; a < 4; ++a)
      for (int b = a + 1; b < 4; ++b) pairs.set(s, a, b, 0.02 * random.normal() / (s + 1));
  return pairs;
}

void run(const char* name, int64_t cells, int shells, double temperature, double seconds) {
  const Lattice lattice(lattice_cell("bcc"), {cells, cells, cells});
  const auto found = find_shells(lattice.cell(), shells);
  const PairModel model(lattice, found, four_species(shells));
  Configuration configuration(model.grid());
  const int64_t n = lattice.sites();
  configuration.assign(random_arrangement({n / 4, n / 4, n / 4, n / 4}, 1, 0));
  const double beta = 1 / (kBoltzmann * temperature);
  uint64_t step = 0;
  for (double begin = now(); now() - begin < seconds / 3;)
    swap_far(model, configuration, beta, 100000, {1, 0, step++});
  Tally tally;
  const double begin = now();
  while (now() - begin < seconds)
    tally += swap_far(model, configuration, beta, 100000, {1, 0, step++});
  const double rate = static_cast<double>(tally.trials) / (now() - begin);
  double neighbours = 0;
  for (const Shell& shell : found) neighbours += shell.coordination();
  std::printf(
      "%-16s sites %8lld  z %2.0f  species 4  T %5.0f K  accepted %4.1f %%  %.3g trials/s\n", name,
      static_cast<long long>(n), neighbours, temperature,
      100 * static_cast<double>(tally.accepted) / static_cast<double>(tally.trials), rate);
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  double seconds = 2;
  std::string only;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--seconds") == 0) seconds = std::stod(argv[i + 1]);
    if (std::strcmp(argv[i], "--case") == 0) only = argv[i + 1];
  }
  const auto one = [&](const char* name, int64_t cells, int shells, double temperature) {
    if (only.empty() || only == name) run(name, cells, shells, temperature, seconds);
  };
  one("z14", 32, 2, 600);
  one("z64", 32, 6, 600);
  one("z14_hot", 32, 2, 5000);
  one("z64_hot", 32, 6, 5000);
  one("z14_4M", 128, 2, 600);
  one("z64_4M", 128, 6, 600);
  return 0;
}
