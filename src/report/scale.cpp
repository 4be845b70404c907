// SPDX-License-Identifier: Apache-2.0
#include "report/scale.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "report/numbers.h"

namespace ocoee::report {
namespace {

// Labels that share a unit and a number of decimals: 0.5 1.0 1.5; 20 k 40 k; 2 x 10^-4.
std::string tick_text(double value, double step, double largest) {
  if (value == 0) return "0";
  if (largest >= 1e15 || largest < 1e-3)
    return scientific(
        value, 1 + std::max(0, static_cast<int>(std::floor(std::log10(std::abs(value)) + 1e-9)) -
                                   static_cast<int>(std::floor(std::log10(step) + 1e-9))));
  double unit = 1;
  const char* suffix = "";
  if (largest >= 1e6 && step >= 1) {
    constexpr const char* names[] = {"\u202FM", "\u202FG", "\u202FT"};
    int i = 0;
    unit = 1e6;
    while (largest / unit >= 1e3 && i < 2) unit *= 1e3, ++i;
    suffix = names[i];
  }
  const double scaled_step = step / unit;
  const int decimals = std::max(0, -static_cast<int>(std::floor(std::log10(scaled_step) + 1e-9)));
  return fixed(value / unit, decimals) + suffix;
}

std::vector<Tick> log_ticks(const Axis& axis, const Scale& scale, int count) {
  std::vector<Tick> ticks;
  const double low = std::log10(scale.low()), high = std::log10(scale.high());
  const double decades = high - low;
  const int every = std::max(1, static_cast<int>(std::ceil(decades / std::max(1, count))));
  const bool plain = low >= -4 && high <= 5.5;
  const auto text = [&](double v) {
    if (axis.text) return axis.text(v);
    return plain ? exact(v, 6) : scientific(v, 1);
  };
  // Few decades, or room: 2 and 5 are labelled too.
  const bool label_others = decades < 1.7 || 3 * decades <= count;
  for (int e = static_cast<int>(std::floor(low)); e <= static_cast<int>(std::ceil(high)); ++e) {
    for (const int mantissa : {1, 2, 5}) {
      const double value = mantissa * std::pow(10.0, e);
      if (value < scale.low() * (1 - 1e-9) || value > scale.high() * (1 + 1e-9)) continue;
      if (mantissa == 1 ? e % every != 0 && !label_others : decades > 4) continue;
      ticks.push_back({value, mantissa == 1 || label_others ? text(value) : ""});
    }
  }
  return ticks;
}

}  // namespace

Scale::Scale(double low, double high, double from_pixel, double to_pixel, bool log)
    : low_(low), high_(high), from_(from_pixel), to_(to_pixel), log_(log) {}

double Scale::operator()(double value) const {
  if (!drawable(value) || (log_ && value <= 0)) return std::numeric_limits<double>::quiet_NaN();
  const double share =
      log_ ? (std::log10(value) - std::log10(low_)) / (std::log10(high_) - std::log10(low_))
           : (value - low_) / (high_ - low_);
  // far outside is far enough: a curve that is clipped must not carry huge coordinates
  return from_ + std::clamp(share, -3.0, 4.0) * (to_ - from_);
}

void Range::add(double value, bool log) {
  if (!drawable(value) || (log && value < 1e-100)) return;
  low = std::min(low, value);
  high = std::max(high, value);
}

void Range::add(const std::vector<double>& values, bool log) {
  for (const double value : values) add(value, log);
}

Scale make_scale(const Axis& axis, const Range& range, double from_pixel, double to_pixel,
                 double margin) {
  double low = range.empty() ? (axis.log ? 1 : 0) : range.low;
  double high = range.empty() ? (axis.log ? 10 : 1) : range.high;
  if (axis.log) {
    if (high < low * (1 + 1e-9)) low /= 2, high *= 2;
    const double pad = std::pow(high / low, margin);
    low /= pad, high *= pad;
  } else {
    if (axis.from_zero) {
      if (low >= 0) low = 0;
      if (high <= 0) high = 0;
    }
    if (high - low <= 1e-12 * std::max(std::abs(low), std::abs(high)) || high == low) {
      const double pad = low == 0 ? 1 : std::abs(low) * 0.1;
      low -= pad, high += pad;
    }
    const double pad = (high - low) * margin;
    if (!(axis.from_zero && low == 0)) low -= pad;
    if (!(axis.from_zero && high == 0)) high += pad;
  }
  if (axis.low && (!axis.log || *axis.low > 0)) low = *axis.low;
  if (axis.high && (!axis.log || *axis.high > 0)) high = *axis.high;
  if (!(high > low)) high = low + std::max(1.0, std::abs(low) * 0.1);
  return Scale(low, high, from_pixel, to_pixel, axis.log);
}

double nice_step(double span, int count) {
  const double raw = span / std::max(1, count);
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= raw * (1 - 1e-9)) return factor * power;
  }
  return 10 * power;
}

std::vector<Tick> make_ticks(const Axis& axis, const Scale& scale, int count) {
  if (scale.log()) {
    std::vector<Tick> decades = log_ticks(axis, scale, count);
    if (decades.size() >= 2) return decades;  // else so short an axis that even steps serve it
  }
  const double span = scale.high() - scale.low();
  double step = nice_step(span, count);
  if (axis.whole) step = std::max(1.0, step);
  if (axis.binary) step = std::exp2(std::ceil(std::log2(span / std::max(1, count)) - 1e-9));
  const double largest = std::max(std::abs(scale.low()), std::abs(scale.high()));
  std::vector<Tick> ticks;
  const double first = std::ceil(scale.low() / step - 1e-9);
  const double last = std::floor(scale.high() / step + 1e-9);
  if (!(last - first < 1000)) return ticks;  // a span below the precision of its values
  for (double k = first; k <= last; ++k) {
    const double value = k * step;
    ticks.push_back({value, axis.text ? axis.text(value) : tick_text(value, step, largest)});
  }
  return ticks;
}

}  // namespace ocoee::report
