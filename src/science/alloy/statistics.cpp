// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/statistics.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.h"

namespace ocoee::alloy {

namespace {

// The mean, and the sum of squares of what is left without it.
std::pair<double, double> spread(std::span<const double> series) {
  double mean = 0, squares = 0;
  for (const double value : series) mean += value / static_cast<double>(series.size());
  for (const double value : series) squares += (value - mean) * (value - mean);
  return {mean, squares};
}

}  // namespace

bool varies(std::span<const double> series) {
  const auto [mean, squares] = spread(series);
  return squares > 1e-24 * mean * mean * static_cast<double>(series.size());
}

double autocorrelation_time(std::span<const double> series) {
  const auto n = static_cast<int64_t>(series.size());
  if (n < 4) return 0.5;
  const auto [mean, variance] = spread(series);
  if (!varies(series)) return static_cast<double>(n) / 2;
  double time = 0.5;
  for (int64_t lag = 1; lag < n / 2; ++lag) {
    double sum = 0;
    for (int64_t i = 0; i + lag < n; ++i)
      sum +=
          (series[static_cast<size_t>(i)] - mean) * (series[static_cast<size_t>(i + lag)] - mean);
    time += sum / variance * static_cast<double>(n) / static_cast<double>(n - lag);
    if (static_cast<double>(lag) >= 6 * time) break;
  }
  return std::max(0.5, time);
}

Blocks Blocks::for_time(int64_t samples, double time) {
  Blocks out;
  out.samples = samples;
  out.length = std::max<int64_t>(1, static_cast<int64_t>(std::ceil(10 * time)));
  if (time <= 0.5) out.length = 1;
  out.length = std::max(out.length, (samples + kMost - 1) / kMost);
  out.count = samples / out.length;
  return out;
}

Blocks Blocks::for_series(const std::vector<std::span<const double>>& series) {
  double slowest = 0.5;
  for (const auto& one : series) slowest = std::max(slowest, autocorrelation_time(one));
  return for_time(series.empty() ? 0 : static_cast<int64_t>(series.front().size()), slowest);
}

// Hill's expansion of the quantile at 84.13 % (Abramowitz and Stegun 26.7.5, x = 1).
double student_factor(int64_t degrees) {
  if (degrees < 1) return std::numeric_limits<double>::quiet_NaN();
  const auto v = static_cast<double>(degrees);
  if (degrees == 1) return 1.8367;
  if (degrees == 2) return 1.3213;
  return 1 + 0.5 / v + 24.0 / 96 / (v * v) + 24.0 / 384 / (v * v * v);
}

Estimate jackknife(int64_t blocks, const std::function<double(int64_t)>& value) {
  Estimate out{value(-1), std::numeric_limits<double>::quiet_NaN()};
  if (blocks < 2) return out;
  std::vector<double> without;
  double mean = 0;
  for (int64_t k = 0; k < blocks; ++k) {
    without.push_back(value(k));
    mean += without.back() / static_cast<double>(blocks);
  }
  double sum = 0;
  for (const double one : without) sum += (one - mean) * (one - mean);
  const auto n = static_cast<double>(blocks);
  out.value += (n - 1) * (out.value - mean);
  if (blocks >= Blocks::kFewest)
    out.error = std::sqrt(sum * (n - 1) / n) * student_factor(blocks - 1);
  return out;
}

Estimate jackknife(const std::vector<std::span<const double>>& series, const Blocks& blocks,
                   const std::function<double(const std::vector<double>&)>& function) {
  // What does not fill a block is left out, so that every block weighs the same. Without blocks
  // there is no error, but a mean all the same.
  const int64_t used = blocks.count < 2 ? blocks.samples : blocks.count * blocks.length;
  std::vector<double> whole(series.size(), 0);
  std::vector<std::vector<double>> part(series.size());
  for (size_t s = 0; s < series.size(); ++s) {
    OCOEE_CHECK(static_cast<int64_t>(series[s].size()) == blocks.samples);
    part[s].assign(static_cast<size_t>(blocks.count) + 1, 0);
    for (int64_t i = 0; i < used; ++i)
      part[s][static_cast<size_t>(i / blocks.length)] += series[s][static_cast<size_t>(i)];
    for (const double sum : part[s]) whole[s] += sum;
  }
  std::vector<double> means(series.size());
  return jackknife(blocks.count, [&](int64_t without) {
    const double samples = static_cast<double>(used - (without < 0 ? 0 : blocks.length));
    for (size_t s = 0; s < series.size(); ++s)
      means[s] = (whole[s] - (without < 0 ? 0 : part[s][static_cast<size_t>(without)])) / samples;
    return function(means);
  });
}

Estimate mean_of(std::span<const double> series) {
  return jackknife({series}, Blocks::for_series({series}),
                   [](const std::vector<double>& means) { return means[0]; });
}

Estimate mean_of_independent(std::span<const double> values) {
  const auto n = static_cast<double>(values.size());
  double mean = 0, square = 0;
  for (const double value : values) mean += value / n;
  for (const double value : values) square += (value - mean) * (value - mean);
  if (values.size() < 2) return {mean, std::numeric_limits<double>::quiet_NaN()};
  return {mean, std::sqrt(square / (n * (n - 1))) *
                    student_factor(static_cast<int64_t>(values.size()) - 1)};
}

std::string text_of(const Estimate& estimate, const std::string& unit) {
  if (!std::isfinite(estimate.value)) return "unknown";
  if (!unit.empty())
    return std::isfinite(estimate.error)
               ? text_of(estimate) + " " + unit
               : fmt::format("{:.4g} {} (error unknown)", estimate.value, unit);
  if (!std::isfinite(estimate.error)) return fmt::format("{:.4g} (error unknown)", estimate.value);
  if (estimate.error <= 0) return fmt::format("{:.6g}", estimate.value);
  // Two digits of an error that begins with 1, else one.
  const double magnitude = std::floor(std::log10(estimate.error));
  const double lead = estimate.error / std::pow(10.0, magnitude);
  const int decimals = static_cast<int>(-magnitude) + (lead < 1.95 ? 1 : 0);
  if (decimals <= 0) return fmt::format("{:.0f}({:.0f})", estimate.value, estimate.error);
  return fmt::format("{:.{}f}({:.0f})", estimate.value, decimals,
                     estimate.error * std::pow(10.0, decimals));
}

}  // namespace ocoee::alloy
