// SPDX-License-Identifier: Apache-2.0
// Canonical swaps of a quaternary bcc alloy, equal parts, energies of tens of meV.
#include <cstdio>
#include <string>

#include "alloys_gpu/alloys_gpu.h"
#include "core/error.h"
#include "kernels/alloy_swap.h"
#include "kernels/parallel_for.h"
#include "science/alloy/interactions.h"

namespace ocoee::bench {
namespace {

using namespace kernels;

// Unlike-pair energies in quanta: up to 40 meV in the first shell, smaller further out.
struct Model {
  std::vector<int32_t> energies;
  double quantum;
};
Model model(int shells, int neighbours) {
  std::vector<double> values(static_cast<size_t>(shells) * 16);
  RandomStream random(1, Purpose::noise, 0, 0);
  for (int s = 0; s < shells; ++s)
    for (int a = 0; a < 4; ++a)
      for (int b = 0; b < a; ++b)
        values[static_cast<size_t>(16 * s + 4 * a + b)] =
            values[static_cast<size_t>(16 * s + 4 * b + a)] =
                (2 * random.uniform() - 1) * 0.04 / (1 + s);
  Model m;
  m.quantum = alloy_quantum(values, neighbours);
  for (const double v : values)
    m.energies.push_back(static_cast<int32_t>(std::lround(v / m.quantum)));
  return m;
}

class Crystal {
 public:
  Crystal(const device::Stream& stream, int64_t cells, int shells, double temperature)
      : stream_(stream),
        lattice_(bcc(cells)),
        bonds_(alloy_bonds("bcc", shells)),
        model_(model(shells, neighbours())),
        rules_(lattice_, bonds_, 4, model_.energies),
        words_(stream, lattice_.words()),
        tables_(stream, rules_.tables()),
        beta_(stream, std::vector<float>{static_cast<float>(model_.quantum /
                                                            (alloy::kBoltzmann * temperature))}),
        sums_(stream, AlloySums::kSlots),
        device_bonds_(stream, bonds_) {
    AlloyFill fill;
    fill.lattice = lattice_, fill.species = 4, fill.words = words_.data(), fill.seed = 1;
    for (uint32_t k = 0; k < 3; ++k) fill.threshold[k] = (k + 1) << 30;
    alloy_fill(fill, stream_);
  }
  int neighbours() const {
    int z = 0;
    for (const AlloyBond& bond : bonds_) z += bond.from == 0;
    return z;
  }
  void step(int trials, int threads) {
    AlloySwap a;
    a.lattice = lattice_, a.geometry = rules_.geometry(), a.tables = tables_.data();
    a.beta = beta_.data(), a.words = words_.data(), a.sums = sums_.data();
    a.trials = trials, a.seed = 2, a.step = step_++, a.threads = threads;
    a.link_layers = rules_.geometry().links[2];
    alloy_swap(a, stream_);
  }
  AlloySums sums() const {
    AlloySums all{};
    for (const AlloySums& s : sums_.read())
      all.trials += s.trials, all.accepted += s.accepted, all.energy += s.energy;
    return all;
  }
  int64_t recounted_energy() const {
    const int shells = rules_.geometry().shells;
    const OnDevice<uint64_t> counts(stream_, 16 * shells);
    AlloyCount a;
    a.lattice = lattice_, a.bonds = device_bonds_.data();
    a.bond_count = static_cast<int>(bonds_.size()), a.shells = shells, a.species = 4;
    a.words = words_.data(), a.counts = counts.data(), a.layers = lattice_.layers;
    alloy_count(a, stream_);
    int64_t twice = 0;
    const auto n = counts.read();
    for (size_t k = 0; k < n.size(); ++k) twice += static_cast<int64_t>(n[k]) * model_.energies[k];
    return twice / 2;
  }
  const AlloyLattice& lattice() const { return lattice_; }
  size_t bytes() const {
    return words_.bytes() + tables_.bytes() + sums_.bytes() + device_bonds_.bytes();
  }

 private:
  static AlloyLattice bcc(int64_t cells) {
    AlloyLattice l;
    l.cells[0] = l.cells[1] = l.cells[2] = l.layers = cells;
    l.basis = 2, l.planes = 2;
    return l;
  }
  device::Stream stream_;
  AlloyLattice lattice_;
  std::vector<AlloyBond> bonds_;
  Model model_;
  AlloyRules rules_;
  OnDevice<uint32_t> words_;
  OnDevice<int32_t> tables_;
  OnDevice<float> beta_;
  OnDevice<AlloySums> sums_;
  OnDevice<AlloyBond> device_bonds_;
  uint64_t step_ = 0;
};

}  // namespace

void swap_speed(const device::Stream& stream, int64_t cells, int shells, int threads, int trials,
                double temperature, int steps) {
  Crystal crystal(stream, cells, shells, temperature);
  for (int s = 0; s < 3; ++s) crystal.step(trials, threads);
  const AlloySums before = crystal.sums();
  const double ms = device_milliseconds(stream, [&] {
    for (int s = 0; s < steps; ++s) crystal.step(trials, threads);
  });
  const AlloySums after = crystal.sums();
  const auto done = static_cast<double>(after.trials - before.trials);
  std::printf(
      "swaps bcc z=%-3d %5lld^3 cells  %s  block %-4d trials/cell %-3d T %5.0f  accepted "
      "%4.1f %%  %8.3f ms/sub-sweep (%.3f sweeps)  %.3e trials/s\n",
      crystal.neighbours(), static_cast<long long>(cells),
      stream.device.is_cuda() ? "gpu" : ("cpu x" + std::to_string(kernels::thread_count())).c_str(),
      threads, trials, temperature,
      100 * static_cast<double>(after.accepted - before.accepted) / done, ms / steps,
      done / steps / static_cast<double>(crystal.lattice().sites()), done / ms * 1e3);
  std::fflush(stdout);
}

void capacity(const device::Stream& stream, int64_t cells, double sweeps) {
  Crystal crystal(stream, cells, 2, 1000);
  const auto sites = static_cast<double>(crystal.lattice().sites());
  const int64_t start = crystal.recounted_energy();
  int steps = 0;
  double ms = 0;
  while (static_cast<double>(crystal.sums().trials) < sweeps * sites) {
    ms += device_milliseconds(stream, [&] { crystal.step(16, 128); });
    ++steps;
  }
  const AlloySums sums = crystal.sums();
  const int64_t end = crystal.recounted_energy();
  std::printf(
      "capacity bcc z=14 %lld^3 cells: %.4e sites, %.3f bytes/site, %.2f sweeps in %d sub-sweeps, "
      "%.1f s, %.3e trials/s, accepted %.1f %%; energy change %lld quanta, recount says %lld: %s\n",
      static_cast<long long>(cells), sites, static_cast<double>(crystal.bytes()) / sites,
      static_cast<double>(sums.trials) / sites, steps, ms / 1e3,
      static_cast<double>(sums.trials) / ms * 1e3,
      100 * static_cast<double>(sums.accepted) / static_cast<double>(sums.trials),
      static_cast<long long>(sums.energy), static_cast<long long>(end - start),
      sums.energy == end - start ? "equal" : "DIFFERENT");
  std::fflush(stdout);
  if (sums.energy != end - start) fail(ErrorKind::internal, "the energies do not add up");
}

}  // namespace ocoee::bench
