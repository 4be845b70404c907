// SPDX-License-Identifier: Apache-2.0
// Black-box search for the best point of a knob space in few trials: Gaussian-process search by
// expected improvement (Jones, Schonlau, Welch 1998) times the probability that a point is feasible
// (Gelbart, Snoek, Adams 2014); or random search. The improvement is averaged over models drawn
// from their posterior (Snoek, Larochelle, Adams 2012). Where memory ends is learnt from what the
// trials that worked held, and that others ran out of it; failures of other kinds from which ones
// they are. What a trial is, the caller knows: a training run, or the planner's simulator.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <unordered_set>
#include <vector>

#include "plan/tune/gaussian_classifier.h"
#include "plan/tune/gaussian_process.h"
#include "plan/tune/knobs.h"

namespace ocoee::plan {

enum class TrialOutcome : uint8_t {
  pending,
  ok,
  infeasible,  // out of memory, refused, failed or too slow
};
const char* name_of(TrialOutcome outcome);

struct TrialMemory {
  double share = 0;      // held at the fullest moment, of what the device has; 0: not known
  bool ran_out = false;  // an infeasible trial
};

struct Trial {
  int64_t id = 0;  // from 0, in the order of their start
  Point point;
  TrialOutcome outcome = TrialOutcome::pending;
  double value = 0;    // what is minimised; ok trials only
  double seconds = 0;  // what it cost
  std::string note;    // "out of memory", ...
  TrialMemory memory;
};

struct TunerOptions {
  std::string method = "gp";  // gp | random
  uint64_t seed = 1;
  int64_t initial = 0;  // trials spread over the space before the first model; 0: by the number of
                        // knobs
  std::vector<Point> first;  // tried before all others: a planner's ranking
  std::function<double(const Point&)>
      expect;  // a planner's value: the model learns the ratio to it
  std::function<bool(const Point&)> admissible;  // what a recipe's own checks let through
  // What a point acts as: of points with the same text one alone is tried. Of admissible ones.
  std::function<std::string(const Point&)> canonical;
  // A trial fits where its share is at most 1: a planner's. In a run other things lie beside the
  // tensors, so that trials which ran out also say, as other failures do, which ones they are.
  bool exact_memory = false;
};

class Tuner {
 public:
  Tuner(KnobSpace space, TunerOptions options);  // throws Error(config)

  // The next point to try; none that acts as one that was tried. Nothing when all were.
  std::optional<Point> suggest();
  int64_t start(const Point& point);  // its id
  void finish(int64_t id, TrialOutcome outcome, double value, double seconds, std::string note = "",
              TrialMemory memory = {});
  void restore(Trial trial);  // of an earlier process, in the order of ids

  const KnobSpace& space() const { return space_; }
  const std::vector<Trial>& trials() const { return trials_; }
  int64_t finished() const;
  const Trial* best() const;  // null before the first ok trial

 private:
  struct Candidate {
    Point point;
    std::string acts_as;
  };
  std::string acts_as(const Point& point) const;
  bool admissible(const Point& point) const;
  std::vector<Point> candidates();
  std::optional<Point> farthest(const std::vector<Point>& from) const;
  std::optional<Point> most_promising(const std::vector<Point>& from);
  void learn_memory(bool fit);
  double log_probability_of_fitting(const Eigen::VectorXd& at) const;

  KnobSpace space_;
  TunerOptions options_;
  std::vector<Trial> trials_;
  std::unordered_set<std::string> seen_;  // what was tried, or is under way, by what it acts as
  // Every admissible point, where they are few enough to list; of those that act alike the first.
  std::vector<Candidate> all_;
  bool listed_ = false;
  GaussianProcess value_model_;
  std::vector<GaussianProcess> drawn_;  // of the value model's posterior
  GaussianProcess memory_model_;        // of the logarithm of the share held
  bool knows_memory_ = false;
  GaussianClassifier feasibility_model_;  // of other failures, or of all where memory is not known
  int64_t modelled_ = 0;                  // trials the models were fitted to
};

// How much the model of the trials' values leans on each knob: the rise of its squared error when
// the knob's column is shuffled (permutation importance, Breiman 2001), as shares of their sum.
// Empty with fewer than four ok trials.
std::vector<double> knob_importance(const Tuner& tuner, uint64_t seed);

}  // namespace ocoee::plan
