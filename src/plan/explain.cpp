// SPDX-License-Identifier: Apache-2.0
#include "plan/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "core/text.h"

namespace ocoee::plan {
namespace {

std::string share(double part, double whole) {
  const double percent = 100 * part / whole;
  return percent < 10 ? fmt::format("{:.1f} %", percent) : fmt::format("{:.0f} %", percent);
}

class Explainer {
 public:
  Explainer(Predictor& predictor, const Configuration& c)
      : predictor_(predictor),
        c_(c),
        closed_(predictor.predict(c).seconds),
        p_(predictor.simulate(c)) {}

  std::vector<std::string> all() {
    time();
    tensor();
    pipeline();
    context();
    data();
    recompute();
    memory();
    return std::move(out_);
  }

 private:
  void say(const std::string& text) { out_.push_back(text); }

  // How much longer a step takes by the closed form, or why it cannot be.
  std::string instead(const Configuration& other) {
    const std::string problem = predictor_.problem(other);
    if (!problem.empty()) return "cannot be: " + problem;
    const Prediction p = predictor_.predict(other);
    if (!p.fits)
      return fmt::format("does not fit ({} of {})", format_bytes(p.total_bytes),
                         format_bytes(predictor_.usable_bytes()));
    const double change = 100 * (p.seconds / closed_ - 1);
    return fmt::format("takes {:.1f} % {}", std::abs(change), change < 0 ? "less" : "more");
  }
  // On the same devices, the data axis taking what is left; none where nothing is.
  std::optional<Configuration> with(int64_t Configuration::*axis, int64_t ranks) const {
    Configuration other = c_;
    other.*axis = ranks;
    other.data = c_.devices() / (other.tensor * other.context * other.pipeline);
    if (other.devices() != c_.devices()) return {};
    return other;
  }
  void neighbours(const char* name, int64_t Configuration::*axis) {
    std::vector<std::string> parts;
    for (const int64_t ranks : {c_.*axis / 2, c_.*axis * 2}) {
      if (ranks < 1) continue;
      const std::optional<Configuration> other = with(axis, ranks);
      if (!other || !predictor_.problem(*other).empty()) continue;
      parts.push_back(fmt::format("{} {} {}", name, ranks, instead(*other)));
    }
    if (!parts.empty()) say("Instead, all else the same: " + join(parts, "; ") + ".");
  }

  void time() {
    std::vector<std::pair<double, std::string>> parts;
    for (size_t i = 0; i < kParts; ++i)
      parts.emplace_back(p_.parts[i], name_of(static_cast<Part>(i)));
    std::stable_sort(parts.begin(), parts.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
    std::vector<std::string> words;
    for (const auto& [seconds, name] : parts) {
      if (seconds >= 0.01 * p_.seconds) words.push_back(share(seconds, p_.seconds) + " " + name);
    }
    say(fmt::format("A step of {}: {}.", format_seconds(p_.seconds), join(words, ", ")));
  }

  void tensor() {
    if (c_.tensor > 1) {
      const Machine& m = predictor_.machine();
      const char* where = c_.tensor <= m.package.devices ? "stays in a package"
                          : c_.tensor <= m.node.devices  ? "stays in a node"
                                                         : "crosses nodes";
      say(fmt::format("tensor {} {}: {} of the step is exposed communication of tensor groups.",
                      c_.tensor, where, share(p_.of(Part::tensor), p_.seconds)));
    }
    neighbours("tensor", &Configuration::tensor);
  }

  void pipeline() {
    if (c_.pipeline > 1) {
      const int64_t m = c_.micro_batches(predictor_.workload().global_batch);
      say(fmt::format(
          "pipeline {} with {} micro-batches: the bubble is {} of the step; stage {} is the "
          "slowest.",
          c_.pipeline, m, share(p_.of(Part::bubble), p_.seconds), p_.slowest));
      if (c_.chunks > 1) {
        Configuration plain = c_;
        plain.chunks = 1;
        plain.schedule = ScheduleKind::one_f_one_b;
        say(fmt::format("{} chunks a stage make it shorter: 1f1b {}.", c_.chunks, instead(plain)));
      }
      if (c_.schedule == ScheduleKind::zero_bubble) {
        Configuration plain = c_;
        plain.schedule = ScheduleKind::one_f_one_b;
        say(fmt::format("Weight gradients fill its gaps: 1f1b {}.", instead(plain)));
      }
    }
    neighbours("pipeline", &Configuration::pipeline);
  }

  void context() {
    if (c_.context == 1) return;
    say(fmt::format("context {}: each rank has {} of {} tokens; {} of the step is exposed.",
                    c_.context, predictor_.workload().sequence / c_.context,
                    predictor_.workload().sequence, share(p_.of(Part::context), p_.seconds)));
  }

  void data() {
    if (c_.data * c_.context == 1) return;
    const double states = p_.of(Held::masters) + p_.of(Held::optimizer);
    say(fmt::format("data {}: averaging gradients and gathering weights is {} of the step{}.",
                    c_.data, share(p_.of(Part::data), p_.seconds),
                    c_.shard == Shard::none
                        ? ""
                        : fmt::format("; split {}: {} of optimizer states and masters a rank",
                                      name_of(c_.shard), format_bytes(states))));
    if (c_.shard == Shard::none || c_.shard == Shard::parameters) return;
    const auto& levels = predictor_.system().shards;
    if (std::find(levels.begin(), levels.end(), Shard::parameters) == levels.end()) return;
    Configuration all = c_;
    all.shard = Shard::parameters;
    say(fmt::format("Splitting parameters too {}.", instead(all)));
  }

  void recompute() {
    Configuration other = c_;
    if (c_.recompute == Recompute::none) {
      other.recompute = Recompute::full;
      say(fmt::format("Nothing is recomputed; full recompute {}.", instead(other)));
      return;
    }
    other.recompute = Recompute::none;
    say(fmt::format("recompute {}: {} of the step; without it, the layout {}.",
                    name_of(c_.recompute), share(p_.of(Part::recompute), p_.seconds),
                    instead(other)));
  }

  void memory() {
    std::vector<std::pair<double, std::string>> parts;
    for (size_t i = 0; i < kHeld; ++i)
      parts.emplace_back(p_.bytes[i], name_of(static_cast<Held>(i)));
    std::stable_sort(parts.begin(), parts.end(),
                     [](const auto& a, const auto& b) { return a.first > b.first; });
    std::vector<std::string> words;
    for (size_t i = 0; i < 3; ++i)
      words.push_back(fmt::format("{} {}", parts[i].second, format_bytes(parts[i].first)));
    say(fmt::format("Stage {} is the fullest: {} of {} that a device has for it ({}).", p_.fullest,
                    format_bytes(p_.total_bytes), format_bytes(predictor_.usable_bytes()),
                    join(words, ", ")));
  }

  Predictor& predictor_;
  Configuration c_;
  double closed_;
  Prediction p_;
  std::vector<std::string> out_;
};

}  // namespace

std::vector<std::string> explain(Predictor& predictor, const Configuration& configuration) {
  return Explainer(predictor, configuration).all();
}

}  // namespace ocoee::plan
