// SPDX-License-Identifier: Apache-2.0
#include "plan/tune/tuner.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "core/random.h"
#include "plan/tune/kernel.h"

namespace ocoee::plan {
namespace {

using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

constexpr double kMostListed = 20000;  // points that are looked at one by one
constexpr int64_t kSampled = 4000;     // else so many at random, and the neighbours of the best
constexpr size_t kBestOnes = 8;
constexpr int64_t kAlwaysFitted = 96;  // trials up to which the models are fitted anew each time
constexpr int kModels = 4;             // models that a suggestion asks
constexpr double kNear = 0.05;  // of a logarithm: values within so much of the best are told apart

// Values that are all positive act by their ratios: times, memory, losses.
bool logarithmic(const std::vector<Trial>& trials) {
  return std::all_of(trials.begin(), trials.end(), [](const Trial& trial) {
    return trial.outcome != TrialOutcome::ok || trial.value > 0;
  });
}

MatrixXd rows_of(const KnobSpace& space, const std::vector<const Trial*>& trials) {
  MatrixXd x(static_cast<Index>(trials.size()), static_cast<Index>(space.size()));
  for (size_t i = 0; i < trials.size(); ++i)
    x.row(static_cast<Index>(i)) = space.coordinates(trials[i]->point);
  return x;
}

std::vector<const Trial*> of_outcome(const std::vector<Trial>& trials, TrialOutcome outcome) {
  std::vector<const Trial*> out;
  for (const Trial& trial : trials) {
    if (trial.outcome == outcome) out.push_back(&trial);
  }
  return out;
}

double normal_cdf(double z) {
  return 0.5 * std::erfc(-z / std::sqrt(2.0));
}

// Of a normal number that is known to be positive.
double mean_above_zero(double mean, double sigma) {
  const double z = mean / std::max(sigma, 1e-12);
  if (z < -30) return sigma / -z;  // the tail's expansion
  return mean + sigma * std::exp(-z * z / 2) / std::sqrt(2 * M_PI) / normal_cdf(z);
}

// What the value model learns of trials whose value is `above` the best one: ratios of that
// distance. Values many times the best would otherwise set the model's scale, and what is within a
// few percent of the best, which alone matters in the end, would be noise to it.
double resolved(double above, double near) {
  return std::log(above / near + 1);
}

// log E[max(best - f, 0)], f normal. Far below, the tail's expansion: the plain form would be zero
// for all candidates alike.
double log_expected_improvement(double best, double mean, double variance) {
  const double sigma = std::sqrt(variance), z = (best - mean) / sigma;
  const double density = std::exp(-z * z / 2) / std::sqrt(2 * M_PI);
  if (z > -5) return std::log(sigma * (z * normal_cdf(z) + density));
  return std::log(sigma) - z * z / 2 - 0.5 * std::log(2 * M_PI) - 2 * std::log(-z);
}

}  // namespace

const char* name_of(TrialOutcome outcome) {
  switch (outcome) {
    case TrialOutcome::pending:
      return "pending";
    case TrialOutcome::ok:
      return "ok";
    case TrialOutcome::infeasible:
      return "infeasible";
  }
  return "?";
}

Tuner::Tuner(KnobSpace space, TunerOptions options)
    : space_(std::move(space)),
      options_(std::move(options)),
      value_model_(space_.categorical()),
      memory_model_(space_.categorical(), /*slope=*/3),
      feasibility_model_(space_.categorical()) {
  if (options_.method != "gp" && options_.method != "random")
    fail(ErrorKind::config, "there is no search method '{}'\n    fix: gp or random",
         options_.method);
  if (options_.initial <= 0)
    options_.initial = std::max<int64_t>(4, static_cast<int64_t>(space_.size()) + 2);
}

bool Tuner::admissible(const Point& point) const {
  return !options_.admissible || options_.admissible(point);
}

std::string Tuner::acts_as(const Point& point) const {
  return options_.canonical ? options_.canonical(point) : std::to_string(space_.number(point));
}

int64_t Tuner::start(const Point& point) {
  const int64_t id = static_cast<int64_t>(trials_.size());
  trials_.push_back({id, point});
  seen_.insert(acts_as(point));
  return id;
}

void Tuner::finish(int64_t id, TrialOutcome outcome, double value, double seconds, std::string note,
                   TrialMemory memory) {
  Trial& trial = trials_.at(static_cast<size_t>(id));
  trial.outcome = outcome, trial.value = value, trial.seconds = seconds, trial.memory = memory;
  trial.note = std::move(note);
  if (outcome == TrialOutcome::ok && !std::isfinite(value)) {
    trial.outcome = TrialOutcome::infeasible;
    if (trial.note.empty()) trial.note = "its value is no number";
  }
}

void Tuner::restore(Trial trial) {
  OCOEE_CHECK(trial.id == static_cast<int64_t>(trials_.size()), "trials come back in order");
  seen_.insert(acts_as(trial.point));
  trials_.push_back(std::move(trial));
}

int64_t Tuner::finished() const {
  return std::count_if(trials_.begin(), trials_.end(),
                       [](const Trial& trial) { return trial.outcome != TrialOutcome::pending; });
}

const Trial* Tuner::best() const {
  const Trial* found = nullptr;
  for (const Trial& trial : trials_) {
    if (trial.outcome == TrialOutcome::ok && (!found || trial.value < found->value)) found = &trial;
  }
  return found;
}

// ---- where to look next

std::vector<Point> Tuner::candidates() {
  std::vector<Point> out;
  std::unordered_set<std::string> taken;
  const auto is_new = [&](const Point& point, std::string& as) {
    return admissible(point) && taken.insert(as = acts_as(point)).second;
  };
  std::string as;
  if (space_.points() <= kMostListed) {
    for (uint64_t n = 0; !listed_ && n < static_cast<uint64_t>(space_.points()); ++n) {
      if (Point point = space_.point(n); is_new(point, as)) all_.push_back({std::move(point), as});
    }
    listed_ = true;
    for (const Candidate& one : all_) {
      if (!seen_.contains(one.acts_as)) out.push_back(one.point);
    }
    return out;
  }
  std::unordered_set<uint64_t> drawn;
  const auto take = [&](Point point) {
    if (drawn.insert(space_.number(point)).second && is_new(point, as) && !seen_.contains(as))
      out.push_back(std::move(point));
  };
  RandomStream random(options_.seed, Purpose::tuner, trials_.size(), 0);
  for (int64_t i = 0; i < kSampled; ++i)
    take(space_.point(random.below(static_cast<uint64_t>(space_.points()))));
  std::vector<const Trial*> ok = of_outcome(trials_, TrialOutcome::ok);
  std::stable_sort(ok.begin(), ok.end(),
                   [](const Trial* a, const Trial* b) { return a->value < b->value; });
  ok.resize(std::min(ok.size(), kBestOnes));
  for (const Trial* trial : ok) {
    for (size_t k = 0; k < space_.size(); ++k) {
      const int values = static_cast<int>(space_.knobs()[k].values.size());
      for (int v = 0; v < values; ++v) {
        Point near = trial->point;
        near[k] = v;
        take(std::move(near));
      }
    }
  }
  return out;
}

// Of a few at random, the one that is farthest from all that were tried: an even spread.
std::optional<Point> Tuner::farthest(const std::vector<Point>& from) const {
  if (from.empty()) return std::nullopt;
  constexpr int kDrawn = 200;
  const std::vector<bool> categorical = space_.categorical();
  RandomStream random(options_.seed, Purpose::tuner, trials_.size(), 1);
  const Point* chosen = nullptr;
  double most = -1;
  for (int i = 0; i < (trials_.empty() ? 1 : kDrawn); ++i) {
    const Point& point = from[random.below(from.size())];
    const VectorXd x = space_.coordinates(point);
    double nearest = std::numeric_limits<double>::infinity();
    for (const Trial& trial : trials_) {
      const VectorXd other = space_.coordinates(trial.point);
      double sum = 0;
      for (Index k = 0; k < x.size(); ++k) {
        const double gap =
            categorical[static_cast<size_t>(k)] ? (x[k] == other[k] ? 0.0 : 1.0) : x[k] - other[k];
        sum += gap * gap;
      }
      nearest = std::min(nearest, sum);
    }
    if (nearest > most) most = nearest, chosen = &point;
  }
  return *chosen;
}

// Trials that ran out of memory would have held more than a device can: each stands for the mean of
// what the model of the others allows above that (Schmee, Hahn 1979).
void Tuner::learn_memory(bool fit) {
  std::vector<const Trial*> known, ran_out;
  for (const Trial& trial : trials_) {
    if (trial.outcome == TrialOutcome::ok && trial.memory.share > 0) known.push_back(&trial);
    if (trial.memory.ran_out) ran_out.push_back(&trial);
  }
  knows_memory_ = known.size() >= 2;
  if (!knows_memory_) return;
  const auto count = static_cast<Index>(known.size());
  known.insert(known.end(), ran_out.begin(), ran_out.end());
  const MatrixXd x = rows_of(space_, known);
  VectorXd y(x.rows());
  for (Index i = 0; i < count; ++i) y[i] = std::log(known[static_cast<size_t>(i)]->memory.share);
  const auto learn = [&](const MatrixXd& at, const VectorXd& what) {
    fit ? memory_model_.fit(at, what) : memory_model_.condition(at, what);
  };
  learn(x.topRows(count), y.head(count));
  if (ran_out.empty()) return;
  for (Index i = count; i < y.size(); ++i) {
    const auto held = memory_model_.predict(x.row(i));
    y[i] = mean_above_zero(held.mean, std::sqrt(held.variance));
  }
  learn(x, y);
}

double Tuner::log_probability_of_fitting(const VectorXd& at) const {
  const auto held = memory_model_.predict(at);
  const double sigma = std::hypot(std::sqrt(held.variance), memory_model_.noise());
  return log_normal_cdf(-held.mean / sigma);
}

std::optional<Point> Tuner::most_promising(const std::vector<Point>& from) {
  const std::vector<const Trial*> ok = of_outcome(trials_, TrialOutcome::ok),
                                  pending = of_outcome(trials_, TrialOutcome::pending);
  std::vector<const Trial*> bad = of_outcome(trials_, TrialOutcome::infeasible);
  const bool logs = logarithmic(trials_);
  // What the model sees, beside the best: the value, or its ratio to what was expected there.
  const auto expected = [&](const Point& point) {
    const double value = options_.expect ? options_.expect(point) : 0;
    if (!options_.expect || !std::isfinite(value) || (logs && value <= 0)) return 0.0;
    return logs ? std::log(value) : value;
  };
  VectorXd y(static_cast<Index>(ok.size()));
  double best = std::numeric_limits<double>::infinity();
  for (size_t i = 0; i < ok.size(); ++i) {
    const double value = logs ? std::log(ok[i]->value) : ok[i]->value;
    best = std::min(best, value);
    y[static_cast<Index>(i)] = value - expected(ok[i]->point);
  }
  if (!options_.expect) {  // a ratio to what was expected is of one size everywhere
    const double near = logs ? kNear : std::max(1e-12, kNear * (y.maxCoeff() - best));
    for (double& value : y) value = resolved(value - best, near);
    best = 0;
  }
  const MatrixXd x = rows_of(space_, ok);
  const auto count = static_cast<int64_t>(ok.size() + bad.size());
  const bool fit = count <= kAlwaysFitted || count >= modelled_ + 4 || modelled_ == 0;
  if (fit) modelled_ = count;
  const auto learn = [&](auto& model, const MatrixXd& at, const VectorXd& what) {
    fit ? model.fit(at, what) : model.condition(at, what);
  };
  learn(value_model_, x, y);
  learn_memory(fit);
  if (knows_memory_ && options_.exact_memory)
    std::erase_if(bad, [](const Trial* trial) { return trial->memory.ran_out; });
  if (!bad.empty()) {
    std::vector<const Trial*> told = ok;
    told.insert(told.end(), bad.begin(), bad.end());
    VectorXd feasible = VectorXd::Constant(static_cast<Index>(told.size()), -1);
    feasible.head(static_cast<Index>(ok.size())).setOnes();
    learn(feasibility_model_, rows_of(space_, told), feasible);
  }
  if (fit) {
    RandomStream random(options_.seed, Purpose::tuner, trials_.size(), 2);
    drawn_ = value_model_.draw(kModels, random);
  } else {
    for (GaussianProcess& model : drawn_) model.condition(x, y);
  }
  if (!pending.empty()) {
    // Those under way are taken to end as predicted, so that the next one goes elsewhere.
    MatrixXd with(x.rows() + static_cast<Index>(pending.size()), x.cols());
    VectorXd y_with(with.rows());
    with.topRows(x.rows()) = x;
    y_with.head(x.rows()) = y;
    for (size_t i = 0; i < pending.size(); ++i) {
      const Index row = x.rows() + static_cast<Index>(i);
      with.row(row) = space_.coordinates(pending[i]->point);
      y_with[row] = value_model_.predict(with.row(row)).mean;
    }
    for (GaussianProcess& model : drawn_) model.condition(with, y_with);
  }
  const Point* chosen = nullptr;
  double most = -std::numeric_limits<double>::infinity();
  for (const Point& point : from) {
    const VectorXd at = space_.coordinates(point);
    double sum = 0;  // of the improvements, in logs
    for (size_t m = 0; m < drawn_.size(); ++m) {
      const auto value = drawn_[m].predict(at);
      const double gain =
          log_expected_improvement(best, value.mean + expected(point), value.variance);
      sum = m == 0 ? gain : std::max(sum, gain) + std::log1p(std::exp(-std::abs(sum - gain)));
    }
    const double score = sum + (bad.empty() ? 0 : feasibility_model_.log_probability(at)) +
                         (knows_memory_ ? log_probability_of_fitting(at) : 0);
    if (!chosen || score > most) most = score, chosen = &point;
  }
  return chosen ? std::optional<Point>(*chosen) : std::nullopt;
}

std::optional<Point> Tuner::suggest() {
  for (const Point& point : options_.first) {
    if (admissible(point) && !seen_.contains(acts_as(point))) return point;
  }
  const std::vector<Point> from = candidates();
  if (from.empty()) return std::nullopt;
  if (options_.method == "random") {
    RandomStream random(options_.seed, Purpose::tuner, trials_.size(), 1);
    return from[random.below(from.size())];
  }
  const size_t ok = of_outcome(trials_, TrialOutcome::ok).size();
  if (static_cast<int64_t>(trials_.size()) < options_.initial || ok < 2) return farthest(from);
  return most_promising(from);
}

// ---- importance

std::vector<double> knob_importance(const Tuner& tuner, uint64_t seed) {
  constexpr int kShuffles = 32;
  constexpr size_t kMost = 256;  // every so many-th of more: a model costs the cube of its trials
  std::vector<const Trial*> ok = of_outcome(tuner.trials(), TrialOutcome::ok);
  if (ok.size() < 4) return {};
  const size_t every = (ok.size() + kMost - 1) / kMost;
  for (size_t i = 0; i * every < ok.size(); ++i) ok[i] = ok[i * every];
  ok.resize((ok.size() + every - 1) / every);
  const bool logs = logarithmic(tuner.trials());
  const MatrixXd x = rows_of(tuner.space(), ok);
  VectorXd y(x.rows());
  for (Index i = 0; i < y.size(); ++i) {
    const double value = ok[static_cast<size_t>(i)]->value;
    y[i] = logs ? std::log(value) : value;
  }
  GaussianProcess model(tuner.space().categorical());
  model.fit(x, y);
  const auto squared_error = [&](const MatrixXd& at) {
    double sum = 0;
    for (Index i = 0; i < at.rows(); ++i) {
      const double error = model.predict(at.row(i)).mean - y[i];
      sum += error * error;
    }
    return sum / static_cast<double>(at.rows());
  };
  const double as_it_is = squared_error(x);
  std::vector<double> rise(tuner.space().size(), 0.0);
  for (size_t k = 0; k < rise.size(); ++k) {
    for (int s = 0; s < kShuffles; ++s) {
      RandomStream random(seed, Purpose::tuner, static_cast<uint64_t>(s), 1000 + k);
      MatrixXd shuffled = x;
      for (Index i = x.rows() - 1; i > 0; --i) {
        const auto j = static_cast<Index>(random.below(static_cast<uint64_t>(i + 1)));
        std::swap(shuffled(i, static_cast<Index>(k)), shuffled(j, static_cast<Index>(k)));
      }
      rise[k] += std::max(0.0, squared_error(shuffled) - as_it_is) / kShuffles;
    }
  }
  const double sum = std::accumulate(rise.begin(), rise.end(), 0.0);
  for (double& share : rise) share = sum > 0 ? share / sum : 0;
  return rise;
}

}  // namespace ocoee::plan
