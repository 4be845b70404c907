// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/clusters.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <tuple>

#include "core/error.h"
#include "core/text.h"

namespace ocoee::alloy {
namespace {

// Bonds by where they begin and lead: the shell, or nothing.
class BondShells {
 public:
  BondShells(const std::vector<Shell>& shells, int within) {
    for (int shell = 0; shell < within; ++shell) {
      const auto& lists = shells[static_cast<size_t>(shell)].bonds;
      for (size_t from = 0; from < lists.size(); ++from) {
        for (const Bond& bond : lists[from])
          shell_[{static_cast<int>(from), bond.to, bond.cell}] = shell;
      }
    }
  }
  int between(const ClusterSite& a, const ClusterSite& b) const {
    const std::array<int, 3> apart = {b.cell[0] - a.cell[0], b.cell[1] - a.cell[1],
                                      b.cell[2] - a.cell[2]};
    const auto found = shell_.find({a.basis, b.basis, apart});
    return found == shell_.end() ? -1 : found->second;
  }

 private:
  std::map<std::tuple<int, int, std::array<int, 3>>, int> shell_;
};

bool comes_before(const ClusterSite& a, const ClusterSite& b) {
  return std::tie(a.cell, a.basis) < std::tie(b.cell, b.basis);
}

std::vector<int> shells_of(const BondShells& bonds, const Cluster& cluster,
                           const std::vector<int>& order) {
  std::vector<int> out;
  for (size_t i = 0; i < order.size(); ++i) {
    for (size_t j = i + 1; j < order.size(); ++j)
      out.push_back(bonds.between(cluster[static_cast<size_t>(order[i])],
                                  cluster[static_cast<size_t>(order[j])]));
  }
  return out;
}

std::vector<int> first_order(size_t size) {
  std::vector<int> order(size);
  std::iota(order.begin(), order.end(), 0);
  return order;
}

// Grows a cluster by sites that come later and are bonded to all that are there.
void grow(const BondShells& bonds, const std::vector<ClusterSite>& candidates, size_t size,
          size_t next, Cluster& cluster, std::vector<Cluster>& found) {
  if (cluster.size() == size) {
    found.push_back(cluster);
    return;
  }
  for (size_t i = next; i < candidates.size(); ++i) {
    const bool fits = std::all_of(cluster.begin(), cluster.end(), [&](const ClusterSite& site) {
      return bonds.between(site, candidates[i]) >= 0;
    });
    if (!fits) continue;
    cluster.push_back(candidates[i]);
    grow(bonds, candidates, size, i + 1, cluster, found);
    cluster.pop_back();
  }
}

std::vector<Cluster> all_clusters(const UnitCell& cell, const std::vector<Shell>& shells,
                                  const BondShells& bonds, size_t size, int within) {
  std::vector<Cluster> found;
  for (size_t from = 0; from < cell.sites.size(); ++from) {
    const ClusterSite first{{0, 0, 0}, static_cast<int>(from)};
    std::vector<ClusterSite> candidates;
    for (int shell = 0; shell < within; ++shell) {
      for (const Bond& bond : shells[static_cast<size_t>(shell)].bonds[from]) {
        const ClusterSite site{bond.cell, bond.to};
        if (comes_before(first, site)) candidates.push_back(site);
      }
    }
    std::sort(candidates.begin(), candidates.end(), comes_before);
    Cluster cluster = {first};
    grow(bonds, candidates, size, 0, cluster, found);
  }
  return found;
}

}  // namespace

std::vector<Orbit> find_orbits(const UnitCell& cell, const std::vector<Shell>& shells, int size,
                               int within) {
  OCOEE_CHECK(size == 3 || size == 4, "clusters of {} sites", size);
  OCOEE_CHECK(within <= static_cast<int>(shells.size()), "{} shells", within);
  const BondShells bonds(shells, within);
  std::map<std::vector<int>, Orbit> orbits;
  for (const Cluster& cluster :
       all_clusters(cell, shells, bonds, static_cast<size_t>(size), within)) {
    std::vector<int> order = first_order(cluster.size()), best_order = order;
    std::vector<int> best = shells_of(bonds, cluster, order);
    while (std::next_permutation(order.begin(), order.end())) {
      const std::vector<int> other = shells_of(bonds, cluster, order);
      if (other < best) {
        best = other;
        best_order = order;
      }
    }
    Orbit& orbit = orbits[best];
    orbit.shells = best;
    Cluster turned;
    for (const int k : best_order) turned.push_back(cluster[static_cast<size_t>(k)]);
    orbit.clusters.push_back(turned);
  }
  std::vector<Orbit> out;
  for (auto& [name, orbit] : orbits) {
    std::vector<int> order = first_order(orbit.size());
    do {
      if (shells_of(bonds, orbit.clusters.front(), order) == name) orbit.symmetry.push_back(order);
    } while (std::next_permutation(order.begin(), order.end()));
    orbit.per_site =
        static_cast<double>(orbit.clusters.size()) / static_cast<double>(cell.sites.size());
    out.push_back(std::move(orbit));
  }
  return out;
}

Decorations::Decorations(const Orbit& orbit, int species) {
  const size_t sites = orbit.size();
  size_t occupations = 1;
  for (size_t k = 0; k < sites; ++k) occupations *= static_cast<size_t>(species);
  number_.assign(occupations, -1);
  for (size_t occupation = 0; occupation < occupations; ++occupation) {
    std::vector<int> on;
    for (size_t rest = occupation, k = 0; k < sites; ++k, rest /= static_cast<size_t>(species))
      on.push_back(static_cast<int>(rest % static_cast<size_t>(species)));
    if (number_[occupation] >= 0 || std::count(on.begin(), on.end(), species - 1) > 0) continue;
    for (const std::vector<int>& order : orbit.symmetry) {
      size_t same = 0;
      for (size_t k = sites; k > 0; --k)
        same = same * static_cast<size_t>(species) +
               static_cast<size_t>(on[static_cast<size_t>(order[k - 1])]);
      number_[same] = count();
    }
    names_.push_back(on);
  }
}

std::vector<std::string> cluster_names(const Orbit& orbit,
                                       const std::vector<std::string>& species) {
  const Decorations decorations(orbit, static_cast<int>(species.size()));
  std::vector<std::string> lengths, out;
  for (const int shell : orbit.shells) lengths.push_back(std::to_string(shell + 1));
  for (int d = 0; d < decorations.count(); ++d) {
    std::vector<std::string> on;
    for (const int s : decorations.name(d)) on.push_back(species[static_cast<size_t>(s)]);
    out.push_back(fmt::format("{} {} {}", orbit.size() == 3 ? "triplet" : "quadruplet",
                              join(lengths, ""), join(on, "-")));
  }
  return out;
}

std::vector<int64_t> count_clusters(const Lattice& lattice, const std::vector<Orbit>& orbits,
                                    int species_count, const std::vector<uint8_t>& species) {
  std::vector<int64_t> out;
  for (const Orbit& orbit : orbits) {
    const Decorations decorations(orbit, species_count);
    std::vector<int64_t> counts(static_cast<size_t>(decorations.count()));
    for (int64_t cell = 0; cell < lattice.cells(); ++cell) {
      const CellIndex at = lattice.cell_of(cell * lattice.basis());
      for (const Cluster& cluster : orbit.clusters) {
        size_t occupation = 0, weight = 1;
        for (const ClusterSite& site : cluster) {
          const int64_t there = lattice.site(
              {at[0] + site.cell[0], at[1] + site.cell[1], at[2] + site.cell[2]}, site.basis);
          occupation += weight * species[static_cast<size_t>(there)];
          weight *= static_cast<size_t>(species_count);
        }
        if (const int number = decorations.of(occupation); number >= 0)
          ++counts[static_cast<size_t>(number)];
      }
    }
    out.insert(out.end(), counts.begin(), counts.end());
  }
  return out;
}

}  // namespace ocoee::alloy
