// SPDX-License-Identifier: Apache-2.0
#include "tasks/alloys/fit_figures.h"

#include <fmt/format.h>

#include <cmath>

#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "science/alloy/cluster_model.h"
#include "science/atoms/formats.h"
#include "tasks/alloys/pictures.h"

namespace ocoee::tasks {
namespace {

using nlohmann::json;

constexpr double kMilli = 1000;  // meV an eV
constexpr const char* kDraw = "line_and_points";

json shells_figure(const alloy::Choice& choice, int first, int chosen) {
  std::vector<double> shells, bic, loo;
  for (size_t i = 0; i < choice.bic.size(); ++i) {
    shells.push_back(first + static_cast<double>(i));
    bic.push_back(choice.bic[i]);
    loo.push_back(kMilli * choice.loo_rmse[i]);
  }
  json figure = {{"chart", "line"},
                 {"title", "How many shells the data bear: BIC, least squares"},
                 {"x", {{"label", "shells of pairs"}}},
                 {"y", {{"label", "BIC"}}},
                 {"series", {curve("BIC", shells, bic, {}, kDraw)}},
                 {"references", {{{"label", "chosen"}, {"value", chosen}, {"vertical", true}}}}};
  json other = {{"chart", "line"},
                {"title", "Each structure predicted by the others"},
                {"x", {{"label", "shells of pairs"}}},
                {"y", {{"label", "leave-one-out error, meV/atom"}, {"log", true}}},
                {"series", {curve("leave-one-out error", shells, loo, {}, kDraw)}}};
  return json::array({figure, other});
}

json learning_figure(const std::vector<alloy::LearningPoint>& points) {
  std::vector<double> rows, train, test, error;
  for (const alloy::LearningPoint& point : points) {
    rows.push_back(static_cast<double>(point.rows));
    train.push_back(kMilli * point.train_rmse);
    test.push_back(kMilli * point.test_rmse);
    error.push_back(kMilli * point.test_error);
  }
  return {
      {"chart", "line"},
      {"title", "Learning curve"},
      {"caption", "Folds are even over compositions; bars are standard errors over folds."},
      {"x", {{"label", "structures fitted to"}}},
      {"y", {{"label", "error, meV/atom"}, {"log", true}}},
      {"series",
       {curve("held out", rows, test, error, kDraw), curve("fitted to", rows, train, {}, kDraw)}}};
}

json interactions_figure(const alloy::PairInteractions& pairs, const alloy::FeatureSpace& space) {
  json series = json::array();
  const int n = pairs.count();
  for (int a = 0; a < n; ++a) {
    for (int b = a + 1; b < n; ++b) {
      std::vector<double> r, v, e;
      for (int shell = 0; shell < pairs.shells; ++shell) {
        r.push_back(space.shells()[static_cast<size_t>(shell)].distance);
        v.push_back(kMilli * pairs.at(shell, a, b));
        const double error = pairs.errors[static_cast<size_t>((shell * n + a) * n + b)];
        e.push_back(std::isfinite(error) ? kMilli * error : 0);
      }
      series.push_back(
          curve(pairs.species[static_cast<size_t>(a)] + "-" + pairs.species[static_cast<size_t>(b)],
                r, v, e, kDraw));
    }
  }
  return {
      {"chart", "line"},
      {"title", "Pair interactions by distance"},
      {"caption",
       "What an unlike pair costs beside the mean of the two like ones; below zero it is sought. "
       "Bars are standard deviations."},
      {"x", {{"label", "distance, angstrom"}}},
      {"y", {{"label", "interaction, meV"}}},
      {"series", series}};
}

// How far the fit is off, by the energy beyond the mixing of the elements as the fit has them: one
// against the other would be a line on which no point stands out.
json deviations_figure(const alloy::Fit& fit,
                       const std::vector<std::pair<std::string, const alloy::Design*>>& sets) {
  json series = json::array();
  for (const auto& [name, design] : sets) {
    std::vector<double> x, y;
    for (int64_t r = 0; r < design->rows; ++r) {
      const double given = design->targets[static_cast<size_t>(r)];
      double mixing = 0;
      for (int64_t a = 0; a < design->free; ++a)
        mixing += fit.coefficients[static_cast<size_t>(a)] * design->row(r)[static_cast<size_t>(a)];
      x.push_back(kMilli * (given - mixing));
      y.push_back(kMilli * (fit.predict(design->row(r)) - given));
    }
    if (!x.empty()) series.push_back(curve(name, x, y));
  }
  return {
      {"chart", "line"},
      {"title", "How far the fit is off, by mixing energy"},
      {"caption",
       "Each point is a structure. Its mixing energy is what it has beyond its pure elements, by "
       "the energies that the fit gives these."},
      {"x", {{"label", "mixing energy, meV/atom"}}},
      {"y", {{"label", "fitted less given, meV/atom"}}},
      {"series", series},
      {"references", {{{"label", "equal"}, {"value", 0}}}}};
}

json parameters_table(const alloy::Fit& fit, const std::vector<std::string>& names) {
  json rows = json::array();
  for (size_t j = 0; j < names.size(); ++j) {
    const double scale = names[j].starts_with("c ") ? 1 : kMilli;
    rows.push_back({names[j], json_of({scale * fit.coefficients[j], scale * fit.errors[j]}),
                    scale == 1 ? "eV" : "meV"});
  }
  return {{"chart", "table"},
          {"title", "Every parameter"},
          {"columns", {"term", "value \u00B1 standard deviation", "unit"}},
          {"rows", rows}};
}

void write_structures(const FitOutcome& outcome, const alloy::Fit& fit,
                      const std::vector<int64_t>& columns, const std::filesystem::path& path) {
  std::string text;
  const auto add = [&](const std::vector<size_t>& rows, const alloy::Design& design,
                       const char* set) {
    const alloy::Design narrow = design.only_columns(columns);
    for (size_t k = 0; k < rows.size(); ++k) {
      const FitSample& sample = outcome.samples[rows[k]];
      atoms::Frame frame;
      frame.structure = sample.structure;
      frame.structure.comment = sample.name;
      frame.energy = outcome.energies[rows[k]];
      const auto atoms = static_cast<double>(sample.structure.size());
      const std::span<const double> row = narrow.row(static_cast<int64_t>(k));
      frame.info = {{"set", set},
                    {"fitted_energy", fmt::format("{:.12g}", atoms * fit.predict(row))},
                    {"fitted_energy_error", fmt::format("{:.3g}", atoms * fit.uncertainty(row))}};
      text += atoms::write_extxyz(frame);
    }
  };
  add(outcome.train_rows, outcome.train, "train");
  add(outcome.test_rows, outcome.test, "test");
  add(outcome.check_rows, outcome.check, "check");
  write_file_atomically(path, text);
}

// Mean and standard deviation of fit less given: an offset shifts no transition, a spread does.
std::pair<double, double> deviation(const alloy::Fit& fit, const alloy::Design& design) {
  double sum = 0, squares = 0;
  for (int64_t r = 0; r < design.rows; ++r) {
    const double d = fit.predict(design.row(r)) - design.targets[static_cast<size_t>(r)];
    sum += d;
    squares += d * d;
  }
  const auto rows = static_cast<double>(design.rows);
  const double mean = sum / rows;
  return {mean, std::sqrt(std::max(squares / rows - mean * mean, 0.0))};
}

}  // namespace

json conclude(const FitOutcome& outcome, const AlloyFitConfig& config,
              const std::filesystem::path& folder, uint64_t seed) {
  const alloy::FeatureSpace& space = outcome.space;
  if (outcome.train.rows <= outcome.train.free || outcome.test.rows == 0) {
    fail(ErrorKind::data, "{} structures have energies, too few to fit to{}",
         outcome.train.rows + outcome.test.rows,
         outcome.failures.empty() ? ""
                                  : "; the first that failed: " + outcome.failures[0].first + ": " +
                                        outcome.failures[0].second);
  }
  json figures = json::array();
  int shells = static_cast<int>(config.fit.shells);
  if (shells == 0) {
    // Clusters need the pairs within their reach.
    const int first = static_cast<int>(std::max(config.fit.triplets, config.fit.quadruplets));
    std::vector<std::vector<int64_t>> candidates;
    for (int s = first; s <= config.fit.max_shells; ++s)
      candidates.push_back(space.columns_with(s));
    const alloy::Choice choice = alloy::choose_by_bic(outcome.train, candidates);
    shells = first + static_cast<int>(choice.best);
    for (const json& figure : shells_figure(choice, first, shells)) figures.push_back(figure);
  }
  const std::vector<int64_t> columns = space.columns_with(shells);
  const alloy::Design train = outcome.train.only_columns(columns),
                      test = outcome.test.only_columns(columns),
                      check = outcome.check.only_columns(columns);
  alloy::Fit fit = alloy::fit(train, config.shrinkage(), config.fit.lambda);
  std::vector<std::string> names, unknown;
  for (const int64_t c : columns) names.push_back(space.names()[static_cast<size_t>(c)]);
  // Shrinkage shares an energy out among terms that the structures cannot tell apart, and is sure
  // of each; least squares is not.
  const alloy::Fit plain = alloy::fit(train, alloy::Shrinkage::none);
  for (size_t j = 0; j < names.size(); ++j) {
    if (std::isfinite(plain.errors[j])) continue;
    fit.errors[j] = plain.errors[j];
    unknown.push_back(names[j]);
  }
  if (!unknown.empty()) fit.covariance = plain.covariance;

  alloy::ClusterInteractions interactions = space.interactions(fit, shells);
  if (config.lattice.a > 0 || !config.lattice.file.empty())
    interactions.pairs.site_volume = alloy::site_volume(config.lattice.unit_cell());
  write_interactions(folder / "interactions.json", interactions);
  write_structures(outcome, fit, columns, folder / "structures.extxyz");

  figures.push_back(interactions_figure(interactions.pairs, space));
  figures.push_back(deviations_figure(
      fit, {{"fitted to", &train}, {"held out", &test}, {"check files", &check}}));
  if (config.fit.learning_points > 0) {
    std::vector<int64_t> strata;
    for (const size_t i : outcome.train_rows) strata.push_back(outcome.samples[i].stratum);
    figures.push_back(learning_figure(alloy::learning_curve(
        train, strata, config.shrinkage(), config.fit.lambda,
        static_cast<int>(config.fit.learning_points), static_cast<int>(config.fit.folds), seed)));
  }
  figures.push_back(parameters_table(fit, names));
  if (!outcome.failures.empty()) {
    json rows = json::array();
    for (const auto& [name, problem] : outcome.failures) rows.push_back({name, problem});
    figures.push_back({{"chart", "table"},
                       {"title", "Structures without an energy"},
                       {"columns", {"structure", "what happened"}},
                       {"rows", rows}});
  }

  json final = {{"shells", shells},
                {"parameters", columns.size()},
                {"structures", outcome.train.rows + outcome.test.rows},
                {"failed", outcome.failures.size()},
                {"held_out_rmse_mev", kMilli * alloy::rmse(fit, test)},
                {"train_rmse_mev", kMilli * fit.rmse},
                {"loo_rmse_mev", kMilli * fit.loo_rmse},
                {"noise_mev", kMilli * fit.noise},
                {"effective_parameters", fit.parameters}};
  json headline = {{{"label", "held-out error"},
                    {"value", final["held_out_rmse_mev"]},
                    {"unit", "meV/atom"},
                    {"better", "lower"}}};
  if (check.rows > 0) {
    const auto [mean, spread] = deviation(fit, check);
    final["check_rmse_mev"] = kMilli * alloy::rmse(fit, check);
    final["check_offset_mev"] = kMilli * mean;
    final["check_spread_mev"] = kMilli * spread;
    headline.push_back({{"label", "error on the check files"},
                        {"value", final["check_rmse_mev"]},
                        {"unit", "meV/atom"},
                        {"better", "lower"}});
  }
  json out{{"final", final}, {"headline", headline}, {"figures", figures}};
  if (!unknown.empty())
    out["warning"] = fmt::format(
        "the structures do not determine {}: no error is stated, and samplers refuse the file; "
        "larger cells (shells coincide in small ones), fewer shells, or data of every species",
        join(unknown, ", "));
  return out;
}

}  // namespace ocoee::tasks
