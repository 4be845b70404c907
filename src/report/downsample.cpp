// SPDX-License-Identifier: Apache-2.0
#include "report/downsample.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ocoee::report {

std::vector<Point> downsample(const std::vector<Point>& points, int buckets) {
  const auto is_gap = [](const Point& p) { return std::isnan(p.x) || std::isnan(p.y); };
  if (points.size() <= 4 * static_cast<size_t>(std::max(1, buckets))) return points;
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (const Point& p : points) {
    if (is_gap(p)) continue;
    low = std::min(low, p.x);
    high = std::max(high, p.x);
  }
  if (!(low < high)) return points;
  const auto bucket_of = [&](const Point& p) {
    return std::min(buckets - 1, static_cast<int>((p.x - low) / (high - low) * buckets));
  };
  // A gap narrower than a bucket cannot be seen; one that empties a bucket lifts the pen.
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  std::vector<Point> kept;
  int last_bucket = 0;
  bool gap_since = false;
  for (size_t i = 0; i < points.size();) {
    if (is_gap(points[i])) {
      gap_since = true;
      ++i;
      continue;
    }
    const int bucket = bucket_of(points[i]);
    size_t first = i, lowest = i, highest = i, last = i;
    bool gap_inside = false;
    for (; i < points.size(); ++i) {
      if (is_gap(points[i])) {
        gap_inside = true;
        continue;
      }
      if (bucket_of(points[i]) != bucket) break;
      gap_inside = false;
      if (points[i].y < points[lowest].y) lowest = i;
      if (points[i].y > points[highest].y) highest = i;
      last = i;
    }
    if (!kept.empty() && gap_since && bucket > last_bucket + 1) kept.push_back({kNaN, kNaN});
    gap_since = gap_inside;
    last_bucket = bucket;
    const size_t chosen[] = {first, std::min(lowest, highest), std::max(lowest, highest), last};
    for (size_t k = 0; k < 4; ++k) {
      if (k == 0 || chosen[k] != chosen[k - 1]) kept.push_back(points[chosen[k]]);
    }
  }
  return kept;
}

std::vector<double> running_mean(const std::vector<double>& values, size_t radius) {
  const size_t n = values.size();
  std::vector<double> sum(n + 1, 0.0), count(n + 1, 0.0);
  for (size_t i = 0; i < n; ++i) {
    const bool use = std::isfinite(values[i]);
    sum[i + 1] = sum[i] + (use ? values[i] : 0);
    count[i + 1] = count[i] + use;
  }
  std::vector<double> out(n, std::numeric_limits<double>::quiet_NaN());
  for (size_t i = 0; i < n; ++i) {
    const size_t before = std::min(radius, i);
    const size_t after = std::min({radius, i, n - 1 - i});
    const double points = count[i + after + 1] - count[i - before];
    if (points > 0) out[i] = (sum[i + after + 1] - sum[i - before]) / points;
  }
  return out;
}

}  // namespace ocoee::report
