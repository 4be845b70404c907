// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/density_of_states.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "core/error.h"
#include "science/alloy/mbar.h"

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

std::vector<double> DensityOfStates::weights(double k_t) const {
  std::vector<double> out(energy.size());
  for (size_t i = 0; i < out.size(); ++i)
    out[i] = ln_g[i] - energy[i] / k_t + variance_of(i) / (2 * k_t * k_t);
  return out;
}

// Derivatives of ln Z by 1 / kT.
DensityOfStates::Thermodynamics DensityOfStates::at(double k_t) const {
  const double ln_z = ln_sum(weights(k_t));
  const std::vector<double> p = probabilities(k_t);
  const auto inside = [&](size_t i) { return energy[i] - variance_of(i) / k_t; };
  double mean = 0, square = 0;
  for (size_t i = 0; i < p.size(); ++i) mean += p[i] * inside(i);
  for (size_t i = 0; i < p.size(); ++i)
    square += p[i] * ((inside(i) - mean) * (inside(i) - mean) + variance_of(i));
  const auto n = static_cast<double>(sites);
  return {mean / n, square / (k_t * k_t) / n, (ln_z + mean / k_t) / n, -k_t * ln_z / n};
}

DensityOfStates::Thermodynamics DensityOfStates::left_out(double k_t) const {
  if (variance.empty()) return {};
  const std::vector<double> p = probabilities(k_t);
  double mean = 0;
  for (size_t i = 0; i < p.size(); ++i) mean += p[i] * variance[i];
  const double width = std::sqrt(mean) / k_t;
  const Thermodynamics with = at(k_t), without = DensityOfStates{energy, ln_g, {}, sites}.at(k_t);
  const auto part = [&](double Thermodynamics::*field) {
    return width * std::abs(with.*field - without.*field);
  };
  return {part(&Thermodynamics::energy), part(&Thermodynamics::heat_capacity),
          part(&Thermodynamics::entropy), part(&Thermodynamics::free_energy)};
}

std::vector<double> DensityOfStates::probabilities(double k_t) const {
  std::vector<double> out = weights(k_t);
  const double ln_z = ln_sum(out);
  for (double& value : out) value = std::exp(value - ln_z);
  return out;
}

DensityOfStates::Phases DensityOfStates::phases(double low_k_t, double high_k_t,
                                                int64_t smooth) const {
  const size_t bins = energy.size();
  size_t lowest = 0;  // bin of the valley
  const auto at = [&](double k_t) {
    const std::vector<double> p = probabilities(k_t);
    std::vector<double> curve(bins), left(bins), right(bins);
    double sum = 0;
    for (int64_t end = 0, i = 0, begin = 0; i < static_cast<int64_t>(bins); ++i) {
      for (; end < std::min<int64_t>(i + smooth + 1, static_cast<int64_t>(bins)); ++end)
        sum += p[static_cast<size_t>(end)];
      for (; begin < i - smooth; ++begin) sum -= p[static_cast<size_t>(begin)];
      curve[static_cast<size_t>(i)] =
          std::log(std::max(sum / static_cast<double>(end - begin), 1e-300));
    }
    left = right = curve;
    for (size_t i = 1; i < bins; ++i) left[i] = std::max(left[i], left[i - 1]);
    for (size_t i = bins; i-- > 1;) right[i - 1] = std::max(right[i], right[i - 1]);
    Phases found{k_t, 0, 0, 0};
    for (size_t i = 0; i < bins; ++i) {
      const double drop = std::min(left[i], right[i]) - curve[i];
      if (drop > found.valley) found.valley = drop, lowest = i;
    }
    if (found.valley > 0) {
      const auto valley = curve.begin() + static_cast<std::ptrdiff_t>(lowest);
      const auto n = static_cast<double>(sites);
      found.low =
          energy[static_cast<size_t>(std::max_element(curve.begin(), valley) - curve.begin())] / n;
      found.high =
          energy[static_cast<size_t>(std::max_element(valley, curve.end()) - curve.begin())] / n;
    }
    return found;
  };
  Phases found = at(find_peak([&](double k_t) { return at(k_t).valley; }, low_k_t, high_k_t));
  if (found.valley == 0) return found;
  // Newton's method in 1 / kT, by which ln of the low side's probability over the high side's rises
  // as their mean energies differ.
  double beta = 1 / found.k_t;
  for (int step = 0; step < 20; ++step) {
    const std::vector<double> p = probabilities(1 / beta);
    std::array<double, 2> weight{}, mean{};
    for (size_t i = 0; i < bins; ++i) {
      const size_t side = i > lowest ? 1 : 0;
      weight[side] += p[i], mean[side] += p[i] * (energy[i] - variance_of(i) * beta);
    }
    beta -= std::log(weight[0] / weight[1]) / (mean[1] / weight[1] - mean[0] / weight[0]);
  }
  found.k_t = 1 / beta;
  return found;
}

MeanStates mean_of(const std::vector<DensityOfStates>& estimates) {
  std::map<int64_t, std::pair<std::vector<double>, std::vector<double>>> bins;  // energies, ln g
  for (const DensityOfStates& one : estimates) {
    OCOEE_CHECK(one.bin.size() == one.ln_g.size());
    for (size_t i = 0; i < one.bin.size(); ++i) {
      bins[one.bin[i]].first.push_back(one.energy[i]);
      bins[one.bin[i]].second.push_back(one.ln_g[i]);
    }
  }
  MeanStates out;
  for (const auto& [bin, met] : bins) {
    if (met.first.size() < estimates.size()) continue;
    const Estimate ln_g = mean_of_independent(met.second);
    out.energy.push_back(mean_of_independent(met.first).value);
    out.ln_g.push_back(ln_g.value), out.error.push_back(ln_g.error);
  }
  return out;
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
