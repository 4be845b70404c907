// SPDX-License-Identifier: Apache-2.0
// ocoee tune RECIPE --knob KEY=VALUES ...: finds the best settings of a recipe by short runs.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/recipe.h"
#include "cli/tune.h"
#include "cli/tune_planner.h"
#include "cli/verbs.h"
#include "core/error.h"
#include "core/file.h"
#include "core/host.h"
#include "core/text.h"
#include "plan/tune/tune_log.h"
#include "report/tune_page.h"
#include "run/launcher.h"

namespace ocoee::cli {
namespace {

struct Options {
  std::string recipe, launcher, metric = "tokens_per_second", out, method = "gp", machine;
  std::vector<std::string> knobs, overrides;
  int64_t trials = 32, steps = 20;
  int ranks = 1, parallel = 1;
  uint64_t seed = 1;
  double timeout = 600;
  bool simulate = false;
};

// The planner knows times.
bool is_time(const std::string& metric) {
  return metric == "step_seconds" || metric == "mfu" || metric == "hfu" ||
         metric.ends_with("_per_second");
}

bool has_field(const config::Description& description, const std::string& section,
               const std::string& name) {
  for (const auto& [title, inner] : description.sections()) {
    if (title != section) continue;
    for (const config::Field& field : inner->fields()) {
      if (field.name == name) return true;
    }
  }
  return false;
}

// A short run: no evaluation or checkpoint on the way, and a few logged steps.
std::vector<std::string> short_run(const Recipe& recipe, int64_t steps) {
  std::vector<std::string> out{fmt::format("run.log_every={}", std::max<int64_t>(1, steps / 5))};
  const std::pair<const char*, std::string> settings[] = {
      {"steps", std::to_string(steps)}, {"evaluate_every", "0"}, {"checkpoint_every", "0"}};
  for (const auto& [name, value] : settings) {
    if (has_field(recipe.description, "train", name))
      out.push_back(fmt::format("train.{}={}", name, value));
  }
  if (has_field(recipe.description, "optimizer", "warmup_steps"))
    out.push_back("optimizer.warmup_steps=0");
  return out;
}

class Search {
 public:
  Search(const Tasks& tasks, const Options& options)
      : tasks_(tasks),
        options_(options),
        base_(read_recipe(tasks, options.recipe, options.overrides, options.ranks)),
        planner_(planner_of(tasks, options)),
        tuner_(space_of(options), tuner_options()),
        log_(folder() / "trials.jsonl", tuner_.space(), about()) {
    for (const plan::Trial& trial : log_.earlier()) tuner_.restore(trial);
    if (!log_.earlier().empty())
      std::fprintf(stderr, "going on after %zu trials of %s\n", log_.earlier().size(),
                   (folder() / "trials.jsonl").c_str());
    const std::string kind =
        options_.simulate ? "by the planner" : fmt::format("of {} steps", options_.steps);
    std::fprintf(stderr, "%s points, %lld trials %s\n",
                 format_count(tuner_.space().points()).c_str(),
                 static_cast<long long>(options_.trials), kind.c_str());
  }

  int run() {
    const std::string starter = options_.launcher.substr(0, options_.launcher.find(' '));
    if (!starter.empty() && run::find_program(starter).empty())
      fail(ErrorKind::config,
           "--launcher: there is no program '{}' in PATH\n    fix: mpirun -n 2, srun, or the path "
           "of one",
           starter);
    if (tuner_.trials().empty() && !tuner_.suggest())
      fail(ErrorKind::config, "the recipe refuses every point; of the first it says:\n{}",
           read(tuner_.space().assignments(tuner_.space().point(0))).refusal);
    std::vector<std::thread> workers;
    for (int w = 0; w < options_.parallel; ++w) workers.emplace_back([this] { work(); });
    for (std::thread& worker : workers) worker.join();
    importance_ = plan::knob_importance(tuner_, options_.seed);
    write_page();
    if (failure_) std::rethrow_exception(failure_);
    finish();
    return 0;
  }

 private:
  static plan::KnobSpace space_of(const Options& options) {
    std::vector<plan::Knob> knobs;
    for (const std::string& text : options.knobs) knobs.push_back(plan::parse_knob(text));
    return plan::KnobSpace(std::move(knobs));
  }

  static std::unique_ptr<TunePlanner> planner_of(const Tasks& tasks, const Options& options) {
    if (options.machine.empty()) {
      if (options.simulate)
        fail(ErrorKind::config,
             "--simulate: of which machine?\n    fix: --machine, with one of `ocoee list machines` "
             "or the file that `ocoee calibrate` wrote");
      return nullptr;
    }
    if (!is_time(options.metric))
      fail(ErrorKind::config,
           "--machine: the planner knows times, not '{}'\n    fix: leave --machine out, or tune "
           "step_seconds or tokens_per_second",
           options.metric);
    return std::make_unique<TunePlanner>(tasks, options.recipe, options.overrides, options.ranks,
                                         options.machine, space_of(options));
  }

  plan::TunerOptions tuner_options() {
    plan::TunerOptions out;
    out.method = options_.method, out.seed = options_.seed;
    out.exact_memory = options_.simulate;
    // What the recipe's own checks refuse costs no trial. A key that no recipe has is refused
    // everywhere, so it is told at once.
    const plan::KnobSpace space = space_of(options_);  // tuner_ is not there yet
    out.admissible = [this, space](const plan::Point& p) {
      return read(space.assignments(p)).refusal.empty();
    };
    out.canonical = [this, space](const plan::Point& p) {
      return read(space.assignments(p)).acts_as;
    };
    if (planner_ && !options_.simulate) {
      constexpr size_t kFirst = 3;
      out.first = planner_->first(kFirst, out.admissible, out.canonical);
      out.expect = [this](const plan::Point& point) { return planner_->at(point).seconds; };
    }
    return out;
  }

  struct Reading {
    std::vector<std::string> assignments;
    std::string refusal;  // what the recipe's checks say against it
    std::string acts_as;
  };
  // The last one is kept: whether a point can be tried is asked first, then what it acts as.
  const Reading& read(std::vector<std::string> assignments) {
    if (read_.assignments == assignments) return read_;
    std::vector<std::string> all = options_.overrides;
    all.insert(all.end(), assignments.begin(), assignments.end());
    read_ = {std::move(assignments), "", ""};
    try {
      read_.acts_as =
          canonical(read_recipe(tasks_, options_.recipe, all, options_.ranks), options_.ranks);
    } catch (const Error& error) {
      read_.refusal = error.what();
      read_.acts_as = join(read_.assignments, " ");
    }
    return read_;
  }

  std::filesystem::path folder() const {
    return options_.out.empty() ? "tune/" + base_->run.name : options_.out;
  }

  nlohmann::json about() const {
    nlohmann::json out = {{"recipe", config::to_toml(base_->description)},
                          {"metric", options_.metric},
                          {"steps", options_.steps},
                          {"launcher", options_.launcher},
                          {"method", options_.method},
                          {"seed", options_.seed}};
    if (planner_) out["machine"] = options_.machine;
    if (options_.simulate) out["simulate"] = true;
    return out;
  }

  void work() {
    for (;;) {
      plan::Trial trial;
      {
        const std::lock_guard lock(mutex_);
        if (failure_ || static_cast<int64_t>(tuner_.trials().size()) >= options_.trials) return;
        const auto point = tuner_.suggest();
        if (!point) return;
        trial.id = tuner_.start(*point), trial.point = *point;
      }
      TrialResult result;
      try {
        result = options_.simulate ? simulated(trial.point) : run_trial(trial_run(trial));
      } catch (...) {
        const std::lock_guard lock(mutex_);
        if (!failure_) failure_ = std::current_exception();
        return;
      }
      const std::lock_guard lock(mutex_);
      record(trial, result);
    }
  }

  TrialResult simulated(const plan::Point& point) {
    const std::lock_guard lock(mutex_);
    const TunePlanner::Expected& expected = planner_->at(point);
    TrialResult result;
    result.note = expected.problem;
    result.memory.ran_out = !expected.fits && expected.memory > 1;
    if (!expected.fits) return result;
    result.outcome = plan::TrialOutcome::ok;
    result.value = expected.seconds;
    result.memory.share = expected.memory;
    return result;
  }

  TrialRun trial_run(const plan::Trial& trial) const {
    TrialRun run;
    for (const std::string& word : split(options_.launcher, ' ')) {
      if (!word.empty()) run.launcher.push_back(word);
    }
    run.program = std::filesystem::canonical("/proc/self/exe").string();
    run.recipe = std::filesystem::absolute(options_.recipe).string();
    run.assignments = options_.overrides;
    for (const std::string& one : short_run(*base_, options_.steps)) run.assignments.push_back(one);
    for (const std::string& one : tuner_.space().assignments(trial.point))
      run.assignments.push_back(one);
    run.folder = folder() / "trials" / std::to_string(trial.id);
    run.metric = options_.metric;
    run.timeout = options_.timeout;
    return run;
  }

  void record(const plan::Trial& trial, const TrialResult& result) {
    const double sign = higher_is_better(options_.metric) ? -1 : 1;
    // The tuner minimises; a rate's reciprocal falls as it rises, and stays positive.
    const double cost = sign > 0 ? result.value : 1 / result.value;
    tuner_.finish(trial.id, result.outcome, cost, result.seconds, result.note, result.memory);
    log_.finished(tuner_.trials()[static_cast<size_t>(trial.id)], tuner_.space());
    const plan::Trial* best = tuner_.best();
    std::fprintf(stderr, "trial %-3lld %-34s best %s  %s\n", static_cast<long long>(trial.id),
                 result.outcome == plan::TrialOutcome::ok ? value_text(cost).c_str()
                                                          : result.note.substr(0, 34).c_str(),
                 best ? value_text(best->value).c_str() : "none",
                 tuner_.space().text(trial.point).c_str());
    failed_in_row_ =
        result.outcome == plan::TrialOutcome::ok || result.memory.ran_out || options_.simulate
            ? 0  // where a simulated one fails, the planner knows why
            : failed_in_row_ + 1;
    constexpr int kMostFailures = 3;
    if (!best && failed_in_row_ >= kMostFailures && !failure_) {
      failure_ = std::make_exception_ptr(Error(
          ErrorKind::config,
          fmt::format("the first {} trials all failed, the last with: {}\n    fix: run it by hand: "
                      "ocoee run {} {}",
                      failed_in_row_, result.note, options_.recipe,
                      join(tuner_.space().assignments(trial.point), " "))));
    }
  }

  double metric_value(double cost) const {
    return higher_is_better(options_.metric) ? 1 / cost : cost;
  }
  std::string value_text(double cost) const {
    return fmt::format("{:.5g} {}", metric_value(cost), options_.metric);
  }

  std::string best_command() const {
    const plan::Trial* best = tuner_.best();
    if (!best) return "";
    const std::string launcher = options_.launcher.empty() && options_.ranks > 1
                                     ? fmt::format("mpirun -n {}", options_.ranks)
                                     : options_.launcher;
    return run_command(launcher, options_.recipe, options_.overrides,
                       tuner_.space().assignments(best->point));
  }

  void write_page() const {
    report::TuneSearch page;
    page.title = fmt::format("Tuning {}", base_->run.name);
    page.source = options_.simulate
                      ? fmt::format(
                            "Nothing was run: each value is the planner's, for {} rank{} of "
                            "{}.",
                            options_.ranks, options_.ranks == 1 ? "" : "s", options_.machine)
                      : fmt::format("Each value was measured in a run of {} steps on {}.",
                                    options_.steps, host_name());
    page.metric = options_.metric;
    page.higher_is_better = higher_is_better(options_.metric);
    for (const plan::Knob& knob : tuner_.space().knobs()) page.knobs.push_back(knob.key);
    page.importance = importance_;
    for (const plan::Trial& trial : tuner_.trials()) {
      if (trial.outcome == plan::TrialOutcome::pending) continue;
      report::TuneTrial row;
      for (size_t k = 0; k < trial.point.size(); ++k)
        row.values.push_back(tuner_.space().knobs()[k].values[static_cast<size_t>(trial.point[k])]);
      row.ok = trial.outcome == plan::TrialOutcome::ok;
      row.value = row.ok ? metric_value(trial.value) : 0;
      row.seconds = trial.seconds, row.note = trial.note;
      page.trials.push_back(std::move(row));
    }
    page.best_command = best_command();
    write_file_atomically(folder() / "tune.html", report::tune_page(page));
  }

  void finish() const {
    const plan::Trial* best = tuner_.best();
    if (!best)
      fail(ErrorKind::config, "none of {} trials worked; see {}", tuner_.finished(),
           (folder() / "trials.jsonl").string());
    std::string text = fmt::format("best {} (trial {} of {})\n", value_text(best->value), best->id,
                                   tuner_.finished());
    for (size_t k = 0; k < importance_.size(); ++k)
      text += fmt::format("  {:<28} {:<12} importance {:3.0f} %\n", tuner_.space().knobs()[k].key,
                          tuner_.space().knobs()[k].values[static_cast<size_t>(best->point[k])],
                          100 * importance_[k]);
    text += fmt::format("run it: {}\npage {}\n", best_command(), (folder() / "tune.html").string());
    print_answer(text);
  }

  const Tasks& tasks_;
  Options options_;
  std::unique_ptr<Recipe> base_;
  std::unique_ptr<TunePlanner> planner_;  // null: nothing is expected
  Reading read_;
  plan::Tuner tuner_;
  plan::TuneLog log_;
  std::mutex mutex_;
  std::exception_ptr failure_;
  std::vector<double> importance_;  // of each knob, once all trials are through
  int failed_in_row_ = 0;
};

}  // namespace

void add_tune(CLI::App& program, const Tasks& tasks, Action& chosen) {
  auto options = std::make_shared<Options>();
  CLI::App* verb =
      program.add_subcommand("tune", "find the best settings of a recipe by short runs");
  verb->add_option("recipe", options->recipe, "a TOML file")->required();
  verb->add_option("overrides", options->overrides, "section.key=value, of every trial");
  verb->add_option("--knob", options->knobs,
                   "what to turn: layout.tensor=1,2,4; batch.micro=1..64*2; "
                   "optimizer.learning_rate=1e-4..1e-2:9")
      ->required();
  verb->add_option("--trials", options->trials, "in all, earlier ones counted in")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb->add_option("--steps", options->steps, "of a trial")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb->add_option("--metric", options->metric,
                   "of the logged steps; rates are to rise, others to fall")
      ->capture_default_str();
  verb->add_option("--launcher", options->launcher, "put before the program: \"mpirun -n 2\"");
  verb->add_option("--ranks", options->ranks, "that the launcher starts, for checks")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb->add_option("--parallel", options->parallel, "trials at a time")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  verb->add_option("--machine", options->machine,
                   "a profile: trials begin with what the planner ranks first on it");
  verb->add_flag("--simulate", options->simulate,
                 "nothing is run: a trial is the planner's step_seconds on --machine");
  verb->add_option("--timeout", options->timeout, "seconds that a trial may take")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  verb->add_option("--method", options->method, "gp (a model) or random")
      ->check(CLI::IsMember({"gp", "random"}))
      ->capture_default_str();
  verb->add_option("--seed", options->seed, "of the search")->capture_default_str();
  verb->add_option("--out", options->out, "folder of the search; default tune/NAME");
  verb->callback([&tasks, &chosen, options] {
    if (options->simulate) options->metric = "step_seconds";
    chosen = [&tasks, options] { return Search(tasks, *options).run(); };
  });
}

}  // namespace ocoee::cli
