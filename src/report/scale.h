// SPDX-License-Identifier: Apache-2.0
// From values to pixels, and the ticks a person would choose: steps of 1, 2 or 5 times a power of
// ten; decades on a logarithmic axis.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace ocoee::report {

struct Axis {
  std::string label;          // "step", "bits per base"
  bool log = false;           // values that are not positive are left out
  bool from_zero = false;     // a linear axis that shows zero
  std::optional<double> low;  // fixed limits; else taken from the data, with a margin
  std::optional<double> high;
  std::function<std::string(double)> text;    // tick labels; empty: numbers as fit the step
  std::function<std::string(double)> second;  // a second line under each tick of an x axis: tokens
  bool whole = false;                         // ticks only at whole numbers (steps, orders)
  bool binary = false;                        // ticks at powers of two (bytes)
};

class Scale {
 public:
  Scale(double low, double high, double from_pixel, double to_pixel, bool log);
  double operator()(double value) const;  // pixel; NaN where the value cannot be drawn
  double low() const { return low_; }
  double high() const { return high_; }
  bool log() const { return log_; }
  double from_pixel() const { return from_; }
  double to_pixel() const { return to_; }

 private:
  double low_, high_, from_, to_;
  bool log_;
};

// The smallest and largest drawable value of what was added.
class Range {
 public:
  void add(double value, bool log);
  void add(const std::vector<double>& values, bool log);
  bool empty() const { return !(low <= high); }
  double low = 1e300, high = -1e300;
};

// Limits of an axis for a data range: margins, zero, constants and fixed limits considered.
Scale make_scale(const Axis& axis, const Range& range, double from_pixel, double to_pixel,
                 double margin);

struct Tick {
  double value;
  std::string label;  // empty: a small tick without a label
};
// At most about `count` labelled ticks inside the scale.
std::vector<Tick> make_ticks(const Axis& axis, const Scale& scale, int count);

double nice_step(double span,
                 int count);  // 1, 2 or 5 times a power of ten: about `count` steps in `span`

}  // namespace ocoee::report
