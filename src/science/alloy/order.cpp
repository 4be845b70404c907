// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/order.h"

#include <algorithm>
#include <cmath>
#include <complex>
#include <limits>
#include <numeric>
#include <utility>

#include "core/error.h"

namespace ocoee::alloy {
namespace {

constexpr double kTurn = 6.283185307179586;

std::vector<WaveVector> star_of(const std::string& name) {
  if (name == "B2") return {{1, 0, 0}};
  if (name == "L1_0" || name == "L1_2") return {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
  return {{0.5, 0.5, 0.5}};  // D0_3, B32
}

double turns_of(const Halves& place, const WaveVector& wave) {
  double turns = 0;
  for (size_t k = 0; k < 3; ++k) turns += wave[k] * static_cast<double>(place[k]) / 2;
  return turns;
}

double phase_of(const Lattice& lattice, int64_t site, const WaveVector& wave) {
  const CellIndex cell = lattice.cell_of(site);
  const Vector& inside = lattice.cell().sites[static_cast<size_t>(lattice.basis_of(site))];
  double turns = 0;
  for (size_t k = 0; k < 3; ++k) turns += wave[k] * (static_cast<double>(cell[k]) + inside[k]);
  return kTurn * (turns - std::floor(turns));
}

// The amplitude of a species on two sublattices is proportional to the difference of its shares of
// them. The sum of the differences' squares is 2 in a perfect pattern of two species; `atoms` allow
// at most what filling the first sublattice with whole species, and one of them in part, gives: a
// sum of squares is largest at such corners.
double most_on_sublattices(const std::vector<uint8_t>& pattern, const std::vector<int64_t>& atoms) {
  const auto second = static_cast<double>(std::count(pattern.begin(), pattern.end(), 1)),
             first = static_cast<double>(pattern.size()) - second;
  const auto square = [&](double on_first, double all) {
    return std::pow(on_first / first - (all - on_first) / second, 2);
  };
  std::vector<double> present;
  for (const int64_t n : atoms)
    if (n > 0) present.push_back(static_cast<double>(n));
  double largest = 0;
  for (uint32_t whole = 0; whole < 1U << present.size(); ++whole) {
    double taken = 0, sum = 0;
    for (size_t a = 0; a < present.size(); ++a) {
      const double here = (whole >> a & 1U) != 0 ? present[a] : 0;
      taken += here;
      sum += square(here, present[a]);
    }
    const double left = first - taken;
    if (left == 0) largest = std::max(largest, sum);
    for (size_t a = 0; left > 0 && a < present.size(); ++a)
      if ((whole >> a & 1U) == 0 && left <= present[a])
        largest = std::max(largest, sum - square(0, present[a]) + square(left, present[a]));
  }
  return largest;
}

}  // namespace

OrderParameter::OrderParameter(const std::string& name, const Lattice& lattice,
                               const std::vector<WaveVector>& waves,
                               const std::vector<int64_t>& atoms)
    : name_(name) {
  if (name == "magnetisation") return;
  const auto add = [&](const auto& phase) {
    cosine_.emplace_back();
    sine_.emplace_back();
    for (int64_t site = 0; site < lattice.sites(); ++site) {
      cosine_.back().push_back(std::cos(phase(site)));
      sine_.back().push_back(std::sin(phase(site)));
    }
  };
  std::vector<uint8_t> perfect;
  if (name == "waves") {
    if (waves.empty()) fail(ErrorKind::config, "order \"waves\" needs wave vectors");
    for (const WaveVector& wave : waves) {
      for (size_t k = 0; k < 3; ++k) {
        const double periods = wave[k] * static_cast<double>(lattice.repeats()[k]);
        if (std::abs(periods - std::round(periods)) > 1e-9)
          fail(ErrorKind::config,
               "the wave ({}, {}, {}) does not fit {} x {} x {} cells\n    fix: a whole number of "
               "periods along each edge",
               wave[0], wave[1], wave[2], lattice.repeats()[0], lattice.repeats()[1],
               lattice.repeats()[2]);
      }
      add([&](int64_t site) { return phase_of(lattice, site, wave); });
    }
    // sites where the first wave is positive against the rest
    for (const double part : cosine_[0]) perfect.push_back(part > 0 ? 0 : 1);
  } else {
    const Ordering one = ordering(name);
    perfect = arrange(one, lattice);
    const ParentSites parent(lattice.cell(), one.parent);
    const std::vector<Halves> places = halves_of(parent, lattice);
    for (const WaveVector& wave : star_of(name)) {
      bool fits = true;  // a skewed supercell may have room for some of the star only
      for (const Halves& edge : edges_of(parent, lattice)) {
        const double turns = turns_of(edge, wave);
        fits &= std::abs(turns - std::round(turns)) < 1e-9;
      }
      if (fits)
        add([&](int64_t site) {
          return kTurn * turns_of(places[static_cast<size_t>(site)], wave);
        });
    }
  }
  Configuration configuration(std::make_shared<const Grid>(lattice, std::array<int, 3>{0, 0, 0}));
  configuration.assign(perfect);
  perfect_ = of(configuration, 2);
  constexpr size_t kTried = 16;  // species of which every choice is tried
  if (name == "waves" || atoms.empty() || atoms.size() > kTried) return;
  const double of_two = std::exchange(perfect_, 1);
  double largest = 0;
  for (const std::string& other : ordering_names()) {
    if (star_of(other) != star_of(name)) continue;
    try {
      perfect = arrange(ordering(other), lattice);
    } catch (const Error&) {
      continue;  // the crystal has no room for it
    }
    configuration.assign(perfect);
    largest = std::max(largest,
                       of(configuration, 2) * std::sqrt(most_on_sublattices(perfect, atoms) / 2));
  }
  perfect_ = largest > 0 ? largest : of_two;  // one species orders nothing
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
  double sites = 0, ends = 0;  // ends: of bonds, at atoms of a
  for (int i = 0; i < bonds.species; ++i) {
    sites += static_cast<double>(atoms[static_cast<size_t>(i)]);
    ends += static_cast<double>(bonds.at(shell, a, i)) * (i == a ? 2 : 1);
  }
  const double share = static_cast<double>(atoms[static_cast<size_t>(b)]) / sites;
  if (!(share > 0) || !(ends > 0)) return std::numeric_limits<double>::quiet_NaN();
  return 1 - static_cast<double>(bonds.at(shell, a, b)) / ends / share;
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

namespace {

// h in units of one over this are whole periods of the crystal.
int64_t periods_along(const Lattice& lattice, const std::array<int, 3>& direction) {
  int64_t out = 0;
  for (size_t k = 0; k < 3; ++k)
    if (direction[k] != 0) out = std::gcd(out, lattice.repeats()[k]);
  return out;
}

}  // namespace

std::vector<double> waves_along(const Lattice& lattice, const std::array<int, 3>& direction,
                                int64_t most) {
  const int64_t fits = periods_along(lattice, direction), apart = (fits + most - 1) / most;
  std::vector<double> out;
  for (int64_t j = 1; j <= fits; ++j)
    if (j % apart == 0 || 2 * j == fits || j == fits)
      out.push_back(static_cast<double>(j) / static_cast<double>(fits));
  return out;
}

StructureFactorLine::StructureFactorLine(const Lattice& lattice,
                                         const std::array<int, 3>& direction,
                                         const std::vector<double>& h)
    : waves_(h.size()) {
  const int64_t fits = periods_along(lattice, direction), basis = lattice.basis();
  atoms_.assign(static_cast<size_t>(fits * basis), 0);
  for (int64_t site = 0; site < lattice.sites(); ++site) {
    const CellIndex cell = lattice.cell_of(site);
    int64_t along = 0;
    for (size_t k = 0; k < 3; ++k) along += cell[k] * direction[k];
    bin_.push_back(static_cast<uint32_t>(along % fits * basis + lattice.basis_of(site)));
    ++atoms_[bin_.back()];
  }
  for (const double one : h)
    for (int64_t bin = 0; bin < fits * basis; ++bin) {
      const Vector& inside = lattice.cell().sites[static_cast<size_t>(bin % basis)];
      const int64_t cells = bin / basis;
      auto along = static_cast<double>(cells);
      for (size_t k = 0; k < 3; ++k) along += inside[k] * direction[k];
      cosine_.push_back(std::cos(kTurn * one * along));
      sine_.push_back(std::sin(kTurn * one * along));
    }
}

std::vector<double> StructureFactorLine::of(const Configuration& configuration, int which) const {
  std::vector<double> here(atoms_.size(), 0);
  double mean = 0;
  for (int64_t site = 0; site < configuration.sites(); ++site)
    if (configuration[site] == which) ++here[bin_[static_cast<size_t>(site)]], ++mean;
  const auto sites = static_cast<double>(configuration.sites());
  for (size_t bin = 0; bin < here.size(); ++bin) here[bin] -= mean / sites * atoms_[bin];
  std::vector<double> out;
  for (size_t j = 0; j < waves_; ++j) {
    double real = 0, imaginary = 0;
    for (size_t bin = 0; bin < here.size(); ++bin) {
      real += here[bin] * cosine_[j * here.size() + bin];
      imaginary += here[bin] * sine_[j * here.size() + bin];
    }
    out.push_back((real * real + imaginary * imaginary) / sites);
  }
  return out;
}

Domains::Domains(const Lattice& lattice) : neighbours_(lattice, find_shells(lattice.cell(), 1)) {}

Domains::Domains(const Ordering& ordering, const Lattice& lattice) : Domains(lattice) {
  arrange(ordering, lattice);  // says where it does not fit
  const Pattern pattern(ordering);
  const ParentSites parent(lattice.cell(), ordering.parent);
  const std::vector<Halves> places = halves_of(parent, lattice);
  const std::array<Halves, 3> edges = edges_of(parent, lattice);
  const auto turned = [](const Halves& place, size_t turn) {  // x, y and z in turn
    Halves out{};
    for (size_t k = 0; k < 3; ++k) out[(k + turn) % 3] = place[k];
    return out;
  };
  // Translates that differ, by every site of the ordering's cell as its origin, in the directions
  // in which the supercell holds whole periods.
  for (size_t turn = 0; turn < 3; ++turn) {
    const bool fits = std::all_of(edges.begin(), edges.end(), [&](const Halves& edge) {
      return pattern.repeats_after(turned(edge, turn));
    });
    if (!fits) continue;
    for (const Halves& origin : pattern.origins()) {
      std::vector<uint8_t> variant;
      for (const Halves& place : places) {
        const Halves there = turned(place, turn);
        variant.push_back(static_cast<uint8_t>(
            pattern.at({there[0] + origin[0], there[1] + origin[1], there[2] + origin[2]})));
      }
      if (std::find(variants_.begin(), variants_.end(), variant) == variants_.end())
        variants_.push_back(std::move(variant));
    }
  }
}

std::vector<double> Domains::weights(const std::vector<uint8_t>& species) const {
  const auto count =
      static_cast<size_t>(*std::max_element(species.begin(), species.end())) + size_t{1};
  if (count <= 2) return {-1, 1};
  std::vector<double> share(count, 0);
  for (const uint8_t s : species) share[s] += 1 / static_cast<double>(species.size());
  std::vector<double> sums(count * count, 0), around(count);
  for (const std::vector<uint8_t>& variant : variants_)
    for (size_t site = 0; site < species.size(); ++site) {
      std::fill(around.begin(), around.end(), 0);
      double all = 2 * variant[site] - 1;
      around[species[site]] += all;
      for (const uint32_t other : neighbours_.of(static_cast<int64_t>(site), 0)) {
        around[species[other]] += 2 * variant[other] - 1;
        all += 2 * variant[other] - 1;
      }
      for (size_t a = 0; a < count; ++a) around[a] -= share[a] * all;
      for (size_t a = 0; a < count; ++a)
        for (size_t b = 0; b < count; ++b) sums[a * count + b] += around[a] * around[b];
    }
  // By iteration from a start that no symmetry of the species can make vanish.
  std::vector<double> x(count);
  for (size_t a = 0; a < count; ++a)
    x[a] = (a % 2 == 0 ? -1 : 1) / (1 + 0.1 * static_cast<double>(a));
  for (int step = 0; step < 60; ++step) {
    std::vector<double> next(count, 0);
    double largest = 1e-300;
    for (size_t a = 0; a < count; ++a) {
      for (size_t b = 0; b < count; ++b) next[a] += sums[a * count + b] * x[b];
      largest = std::max(largest, std::abs(next[a]));
    }
    for (double& one : next) one /= largest;
    x = next;
  }
  return x;
}

std::vector<int> Domains::labels(const std::vector<uint8_t>& species) const {
  if (variants_.empty()) return {species.begin(), species.end()};
  const std::vector<double> weight = weights(species);
  // Either way round may be the one: that on which sites agree better with their best variants.
  std::vector<int> best_labels;
  double best_total = -1;
  for (const double sign : {1.0, -1.0}) {
    std::vector<int> labels(species.size(), 0);
    double total = 0;
    for (size_t site = 0; site < species.size(); ++site) {
      double best = -1e300;
      for (size_t v = 0; v < variants_.size(); ++v) {
        const std::vector<uint8_t>& variant = variants_[v];
        double agrees = weight[species[site]] * (2 * variant[site] - 1);
        for (const uint32_t other : neighbours_.of(static_cast<int64_t>(site), 0))
          agrees += weight[species[other]] * (2 * variant[other] - 1);
        if (sign * agrees > best + 1e-9) best = sign * agrees, labels[site] = static_cast<int>(v);
      }
      total += best;
    }
    if (total > best_total) best_total = total, best_labels = std::move(labels);
  }
  return best_labels;
}

std::vector<int64_t> Domains::sizes(const std::vector<uint8_t>& species) const {
  return cluster_sizes(neighbours_, labels(species));
}

double mean_share(const std::vector<int64_t>& sizes) {
  double sum = 0, squares = 0;
  for (const int64_t n : sizes) {
    sum += static_cast<double>(n);
    squares += static_cast<double>(n) * static_cast<double>(n);
  }
  return squares / (sum * sum);
}

}  // namespace ocoee::alloy
