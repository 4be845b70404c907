// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/cluster_model.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/file.h"
#include "science/alloy/covariance.h"

namespace ocoee::alloy {
namespace {

using nlohmann::json;
constexpr const char* kFormat = "ocoee cluster interactions";

std::vector<Orbit> orbits_of(const Lattice& lattice, const std::vector<Shell>& shells,
                             const ClusterInteractions& interactions) {
  std::vector<Orbit> out;
  for (const auto& [size, within] :
       {std::pair{3, interactions.triplets}, {4, interactions.quadruplets}}) {
    if (within == 0) continue;
    if (within > static_cast<int>(shells.size()))
      fail(ErrorKind::data, "clusters reach to shell {}, the lattice was given {}", within,
           shells.size());
    for (Orbit& orbit : find_orbits(lattice.cell(), shells, size, within))
      out.push_back(std::move(orbit));
  }
  return out;
}

}  // namespace

std::vector<std::string> undetermined(const ClusterInteractions& c) {
  std::vector<std::string> out;
  const PairInteractions& pairs = c.pairs;
  const int n = pairs.count();
  for (int shell = 0; shell < pairs.shells && !pairs.errors.empty(); ++shell)
    for (int a = 0; a < n; ++a)
      for (int b = a; b < n; ++b)
        if (!std::isfinite(pairs.errors[static_cast<size_t>((shell * n + a) * n + b)]))
          out.push_back(fmt::format("shell {} {}-{}", shell + 1,
                                    pairs.species[static_cast<size_t>(a)],
                                    pairs.species[static_cast<size_t>(b)]));
  for (size_t k = 0; k < c.errors.size(); ++k)
    if (!std::isfinite(c.errors[k])) out.push_back(c.names[k]);
  return out;
}

void write_interactions(const std::filesystem::path& path, const ClusterInteractions& c) {
  if (!c.has_clusters()) return write_pairs(path, c.pairs);
  json terms = json::array();
  for (size_t i = 0; i < c.values.size(); ++i) {
    terms.push_back({{"name", c.names[i]},
                     {"value", c.values[i]},
                     {"error", std::isfinite(c.errors[i]) ? json(c.errors[i]) : json()}});
  }
  json out = {{"format", kFormat},
              {"version", 1},
              {"pairs", to_json(c.pairs)},
              {"triplets", c.triplets},
              {"quadruplets", c.quadruplets},
              {"terms", terms}};
  if (!c.covariance.empty()) out["covariance"] = covariance_to_json(c.covariance);
  write_file_atomically(path, out.dump(2) + "\n");
}

ClusterInteractions interactions_from_json(const json& file, const std::string& where) {
  ClusterInteractions out;
  if (!file.is_object() || file.value("format", json()) != kFormat) {
    out.pairs = pairs_from_json(file, where);
    return out;
  }
  try {
    out.pairs = pairs_from_json(file.at("pairs"), where);
    out.triplets = file.at("triplets");
    out.quadruplets = file.at("quadruplets");
    for (const json& term : file.at("terms")) {
      out.names.push_back(term.at("name"));
      out.values.push_back(term.at("value"));
      const json& error = term.at("error");
      out.errors.push_back(error.is_null() ? std::numeric_limits<double>::infinity()
                                           : error.get<double>());
      if (!std::isfinite(out.values.back()))
        fail(ErrorKind::data, "{}: the term {} is not finite", where, out.names.back());
    }
    if (file.contains("covariance"))
      out.covariance =
          covariance_from_json(file.at("covariance"), out.pairs.terms() + out.values.size(), where);
  } catch (const json::exception& error) {
    fail(ErrorKind::data, "{}: {}", where, error.what());
  }
  const int most = std::max(out.triplets, out.quadruplets);
  if (std::min(out.triplets, out.quadruplets) < 0 || most > 6 || most > out.pairs.shells)
    fail(ErrorKind::data, "{}: clusters reach to shell {}, pairs to shell {} (6 at most)", where,
         most, out.pairs.shells);
  return out;
}

ClusterInteractions read_interactions(const std::filesystem::path& path) {
  const json file = json::parse(read_file(path), nullptr, false);
  if (file.is_discarded()) fail(ErrorKind::data, "{}: is no JSON", path.string());
  return interactions_from_json(file, path.string());
}

namespace {
double largest_of(const std::vector<double>& values) {
  double out = 0;
  for (const double value : values) out = std::max(out, std::abs(value));
  return out;
}
}  // namespace

ClusterModel::ClusterModel(const Lattice& lattice, const std::vector<Shell>& shells,
                           const ClusterInteractions& interactions, int counted_shells)
    : ClusterModel(
          std::make_shared<const PairModel>(lattice, shells, interactions.pairs, counted_shells,
                                            largest_of(interactions.values)),
          lattice, shells, interactions) {}

// The sites of a cluster are bonded to one another within the reach of the pairs, so the grid of
// the pairs has halo enough.
ClusterModel::ClusterModel(std::shared_ptr<const PairModel> pairs, const Lattice& lattice,
                           const std::vector<Shell>& shells,
                           const ClusterInteractions& interactions)
    : EnergyModel(pairs->grid(), pairs->species(), pairs->quantum(), interactions.pairs.constant),
      pairs_(std::move(pairs)),
      orbits_(orbits_of(lattice, shells, interactions)),
      errors_(interactions.errors),
      covariance_(interactions.covariance),
      seen_(static_cast<size_t>(lattice.basis())) {
  std::vector<std::string> expected;
  for (const Orbit& orbit : orbits_)
    for (std::string& name : cluster_names(orbit, interactions.pairs.species))
      expected.push_back(std::move(name));
  for (size_t k = 0; k < std::max(expected.size(), interactions.names.size()); ++k) {
    const std::string there = k < interactions.names.size() ? interactions.names[k] : "none",
                      here = k < expected.size() ? expected[k] : "none";
    if (there != here)
      fail(ErrorKind::data,
           "these are not the clusters of this lattice: number {} is \"{}\", expected \"{}\"\n    "
           "fix: the lattice and the species that the energies were fitted on",
           k + 1, there, here);
  }
  const double* value = interactions.values.data();
  for (const Orbit& orbit : orbits_) add_orbit(orbit, lattice, value);
}

void ClusterModel::add_orbit(const Orbit& orbit, const Lattice& lattice, const double*& value) {
  const Decorations decorations(orbit, species());
  std::vector<Energy> table(decorations.occupations());
  for (size_t occupation = 0; occupation < table.size(); ++occupation) {
    const int number = decorations.of(occupation);
    if (number < 0) continue;
    const double quanta = value[number] / quantum();
    if (!(std::abs(quanta) <
          0x1p61 / (static_cast<double>(lattice.sites()) * std::max(orbit.per_site, 1.0))))
      fail(ErrorKind::data, "a cluster energy of {} is beyond all proportion to the pair energies",
           value[number]);
    table[occupation] = std::llround(quanta);
  }
  value += decorations.count();
  for (const Cluster& cluster : orbit.clusters) {
    for (size_t p = 0; p < cluster.size(); ++p) {
      Seen seen;
      seen.table = static_cast<uint32_t>(tables_.size());
      seen.is_first = p == 0;
      uint32_t weight = 1;
      size_t other = 0;
      for (size_t j = 0; j < cluster.size(); ++j, weight *= static_cast<uint32_t>(species())) {
        if (j == p) {
          seen.weight = weight;
          continue;
        }
        Bond bond{{}, cluster[j].basis};
        bool leads_home = cluster[j].basis == cluster[p].basis;
        for (size_t k = 0; k < 3; ++k) {
          bond.cell[k] = cluster[j].cell[k] - cluster[p].cell[k];
          leads_home = leads_home && bond.cell[k] % lattice.repeats()[k] == 0;
        }
        sees_itself_ |= leads_home;
        seen.others[other] = grid()->displacement(bond, cluster[p].basis);
        seen.weights[other++] = weight;
      }
      seen_[static_cast<size_t>(cluster[p].basis)].push_back(seen);
    }
  }
  tables_.push_back(std::move(table));
  sizes_.push_back(orbit.size());
}

// What the other sites give to the occupation; a triplet's third weight is zero.
size_t ClusterModel::others_of(const uint8_t* at, const Seen& seen) const {
  return static_cast<size_t>(at[seen.others[0]]) * seen.weights[0] +
         static_cast<size_t>(at[seen.others[1]]) * seen.weights[1] +
         static_cast<size_t>(at[seen.others[2]]) * seen.weights[2];
}

Energy ClusterModel::clusters_total(const Configuration& configuration) const {
  Energy sum = 0;
  for (int64_t site = 0; site < grid()->sites(); ++site) {
    const Grid::Located located = grid()->locate(site);
    const uint8_t* at = configuration.places() + located.place;
    for (const Seen& seen : seen_[located.basis]) {
      if (seen.is_first)
        sum += tables_[seen.table][others_of(at, seen) + *at * size_t{seen.weight}];
    }
  }
  return sum;
}

Energy ClusterModel::total(const Configuration& configuration) const {
  return pairs_->total(configuration) + clusters_total(configuration);
}

Energy ClusterModel::cluster_change(const Configuration& configuration, int64_t site,
                                    int new_species) const {
  if (sees_itself_) {  // such a cell is tiny
    Configuration changed = configuration;
    changed.set(site, new_species);
    return clusters_total(changed) - clusters_total(configuration);
  }
  const Grid::Located located = grid()->locate(site);
  const uint8_t* at = configuration.places() + located.place;
  Energy sum = 0;
  for (const Seen& seen : seen_[located.basis]) {
    const Energy* table = tables_[seen.table].data() + others_of(at, seen);
    sum += table[static_cast<size_t>(new_species) * seen.weight] - table[*at * size_t{seen.weight}];
  }
  return sum;
}

Energy ClusterModel::change_by_flip(const Configuration& configuration, int64_t site,
                                    int new_species) const {
  return pairs_->change_by_flip(configuration, site, new_species) +
         cluster_change(configuration, site, new_species);
}

Energy ClusterModel::change_by_swap(Configuration& configuration, Swap swap) const {
  const int a = configuration[swap.a], b = configuration[swap.b];
  if (a == b) return 0;
  Energy sum =
      pairs_->change_by_swap(configuration, swap) + cluster_change(configuration, swap.a, b);
  if (!sees_itself_ && !grid()->may_be_near(grid()->locate(swap.a), grid()->locate(swap.b)))
    return sum + cluster_change(configuration, swap.b, a);
  configuration.set(swap.a, b);
  sum += cluster_change(configuration, swap.b, a);
  configuration.set(swap.a, a);
  return sum;
}

double ClusterModel::uncertainty(const Configuration& configuration) const {
  const std::vector<int64_t> clusters =
      count_clusters(grid()->lattice(), orbits_, species(), configuration.species());
  if (covariance_.empty()) {  // as if all errors were independent
    double deviation = pairs_->uncertainty(configuration);
    for (size_t k = 0; k < std::min(errors_.size(), clusters.size()); ++k)
      if (clusters[k] != 0)
        deviation = std::hypot(deviation, static_cast<double>(clusters[k]) * errors_[k]);
    return deviation;
  }
  std::vector<double> counts = pairs_->count_terms(configuration);
  for (const int64_t n : clusters) counts.push_back(static_cast<double>(n));
  return deviation_of(covariance_, counts);
}

void ClusterModel::local_energies(const Configuration& configuration,
                                  std::span<double> energies) const {
  pairs_->local_energies(configuration, energies);
  for (int64_t site = 0; site < grid()->sites(); ++site) {
    const Grid::Located located = grid()->locate(site);
    const uint8_t* at = configuration.places() + located.place;
    double sum = 0;  // a cluster's energy is shared evenly by its sites
    for (const Seen& seen : seen_[located.basis])
      sum += static_cast<double>(
                 tables_[seen.table][others_of(at, seen) + *at * size_t{seen.weight}]) /
             static_cast<double>(sizes_[seen.table]);
    energies[static_cast<size_t>(site)] += sum * quantum();
  }
}

}  // namespace ocoee::alloy
