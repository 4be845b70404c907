// SPDX-License-Identifier: Apache-2.0
// Exact truths to hold samplers against, and the tests that decide: enumerations of small cells,
// chi-square, Holm's procedure.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "science/alloy/pair_model.h"

namespace ocoee::alloy::testing_support {

// Weight of each energy (in quanta): the number of arrangements with that composition, or of all.
using Levels = std::map<Energy, double>;

inline Levels enumerate(const EnergyModel& model, std::vector<uint8_t> species) {
  Levels levels;
  Configuration configuration(model.grid());
  std::sort(species.begin(), species.end());
  do {
    configuration.assign(species);
    levels[model.total(configuration)] += 1;
  } while (std::next_permutation(species.begin(), species.end()));
  return levels;
}

// Every arrangement of two species, site by site in the order of a Gray code.
inline Levels enumerate_binary(const EnergyModel& model) {
  Levels levels;
  Configuration configuration(model.grid());
  Energy energy = model.total(configuration);
  const int64_t sites = configuration.sites();
  for (uint64_t count = 0;;) {
    levels[energy] += 1;
    if (++count == uint64_t{1} << sites) return levels;
    const int64_t site = __builtin_ctzll(count);
    const int to = 1 - configuration[site];
    energy += model.change_by_flip(configuration, site, to);
    configuration.set(site, to);
  }
}

// Probability of each level at beta.
inline Levels boltzmann(const Levels& levels, double beta, double quantum) {
  Levels out;
  double sum = 0;
  const Energy lowest = levels.begin()->first;
  for (const auto& [energy, weight] : levels)
    sum += out[energy] = weight * std::exp(-beta * quantum * static_cast<double>(energy - lowest));
  for (auto& [energy, probability] : out) probability /= sum;
  return out;
}

inline double mean_energy(const Levels& probabilities, double quantum) {
  double mean = 0;
  for (const auto& [energy, p] : probabilities) mean += p * quantum * static_cast<double>(energy);
  return mean;
}

// 1 - P(a, x): the upper incomplete gamma function, by series or continued fraction.
inline double gamma_upper(double a, double x) {
  if (x <= 0) return 1;
  const double front = std::exp(-x + a * std::log(x) - std::lgamma(a));
  if (x < a + 1) {
    double term = 1 / a, sum = term;
    for (double k = a + 1; std::abs(term) > 1e-16 * sum; ++k) sum += term *= x / k;
    return 1 - sum * front;
  }
  double b = x + 1 - a, c = 1e300, d = 1 / b, h = d;
  for (int i = 1; i < 10000; ++i) {
    const double an = -i * (i - a);
    b += 2;
    d = 1 / (an * d + b);
    c = b + an / c;
    h *= d * c;
    if (std::abs(d * c - 1) < 1e-15) break;
  }
  return front * h;
}

// p of the counts against the probabilities; levels are joined until each expects at least ten.
template <class Key>
double chi_square_p(const std::map<Key, double>& probabilities,
                    const std::map<Key, int64_t>& counts) {
  int64_t samples = 0;
  for (const auto& [key, n] : counts) {
    samples += n;
    if (!probabilities.contains(key)) return 0;  // a state that does not exist
  }
  double chi = 0, expected = 0, met = 0;
  int cells = 0;
  std::vector<std::pair<double, double>> joined;
  for (const auto& [key, p] : probabilities) {
    expected += p * static_cast<double>(samples);
    const auto found = counts.find(key);
    met += found == counts.end() ? 0 : static_cast<double>(found->second);
    if (expected >= 10) {
      joined.emplace_back(expected, met);
      expected = met = 0;
    }
  }
  if (joined.empty()) return 1;
  joined.back().first += expected;
  joined.back().second += met;
  for (const auto& [e, n] : joined) {
    chi += (n - e) * (n - e) / e;
    ++cells;
  }
  return cells < 2 ? 1 : gamma_upper((cells - 1) / 2.0, chi / 2);
}

// Those that Holm's step-down procedure rejects at a family-wise level.
inline std::vector<std::string> holm_rejects(std::vector<std::pair<double, std::string>> p_values,
                                             double level) {
  std::sort(p_values.begin(), p_values.end());
  std::vector<std::string> out;
  for (size_t k = 0; k < p_values.size(); ++k) {
    if (p_values[k].first > level / static_cast<double>(p_values.size() - k)) break;
    out.push_back(p_values[k].second + " p = " + std::to_string(p_values[k].first));
  }
  return out;
}

}  // namespace ocoee::alloy::testing_support
