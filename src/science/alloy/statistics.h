// SPDX-License-Identifier: Apache-2.0
// Means of correlated series with honest errors.
//
// Autocorrelation times are integrated up to a window of six times themselves (Sokal 1989); errors
// come from a jackknife over blocks of at least ten such times, widened by Student's factor for the
// number of blocks, so that the interval of one error holds the truth in 68.3 % of runs.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace ocoee::alloy {

struct Estimate {
  double value = 0, error = 0;  // error: NaN where the series is too short to tell
};

// In steps between samples; 0.5 for independent samples. A series that never varies counts as one
// sample: half its length.
double autocorrelation_time(std::span<const double> series);
bool varies(std::span<const double> series);  // by more than rounding

// How a series is cut for errors. All series of one run are cut alike.
struct Blocks {
  int64_t samples = 0, length = 1, count = 0;
  // From the slowest of the given series.
  static Blocks for_series(const std::vector<std::span<const double>>& series);
  static Blocks for_time(int64_t samples, double autocorrelation_time);
  bool enough() const { return count >= kFewest; }
  static constexpr int64_t kFewest = 8, kMost = 128;
};

// `function` of the means of several series (equal length): its value at the means, corrected for
// bias, and its error by leaving out one block at a time.
Estimate jackknife(const std::vector<std::span<const double>>& series, const Blocks& blocks,
                   const std::function<double(const std::vector<double>& means)>& function);
// The same for any number computed without block k (k < count); k = -1: from everything.
Estimate jackknife(int64_t blocks, const std::function<double(int64_t without)>& value);

Estimate mean_of(std::span<const double> series);              // blocks of its own
Estimate mean_of_independent(std::span<const double> values);  // error: NaN of fewer than two

// Half width of the interval that holds 68.3 % of Student's t with that many degrees of freedom.
double student_factor(int64_t degrees_of_freedom);

// "0.1234(5)": the error in units of the last digits shown.
std::string text_of(const Estimate& estimate, const std::string& unit = "");

}  // namespace ocoee::alloy
