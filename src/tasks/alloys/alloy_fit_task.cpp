// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/error.h"
#include "core/random.h"
#include "core/text.h"
#include "core/trace.h"
#include "data/store.h"
#include "run/launcher.h"
#include "science/alloy/training_set.h"
#include "science/atoms/formats.h"
#include "tasks/alloys/alloy_fit.h"
#include "tasks/alloys/fit_figures.h"

namespace ocoee::tasks {
namespace {

constexpr double kNotYet = std::numeric_limits<double>::quiet_NaN();

class AlloyFit final : public run::Task {
 public:
  AlloyFit(const AlloyFitConfig& config, run::Context& context)
      : config_(config), context_(context), space_(config.features()) {
    gather();
    energies_.assign(samples_.size(), kNotYet);
    share_out();
    if (config_.data.energies == "lammps") {
      atoms::LammpsConfig lammps = config_.lammps;
      lammps.species = config_.data.species;
      const std::filesystem::path cache = config_.data.cache.empty()
                                              ? data::default_cache_folder() / "lammps"
                                              : std::filesystem::path(config_.data.cache);
      lammps_.emplace(lammps, cache,
                      context_.folder / fmt::format("lammps/rank-{}", context_.world.rank()));
    }
  }

  int64_t position() const override { return step_; }
  int64_t total() const override { return blocks_; }
  int64_t checkpoint_every() const override { return config_.checkpoint_every; }
  std::string position_name() const override { return "block"; }
  double best_metric() const override { return held_out_; }

  void advance() override {
    label_again();
    label(step_ == 0 ? test_ : std::vector<size_t>{});
    const auto block = static_cast<size_t>(config_.data.block);
    const size_t first = static_cast<size_t>(step_) * block,
                 last = std::min(train_.size(), first + block);
    label({train_.begin() + static_cast<std::ptrdiff_t>(first),
           train_.begin() + static_cast<std::ptrdiff_t>(last)});
    // Before more are tried: what every structure meets is no structure's fault.
    if (step_ == 0 && !failures_.empty() && labelled(test_).empty() && labelled(train_).empty())
      fail(ErrorKind::data, "all of the first {} structures failed, such as {}: {}",
           failures_.size(), failures_.front().first, failures_.front().second);
    if (step_ == 0) require_differences();
    if (step_ + 1 == blocks_) label(check_);
    ++step_;
    nlohmann::json fields = {
        {"structures", labelled(train_).size()}, {"failed", failures_.size()}, {"cached", cached_}};
    if (const std::optional<alloy::Fit> fit = fit_so_far()) {
      constexpr double kMilli = 1e3;
      fields["held_out_rmse_mev"] = kMilli * held_out_;
      fields["train_rmse_mev"] = kMilli * fit->rmse;
      fields["noise_mev"] = kMilli * fit->noise;
      fields["effective_parameters"] = fit->parameters;
      fields["shown"] = {"held_out_rmse_mev"};
    }
    context_.events.emit({"step", step_, fields});
  }

  run::State state() override {
    run::State state;
    const auto count = static_cast<int64_t>(energies_.size());
    state.arrays.push_back({"energies",
                            {count},
                            DType::f64,
                            {run::host_piece({{0}, {count}}, energies_.data(), DType::f64)}});
    state.values = {{"step", step_}, {"failures", failures_}, {"cached", cached_}};
    return state;
  }

  void loaded(const nlohmann::json& values) override {
    step_ = values.at("step");
    failures_ = values.at("failures").get<std::vector<std::pair<std::string, std::string>>>();
    cached_ = values.at("cached");
    failed_before_ = !failures_.empty();
    if (step_ > 0) fit_so_far();
  }

  void finish() override {
    label_again();
    if (context_.world.rank() != 0) return;
    FitOutcome outcome{space_, samples_, energies_};
    outcome.train = design(train_);
    outcome.test = design(test_);
    outcome.check = design(check_);
    outcome.train_rows = labelled(train_);
    outcome.test_rows = labelled(test_);
    outcome.check_rows = labelled(check_);
    outcome.failures = failures_;
    nlohmann::json summary =
        conclude(outcome, config_, context_.folder, static_cast<uint64_t>(context_.run.seed));
    if (summary.contains("warning")) {
      context_.events.emit({"warning", step_, {{"text", summary["warning"]}}});
      summary.erase("warning");
    }
    context_.events.emit({"summary", step_, std::move(summary)});
  }

 private:
  void add(FitSample sample, const std::string& where) {
    if (sample.features.empty()) sample.features = space_.of(sample.structure, where);
    for (size_t a = 0; a < config_.data.species.size();
         ++a)  // compositions to a tenth are one stratum
      sample.stratum = 11 * sample.stratum + std::lround(10 * sample.features[a]);
    samples_.push_back(std::move(sample));
  }

  void gather() {
    if (config_.data.energies == "lammps") {
      const alloy::Lattice lattice = config_.lattice.crystal();
      for (const alloy::Arranged& made :
           alloy::training_set(lattice, config_.data.species, config_.data.random,
                               config_.data.ordered, static_cast<uint64_t>(context_.run.seed))) {
        FitSample sample;
        sample.name = made.name;
        sample.structure = alloy::structure_of(lattice, made.species, config_.data.species);
        sample.features = space_.of(lattice, made.species);
        add(std::move(sample), made.name);
      }
    }
    for (const bool is_check : {false, true}) {
      for (const std::string& file : is_check ? config_.data.check_files : config_.data.files) {
        size_t number = 0;
        for (atoms::Frame& frame : config_.frames_of(file)) {
          FitSample sample;
          sample.name = fmt::format("{} frame {}", file, ++number);
          if (config_.data.energies == "files" && !frame.energy)
            fail(ErrorKind::data,
                 "{}: it states no energy\n    fix: add energy=..., or set "
                 "data.energies = \"lammps\"",
                 sample.name);
          sample.given = frame.energy;
          sample.structure = std::move(frame.structure);
          sample.is_check = is_check;
          const std::string where = sample.name;
          add(std::move(sample), where);
        }
      }
    }
  }

  // Who is held out, and in which order the others are labelled: functions of the seed.
  void share_out() {
    std::vector<size_t> rows;
    std::vector<int64_t> strata;
    for (size_t i = 0; i < samples_.size(); ++i) {
      if (samples_[i].is_check) {
        check_.push_back(i);
      } else {
        rows.push_back(i);
        strata.push_back(samples_[i].stratum);
      }
    }
    const auto seed = static_cast<uint64_t>(context_.run.seed);
    // As many folds as structures: the place of each in the order of compositions. Of the first p
    // places, p test_fraction are held out, rounded up.
    const std::vector<int> place =
        alloy::stratified_folds(strata, std::max(1, static_cast<int>(rows.size())), seed);
    const auto held_of_first = [&](int places) {
      return std::ceil(places * config_.data.test_fraction - 1e-9);
    };
    for (size_t k = 0; k < rows.size(); ++k) {
      const bool is_held = held_of_first(place[k] + 1) > held_of_first(place[k]);
      (is_held ? test_ : train_).push_back(rows[k]);
    }
    RandomStream random(seed, Purpose::selection, 4, 0);
    for (size_t i = train_.size(); i > 1; --i) std::swap(train_[i - 1], train_[random.below(i)]);
    if (train_.empty() || test_.empty())
      fail(ErrorKind::data,
           "{} structure{}: too few to fit to some and hold out others\n    fix: "
           "name more in data.files, or let more be made (data.random, data.ordered)",
           rows.size(), rows.size() == 1 ? "" : "s");
    const auto block = static_cast<size_t>(config_.data.block);
    blocks_ = static_cast<int64_t>((train_.size() + block - 1) / block);
  }

  // A lattice whose atoms lie beyond the reach of a potential would be fitted without an error.
  void require_differences() const {
    std::vector<double> energies = design(test_).targets;
    const std::vector<double> more = design(train_).targets;
    energies.insert(energies.end(), more.begin(), more.end());
    if (energies.size() < 2) return;
    const auto [least, most] = std::minmax_element(energies.begin(), energies.end());
    constexpr double kNone = 1e-9;  // eV
    if (*most - *least > kNone) return;
    fail(ErrorKind::data,
         "all of the first {} structures have the same energy, {:.6g} eV an atom: there is nothing "
         "to fit\n    fix: {}",
         energies.size(), *least,
         lammps_ ? "lattice.a, in angstrom, may be so long that no atom reaches another, or "
                   "lammps.potentials may not be those of these species"
                 : "give structures whose stated energies differ");
  }

  // To what is labelled by now; nothing while that is too little.
  std::optional<alloy::Fit> fit_so_far() {
    const trace::Scope scope("analysis");
    const alloy::Design train = design(train_), test = design(test_);
    held_out_ = kNotYet;
    if (train.rows <= train.free || test.rows == 0) return std::nullopt;
    alloy::Fit fit = alloy::fit(train, config_.shrinkage(), config_.fit.lambda);
    held_out_ = alloy::rmse(fit, test);
    return fit;
  }

  // What failed before this run went on: the reason may be mended by now.
  void label_again() {
    if (!failed_before_) return;
    failed_before_ = false;
    failures_.clear();
    std::vector<size_t> missing;
    const size_t done = std::min(train_.size(), static_cast<size_t>(step_ * config_.data.block));
    const auto look = [&](const std::vector<size_t>& list, size_t count) {
      for (size_t k = 0; k < count; ++k)
        if (std::isnan(energies_[list[k]])) missing.push_back(list[k]);
    };
    look(test_, step_ > 0 ? test_.size() : 0);
    look(train_, done);
    look(check_, step_ == blocks_ ? check_.size() : 0);
    label(missing);
  }

  // Each rank asks for its share; then all know all.
  void label(const std::vector<size_t>& chosen) {
    if (chosen.empty()) return;
    const trace::Scope scope("energies");
    nlohmann::json mine = nlohmann::json::array();  // of [sample, energy or null, problem, cached]
    if (!lammps_) {
      for (const size_t i : chosen) energies_[i] = *samples_[i].given;
      return;
    }
    std::vector<size_t> share;
    const auto ranks = static_cast<size_t>(context_.world.size()),
               rank = static_cast<size_t>(context_.world.rank());
    for (size_t k = rank; k < chosen.size(); k += ranks) share.push_back(chosen[k]);
    std::vector<atoms::Structure> structures;
    for (const size_t i : share) structures.push_back(samples_[i].structure);
    const std::vector<atoms::Label> labels = lammps_->energies(structures);
    for (size_t k = 0; k < share.size(); ++k)
      mine.push_back({share[k], labels[k].ok ? nlohmann::json(labels[k].energy) : nlohmann::json(),
                      labels[k].problem, labels[k].cached});
    std::vector<std::pair<std::string, std::string>> failed;
    for (const std::string& text : context_.mesh.world().all_gather_text(mine.dump())) {
      for (const nlohmann::json& entry : nlohmann::json::parse(text)) {
        const size_t i = entry[0];
        if (entry[1].is_null()) {
          failed.emplace_back(samples_[i].name, entry[2].get<std::string>());
        } else {
          energies_[i] = entry[1];
        }
        cached_ += entry[3].get<bool>() ? 1 : 0;
      }
    }
    std::sort(failed.begin(), failed.end());
    for (const auto& [name, problem] : failed)
      context_.events.emit({"warning", step_, {{"text", name + ": " + problem}}});
    failures_.insert(failures_.end(), failed.begin(), failed.end());
  }

  std::vector<size_t> labelled(const std::vector<size_t>& chosen) const {
    std::vector<size_t> out;
    for (const size_t i : chosen) {
      if (!std::isnan(energies_[i])) out.push_back(i);
    }
    return out;
  }

  alloy::Design design(const std::vector<size_t>& chosen) const {
    alloy::Design d;
    d.columns = space_.columns();
    d.free = static_cast<int64_t>(config_.data.species.size());
    for (const size_t i : labelled(chosen)) {
      const FitSample& sample = samples_[i];
      d.features.insert(d.features.end(), sample.features.begin(), sample.features.end());
      d.targets.push_back(energies_[i] / static_cast<double>(sample.structure.size()));
      ++d.rows;
    }
    return d;
  }

  const AlloyFitConfig& config_;
  run::Context& context_;
  alloy::FeatureSpace space_;
  std::vector<FitSample> samples_;
  std::vector<double> energies_;  // eV, of the whole cell; NaN: not labelled
  std::vector<size_t> train_, test_, check_;
  std::optional<atoms::Lammps> lammps_;
  std::vector<std::pair<std::string, std::string>> failures_;  // name, problem
  int64_t step_ = 0, blocks_ = 0, cached_ = 0;
  double held_out_ = kNotYet;
  bool failed_before_ = false;
};

}  // namespace

std::unique_ptr<run::Task> build_alloy_fit(const run::TaskConfig& config, run::Context& context) {
  return std::make_unique<AlloyFit>(dynamic_cast<const AlloyFitConfig&>(config), context);
}

}  // namespace ocoee::tasks
