// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/features.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/text.h"
#include "science/alloy/pair_model.h"

namespace ocoee::alloy {

std::optional<LaidOver> laid_over(const UnitCell& parent, const atoms::Structure& s) {
  const auto basis = static_cast<int64_t>(parent.sites.size());
  const double scale =
      std::cbrt(atoms::volume(s) / static_cast<double>(s.size()) / site_volume(parent));
  const atoms::Matrix3 back = atoms::inverse(parent.edges);
  CellIndex repeats{};
  for (size_t k = 0; k < 3; ++k) {
    const atoms::Vector3 edge = atoms::row_times(s.cell[k], back);
    for (size_t j = 0; j < 3; ++j) {
      const double times = edge[j] / scale, whole = std::round(times);
      if (std::abs(times - whole) > 1e-6 || (j == k ? whole < 1 || whole > 1e6 : whole != 0))
        return std::nullopt;
      if (j == k) repeats[k] = static_cast<int64_t>(whole);
    }
  }
  if (repeats[0] * repeats[1] * repeats[2] * basis != s.size()) return std::nullopt;
  LaidOver out{Lattice(parent, repeats), std::vector<uint8_t>(s.positions.size())};
  std::vector<bool> taken(s.positions.size());
  for (size_t i = 0; i < s.positions.size(); ++i) {
    for (int64_t b = 0; b < basis; ++b) {
      CellIndex cell{};
      bool fits = true;
      for (size_t k = 0; k < 3; ++k) {
        const double at = s.positions[i][k] * static_cast<double>(repeats[k]) -
                          parent.sites[static_cast<size_t>(b)][k];
        cell[k] = static_cast<int64_t>(std::round(at));
        fits = fits && std::abs(at - std::round(at)) < 1e-4;
      }
      if (!fits) continue;
      const auto site = static_cast<size_t>(out.lattice.site(cell, b));
      if (taken[site]) return std::nullopt;
      taken[site] = true;
      out.species[site] = static_cast<uint8_t>(s.species[i]);
    }
  }
  if (std::find(taken.begin(), taken.end(), false) != taken.end()) return std::nullopt;
  return out;
}

FeatureSpace::FeatureSpace(UnitCell parent, std::vector<std::string> species, int shells,
                           int triplets, int quadruplets, double tolerance)
    : parent_(std::move(parent)),
      species_(std::move(species)),
      shells_(find_shells(parent_, shells, tolerance)),
      triplets_(triplets),
      quadruplets_(quadruplets),
      tolerance_(tolerance) {
  if (std::max(triplets, quadruplets) > shells) {
    fail(ErrorKind::config, "clusters reach to shell {}, but only {} shells of pairs are counted",
         std::max(triplets, quadruplets), shells);
  }
  orbits_ = orbits_of(parent_, shells_);
  for (const std::string& name : species_) names_.push_back("c " + name);
  for (int shell = 0; shell < shells; ++shell) {
    for (size_t a = 0; a < species_.size(); ++a) {
      for (size_t b = a + 1; b < species_.size(); ++b)
        names_.push_back(fmt::format("shell {} {}-{}", shell + 1, species_[a], species_[b]));
    }
  }
  for (const Orbit& orbit : orbits_) {
    const std::vector<std::string> names = cluster_names(orbit, species_);
    names_.insert(names_.end(), names.begin(), names.end());
  }
}

std::vector<Orbit> FeatureSpace::orbits_of(const UnitCell& cell,
                                           const std::vector<Shell>& shells) const {
  std::vector<Orbit> out;
  if (triplets_ > 0) out = find_orbits(cell, shells, 3, triplets_);
  if (quadruplets_ > 0) {
    const std::vector<Orbit> more = find_orbits(cell, shells, 4, quadruplets_);
    out.insert(out.end(), more.begin(), more.end());
  }
  return out;
}

int64_t FeatureSpace::columns_of(int shells) const {
  const auto n = static_cast<int64_t>(species_.size());
  return n + shells * n * (n - 1) / 2;
}

std::vector<double> FeatureSpace::count(const Lattice& lattice, const std::vector<Shell>& shells,
                                        const std::vector<Orbit>& orbits,
                                        const std::vector<uint8_t>& species) const {
  const auto n = static_cast<int>(species_.size());
  const auto counted = static_cast<int>(shells.size());
  const PairModel model(lattice, shells, PairInteractions(species_, 0), counted);
  Configuration configuration(model.grid());
  configuration.assign(species);
  const BondCounts bonds = model.count_bonds(configuration);
  std::vector<double> out;
  for (const int64_t atoms : configuration.composition(n))
    out.push_back(static_cast<double>(atoms));
  for (int shell = 0; shell < counted; ++shell) {
    for (int a = 0; a < n; ++a) {
      for (int b = a + 1; b < n; ++b) out.push_back(static_cast<double>(bonds.at(shell, a, b)));
    }
  }
  for (const int64_t clusters : count_clusters(lattice, orbits, n, species))
    out.push_back(static_cast<double>(clusters));
  for (double& value : out) value /= static_cast<double>(lattice.sites());
  return out;
}

std::vector<double> FeatureSpace::of(const Lattice& lattice,
                                     const std::vector<uint8_t>& species) const {
  return count(lattice, shells_, orbits_, species);
}

std::vector<double> FeatureSpace::of(const atoms::Structure& given,
                                     const std::string& where) const {
  const atoms::Structure s = atoms::with_species_names(given, species_, where);
  if (const std::optional<LaidOver> found = laid_over(parent_, s))
    return of(found->lattice, found->species);
  UnitCell cell{where, s.cell, s.positions};
  for (Vector& site : cell.sites) {
    for (double& x : site) x -= std::floor(x);
  }
  const std::vector<Shell> shells = find_shells(cell, static_cast<int>(shells_.size()), tolerance_);
  for (size_t shell = 0; shell < shells_.size(); ++shell) {
    const double scale = shells_[0].distance / shells[0].distance;
    const bool is_alike =
        std::abs(shells[shell].coordination() - shells_[shell].coordination()) < 1e-6 &&
        std::abs(shells[shell].distance * scale / shells_[shell].distance - 1) < 1e-3;
    if (!is_alike) {
      fail(ErrorKind::data,
           "{}: it is no arrangement of the lattice {}: its shell {} has {:.4g} neighbours at "
           "{:.4f} "
           "of the nearest distance, expected {:.4g} at {:.4f}\n    fix: give unrelaxed positions",
           where, parent_.name, shell + 1, shells[shell].coordination(),
           shells[shell].distance / shells[0].distance, shells_[shell].coordination(),
           shells_[shell].distance / shells_[0].distance);
    }
  }
  const std::vector<uint8_t> species(s.species.begin(), s.species.end());
  return count(Lattice(cell, {1, 1, 1}), shells, orbits_of(cell, shells), species);
}

std::vector<int64_t> FeatureSpace::columns_with(int shells) const {
  std::vector<int64_t> columns(static_cast<size_t>(columns_of(shells)));
  std::iota(columns.begin(), columns.end(), 0);
  for (int64_t c = columns_of(static_cast<int>(shells_.size())); c < this->columns(); ++c)
    columns.push_back(c);
  return columns;
}

ClusterInteractions FeatureSpace::interactions(const Fit& fit, int shells) const {
  ClusterInteractions out;
  out.triplets = triplets_, out.quadruplets = quadruplets_;
  out.pairs = PairInteractions(species_, shells);
  PairInteractions& pairs = out.pairs;
  pairs.errors.assign(pairs.values.size(), 0);
  const auto n = static_cast<int>(species_.size());
  pairs.point.assign(fit.coefficients.begin(), fit.coefficients.begin() + n);
  for (int shell = 0; shell < shells; ++shell)
    pairs.coordination.push_back(shells_[static_cast<size_t>(shell)].coordination());
  auto column = static_cast<size_t>(n);
  for (int shell = 0; shell < shells; ++shell) {
    for (int a = 0; a < n; ++a) {
      for (int b = a + 1; b < n; ++b, ++column) {
        pairs.set(shell, a, b, fit.coefficients[column]);
        for (const int at : {(shell * n + a) * n + b, (shell * n + b) * n + a})
          pairs.errors[static_cast<size_t>(at)] = fit.errors[column];
      }
    }
  }
  for (const int64_t c : columns_with(shells))
    if (c >= columns_of(static_cast<int>(shells_.size())))
      out.names.push_back(names_[static_cast<size_t>(c)]);
  const auto clusters = static_cast<std::ptrdiff_t>(column);
  out.values.assign(fit.coefficients.begin() + clusters, fit.coefficients.end());
  out.errors.assign(fit.errors.begin() + clusters, fit.errors.end());
  (out.has_clusters() ? out.covariance : pairs.covariance) = fit.covariance;
  return out;
}

atoms::Structure structure_of(const Lattice& lattice, const std::vector<uint8_t>& species,
                              const std::vector<std::string>& names) {
  atoms::Structure s;
  s.cell = lattice.edges();
  s.species_names = names;
  const CellIndex& repeats = lattice.repeats();
  for (int64_t site = 0; site < lattice.sites(); ++site) {
    const CellIndex cell = lattice.cell_of(site);
    atoms::Vector3 x = lattice.cell().sites[static_cast<size_t>(lattice.basis_of(site))];
    for (size_t k = 0; k < 3; ++k)
      x[k] = (x[k] + static_cast<double>(cell[k])) / static_cast<double>(repeats[k]);
    s.positions.push_back(x);
    s.species.push_back(species[static_cast<size_t>(site)]);
  }
  return s;
}

}  // namespace ocoee::alloy
