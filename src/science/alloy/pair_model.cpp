// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/pair_model.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "science/alloy/covariance.h"

namespace ocoee::alloy {
namespace {

size_t used_shells(const std::vector<Shell>& shells, const PairInteractions& pairs, int counted) {
  const auto needed = static_cast<size_t>(std::max(pairs.shells, counted));
  if (shells.size() < needed)
    fail(ErrorKind::config, "{} shells of interactions, but the lattice was given {}", needed,
         shells.size());
  std::vector<double> here;
  bool same = true;
  for (size_t s = 0; s < pairs.coordination.size(); ++s) {
    here.push_back(shells[s].coordination());
    same &= std::abs(here[s] - pairs.coordination[s]) < 1e-6;
  }
  if (!same)
    fail(
        ErrorKind::data,
        "the energies belong to shells of {:.6g} neighbours, this lattice has {:.6g}\n    fix: the "
        "lattice that they were fitted on",
        fmt::join(pairs.coordination, ", "), fmt::join(here, ", "));
  return needed;
}

std::shared_ptr<const Grid> grid_for(const Lattice& lattice, const std::vector<Shell>& shells,
                                     size_t used) {
  std::array<int, 3> halo{};
  for (size_t s = 0; s < used; ++s)
    for (const auto& list : shells[s].bonds)
      for (const Bond& bond : list)
        for (size_t k = 0; k < 3; ++k) halo[k] = std::max(halo[k], std::abs(bond.cell[k]));
  return std::make_shared<const Grid>(lattice, halo);
}

// A power of two; where that would lose a spacing that all energies have in common, the spacing
// over a power of two.
double quantum_of(const Lattice& lattice, const std::vector<Shell>& shells,
                  const PairInteractions& pairs, double largest_other) {
  double largest = largest_other, neighbours = 2;
  std::vector<double> all = pairs.values;
  all.insert(all.end(), pairs.point.begin(), pairs.point.end());
  for (const double value : all) largest = std::max(largest, std::abs(value));
  for (int s = 0; s < pairs.shells; ++s)
    neighbours += shells[static_cast<size_t>(s)].coordination();
  const double binary = quantum_for(largest, neighbours * static_cast<double>(lattice.sites()));
  const double spacing = largest_other > 0 ? 0 : common_spacing(all);
  if (spacing == 0 || std::remainder(spacing, binary) == 0) return binary;
  return std::ldexp(spacing, -static_cast<int>(std::floor(std::log2(spacing / binary))));
}

bool leads_home(const Bond& bond, int from, const CellIndex& repeats) {
  return bond.to == from && bond.cell[0] % repeats[0] == 0 && bond.cell[1] % repeats[1] == 0 &&
         bond.cell[2] % repeats[2] == 0;
}

}  // namespace

PairModel::PairModel(const Lattice& lattice, const std::vector<Shell>& shells,
                     const PairInteractions& pairs, int counted_shells, double largest_other)
    : EnergyModel(grid_for(lattice, shells, used_shells(shells, pairs, counted_shells)),
                  pairs.count(), quantum_of(lattice, shells, pairs, largest_other), pairs.constant),
      pairs_(pairs),
      acting_(static_cast<size_t>(pairs.shells)),
      counted_(used_shells(shells, pairs, counted_shells)),
      row_(acting_ * static_cast<size_t>(pairs.count())) {
  const int n = species();
  for (const double value : pairs.values)
    values_.push_back(static_cast<int32_t>(std::lround(value / quantum())));
  points_.assign(static_cast<size_t>(n), 0);
  for (size_t a = 0; a < pairs.point.size(); ++a)
    points_[a] = std::llround(pairs.point[a] / quantum());

  const auto value = [&](size_t shell, int a, int b) {
    return values_[(shell * static_cast<size_t>(n) + static_cast<size_t>(a)) *
                       static_cast<size_t>(n) +
                   static_cast<size_t>(b)];
  };
  for (int a = 0; a < n; ++a)
    for (int b = 0; b < n; ++b)
      for (size_t shell = 0; shell < acting_; ++shell)
        for (int c = 0; c < n; ++c) differences_.push_back(value(shell, b, c) - value(shell, a, c));

  const int basis = static_cast<int>(lattice.basis());
  self_terms_.assign(static_cast<size_t>(basis * n * n), 0);
  for (int from = 0; from < basis; ++from) {
    forward_.emplace_back(counted_);
    bounds_.push_back(static_cast<uint32_t>(displacements_.size()));
    for (size_t shell = 0; shell < counted_; ++shell) {
      int64_t home = 0;
      for (const Bond& bond : shells[shell].bonds[static_cast<size_t>(from)]) {
        const int64_t displacement = grid()->displacement(bond, from);
        if (is_forward(bond, from)) forward_.back()[shell].push_back(displacement);
        if (shell >= acting_) continue;
        displacements_.push_back(displacement);
        home += leads_home(bond, from, lattice.repeats());
      }
      if (shell >= acting_) continue;
      bounds_.push_back(static_cast<uint32_t>(displacements_.size()));
      if (home == 0) continue;
      // Seen as a neighbour that stays, an image of the site itself would count V_ab - V_aa twice a
      // bond, where V_bb - V_aa is right once.
      sees_itself_ = true;
      for (int a = 0; a < n; ++a)
        for (int b = 0; b < n; ++b)
          self_terms_[static_cast<size_t>((from * n + a) * n + b)] +=
              home / 2 *
              (Energy{value(shell, a, a)} + value(shell, b, b) - 2 * Energy{value(shell, a, b)});
    }
  }
}

BondCounts PairModel::count_bonds(const Configuration& configuration) const {
  const auto n = static_cast<size_t>(species());
  BondCounts out{species(), static_cast<int>(counted_), std::vector<int64_t>(counted_ * n * n, 0)};
  for (int64_t site = 0; site < configuration.sites(); ++site) {
    const Grid::Located here = grid()->locate(site);
    const uint8_t* at = configuration.places() + here.place;
    for (size_t shell = 0; shell < counted_; ++shell) {
      int64_t* row = out.counts.data() + (shell * n + *at) * n;
      for (const int64_t displacement : forward_[here.basis][shell]) ++row[at[displacement]];
    }
  }
  for (size_t shell = 0; shell < counted_; ++shell)
    for (size_t a = 0; a < n; ++a)
      for (size_t b = a + 1; b < n; ++b) {
        int64_t& one = out.counts[(shell * n + a) * n + b];
        int64_t& other = out.counts[(shell * n + b) * n + a];
        one = other = one + other;
      }
  return out;
}

Energy PairModel::energy_of(const BondCounts& bonds,
                            const std::vector<int64_t>& composition) const {
  Energy sum = 0;
  for (size_t a = 0; a < points_.size(); ++a) sum += points_[a] * composition[a];
  for (int shell = 0; shell < static_cast<int>(acting_); ++shell)
    for (int a = 0; a < species(); ++a)
      for (int b = a; b < species(); ++b)
        sum += bonds.at(shell, a, b) *
               values_[static_cast<size_t>((shell * species() + a) * species() + b)];
  return sum;
}

Energy PairModel::level_spacing() const {
  Energy spacing = 0;
  for (const int32_t value : values_) spacing = std::gcd(spacing, Energy{value});
  for (const Energy value : points_) spacing = std::gcd(spacing, value);
  return std::max<Energy>(1, spacing);
}

Energy PairModel::total(const Configuration& configuration) const {
  return energy_of(count_bonds(configuration), configuration.composition(species()));
}

Energy PairModel::change_by_flip(const Configuration& configuration, int64_t site, int to) const {
  const Grid::Located here = grid()->locate(site);
  const uint8_t* at = configuration.places() + here.place;
  return sum_around(at, here.basis, difference(*at, to)) + own_images(here.basis, *at, to) +
         point_difference(*at, to);
}

Energy PairModel::change_by_swap(Configuration& configuration, Swap swap) const {
  const int a = configuration[swap.a], b = configuration[swap.b];
  const Energy first = change_by_flip(configuration, swap.a, b);
  if (!grid()->may_be_near(grid()->locate(swap.a), grid()->locate(swap.b)))
    return first + change_by_flip(configuration, swap.b, a);
  configuration.set(swap.a, b);  // the bond between the two is seen as it then is
  const Energy second = change_by_flip(configuration, swap.b, a);
  configuration.set(swap.a, a);
  return first + second;
}

void PairModel::local_energies(const Configuration& configuration,
                               std::span<double> energies) const {
  OCOEE_CHECK(static_cast<int64_t>(energies.size()) == configuration.sites());
  const auto n = static_cast<size_t>(species());
  for (int64_t site = 0; site < configuration.sites(); ++site) {
    const Grid::Located here = grid()->locate(site);
    const uint8_t* at = configuration.places() + here.place;
    Energy twice = 2 * points_[*at];
    for (size_t shell = 0; shell < acting_; ++shell)
      for (uint32_t k = bounds_[here.basis * (acting_ + 1) + shell];
           k < bounds_[here.basis * (acting_ + 1) + shell + 1]; ++k)
        twice += values_[(shell * n + *at) * n + at[displacements_[k]]];
    energies[static_cast<size_t>(site)] =
        static_cast<double>(twice) * quantum() / 2 + pairs_.constant;
  }
}

std::vector<double> PairModel::count_terms(const Configuration& configuration) const {
  const BondCounts bonds = count_bonds(configuration);
  std::vector<double> out;
  for (const int64_t atoms : configuration.composition(species()))
    out.push_back(static_cast<double>(atoms));
  for (int shell = 0; shell < pairs_.shells; ++shell)
    for (int a = 0; a < species(); ++a)
      for (int b = a + 1; b < species(); ++b)
        out.push_back(static_cast<double>(bonds.at(shell, a, b)));
  return out;
}

// By the covariance of the fit; where only single errors are known, as if they were independent.
double PairModel::uncertainty(const Configuration& configuration) const {
  if (!pairs_.covariance.empty())
    return deviation_of(pairs_.covariance, count_terms(configuration));
  if (pairs_.errors.empty()) return 0;
  const BondCounts bonds = count_bonds(configuration);
  double variance = 0;
  for (int shell = 0; shell < pairs_.shells; ++shell)
    for (int a = 0; a < species(); ++a)
      for (int b = a; b < species(); ++b)
        variance += std::pow(
            static_cast<double>(bonds.at(shell, a, b)) *
                pairs_.errors[static_cast<size_t>((shell * species() + a) * species() + b)],
            2);
  return std::sqrt(variance);
}

}  // namespace ocoee::alloy
