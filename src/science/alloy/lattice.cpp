// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/lattice.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/text.h"

namespace ocoee::alloy {
namespace {

Vector cross(const Vector& a, const Vector& b) {
  return {a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]};
}
double dot(const Vector& a, const Vector& b) {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

Vector cartesian(const std::array<Vector, 3>& edges, const Vector& fraction) {
  Vector out{};
  for (size_t k = 0; k < 3; ++k)
    for (size_t d = 0; d < 3; ++d) out[d] += fraction[k] * edges[k][d];
  return out;
}

int64_t wrapped(int64_t index, int64_t length) {
  const int64_t rest = index % length;
  return rest < 0 ? rest + length : rest;
}

struct FoundBond {
  double distance;
  int from;
  Bond bond;
};

// All bonds up to `cutoff`, shortest first.
std::vector<FoundBond> bonds_within(const UnitCell& cell, double cutoff) {
  // A site n cells and a fraction d on along edge k lies at least n + d heights of the cell away.
  Vector reach{};
  for (size_t k = 0; k < 3; ++k) {
    const Vector normal = cross(cell.edges[(k + 1) % 3], cell.edges[(k + 2) % 3]);
    reach[k] = cutoff * std::sqrt(dot(normal, normal)) / volume(cell) + 1e-9;
  }
  std::vector<FoundBond> found;
  const int basis = static_cast<int>(cell.sites.size());
  for (int from = 0; from < basis; ++from) {
    for (int to = 0; to < basis; ++to) {
      Vector apart{};
      std::array<int, 3> first{}, last{};
      for (size_t k = 0; k < 3; ++k) {
        apart[k] =
            cell.sites[static_cast<size_t>(to)][k] - cell.sites[static_cast<size_t>(from)][k];
        first[k] = static_cast<int>(std::ceil(-reach[k] - apart[k]));
        last[k] = static_cast<int>(std::floor(reach[k] - apart[k]));
      }
      for (int x = first[0]; x <= last[0]; ++x) {
        for (int y = first[1]; y <= last[1]; ++y) {
          for (int z = first[2]; z <= last[2]; ++z) {
            if (from == to && x == 0 && y == 0 && z == 0) continue;
            const Vector step = cartesian(cell.edges, {apart[0] + x, apart[1] + y, apart[2] + z});
            const double distance = std::sqrt(dot(step, step));
            if (distance <= cutoff) found.push_back({distance, from, {{x, y, z}, to}});
          }
        }
      }
    }
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const FoundBond& a, const FoundBond& b) { return a.distance < b.distance; });
  return found;
}

}  // namespace

double volume(const UnitCell& cell) {
  return std::abs(dot(cell.edges[0], cross(cell.edges[1], cell.edges[2])));
}

double site_volume(const UnitCell& cell) {
  return volume(cell) / static_cast<double>(cell.sites.size());
}

const std::vector<std::string>& lattice_kinds() {
  static const std::vector<std::string> kKinds{"square", "sc",      "bcc", "fcc",
                                               "hcp",    "diamond", "bct"};
  return kKinds;
}

const std::vector<std::string>& cell_names() {
  static const std::vector<std::string> kNames = [] {
    std::vector<std::string> all = lattice_kinds();
    all.insert(all.end(), ordering_names().begin(), ordering_names().end());
    return all;
  }();
  return kNames;
}

UnitCell lattice_cell(const std::string& kind, double a, double c_over_a) {
  if (!(c_over_a > 0)) c_over_a = kind == "hcp" ? std::sqrt(8.0 / 3) : 1;
  const auto& orderings = ordering_names();
  if (std::find(orderings.begin(), orderings.end(), kind) != orderings.end()) {
    UnitCell cell = ordering(kind, a).cell;
    cell.name = kind;
    if (kind == "L1_0") cell.edges[2][2] *= c_over_a;
    return cell;
  }
  UnitCell cell{kind, {{{a, 0, 0}, {0, a, 0}, {0, 0, a}}}, {{0, 0, 0}}};
  const std::vector<Vector> faces{{0, 0, 0}, {0, 0.5, 0.5}, {0.5, 0, 0.5}, {0.5, 0.5, 0}};
  if (kind == "square") {
    cell.edges[2][2] = 100 * a;
  } else if (kind == "bcc" || kind == "bct") {
    cell.sites.push_back({0.5, 0.5, 0.5});
    if (kind == "bct") cell.edges[2][2] = a * c_over_a;
  } else if (kind == "fcc") {
    cell.sites = faces;
  } else if (kind == "diamond") {
    cell.sites = faces;
    for (const Vector& face : faces)
      cell.sites.push_back({face[0] + 0.25, face[1] + 0.25, face[2] + 0.25});
    for (Vector& site : cell.sites)
      for (double& part : site) part -= std::floor(part);
  } else if (kind == "hcp") {
    cell.edges = {{{a, 0, 0}, {-a / 2, a * std::sqrt(3.0) / 2, 0}, {0, 0, a * c_over_a}}};
    cell.sites.push_back({1.0 / 3, 2.0 / 3, 0.5});
  } else if (kind != "sc") {
    fail(ErrorKind::config, "there is no lattice \"{}\"\n    fix: one of {}", kind,
         join(cell_names(), ", "));
  }
  return cell;
}

const std::vector<std::string>& ordering_names() {
  static const std::vector<std::string> kNames{"B2", "L1_0", "L1_2", "D0_3", "B32"};
  return kNames;
}

Ordering ordering(const std::string& name, double a) {
  if (name == "B2") return {name, "bcc", lattice_cell("bcc", a), {0, 1}};
  if (name == "L1_0") return {name, "fcc", lattice_cell("fcc", a), {0, 1, 1, 0}};
  if (name == "L1_2") return {name, "fcc", lattice_cell("fcc", a), {1, 0, 0, 0}};
  if (name != "D0_3" && name != "B32")
    fail(ErrorKind::config, "there is no ordering \"{}\"\n    fix: one of {}", name,
         join(ordering_names(), ", "));
  // Of the four interpenetrating fcc lattices that make up 2 x 2 x 2 bcc cells, D0_3 gives one to
  // the minority, B32 two that are no nearest neighbours.
  const UnitCell parent = lattice_cell("bcc", a);
  const Lattice cells(parent, {2, 2, 2});
  Ordering out{name, "bcc", {name, cells.edges(), {}}, {}};
  for (int64_t site = 0; site < cells.sites(); ++site) {
    const CellIndex at = cells.cell_of(site);
    const bool centre = cells.basis_of(site) == 1;
    const bool odd = (at[0] + at[1] + at[2]) % 2 != 0;
    out.species.push_back(name == "D0_3" ? (centre && odd) : odd);
    Vector fraction{};
    for (size_t k = 0; k < 3; ++k)
      fraction[k] = (static_cast<double>(at[k]) + (centre ? 0.5 : 0.0)) / 2;
    out.cell.sites.push_back(fraction);
  }
  return out;
}

Bond reverse(const Bond& bond, int from) {
  return {{-bond.cell[0], -bond.cell[1], -bond.cell[2]}, from};
}

bool is_forward(const Bond& bond, int from) {
  const std::array<int, 3> zero{};
  return bond.cell != zero ? bond.cell > zero : bond.to > from;
}

double Shell::coordination() const {
  double sum = 0;
  for (const auto& list : bonds) sum += static_cast<double>(list.size());
  return bonds.empty() ? 0 : sum / static_cast<double>(bonds.size());
}

std::vector<Shell> find_shells(const UnitCell& cell, int count, double tolerance) {
  std::vector<Shell> shells;
  if (count <= 0) return shells;
  const double spacing = std::cbrt(volume(cell) / static_cast<double>(cell.sites.size()));
  // A layer far from its images has a spacing below the mean; the search starts small and grows.
  double cutoff = 0.5 * spacing;
  for (;; cutoff *= 1.3) {
    shells.clear();
    for (const FoundBond& bond : bonds_within(cell, cutoff)) {
      if (bond.distance < 1e-3 * spacing)
        fail(ErrorKind::data, "cell {}: sites {} and {} lie on one another", cell.name, bond.from,
             bond.bond.to);
      if (shells.empty() || bond.distance > shells.back().distance * (1 + tolerance)) {
        if (static_cast<int>(shells.size()) == count) return shells;
        shells.push_back({bond.distance, std::vector<std::vector<Bond>>(cell.sites.size())});
      }
      shells.back().bonds[static_cast<size_t>(bond.from)].push_back(bond.bond);
    }
  }
}

Lattice::Lattice(UnitCell cell, CellIndex repeats) : cell_(std::move(cell)), repeats_(repeats) {
  if (cell_.sites.empty()) fail(ErrorKind::config, "cell {} has no site", cell_.name);
  if (volume(cell_) <= 0)
    fail(ErrorKind::config, "cell {} has no volume: its edges lie in a plane", cell_.name);
  for (const int64_t repeat : repeats_)
    if (repeat < 1)
      fail(ErrorKind::config, "a lattice of {} x {} x {} cells has no sites", repeats_[0],
           repeats_[1], repeats_[2]);
}

int64_t Lattice::site(CellIndex cell, int64_t basis_site) const {
  for (size_t k = 0; k < 3; ++k) cell[k] = wrapped(cell[k], repeats_[k]);
  return ((cell[0] * repeats_[1] + cell[1]) * repeats_[2] + cell[2]) * basis() + basis_site;
}

CellIndex Lattice::cell_of(int64_t site) const {
  const int64_t cell = site / basis();
  return {cell / (repeats_[1] * repeats_[2]), cell / repeats_[2] % repeats_[1], cell % repeats_[2]};
}

Vector Lattice::position(int64_t site) const {
  const CellIndex cell = cell_of(site);
  Vector fraction = cell_.sites[static_cast<size_t>(basis_of(site))];
  for (size_t k = 0; k < 3; ++k) fraction[k] += static_cast<double>(cell[k]);
  return cartesian(cell_.edges, fraction);
}

std::array<Vector, 3> Lattice::edges() const {
  std::array<Vector, 3> out = cell_.edges;
  for (size_t k = 0; k < 3; ++k)
    for (double& part : out[k]) part *= static_cast<double>(repeats_[k]);
  return out;
}

NeighbourTable::NeighbourTable(const Lattice& lattice, const std::vector<Shell>& shells)
    : shells_(static_cast<int>(shells.size())), basis_(lattice.basis()) {
  if (lattice.sites() > int64_t{UINT32_MAX})
    fail(ErrorKind::config, "a neighbour table holds at most {} sites, and this lattice has {}",
         UINT32_MAX, lattice.sites());
  start_.push_back(0);
  for (int64_t b = 0; b < basis_; ++b)
    for (const Shell& shell : shells)
      start_.push_back(start_.back() +
                       static_cast<int64_t>(shell.bonds[static_cast<size_t>(b)].size()));
  per_cell_ = start_.back();
  neighbours_.reserve(static_cast<size_t>(per_cell_ * lattice.cells()));
  for (int64_t site = 0; site < lattice.sites(); ++site) {
    const CellIndex cell = lattice.cell_of(site);
    for (const Shell& shell : shells)
      for (const Bond& bond : shell.bonds[static_cast<size_t>(lattice.basis_of(site))])
        neighbours_.push_back(static_cast<uint32_t>(lattice.site(
            {cell[0] + bond.cell[0], cell[1] + bond.cell[1], cell[2] + bond.cell[2]}, bond.to)));
  }
}

std::span<const uint32_t> NeighbourTable::of(int64_t site, int shell) const {
  const auto slot = static_cast<size_t>(site % basis_ * shells_ + shell);
  const int64_t cell = site / basis_ * per_cell_;
  return {neighbours_.data() + cell + start_[slot],
          static_cast<size_t>(start_[slot + 1] - start_[slot])};
}

int64_t NeighbourTable::most(int shell) const {
  size_t most = 0;
  for (int64_t b = 0; b < basis_; ++b) most = std::max(most, of(b, shell).size());
  return static_cast<int64_t>(most);
}

}  // namespace ocoee::alloy
