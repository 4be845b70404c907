// SPDX-License-Identifier: Apache-2.0
// Horizontal stacked bars: time by phase, memory by category, bytes by axis; one row a thing
// compared.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace ocoee::report {

struct BarSegment {
  std::string name;  // the same name has the same colour in every row
  double value = 0;  // values that are not positive are left out
  int colour = -1;   // -1: by order of first appearance
};

struct BarRow {
  std::string name;
  std::vector<BarSegment> segments;
};

struct BarChart {
  std::string title, description;
  std::vector<BarRow> rows;
  std::function<std::string(double)> text;  // of values: "12.3 s", "1.50 GiB"
  bool show_total = true;                   // at the end of each bar
  bool legend = true;
  double limit = 0;  // a vertical mark (device memory); 0: none
  std::string limit_label;
  double width = 920;
};

std::string bar_chart(const BarChart& chart);

}  // namespace ocoee::report
