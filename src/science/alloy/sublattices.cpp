// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/sublattices.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "science/atoms/structure.h"

namespace ocoee::alloy {
namespace {

// Cubic edges over their mean: up to where bct is as near to fcc as to bcc.
constexpr double kShortest = 0.88, kLongest = 1.13;
constexpr double kAside = 0.05;  // of half an edge: how far off its place a site may lie

double dot(const Vector& a, const Vector& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}
Vector cartesian(const UnitCell& cell, const Vector& fraction) {
  return atoms::row_times(fraction, cell.edges);
}

// Vectors from the first site to others whose lengths are those of cubic edges.
std::vector<Vector> edges_around(const UnitCell& cell, double edge) {
  std::vector<Vector> out;
  std::array<int, 3> reach{};
  const atoms::Matrix3 back = atoms::inverse(cell.edges);
  for (size_t k = 0; k < 3; ++k) {
    const Vector reciprocal{back[0][k], back[1][k], back[2][k]};
    reach[k] =
        static_cast<int>(std::ceil(kLongest * edge * std::sqrt(dot(reciprocal, reciprocal)))) + 1;
  }
  for (const Vector& site : cell.sites)
    for (int x = -reach[0]; x <= reach[0]; ++x)
      for (int y = -reach[1]; y <= reach[1]; ++y)
        for (int z = -reach[2]; z <= reach[2]; ++z) {
          const Vector& first = cell.sites[0];
          const Vector step = cartesian(
              cell, {site[0] - first[0] + x, site[1] - first[1] + y, site[2] - first[2] + z});
          const double length = std::sqrt(dot(step, step));
          if (length > kShortest * edge && length < kLongest * edge) out.push_back(step);
        }
  return out;
}

bool is_site(const Halves& h, bool bcc) {
  const auto odd = [](int64_t x) { return x % 2 != 0; };
  if (bcc) return odd(h[0]) == odd(h[1]) && odd(h[1]) == odd(h[2]);
  return !odd(h[0] + h[1] + h[2]);
}

}  // namespace

ParentSites::ParentSites(const UnitCell& cell, const std::string& parent) {
  const bool bcc = parent == "bcc";
  OCOEE_CHECK(bcc || parent == "fcc", "orderings are of bcc or fcc, not of {}", parent);
  const double wanted = site_volume(cell) * (bcc ? 2 : 4);
  const double edge = std::cbrt(wanted);
  const std::vector<Vector> near = edges_around(cell, edge);
  const auto at_right_angles = [&](const Vector& a, const Vector& b) {
    return std::abs(dot(a, b)) < 1e-3 * edge * edge;
  };
  // Of three edges at right angles, those that are nearest to x, y and z.
  double best = -4;
  atoms::Matrix3 cubic{};
  for (const Vector& x : near)
    for (const Vector& y : near) {
      if (!at_right_angles(x, y)) continue;
      for (const Vector& z : near) {
        const double along =
            x[0] / std::sqrt(dot(x, x)) + y[1] / std::sqrt(dot(y, y)) + z[2] / std::sqrt(dot(z, z));
        const atoms::Matrix3 edges{x, y, z};
        const bool fits = at_right_angles(x, z) && at_right_angles(y, z) &&
                          std::abs(atoms::determinant(edges) / wanted - 1) < 1e-3;
        if (fits && along > best + 1e-9) best = along, cubic = edges;
      }
    }
  if (best == -4)
    fail(ErrorKind::config,
         "the sites of {} are no {} lattice: no three steps between them at right angles are edges "
         "of its cubic cell",
         cell.name, parent);
  const atoms::Matrix3 back = atoms::inverse(cubic);
  const auto halves = [&](const Vector& position, const std::string& what) {
    const Vector at = atoms::row_times(position, back);
    Halves out{};
    double aside = 0;
    for (size_t k = 0; k < 3; ++k) {
      out[k] = std::llround(2 * at[k]);
      aside = std::max(aside, std::abs(2 * at[k] - static_cast<double>(out[k])));
    }
    if (aside > kAside || !is_site(out, bcc))
      fail(ErrorKind::config, "the sites of {} are no {} lattice: {} lies off it", cell.name,
           parent, what);
    return out;
  };
  for (size_t k = 0; k < 3; ++k)
    edges_[k] = halves(cell.edges[k], fmt::format("the end of edge {}", k + 1));
  for (size_t b = 0; b < cell.sites.size(); ++b) {
    Vector from_first{};
    for (size_t k = 0; k < 3; ++k) from_first[k] = cell.sites[b][k] - cell.sites[0][k];
    sites_.push_back(halves(cartesian(cell, from_first), fmt::format("site {}", b + 1)));
  }
}

Halves ParentSites::of(const CellIndex& cell, int64_t basis) const {
  Halves out = sites_[static_cast<size_t>(basis)];
  for (size_t k = 0; k < 3; ++k)
    for (size_t d = 0; d < 3; ++d) out[d] += cell[k] * edges_[k][d];
  return out;
}

Pattern::Pattern(const Ordering& ordering) {
  const auto sites = static_cast<int64_t>(ordering.species.size());
  period_ = sites == 16 ? 4 : 2;
  species_.assign(static_cast<size_t>(period_ * period_ * period_), 0);
  for (size_t i = 0; i < ordering.species.size(); ++i) {
    Halves place{};
    for (size_t k = 0; k < 3; ++k)
      place[k] = std::llround(ordering.cell.sites[i][k] * static_cast<double>(period_));
    sites_.push_back(place);
    species_[number(place)] = ordering.species[i];
  }
}

size_t Pattern::number(const Halves& place) const {
  int64_t out = 0;
  for (const int64_t x : place) out = out * period_ + ((x % period_) + period_) % period_;
  return static_cast<size_t>(out);
}

bool Pattern::repeats_after(const Halves& step) const {
  return std::all_of(sites_.begin(), sites_.end(), [&](const Halves& place) {
    return at(place) == at({place[0] + step[0], place[1] + step[1], place[2] + step[2]});
  });
}

std::vector<Halves> halves_of(const ParentSites& parent, const Lattice& lattice) {
  std::vector<Halves> out;
  for (int64_t site = 0; site < lattice.sites(); ++site)
    out.push_back(parent.of(lattice.cell_of(site), lattice.basis_of(site)));
  return out;
}

std::array<Halves, 3> edges_of(const ParentSites& parent, const Lattice& lattice) {
  std::array<Halves, 3> out{};
  const Halves zero = parent.of({0, 0, 0}, 0);
  for (size_t k = 0; k < 3; ++k) {
    CellIndex end{};
    end[k] = lattice.repeats()[k];
    out[k] = parent.of(end, 0);
    for (size_t d = 0; d < 3; ++d) out[k][d] -= zero[d];
  }
  return out;
}

std::vector<uint8_t> arrange(const Ordering& ordering, const Lattice& lattice) {
  const Pattern pattern(ordering);
  const auto parent = [&] {
    try {
      return ParentSites(lattice.cell(), ordering.parent);
    } catch (const Error& error) {
      fail(ErrorKind::config, "{} orders {} sites: {}\n    fix: another order, or another lattice",
           ordering.name, ordering.parent, error.what());
    }
  }();
  for (const Halves& edge : edges_of(parent, lattice))
    if (!pattern.repeats_after(edge))
      fail(ErrorKind::config,
           "{} does not fit {} x {} x {} cells of {}\n    fix: a whole number of its periods along "
           "each edge{}",
           ordering.name, lattice.repeats()[0], lattice.repeats()[1], lattice.repeats()[2],
           lattice.cell().name,
           ordering.species.size() == 16 ? ", which are two cubic cells long" : "");
  std::vector<uint8_t> species;
  for (const Halves& place : halves_of(parent, lattice))
    species.push_back(static_cast<uint8_t>(pattern.at(place)));
  return species;
}

}  // namespace ocoee::alloy
