// SPDX-License-Identifier: Apache-2.0
// Effective pair interactions: what two species cost at the distance of a coordination shell.
//
//   E = constant N + sum_a point[a] N_a + sum_s sum_{a <= b} V[s][a][b] N_ab(s)
//
// N sites, N_a atoms of species a, N_ab(s) bonds of shell s between a and b. On a lattice where
// every site has z_s neighbours in shell s, only V_ab - (V_aa + V_bb) / 2 acts at fixed
// composition: the unlike-pair gauge has V_aa = 0.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace ocoee::alloy {

constexpr double kBoltzmann = 8.617333262e-5;  // eV/K

struct PairInteractions {
  std::vector<std::string> species;  // names; their order gives the species numbers
  int shells = 0;
  std::vector<double> values;  // [shell][a][b], symmetric
  std::vector<double> point;   // by species; empty: none
  double constant = 0;         // a site
  std::string unit = "eV";     // "eV": temperatures in kelvin; "J": k_B = 1
  std::vector<double> errors;  // standard deviations of values; empty: unknown
  // Of what a fit gave: point energies, then unlike pairs shell after shell (AB, AC, .., BC, ..);
  // [term][term]; empty: unknown.
  std::vector<double> covariance;
  // Neighbours in each shell of the lattice that they belong to; empty: unknown.
  std::vector<double> coordination;
  double site_volume = 0;  // angstrom^3, of the lattice that they were fitted on; 0: unknown

  PairInteractions() = default;
  PairInteractions(std::vector<std::string> names, int shells);  // all zero
  int count() const { return static_cast<int>(species.size()); }
  size_t terms() const {  // rows of the covariance
    return static_cast<size_t>(count() + shells * count() * (count() - 1) / 2);
  }
  double& at(int shell, int a, int b) { return values[index(shell, a, b)]; }
  double at(int shell, int a, int b) const { return values[index(shell, a, b)]; }
  void set(int shell, int a, int b, double value) { at(shell, a, b) = at(shell, b, a) = value; }
  double boltzmann() const { return unit == "eV" ? kBoltzmann : 1; }

 private:
  size_t index(int shell, int a, int b) const {
    return static_cast<size_t>((shell * count() + a) * count() + b);
  }
};

// What is wrong with names of species, which files hold between blanks and hyphens; empty: nothing.
std::string problem_of_names(const std::vector<std::string>& names);

// Unlike-pair gauge: `unlike` holds, shell by shell, V_ab for a < b in the order AB, AC, .., BC,
// ...
PairInteractions unlike_pairs(std::vector<std::string> names, const std::vector<double>& unlike,
                              const std::string& unit = "eV");
// The same energies in the unlike-pair gauge. `coordination`: z_s of each shell.
PairInteractions to_unlike_gauge(const PairInteractions& pairs,
                                 const std::vector<double>& coordination);

// E = -J sum s s' (s = +1 for "up", species 0) over nearest neighbours; J < 0 orders alternately.
PairInteractions ising(double coupling);
// E = -J sum delta(s, s') over nearest neighbours, q states.
PairInteractions potts(int states, double coupling);
// Composition-linear mixing, no bonds: E = sum_a N_a E_a.
PairInteractions linear_mixing(std::vector<std::string> names, std::vector<double> energies);

// {"format": "ocoee pair interactions", "version": 1, "unit", "constant", "species", "point",
//  "shells": [{"A-B": value, ...}], "errors": [{...}], "covariance": [[..], ..],
//  "neighbours": [...], "site_volume"}. A pair that is left out is zero; point, errors, covariance
// (a lower triangle), neighbours and site_volume may be left out as well.
nlohmann::json to_json(const PairInteractions& pairs);
PairInteractions pairs_from_json(const nlohmann::json& json, const std::string& where);
PairInteractions read_pairs(const std::filesystem::path& path);  // Error(data)
void write_pairs(const std::filesystem::path& path, const PairInteractions& pairs);

}  // namespace ocoee::alloy
