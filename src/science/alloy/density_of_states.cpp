// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/density_of_states.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"

namespace ocoee::alloy {
namespace {

double ln_sum(const std::vector<double>& terms) {
  const double largest = *std::max_element(terms.begin(), terms.end());
  double sum = 0;
  for (const double term : terms) sum += std::exp(term - largest);
  return largest + std::log(sum);
}

}  // namespace

void DensityOfStates::normalise(double ln_states) {
  const double shift = ln_states - ln_sum(ln_g);
  for (double& value : ln_g) value += shift;
}

DensityOfStates::Thermodynamics DensityOfStates::at(double k_t) const {
  std::vector<double> terms(energy.size());
  for (size_t i = 0; i < terms.size(); ++i) terms[i] = ln_g[i] - energy[i] / k_t;
  const double ln_z = ln_sum(terms);
  double mean = 0, square = 0;
  for (size_t i = 0; i < terms.size(); ++i) mean += std::exp(terms[i] - ln_z) * energy[i];
  for (size_t i = 0; i < terms.size(); ++i)
    square += std::exp(terms[i] - ln_z) * (energy[i] - mean) * (energy[i] - mean);
  const auto n = static_cast<double>(sites);
  return {mean / n, square / (k_t * k_t) / n, (ln_z + mean / k_t) / n, -k_t * ln_z / n};
}

double DensityOfStates::barrier(double k_t) const {
  std::vector<double> curve(energy.size());
  for (size_t i = 0; i < curve.size(); ++i) curve[i] = ln_g[i] - energy[i] / k_t;
  // The deepest valley: the largest drop below the lower of the maxima on either side.
  std::vector<double> left(curve), right(curve);
  for (size_t i = 1; i < curve.size(); ++i) left[i] = std::max(left[i], left[i - 1]);
  for (size_t i = curve.size() - 1; i-- > 0;) right[i] = std::max(right[i], right[i + 1]);
  double deepest = 0;
  for (size_t i = 0; i < curve.size(); ++i)
    deepest = std::max(deepest, std::min(left[i], right[i]) - curve[i]);
  return deepest;
}

double ln_factorial(int64_t n) {
  return std::lgamma(static_cast<double>(n) + 1);
}

double ln_multinomial(const std::vector<int64_t>& atoms) {
  int64_t sites = 0;
  double out = 0;
  for (const int64_t n : atoms) {
    sites += n;
    out -= ln_factorial(n);
  }
  return out + ln_factorial(sites);
}

std::vector<double> join_windows(const std::vector<std::vector<double>>& ln_g) {
  std::vector<double> joined = ln_g.front();
  for (size_t w = 1; w < ln_g.size(); ++w) {
    const std::vector<double>& next = ln_g[w];
    std::vector<size_t> shared;
    for (size_t bin = 0; bin < joined.size(); ++bin)
      if (!std::isnan(joined[bin]) && !std::isnan(next[bin])) shared.push_back(bin);
    if (shared.empty())
      fail(ErrorKind::numerics,
           "windows {} and {} of the energy range have met no state in common\n"
           "    fix: a larger overlap, fewer windows, or more sweeps",
           w, w + 1);
    double shift = 0;
    for (const size_t bin : shared)
      shift += (joined[bin] - next[bin]) / static_cast<double>(shared.size());
    size_t passed = 0;
    for (size_t bin = 0; bin < joined.size(); ++bin) {
      if (std::isnan(next[bin])) continue;
      if (std::isnan(joined[bin])) {
        joined[bin] = next[bin] + shift;
      } else {  // from one to the other over the bins they share
        const double weight =
            (static_cast<double>(passed++) + 0.5) / static_cast<double>(shared.size());
        joined[bin] = (1 - weight) * joined[bin] + weight * (next[bin] + shift);
      }
    }
  }
  return joined;
}

}  // namespace ocoee::alloy
