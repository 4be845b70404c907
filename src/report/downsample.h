// SPDX-License-Identifier: Apache-2.0
// Long curves for a page: no extreme value is lost.
#pragma once

#include <vector>

#include "report/svg.h"

namespace ocoee::report {

// Of the points (in order of x) at most about four per bucket remain: the first, lowest, highest
// and last of each of `buckets` equal intervals of x (M4; Jugel, Jerzak, Hackenbroich and Markl,
// VLDB 2014). Gaps (NaN) remain gaps. Drawn over as many pixels as buckets, the curve looks the
// same.
std::vector<Point> downsample(const std::vector<Point>& points, int buckets);

// Mean over the window [i - radius, i + radius]; NaN values are skipped. At the start the window
// narrows on both sides, so that a steep descent is not flattened; at the end it loses only the
// side that does not exist.
std::vector<double> running_mean(const std::vector<double>& values, size_t radius);

}  // namespace ocoee::report
