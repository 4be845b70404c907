// SPDX-License-Identifier: Apache-2.0
// Curves over one x axis: raw and smoothed lines, points with error bars, bands, horizontal and
// vertical references. Curves are labelled directly at their right end; a legend appears only where
// labels would not fit. Any length of curve may be given: it is thinned without losing an extreme
// value. NaN and infinite values are gaps.
#pragma once

#include <string>
#include <vector>

#include "report/scale.h"

namespace ocoee::report {

struct Series {
  enum class Draw { line, line_and_points, points };
  std::string name;
  std::vector<double> x, y;
  std::vector<double> error = {};           // half length of the error bar at each point
  std::vector<double> low = {}, high = {};  // a band around the curve
  std::vector<bool> hollow = {};            // points drawn as rings
  Draw draw = Draw::line;
  int colour = -1;     // -1: the series' place in the list
  bool faint = false;  // raw values behind a smoothed curve: no label, no hover text
  bool dashed = false;
  std::string hover = {};  // the name in hover texts, where `name` is a label of another kind
};

struct Reference {
  std::string label;
  double value = 0;
  bool vertical = false;
  int colour = -1;  // -1: grey
};

struct LineChart {
  std::string title;        // read out, and the name of a saved file; the page's caption shows it
  std::string description;  // one sentence for those who cannot see it; empty: made from the data
  Axis x, y;
  std::vector<Series> series;
  std::vector<Reference> references;
  double width = 920, height = 320;
  double detail = 1;  // buckets a pixel when curves are thinned
};

std::string line_chart(const LineChart& chart);

}  // namespace ocoee::report
