// SPDX-License-Identifier: Apache-2.0
// What a tuner may turn: keys of a recipe, each with the finite list of values it may take.
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <string>
#include <vector>

namespace ocoee::plan {

struct Knob {
  std::string key;                  // "layout.tensor"
  std::vector<std::string> values;  // as written in a recipe, in order
  // Numbers, whose neighbours are alike; otherwise words, of which each is as far from the others.
  bool ordered = false;
  std::vector<double> positions;  // ordered: of each value in [0, 1], on a log scale where it fits
};

// "layout.tensor=1,2,4,8", "batch.micro=1..16" (whole numbers), "batch.micro=1..64*2" (each twice
// the one before), "optimizer.learning_rate=1e-4..1e-2:9" (nine, evenly on a log scale). Throws
// Error(config) with what is wrong and an example.
Knob parse_knob(const std::string& text);

using Point = std::vector<int>;  // one index a knob

class KnobSpace {
 public:
  explicit KnobSpace(std::vector<Knob> knobs);  // throws Error(config): none, or a key twice
  const std::vector<Knob>& knobs() const { return knobs_; }
  size_t size() const { return knobs_.size(); }
  double points() const;  // in all
  Point point(uint64_t number) const;
  uint64_t number(const Point& point) const;
  std::vector<std::string> assignments(const Point& point) const;  // "layout.tensor=2", ...
  std::string text(const Point& point) const;                      // the same, in one line
  // A coordinate a knob: a position, or the index of a word.
  Eigen::VectorXd coordinates(const Point& point) const;
  std::vector<bool> categorical() const;

 private:
  std::vector<Knob> knobs_;
};

}  // namespace ocoee::plan
