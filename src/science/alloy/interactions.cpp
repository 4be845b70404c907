// SPDX-License-Identifier: Apache-2.0
#include "science/alloy/interactions.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "science/alloy/covariance.h"

namespace ocoee::alloy {
namespace {

using nlohmann::json;
constexpr const char* kFormat = "ocoee pair interactions";

json shell_to_json(const PairInteractions& pairs, const std::vector<double>& values, int shell) {
  json out = json::object();
  const int n = pairs.count();
  for (int a = 0; a < n; ++a)
    for (int b = a; b < n; ++b) {
      const double value = values[static_cast<size_t>((shell * n + a) * n + b)];
      if (!std::isfinite(value))  // the error of what no structure tells
        out[pairs.species[static_cast<size_t>(a)] + "-" + pairs.species[static_cast<size_t>(b)]] =
            nullptr;
      else if (value != 0)
        out[pairs.species[static_cast<size_t>(a)] + "-" + pairs.species[static_cast<size_t>(b)]] =
            value;
    }
  return out;
}

// "A-B" into species numbers.
std::pair<int, int> pair_of(const std::string& name, const std::vector<std::string>& species,
                            const std::string& where) {
  const auto number = [&](const std::string& word) {
    for (size_t a = 0; a < species.size(); ++a)
      if (species[a] == word) return static_cast<int>(a);
    fail(ErrorKind::data, "{}: pair \"{}\" names species \"{}\"\n    fix: the species are {}",
         where, name, word, join(species, ", "));
  };
  const size_t dash = name.find('-');
  if (dash == std::string::npos)
    fail(ErrorKind::data, "{}: \"{}\" is no pair of species, as \"{}-{}\" is", where, name,
         species.front(), species.back());
  const int first = number(name.substr(0, dash));
  return {first, number(name.substr(dash + 1))};
}

}  // namespace

PairInteractions::PairInteractions(std::vector<std::string> names, int shell_count)
    : species(std::move(names)), shells(shell_count) {
  values.assign(static_cast<size_t>(shells * count() * count()), 0);
}

std::string problem_of_names(const std::vector<std::string>& names) {
  for (size_t a = 0; a < names.size(); ++a) {
    if (names[a].empty() || names[a].find_first_of(" \t\n\r-\"") != std::string::npos)
      return fmt::format(
          "\"{}\" is no name of a species: it is empty, or holds a blank, a quote or "
          "a hyphen",
          names[a]);
    if (std::find(names.begin(), names.begin() + static_cast<std::ptrdiff_t>(a), names[a]) !=
        names.begin() + static_cast<std::ptrdiff_t>(a))
      return fmt::format("the species \"{}\" is named twice", names[a]);
  }
  return "";
}

PairInteractions unlike_pairs(std::vector<std::string> names, const std::vector<double>& unlike,
                              const std::string& unit) {
  const int n = static_cast<int>(names.size());
  const auto per_shell = static_cast<size_t>(n * (n - 1) / 2);
  if (per_shell == 0 || unlike.size() % per_shell != 0)
    fail(ErrorKind::config,
         "{} pair energies for {} species\n    fix: each shell has {}, one for each pair of unlike "
         "species",
         unlike.size(), n, per_shell);
  PairInteractions out(std::move(names), static_cast<int>(unlike.size() / per_shell));
  out.unit = unit;
  size_t next = 0;
  for (int shell = 0; shell < out.shells; ++shell)
    for (int a = 0; a < n; ++a)
      for (int b = a + 1; b < n; ++b) out.set(shell, a, b, unlike[next++]);
  return out;
}

PairInteractions to_unlike_gauge(const PairInteractions& pairs,
                                 const std::vector<double>& coordination) {
  PairInteractions out = pairs;
  const int n = pairs.count();
  out.point.resize(static_cast<size_t>(n), 0);
  for (int shell = 0; shell < pairs.shells; ++shell)
    for (int a = 0; a < n; ++a) {
      // Of the z_s bonds of an atom, each is shared by two.
      out.point[static_cast<size_t>(a)] +=
          coordination[static_cast<size_t>(shell)] / 2 * pairs.at(shell, a, a);
      for (int b = 0; b < n; ++b)
        out.at(shell, a, b) =
            pairs.at(shell, a, b) - (pairs.at(shell, a, a) + pairs.at(shell, b, b)) / 2;
    }
  return out;
}

PairInteractions ising(double coupling) {
  PairInteractions out({"up", "down"}, 1);
  out.unit = "J";
  out.set(0, 0, 0, -coupling);
  out.set(0, 1, 1, -coupling);
  out.set(0, 0, 1, coupling);
  return out;
}

PairInteractions potts(int states, double coupling) {
  std::vector<std::string> names;
  for (int state = 0; state < states; ++state) names.push_back(fmt::format("q{}", state));
  PairInteractions out(std::move(names), 1);
  out.unit = "J";
  for (int state = 0; state < states; ++state) out.set(0, state, state, -coupling);
  return out;
}

PairInteractions linear_mixing(std::vector<std::string> names, std::vector<double> energies) {
  PairInteractions out(std::move(names), 0);
  OCOEE_CHECK(energies.size() == out.species.size());
  out.point = std::move(energies);
  return out;
}

json to_json(const PairInteractions& pairs) {
  json out = {{"format", kFormat},        {"version", 1},
              {"unit", pairs.unit},       {"constant", pairs.constant},
              {"species", pairs.species}, {"point", pairs.point},
              {"shells", json::array()}};
  for (int shell = 0; shell < pairs.shells; ++shell) {
    out["shells"].push_back(shell_to_json(pairs, pairs.values, shell));
    if (!pairs.errors.empty()) out["errors"].push_back(shell_to_json(pairs, pairs.errors, shell));
  }
  if (!pairs.covariance.empty()) out["covariance"] = covariance_to_json(pairs.covariance);
  if (!pairs.coordination.empty()) out["neighbours"] = pairs.coordination;
  if (pairs.site_volume > 0) out["site_volume"] = pairs.site_volume;
  return out;
}

PairInteractions pairs_from_json(const json& file, const std::string& where) {
  try {
    if (file.at("format") != kFormat || file.at("version") != 1)
      fail(ErrorKind::data, "{}: is no file of pair interactions (\"format\": \"{}\", version 1)",
           where, kFormat);
    const json& shells = file.at("shells");
    PairInteractions out(file.at("species").get<std::vector<std::string>>(),
                         static_cast<int>(shells.size()));
    if (out.count() < 1 || out.count() > 64)
      fail(ErrorKind::data, "{}: {} species; from 1 to 64 are possible", where, out.count());
    if (const std::string problem = problem_of_names(out.species); !problem.empty())
      fail(ErrorKind::data, "{}: {}", where, problem);
    out.unit = file.value("unit", "eV");
    if (out.unit != "eV" && out.unit != "J")
      fail(ErrorKind::data, "{}: unit \"{}\"\n    fix: \"eV\", or \"J\" with k_B = 1", where,
           out.unit);
    out.constant = file.value("constant", 0.0);
    out.point = file.value("point", std::vector<double>{});
    if (!out.point.empty() && out.point.size() != out.species.size())
      fail(ErrorKind::data, "{}: {} point energies for {} species", where, out.point.size(),
           out.species.size());
    const auto fill = [&](const json& list, std::vector<double>& values, bool are_errors) {
      const int n = out.count();
      values.assign(static_cast<size_t>(out.shells * n * n), 0);
      for (int shell = 0; shell < out.shells && shell < static_cast<int>(list.size()); ++shell)
        for (const auto& [name, value] : list[static_cast<size_t>(shell)].items()) {
          const auto [a, b] = pair_of(name, out.species, where);
          const double number = are_errors && value.is_null()
                                    ? std::numeric_limits<double>::infinity()
                                    : value.get<double>();
          if (!are_errors && !std::isfinite(number))
            fail(ErrorKind::data, "{}: pair {} of shell {} is not finite", where, name, shell + 1);
          values[static_cast<size_t>((shell * n + a) * n + b)] = number;
          values[static_cast<size_t>((shell * n + b) * n + a)] = number;
        }
    };
    fill(shells, out.values, false);
    if (file.contains("errors")) fill(file.at("errors"), out.errors, true);
    if (file.contains("covariance"))
      out.covariance = covariance_from_json(file.at("covariance"), out.terms(), where);
    out.coordination = file.value("neighbours", std::vector<double>{});
    if (!out.coordination.empty() && out.coordination.size() != shells.size())
      fail(ErrorKind::data, "{}: numbers of neighbours for {} shells, energies for {}", where,
           out.coordination.size(), shells.size());
    out.site_volume = file.value("site_volume", 0.0);
    if (!(out.site_volume >= 0 && std::isfinite(out.site_volume)))
      fail(ErrorKind::data, "{}: a site has a volume of {} angstrom^3", where, out.site_volume);
    return out;
  } catch (const json::exception& error) {
    fail(ErrorKind::data, "{}: {}", where, error.what());
  }
}

PairInteractions read_pairs(const std::filesystem::path& path) {
  const json file = json::parse(read_file(path), nullptr, false);
  if (file.is_discarded()) fail(ErrorKind::data, "{}: is no JSON", path.string());
  return pairs_from_json(file, path.string());
}

void write_pairs(const std::filesystem::path& path, const PairInteractions& pairs) {
  write_file_atomically(path, to_json(pairs).dump(2) + "\n");
}

}  // namespace ocoee::alloy
