// SPDX-License-Identifier: Apache-2.0
// A small alloy on the test device, and its plain reference: one byte a site, bonds one by one.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/alloy_swap.h"
#include "kernels/harness.h"

namespace ocoee::kernels::test {

// For work in pieces that are too small for a team of threads.
struct OneThread {
  OneThread() { set_thread_count(1); }
  ~OneThread() { set_thread_count(before); }
  int before = thread_count();
};

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(const std::vector<T>& values)
      : count_(values.size()),
        memory_(std::max<size_t>(1, count_ * sizeof(T)), device::Memory::Where::device,
                test_device()) {
    write(values);
  }
  T* data() const { return static_cast<T*>(memory_.data()); }
  void write(const std::vector<T>& values) const {
    device::copy(memory_.data(), test_device(), values.data(), {}, count_ * sizeof(T),
                 test_stream());
    device::synchronize(test_stream());
  }
  std::vector<T> read() const {
    std::vector<T> values(count_);
    device::copy(values.data(), {}, memory_.data(), test_device(), count_ * sizeof(T),
                 test_stream());
    device::synchronize(test_stream());
    return values;
  }

 private:
  size_t count_;
  device::Memory memory_;
};

struct AlloyCase {
  std::string kind = "square";
  std::array<int64_t, 3> cells{6, 3, 1};
  int shells = 1, species = 2, planes = 1;
  std::vector<int64_t> atoms{9, 9};  // of each species
  std::vector<int32_t> energies;     // [shell][a][b]
  std::array<int, 3> core{0, 0, 0};

  AlloyLattice lattice(int64_t replicas = 1) const {
    AlloyLattice l;
    std::copy(cells.begin(), cells.end(), l.cells);
    l.basis = alloy_basis(kind), l.planes = planes, l.layers = cells[2], l.replicas = replicas;
    return l;
  }
};

// Symmetric integers in [-range, range], the same for a seed.
inline std::vector<int32_t> random_energies(int shells, int species, int range, uint64_t seed) {
  RandomStream random(seed, Purpose::noise, 0, 0);
  std::vector<int32_t> e(static_cast<size_t>(shells * species * species));
  for (int s = 0; s < shells; ++s)
    for (int a = 0; a < species; ++a)
      for (int b = 0; b <= a; ++b)
        e[static_cast<size_t>((s * species + a) * species + b)] =
            e[static_cast<size_t>((s * species + b) * species + a)] =
                static_cast<int32_t>(random.below(static_cast<uint64_t>(2 * range + 1))) - range;
  return e;
}

// Energies and bond counts one site at a time.
class PlainAlloy {
 public:
  explicit PlainAlloy(const AlloyCase& c)
      : case_(c), basis_(alloy_basis(c.kind)), bonds_(alloy_bonds(c.kind, c.shells)) {
    for (int64_t z = 0; z < c.cells[2]; ++z)
      for (int64_t y = 0; y < c.cells[1]; ++y)
        for (int64_t x = 0; x < c.cells[0]; ++x)
          for (int b = 0; b < basis_; ++b) {
            neighbours_.emplace_back();
            for (const AlloyBond& bond : bonds_)
              if (bond.from == b)
                neighbours_.back().push_back(
                    {site(x + bond.cell[0], y + bond.cell[1], z + bond.cell[2], bond.to),
                     bond.shell});
          }
  }
  struct Neighbour {
    size_t site;
    int shell;
  };
  size_t sites() const { return neighbours_.size(); }
  int basis() const { return basis_; }
  const std::vector<AlloyBond>& bonds() const { return bonds_; }
  const std::vector<Neighbour>& neighbours(size_t i) const { return neighbours_[i]; }
  size_t site(int64_t x, int64_t y, int64_t z, int b) const {
    const auto wrap = [](int64_t v, int64_t n) { return (v % n + n) % n; };
    return static_cast<size_t>(
        ((wrap(z, case_.cells[2]) * case_.cells[1] + wrap(y, case_.cells[1])) * case_.cells[0] +
         wrap(x, case_.cells[0])) *
            basis_ +
        b);
  }
  int64_t pair(int shell, int a, int b) const {
    return case_.energies[static_cast<size_t>((shell * case_.species + a) * case_.species + b)];
  }
  int64_t energy(const std::vector<uint8_t>& species) const {
    int64_t twice = 0;
    for (size_t i = 0; i < sites(); ++i)
      for (const Neighbour& n : neighbours_[i]) twice += pair(n.shell, species[i], species[n.site]);
    return twice / 2;
  }
  // By the bonds of the two sites alone, each counted once.
  int64_t swap_change(std::vector<uint8_t>& species, size_t i, size_t j) const {
    const auto around = [&] {
      int64_t twice = 0;
      for (const size_t end : {i, j})
        for (const Neighbour& n : neighbours_[end])
          twice +=
              (n.site == i || n.site == j ? 1 : 2) * pair(n.shell, species[end], species[n.site]);
      return twice;
    };
    const int64_t before = around();
    std::swap(species[i], species[j]);
    const int64_t after = around();
    std::swap(species[i], species[j]);
    return (after - before) / 2;
  }
  std::vector<uint8_t> shuffled(uint64_t seed) const {
    std::vector<uint8_t> species;
    for (size_t s = 0; s < case_.atoms.size(); ++s)
      species.insert(species.end(), static_cast<size_t>(case_.atoms[s]), static_cast<uint8_t>(s));
    RandomStream random(seed, Purpose::noise, 1, 0);
    for (size_t i = species.size(); i > 1; --i) std::swap(species[i - 1], species[random.below(i)]);
    return species;
  }

 private:
  AlloyCase case_;
  int basis_;
  std::vector<AlloyBond> bonds_;
  std::vector<std::vector<Neighbour>> neighbours_;
};

// Replicas of a case on the test device.
class RunningAlloy {
 public:
  RunningAlloy(const AlloyCase& c, const std::vector<std::vector<uint8_t>>& starts,
               const std::vector<float>& beta)
      : lattice_(c.lattice(static_cast<int64_t>(starts.size()))),
        rules_(lattice_, alloy_bonds(c.kind, c.shells), c.species, c.energies, c.core),
        words_(packed(starts)),
        beta_(beta),
        tables_(rules_.tables()),
        sums_(std::vector<AlloySums>(starts.size() * AlloySums::kSlots)) {}

  AlloySwap step_arguments(int trials, uint64_t seed, uint64_t step) const {
    AlloySwap a;
    a.lattice = lattice_, a.geometry = rules_.geometry(), a.tables = tables_.data();
    a.beta = beta_.data(), a.words = words_.data(), a.sums = sums_.data();
    a.trials = trials, a.seed = seed, a.step = step, a.link_layers = rules_.geometry().links[2];
    a.threads = threads;
    return a;
  }
  void run(int steps, int trials, uint64_t seed) {
    for (int s = 0; s < steps; ++s)
      alloy_swap(step_arguments(trials, seed, static_cast<uint64_t>(step_++)), test_stream());
  }
  void use_tables(const std::vector<int32_t>& tables) { tables_.write(tables); }
  std::vector<std::vector<uint8_t>> species() const {
    const std::vector<uint32_t> words = words_.read();
    std::vector<std::vector<uint8_t>> all;
    for (int64_t r = 0; r < lattice_.replicas; ++r) {
      all.emplace_back(static_cast<size_t>(lattice_.sites()));
      unpack_species(lattice_, words.data() + r * lattice_.layers * lattice_.layer_words(),
                     all.back().data());
    }
    return all;
  }
  std::vector<uint32_t> words() const { return words_.read(); }
  AlloySums sums(int64_t replica) const {
    AlloySums total{};
    const std::vector<AlloySums> all = sums_.read();
    for (int k = 0; k < AlloySums::kSlots; ++k) {
      const AlloySums& one = all[static_cast<size_t>(replica * AlloySums::kSlots + k)];
      total.trials += one.trials, total.accepted += one.accepted, total.energy += one.energy;
    }
    return total;
  }
  const AlloyLattice& lattice() const { return lattice_; }
  const AlloyRules& rules() const { return rules_; }
  uint32_t* data() const { return words_.data(); }
  int threads = 128;

 private:
  std::vector<uint32_t> packed(const std::vector<std::vector<uint8_t>>& starts) const {
    std::vector<uint32_t> words(static_cast<size_t>(lattice_.words()));
    for (size_t r = 0; r < starts.size(); ++r)
      pack_species(
          lattice_, starts[r].data(),
          words.data() + static_cast<int64_t>(r) * lattice_.layers * lattice_.layer_words());
    return words;
  }
  AlloyLattice lattice_;
  AlloyRules rules_;
  DeviceArray<uint32_t> words_;
  DeviceArray<float> beta_;
  DeviceArray<int32_t> tables_;
  DeviceArray<AlloySums> sums_;
  int64_t step_ = 0;
};

}  // namespace ocoee::kernels::test
