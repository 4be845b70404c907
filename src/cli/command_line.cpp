// SPDX-License-Identifier: Apache-2.0
#include "cli/command_line.h"

#include <fmt/format.h>

#include <regex>
#include <vector>

#include "core/text.h"

namespace ocoee::cli {
namespace {

std::vector<std::string> verbs_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* verb : app.get_subcommands(nullptr)) names.push_back(verb->get_name());
  return names;
}

std::string meant(const std::string& word, const std::vector<std::string>& names,
                  const std::string& otherwise) {
  const std::string near = nearest(word, names);
  return near.empty() ? otherwise : fmt::format("did you mean '{}'?", near);
}

// The verb that was being read: `ocoee data prepare`.
struct Place {
  const CLI::App* app;
  std::string name;
};

Place innermost(const CLI::App& program) {
  Place place{&program, "ocoee"};
  while (!place.app->get_subcommands().empty()) {
    place.app = place.app->get_subcommands().front();
    place.name += " " + place.app->get_name();
  }
  return place;
}

std::string unexpected(const Place& place, const std::string& word, const std::string& see) {
  if (!word.starts_with("-")) {
    const std::vector<std::string> verbs = verbs_of(*place.app);
    if (!verbs.empty() && place.app->get_subcommands().empty())
      return fmt::format("`{}` has no verb '{}'\n    fix: {}", place.name, word,
                         meant(word, verbs, "one of " + join(verbs, ", ")));
    return fmt::format("`{}` takes no further '{}'\n    fix: {}", place.name, word, see);
  }
  std::vector<std::string> options;
  for (const CLI::Option* option : place.app->get_options()) {
    for (const std::string& name : option->get_lnames()) options.push_back("--" + name);
  }
  return fmt::format("`{}` has no option '{}'\n    fix: {}", place.name, word,
                     meant(word, options, see));
}

}  // namespace

std::string command_line_problem(const CLI::App& program, const CLI::ParseError& error, int argc,
                                 char** argv) {
  const std::string what = error.what();
  const Place place = innermost(program);
  const std::string see = fmt::format("`{} --help` shows what it takes", place.name);
  const auto told = [&](const std::string& text) { return "command line: " + text; };

  if (place.app == &program && argc > 1 && argv[1][0] != '-') {  // a first word that is no verb
    const std::vector<std::string> verbs = verbs_of(program);
    const std::string near = nearest(argv[1], verbs);
    return told(fmt::format("there is no verb '{}'\n    fix: {}", argv[1],
                            near.empty() ? "the verbs are " + join(verbs, ", ")
                                         : fmt::format("did you mean `ocoee {}`?", near)));
  }
  std::smatch found;
  if (std::regex_match(what, found, std::regex(R"(The following arguments? .* expected: (\S+).*)")))
    return told(unexpected(place, found[1], see));
  if (what == "A subcommand is required") {
    const std::vector<std::string> words = place.app->remaining();
    if (!words.empty()) return told(unexpected(place, words.front(), see));
    return told(fmt::format("`{}` needs a verb\n    fix: one of {}", place.name,
                            join(verbs_of(*place.app), ", ")));
  }
  if (std::regex_match(what, found, std::regex(R"((.*) is required)")))
    return told(fmt::format("`{}` needs {}\n    fix: {}", place.name, found[1].str(), see));
  if (std::regex_match(what, found, std::regex(R"((\S+): \d+ required \S+ missing)")))
    return told(fmt::format("`{}`: {}: its value is missing\n    fix: {}", place.name,
                            found[1].str(), see));
  if (std::regex_match(what, found, std::regex(R"((\S+): (.*) not in \{(.*)\})"))) {
    const std::vector<std::string> names = split(found[3].str(), ',');
    return told(fmt::format("`{}`: {}: unknown value '{}': expected one of {}\n    fix: {}",
                            place.name, found[1].str(), found[2].str(), join(names, ", "),
                            found[2].length() > 3 ? meant(found[2], names, see) : see));
  }
  if (std::regex_match(what, found, std::regex(R"(Could not convert: (\S+) = (.*))")))
    return told(fmt::format("`{}`: {}: expected a number, found '{}'\n    fix: {}", place.name,
                            found[1].str(), found[2].str(), see));
  return told(fmt::format("`{}`: {}\n    fix: {}", place.name, what, see));
}

}  // namespace ocoee::cli
