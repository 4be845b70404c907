// SPDX-License-Identifier: Apache-2.0
#include "run/recipe_identity.h"

#include <fmt/format.h>

#include <exception>
#include <filesystem>
#include <map>
#include <variant>

#include "core/error.h"
#include "core/stop_signals.h"
#include "core/text.h"
#include "data/content_hash.h"

namespace ocoee::run {
namespace {

constexpr std::string_view kContent = "content of ";
constexpr std::string_view kDefaultMark = "  # default";

struct Entry {
  std::string value;
  bool is_default = false;  // or nothing that must be known
};

std::map<std::string, Entry> entries_of(const std::string& text) {
  std::map<std::string, Entry> out;
  for (const std::string& line : split(text, '\n')) {
    const size_t equals = line.find(" = ");
    if (equals == std::string::npos) continue;
    Entry entry{line.substr(equals + 3), line.starts_with(kContent)};
    if (entry.value.ends_with(kDefaultMark)) {
      entry.value.resize(entry.value.size() - kDefaultMark.size());
      entry.is_default = true;
    }
    out[line.substr(0, equals)] = entry;
  }
  return out;
}

// The lines `key = value` of one section as to_toml writes them, by key.
void add_section(const config::Description& d, const std::string& path, std::string& out) {
  const std::string text = config::to_toml(d);
  std::map<std::string, std::string> values;
  for (const std::string& line : split(text, '\n')) {
    if (line.starts_with('[')) break;  // a nested section: it comes by itself
    const size_t equals = line.find(" = ");
    if (equals != std::string::npos) values[line.substr(0, equals)] = line.substr(equals + 3);
  }
  for (const config::Field& field : d.fields()) {
    if (field.may_change) continue;
    const std::string& value = values[field.name];
    const bool is_default = !field.is_required && value == field.default_text;
    out += fmt::format("{}{}{} = {}{}\n", path, path.empty() ? "" : ".", field.name, value,
                       is_default ? kDefaultMark : "");
  }
  for (const auto& [name, inner] : d.sections())
    add_section(*inner, path.empty() ? name : path + "." + name, out);
}

void add_files(const config::Description& d, std::vector<std::string>& out) {
  for (const config::Field& field : d.fields()) {
    if (!field.is_files) continue;
    if (const auto* one = std::get_if<std::string*>(&field.value)) {
      if (!(*one)->empty()) out.push_back(**one);
    } else if (const auto* list = std::get_if<std::vector<std::string>*>(&field.value)) {
      out.insert(out.end(), (*list)->begin(), (*list)->end());
    }
  }
  for (const auto& [name, inner] : d.sections()) add_files(*inner, out);
}

}  // namespace

std::vector<std::string> input_files(const config::Description& recipe) {
  std::vector<std::string> out;
  add_files(recipe, out);
  return out;
}

std::string content_lines(const std::vector<std::string>& files) {
  std::string out;
  for (const std::string& file : files) {
    try {
      if (std::filesystem::is_regular_file(file))
        out += fmt::format("{}{} = {:016x}\n", kContent, file,
                           data::content_hash_of_file(file, stop_if_signalled));
    } catch (const Error& error) {  // told where it is opened
      if (error.kind() == ErrorKind::interrupted) throw;
    } catch (const std::exception&) {
    }
  }
  return out;
}

bool differs_in_content_only(const std::string& difference) {
  for (const std::string& line : split(difference, '\n')) {
    if (!line.empty() && !trim(line).starts_with(kContent)) return false;
  }
  return true;
}

std::string stable_recipe(const config::Description& recipe) {
  std::string out;
  add_section(recipe, "", out);
  return out;
}

std::string recipe_difference(const std::string& there, const std::string& now) {
  const auto before = entries_of(there), after = entries_of(now);
  std::string out;
  for (const auto& [key, entry] : before) {
    const auto found = after.find(key);
    if (found == after.end()) {
      if (!entry.is_default)
        out += fmt::format("    {}: {} there, not set now\n", key, entry.value);
    } else if (found->second.value != entry.value) {
      out += fmt::format("    {}: {} there, {} now\n", key, entry.value, found->second.value);
    }
  }
  for (const auto& [key, entry] : after) {
    if (!before.contains(key) && !entry.is_default)
      out += fmt::format("    {}: not set there, {} now\n", key, entry.value);
  }
  return out;
}

}  // namespace ocoee::run
