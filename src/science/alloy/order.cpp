// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/order.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <numeric>

#include "core/error.h"

namespace ocoee::alloy {
namespace {

constexpr double kTurn = 6.283185307179586;

std::vector<WaveVector> star_of(const std::string& name) {
  if (name == "B2") return {{1, 0, 0}};
  if (name == "L1_0" || name == "L1_2") return {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
  if (name == "D0_3" || name == "B32") return {{0.5, 0.5, 0.5}};
  return {{0, 0, 0}};
}

double phase_of(const Lattice& lattice, int64_t site, const WaveVector& wave) {
  const CellIndex cell = lattice.cell_of(site);
  const Vector& inside = lattice.cell().sites[static_cast<size_t>(lattice.basis_of(site))];
  double turns = 0;
  for (size_t k = 0; k < 3; ++k) turns += wave[k] * (static_cast<double>(cell[k]) + inside[k]);
  return kTurn * (turns - std::floor(turns));
}

}  // namespace

OrderParameter::OrderParameter(const std::string& name, const Lattice& lattice,
                               const std::vector<WaveVector>& waves)
    : name_(name) {
  const std::vector<WaveVector> star = name == "waves" ? waves : star_of(name);
  if (star.empty()) fail(ErrorKind::config, "order \"waves\" needs wave vectors");
  for (const WaveVector& wave : star) {
    for (size_t k = 0; k < 3; ++k) {
      const double periods = wave[k] * static_cast<double>(lattice.repeats()[k]);
      if (std::abs(periods - std::round(periods)) > 1e-9)
        fail(ErrorKind::config,
             "the wave ({}, {}, {}) does not fit {} x {} x {} cells\n    fix: a whole number of "
             "periods along each edge",
             wave[0], wave[1], wave[2], lattice.repeats()[0], lattice.repeats()[1],
             lattice.repeats()[2]);
    }
    cosine_.emplace_back();
    sine_.emplace_back();
    for (int64_t site = 0; site < lattice.sites(); ++site) {
      cosine_.back().push_back(std::cos(phase_of(lattice, site, wave)));
      sine_.back().push_back(std::sin(phase_of(lattice, site, wave)));
    }
  }
  if (name == "magnetisation") return;
  std::vector<uint8_t> perfect;
  if (name == "waves") {  // sites where the first wave is positive against the rest
    for (const double part : cosine_[0]) perfect.push_back(part > 0 ? 0 : 1);
  } else {
    perfect = arrange(ordering(name), lattice);
  }
  Configuration configuration(std::make_shared<const Grid>(lattice, std::array<int, 3>{0, 0, 0}));
  configuration.assign(perfect);
  perfect_ = of(configuration, 2);
}

double OrderParameter::of(const Configuration& configuration, int species) const {
  const auto sites = static_cast<double>(configuration.sites());
  if (name_ == "magnetisation") {
    const std::vector<int64_t> atoms = configuration.composition(species);
    double sum = 0;  // 1 when all sites hold one species, 0 when all are equally many
    for (const int64_t n : atoms) sum += std::pow(static_cast<double>(n) / sites, 2);
    const auto q = static_cast<double>(species);
    return std::sqrt(std::max(0.0, (q * sum - 1) / (q - 1)));
  }
  double total = 0;
  std::vector<double> real(static_cast<size_t>(species)), imaginary(real);
  for (size_t wave = 0; wave < cosine_.size(); ++wave) {
    std::fill(real.begin(), real.end(), 0);
    std::fill(imaginary.begin(), imaginary.end(), 0);
    for (int64_t site = 0; site < configuration.sites(); ++site) {
      const auto a = static_cast<size_t>(configuration[site]);
      real[a] += cosine_[wave][static_cast<size_t>(site)];
      imaginary[a] += sine_[wave][static_cast<size_t>(site)];
    }
    for (size_t a = 0; a < real.size(); ++a)
      total += (real[a] * real[a] + imaginary[a] * imaginary[a]) / (sites * sites);
  }
  return std::sqrt(total) / perfect_;
}

double warren_cowley(const BondCounts& bonds, const std::vector<int64_t>& atoms, int shell, int a,
                     int b) {
  double all = 0, sites = 0;
  for (int i = 0; i < bonds.species; ++i) {
    sites += static_cast<double>(atoms[static_cast<size_t>(i)]);
    for (int j = i; j < bonds.species; ++j) all += static_cast<double>(bonds.at(shell, i, j));
  }
  const double pairs = 2 * static_cast<double>(atoms[static_cast<size_t>(a)]) / sites *
                       static_cast<double>(atoms[static_cast<size_t>(b)]) / sites;
  if (!(pairs > 0)) return std::numeric_limits<double>::quiet_NaN();
  return 1 - static_cast<double>(bonds.at(shell, a, b)) / all / pairs;
}

std::vector<double> warren_cowley(const BondCounts& bonds, const std::vector<int64_t>& atoms) {
  std::vector<double> out;
  for (int shell = 0; shell < bonds.shells; ++shell)
    for (int a = 0; a < bonds.species; ++a)
      for (int b = a + 1; b < bonds.species; ++b)
        out.push_back(warren_cowley(bonds, atoms, shell, a, b));
  return out;
}

std::vector<std::string> pair_names(const std::vector<std::string>& species) {
  std::vector<std::string> out;
  for (size_t a = 0; a < species.size(); ++a)
    for (size_t b = a + 1; b < species.size(); ++b) out.push_back(species[a] + "-" + species[b]);
  return out;
}

// Separable in x and y: first along x for each (y, z; basis), then along y.
StructureFactorPlane structure_factor(const Lattice& lattice, const std::vector<uint8_t>& species,
                                      int which, double l) {
  const CellIndex& repeats = lattice.repeats();
  StructureFactorPlane out{2 * repeats[0] + 1, 2 * repeats[1] + 1, {}};
  const auto sites = static_cast<double>(lattice.sites());
  double mean = 0;
  for (const uint8_t a : species) mean += (a == which) / sites;
  const int64_t basis = lattice.basis();
  // Summed over z and basis sites with the phases of l and of positions inside the cell; these
  // depend on the wave through the basis site alone.
  using Complex = std::complex<double>;
  std::vector<Complex> column(static_cast<size_t>(repeats[0] * repeats[1] * basis));
  for (int64_t site = 0; site < lattice.sites(); ++site) {
    const CellIndex cell = lattice.cell_of(site);
    const double value = (species[static_cast<size_t>(site)] == which ? 1 : 0) - mean;
    column[static_cast<size_t>((cell[0] * repeats[1] + cell[1]) * basis +
                               lattice.basis_of(site))] +=
        value * std::polar(1.0, kTurn * l * static_cast<double>(cell[2]));
  }
  out.values.assign(static_cast<size_t>(out.columns * out.rows), 0);
  std::vector<Complex> along(static_cast<size_t>(repeats[1] * basis));
  for (int64_t i = 0; i < out.columns; ++i) {
    const double h = static_cast<double>(i) / static_cast<double>(repeats[0]) - 1;
    std::fill(along.begin(), along.end(), Complex(0));
    for (int64_t x = 0; x < repeats[0]; ++x) {
      const Complex phase = std::polar(1.0, kTurn * h * static_cast<double>(x));
      for (size_t k = 0; k < along.size(); ++k)
        along[k] += phase * column[static_cast<size_t>(x) * along.size() + k];
    }
    for (int64_t j = 0; j < out.rows; ++j) {
      const double k = static_cast<double>(j) / static_cast<double>(repeats[1]) - 1;
      Complex sum = 0;
      for (int64_t b = 0; b < basis; ++b) {
        const Vector& at = lattice.cell().sites[static_cast<size_t>(b)];
        Complex inner = 0;
        for (int64_t y = 0; y < repeats[1]; ++y)
          inner += std::polar(1.0, kTurn * k * static_cast<double>(y)) *
                   along[static_cast<size_t>(y * basis + b)];
        sum += inner * std::polar(1.0, kTurn * (h * at[0] + k * at[1] + l * at[2]));
      }
      out.values[static_cast<size_t>(j * out.columns + i)] = std::norm(sum) / sites;
    }
  }
  return out;
}

std::vector<int64_t> cluster_sizes(const NeighbourTable& neighbours,
                                   const std::vector<int>& labels) {
  std::vector<uint32_t> parent(labels.size());
  std::iota(parent.begin(), parent.end(), 0);
  const auto root = [&](uint32_t site) {
    while (parent[site] != site) site = parent[site] = parent[parent[site]];
    return site;
  };
  for (uint32_t site = 0; site < labels.size(); ++site)
    for (const uint32_t other : neighbours.of(site, 0))
      if (labels[site] == labels[other]) parent[root(site)] = root(other);
  std::vector<int64_t> size(labels.size(), 0), out;
  for (uint32_t site = 0; site < labels.size(); ++site) ++size[root(site)];
  for (const int64_t n : size)
    if (n > 0) out.push_back(n);
  std::sort(out.begin(), out.end(), std::greater<>());
  return out;
}

Domains::Domains(const Ordering& ordering, const Lattice& lattice)
    : neighbours_(lattice, find_shells(lattice.cell(), 1)) {
  // Translates of the pattern that differ, by every site of the ordering's cell as its origin,
  const std::vector<uint8_t> pattern = arrange(ordering, lattice);
  const auto cells = static_cast<int64_t>(ordering.species.size()) / lattice.basis();
  const int64_t edge = cells == 8 ? 2 : 1;
  const Lattice period(lattice.cell(), {edge, edge, edge});
  const auto where = [&](const Vector& position) {  // site of `lattice` at a position in cells
    for (int64_t b = 0; b < lattice.basis(); ++b) {
      CellIndex cell{};
      bool fits = true;
      for (size_t k = 0; k < 3; ++k) {
        const double part = position[k] - lattice.cell().sites[static_cast<size_t>(b)][k];
        cell[k] = std::llround(part);
        fits &= std::abs(part - static_cast<double>(cell[k])) < 1e-6;
      }
      if (fits) return lattice.site(cell, b);
    }
    return int64_t{-1};
  };
  // and, the lattices of orderings being cubic, with x, y and z in turn.
  for (int64_t choice = 0; choice < 3 * period.sites(); ++choice) {
    const int64_t origin = choice / 3;
    const auto turn = static_cast<size_t>(choice % 3);
    const CellIndex cell = period.cell_of(origin);
    const Vector& inside = lattice.cell().sites[static_cast<size_t>(period.basis_of(origin))];
    std::vector<uint8_t> shifted(pattern.size());
    for (int64_t site = 0; site < lattice.sites(); ++site) {
      const CellIndex at = lattice.cell_of(site);
      const Vector& own = lattice.cell().sites[static_cast<size_t>(lattice.basis_of(site))];
      Vector position{};
      for (size_t k = 0; k < 3; ++k)
        position[(k + turn) % 3] = static_cast<double>(at[k] + cell[k]) + own[k] + inside[k];
      const int64_t from = where(position);
      OCOEE_CHECK(from >= 0);
      shifted[static_cast<size_t>(site)] = pattern[static_cast<size_t>(from)];
    }
    if (std::find(variants_.begin(), variants_.end(), shifted) == variants_.end())
      variants_.push_back(std::move(shifted));
  }
}

std::vector<int> Domains::labels(const std::vector<uint8_t>& species) const {
  std::vector<int> labels(species.size(), 0);
  for (size_t site = 0; site < species.size(); ++site) {
    int best = -1;
    for (size_t v = 0; v < variants_.size(); ++v) {
      int agrees = species[site] == variants_[v][site];
      for (const uint32_t other : neighbours_.of(static_cast<int64_t>(site), 0))
        agrees += species[other] == variants_[v][other];
      if (agrees > best) best = agrees, labels[site] = static_cast<int>(v);
    }
  }
  return labels;
}

std::vector<int64_t> Domains::sizes(const std::vector<uint8_t>& species) const {
  return cluster_sizes(neighbours_, labels(species));
}

}  // namespace ocoee::alloy
