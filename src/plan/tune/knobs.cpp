// SPDX-License-Identifier: Apache-2.0
#include "plan/tune/knobs.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "core/error.h"
#include "core/text.h"

namespace ocoee::plan {
namespace {

constexpr size_t kMostValues = 1000;

bool read_number(std::string_view text, double& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(value);
}

[[noreturn]] void fail_knob(const std::string& text, const std::string& what) {
  fail(ErrorKind::config,
       "knob '{}': {}\n    fix: write it as layout.tensor=1,2,4, batch.micro=1..16, "
       "batch.micro=1..64*2 or optimizer.learning_rate=1e-4..1e-2:9",
       text, what);
}

std::string number_text(double value) {
  return fmt::format("{:.10g}", value);
}

// "A..B", "A..B*F", "A..B:N"
std::vector<std::string> range_values(const std::string& text, std::string_view range) {
  const size_t dots = range.find("..");
  std::string_view last = range.substr(dots + 2), step;
  const size_t mark = last.find_first_of("*:");
  const char kind = mark == std::string_view::npos ? '+' : last[mark];
  if (mark != std::string_view::npos) step = last.substr(mark + 1), last = last.substr(0, mark);
  double from = 0, to = 0, by = 1;
  if (!read_number(range.substr(0, dots), from) || !read_number(last, to))
    fail_knob(text, "a range needs two numbers");
  if (!step.empty() && !read_number(step, by)) fail_knob(text, "what follows * or : is no number");
  if (from > to) fail_knob(text, fmt::format("{} is above {}", from, to));
  std::vector<std::string> values;
  if (kind == ':') {
    if (by < 2 || by != std::floor(by)) fail_knob(text, "the count after : is at least 2");
    if (by > static_cast<double>(kMostValues)) fail_knob(text, "too many values");
    const bool logarithmic = from > 0;
    for (int i = 0; i < static_cast<int>(by); ++i) {
      const double t = i / (by - 1);
      values.push_back(
          number_text(logarithmic ? from * std::pow(to / from, t) : from + (to - from) * t));
    }
    return values;
  }
  if (kind == '*' && (by <= 1 || from <= 0))
    fail_knob(text, "a factor is above 1, and starts above 0");
  for (double value = from; value <= to * (1 + 1e-12);
       value = kind == '*' ? value * by : value + 1) {
    if (values.size() == kMostValues) fail_knob(text, "too many values");
    values.push_back(number_text(value));
  }
  return values;
}

std::vector<double> positions_of(const std::vector<double>& numbers) {
  const auto [least, most] = std::minmax_element(numbers.begin(), numbers.end());
  // Sizes act by their ratios: 1, 2, 4, 8 are evenly apart.
  const bool logarithmic = *least > 0 && *most / *least >= 4;
  const auto scaled = [&](double x) { return logarithmic ? std::log(x) : x; };
  const double low = scaled(*least), width = scaled(*most) - low;
  std::vector<double> out;
  for (const double x : numbers) out.push_back(width > 0 ? (scaled(x) - low) / width : 0);
  return out;
}

}  // namespace

Knob parse_knob(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0 || equals + 1 == text.size())
    fail_knob(text, "it has no key, or no values");
  Knob knob;
  knob.key = std::string(trim(text.substr(0, equals)));
  const std::string list = text.substr(equals + 1);
  if (list.find("..") != std::string::npos) {
    knob.values = range_values(text, trim(list));
  } else {
    for (const std::string& value : split(list, ',')) {
      if (trim(value).empty()) fail_knob(text, "one of its values is empty");
      knob.values.emplace_back(trim(value));
    }
  }
  if (std::set<std::string>(knob.values.begin(), knob.values.end()).size() != knob.values.size())
    fail_knob(text, "a value stands there twice");
  std::vector<double> numbers(knob.values.size());
  knob.ordered = true;
  for (size_t i = 0; i < numbers.size(); ++i)
    knob.ordered = knob.ordered && read_number(knob.values[i], numbers[i]);
  if (knob.ordered) knob.positions = positions_of(numbers);
  return knob;
}

KnobSpace::KnobSpace(std::vector<Knob> knobs) : knobs_(std::move(knobs)) {
  if (knobs_.empty())
    fail(ErrorKind::config, "there is nothing to tune\n    fix: --knob layout.tensor=1,2,4");
  std::set<std::string> keys;
  for (const Knob& knob : knobs_) {
    if (!keys.insert(knob.key).second)
      fail(ErrorKind::config, "knob {} is there twice\n    fix: list all its values in one",
           knob.key);
  }
  if (points() > 1e15)
    fail(ErrorKind::config, "{} points are too many to number\n    fix: leave out knobs or values",
         format_count(points()));
}

double KnobSpace::points() const {
  double product = 1;
  for (const Knob& knob : knobs_) product *= static_cast<double>(knob.values.size());
  return product;
}

Point KnobSpace::point(uint64_t number) const {
  Point out;
  for (const Knob& knob : knobs_) {
    out.push_back(static_cast<int>(number % knob.values.size()));
    number /= knob.values.size();
  }
  return out;
}

uint64_t KnobSpace::number(const Point& point) const {
  uint64_t out = 0;
  for (size_t k = knobs_.size(); k-- > 0;)
    out = out * knobs_[k].values.size() + static_cast<uint64_t>(point[k]);
  return out;
}

std::vector<std::string> KnobSpace::assignments(const Point& point) const {
  std::vector<std::string> out;
  for (size_t k = 0; k < knobs_.size(); ++k)
    out.push_back(knobs_[k].key + "=" + knobs_[k].values[static_cast<size_t>(point[k])]);
  return out;
}

std::string KnobSpace::text(const Point& point) const {
  return join(assignments(point), " ");
}

Eigen::VectorXd KnobSpace::coordinates(const Point& point) const {
  Eigen::VectorXd out(static_cast<Eigen::Index>(knobs_.size()));
  for (size_t k = 0; k < knobs_.size(); ++k) {
    const Knob& knob = knobs_[k];
    out[static_cast<Eigen::Index>(k)] =
        knob.ordered ? knob.positions[static_cast<size_t>(point[k])] : point[k];
  }
  return out;
}

std::vector<bool> KnobSpace::categorical() const {
  std::vector<bool> out;
  for (const Knob& knob : knobs_) out.push_back(!knob.ordered);
  return out;
}

}  // namespace ocoee::plan
