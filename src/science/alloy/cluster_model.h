// SPDX-License-Identifier: Apache-2.0
// A cluster expansion: pairs, and triplets and quadruplets on top of them.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "science/alloy/clusters.h"
#include "science/alloy/pair_model.h"

namespace ocoee::alloy {

struct ClusterInteractions {
  PairInteractions pairs;
  int triplets = 0, quadruplets = 0;  // shells within which all their pairs lie; 0 = none
  // By orbit and decoration, triplets first: the order of count_clusters() (features.h names them).
  std::vector<std::string> names;
  std::vector<double> values, errors;
  // Of the terms of pairs, then of these; [term][term]; empty: unknown. pairs.covariance is empty.
  std::vector<double> covariance;
  bool has_clusters() const { return triplets > 0 || quadruplets > 0; }
};

// Names of the terms whose error is infinite: the structures of the fit did not determine them.
std::vector<std::string> undetermined(const ClusterInteractions& interactions);

// Without clusters: a file of pair interactions (interactions.h). With them:
// {"format": "ocoee cluster interactions", "version": 1, "pairs": {...}, "triplets", "quadruplets",
//  "terms": [{"name", "value", "error"}, ...], "covariance": [[..], ..]}; the reader takes either.
void write_interactions(const std::filesystem::path& path, const ClusterInteractions& interactions);
ClusterInteractions interactions_from_json(const nlohmann::json& file, const std::string& where);
ClusterInteractions read_interactions(const std::filesystem::path& path);  // Error(data), both

class ClusterModel final : public EnergyModel {
 public:
  // Error(data) when the terms are not those of this lattice. `counted_shells`: as PairModel has
  // it.
  ClusterModel(const Lattice& lattice, const std::vector<Shell>& shells,
               const ClusterInteractions& interactions, int counted_shells = 0);

  Energy total(const Configuration& configuration) const override;
  Energy change_by_flip(const Configuration& configuration, int64_t site,
                        int species) const override;
  Energy change_by_swap(Configuration& configuration, Swap swap) const override;
  void local_energies(const Configuration& configuration,
                      std::span<double> energies) const override;
  double uncertainty(const Configuration& configuration) const override;
  const PairModel& pairs() const { return *pairs_; }

 private:
  struct Seen {  // a cluster from one of its sites
    uint32_t table = 0;
    uint32_t weight = 0;              // of this site's species in the occupation
    std::array<int64_t, 3> others{};  // displacements of the other sites' places
    std::array<uint32_t, 3> weights{};
    bool is_first = false;
  };
  ClusterModel(std::shared_ptr<const PairModel> pairs, const Lattice& lattice,
               const std::vector<Shell>& shells, const ClusterInteractions& interactions);
  void add_orbit(const Orbit& orbit, const Lattice& lattice, const double*& value);
  size_t others_of(const uint8_t* at, const Seen& seen) const;
  Energy clusters_total(const Configuration& configuration) const;
  Energy cluster_change(const Configuration& configuration, int64_t site, int species) const;

  std::shared_ptr<const PairModel> pairs_;
  std::vector<Orbit> orbits_;
  std::vector<double> errors_, covariance_;
  std::vector<std::vector<Energy>> tables_;  // by orbit: energy of each occupation
  std::vector<size_t> sizes_;                // sites of its clusters
  std::vector<std::vector<Seen>> seen_;      // by basis site
  bool sees_itself_ = false;                 // a cluster holds two images of one site
};

}  // namespace ocoee::alloy
