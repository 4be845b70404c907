// SPDX-License-Identifier: Apache-2.0
#include "core/config.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/text.h"

namespace ocoee::config {
namespace {

std::string quoted(const std::string& text) {
  return nlohmann::json(text).dump();
}

std::string number_text(double number) {
  std::string text = fmt::format("{}", number);
  const bool looks_integer = text.find_first_of(".eni") == std::string::npos;
  return looks_integer ? text + ".0" : text;
}

std::string text_of(bool value) {
  return value ? "true" : "false";
}
std::string text_of(int64_t value) {
  return fmt::format("{}", value);
}
std::string text_of(double value) {
  return number_text(value);
}
std::string text_of(const std::string& value) {
  return quoted(value);
}
template <class T>
std::string text_of(const std::vector<T>& list) {
  std::vector<std::string> parts;
  for (const T& item : list) parts.push_back(text_of(item));
  return "[" + join(parts, ", ") + "]";
}

std::string value_text(const Value& value) {
  return std::visit([](const auto* v) { return text_of(*v); }, value);
}

std::string type_text(const Value& value) {
  static const char* names[] = {"true or false", "whole number",          "number",         "text",
                                "list of texts", "list of whole numbers", "list of numbers"};
  return names[value.index()];
}

std::string range_text(const Field& field) {
  if (!field.allowed.empty()) return "one of " + join(field.allowed, ", ");
  const char* low = field.minimum_is_open ? "above" : "at least";
  const char* high = field.maximum_is_open ? "below" : "at most";
  if (field.minimum && field.maximum) {
    if (!field.minimum_is_open && !field.maximum_is_open)
      return fmt::format("from {} to {}", limit_text(*field.minimum), limit_text(*field.maximum));
    return fmt::format("{} {} and {} {}", low, limit_text(*field.minimum), high,
                       limit_text(*field.maximum));
  }
  if (field.minimum) return fmt::format("{} {}", low, limit_text(*field.minimum));
  if (field.maximum) return fmt::format("{} {}", high, limit_text(*field.maximum));
  return "";
}

std::string about(const Field& field) {
  std::vector<std::string> parts{type_text(field.value)};
  if (!field.unit_name.empty()) parts.push_back("in " + field.unit_name);
  if (const std::string range = range_text(field); !range.empty()) parts.push_back(range);
  return join(parts, ", ");
}

void to_toml(const Description& d, const std::string& path, bool all, std::string& out) {
  if (!path.empty() && (!d.fields().empty() || d.sections().empty()))
    out += fmt::format("\n[{}]\n", path);
  for (const Field& field : d.fields()) {
    if (all || !field.acts || field.acts())
      out += fmt::format("{} = {}\n", field.name, value_text(field.value));
  }
  for (const auto& [name, inner] : d.sections())
    to_toml(*inner, path.empty() ? name : path + "." + name, all, out);
}

void add_keys_without_effect(const Description& d, const std::string& path,
                             std::vector<std::string>& out) {
  for (const Field& field : d.fields()) {
    const bool is_said = field.written && value_text(field.value) != field.default_text;
    if (is_said && field.acts && !field.acts())
      out.push_back(fmt::format("{}: {}{}: has no effect: it acts where {}", field.written->text(),
                                path, field.name, field.condition));
  }
  for (const auto& [name, inner] : d.sections())
    add_keys_without_effect(*inner, path + name + ".", out);
}

}  // namespace

std::string limit_text(double limit) {
  const bool is_whole = limit == std::floor(limit) && std::abs(limit) < 1e15;
  return is_whole ? fmt::format("{:.0f}", limit) : fmt::format("{:g}", limit);
}

// ---- Problems

std::string Source::text() const {
  return line > 0 ? fmt::format("{}:{}:{}", file, line, column) : file;
}

// A key that is not written stands where its section begins, or in the recipe as a whole.
Source Problems::source_of(std::string key) const {
  for (;;) {
    if (const auto found = sources_.find(key); found != sources_.end()) return found->second;
    if (key.empty()) return {};
    const size_t dot = key.rfind('.');
    key.resize(dot == std::string::npos ? 0 : dot);
  }
}

void Problems::add(std::string key, std::string message, std::string fix) {
  Source source = source_of(key);  // before the key is moved away
  add_at(std::move(source), std::move(key), std::move(message), std::move(fix));
}

void Problems::add_at(Source source, std::string key, std::string message, std::string fix) {
  for (size_t i = 0; i < first_only_.value_or(0); ++i) {
    if (problems_[i].key == key) return;
  }
  problems_.push_back({std::move(key), std::move(message), std::move(fix), std::move(source)});
}

std::string Problems::text() const {
  std::string out;
  for (const Problem& problem : problems_) {
    if (!out.empty()) out += "\n";
    if (!problem.source.file.empty()) out += problem.source.text() + ": ";
    if (!problem.key.empty()) out += problem.key + ": ";
    out += problem.message;
    if (!problem.fix.empty()) out += "\n    fix: " + problem.fix;
  }
  return out;
}

void Problems::throw_if_any() const {
  if (problems_.empty()) return;
  const std::string count =
      problems_.size() == 1 ? "" : fmt::format("{} problems in the recipe\n", problems_.size());
  throw Error(ErrorKind::config, count + text());
}

// ---- Field and Description

Field& Field::at_least(double limit) {
  minimum = limit;
  return *this;
}
Field& Field::at_most(double limit) {
  maximum = limit;
  return *this;
}
Field& Field::above(double limit) {
  minimum = limit;
  minimum_is_open = true;
  return *this;
}
Field& Field::below(double limit) {
  maximum = limit;
  maximum_is_open = true;
  return *this;
}
Field& Field::choices(std::vector<std::string> names) {
  allowed = std::move(names);
  return *this;
}
Field& Field::required() {
  is_required = true;
  return *this;
}
Field& Field::unit(std::string text) {
  unit_name = std::move(text);
  return *this;
}
Field& Field::may_change_on_resume() {
  may_change = true;
  return *this;
}

Field& Field::names_files() {
  is_files = true;
  return *this;
}

Field& Field::acts_where(std::string text, std::function<bool()> holds) {
  if (acts) {
    condition += ", and " + text;
    acts = [first = std::move(acts), second = std::move(holds)] { return first() && second(); };
  } else {
    condition = std::move(text);
    acts = std::move(holds);
  }
  return *this;
}

std::string Field::meaning() const {
  return condition.empty() ? doc : doc + "; acts where " + condition;
}

Field& Description::add_field(std::string name, Value value, std::string doc) {
  for (const Field& other : fields_)
    OCOEE_CHECK(other.name != name, "field '{}' is described twice", name);
  Field& field = fields_.emplace_back();
  field.name = std::move(name);
  field.doc = std::move(doc);
  field.value = value;
  field.default_text = value_text(value);
  return field;
}

Description& Description::section(const std::string& name, const std::string& doc) {
  for (auto& [existing, inner] : sections_) {
    if (existing == name) return *inner;
  }
  auto& added = *sections_.emplace_back(name, std::make_unique<Description>()).second;
  added.doc_ = doc;
  return added;
}

// ---- Output

std::string to_toml(const Description& description) {
  std::string out = "version = 1\n";
  to_toml(description, "", /*all=*/true, out);
  return out;
}

std::string to_toml_of_what_acts(const Description& description) {
  std::string out;
  to_toml(description, "", /*all=*/false, out);
  return out;
}

nlohmann::json to_json(const Description& description) {
  nlohmann::json out = nlohmann::json::object();
  for (const Field& field : description.fields()) {
    std::visit([&](auto* value) { out[field.name] = *value; }, field.value);
  }
  for (const auto& [name, inner] : description.sections()) out[name] = to_json(*inner);
  return out;
}

std::vector<std::string> keys_without_effect(const Description& description) {
  std::vector<std::string> out;
  add_keys_without_effect(description, "", out);
  return out;
}

std::string help_text(const Description& description, const std::string& path) {
  std::string out = path.empty() ? "" : fmt::format("[{}]  {}\n", path, description.doc());
  for (const Field& field : description.fields()) {
    const std::string initial = field.is_required ? "required" : "default " + field.default_text;
    out += fmt::format("  {:<22} {}\n  {:<22} {}; {}{}\n", field.name, field.meaning(), "",
                       about(field), initial, field.may_change ? "; may change on resume" : "");
  }
  for (const auto& [name, inner] : description.sections()) {
    if (!out.empty()) out += "\n";
    out += help_text(*inner, path.empty() ? name : path + "." + name);
  }
  return out;
}

std::string to_markdown(const Description& description, const std::string& path) {
  std::string out;
  if (!path.empty()) out += fmt::format("## `[{}]`\n\n{}\n\n", path, description.doc());
  if (!description.fields().empty()) {
    out +=
        "| key | meaning | type and range | default | may change on resume |\n"
        "|---|---|---|---|---|\n";
    for (const Field& field : description.fields()) {
      out +=
          fmt::format("| `{}` | {} | {} | {} | {} |\n", field.name, field.meaning(), about(field),
                      field.is_required ? "required" : "`" + field.default_text + "`",
                      field.may_change ? "yes" : "");
    }
    out += "\n";
  }
  for (const auto& [name, inner] : description.sections())
    out += to_markdown(*inner, path.empty() ? name : path + "." + name);
  return out;
}

nlohmann::json to_json_schema(const Description& description) {
  using nlohmann::json;
  json properties = json::object();
  json required = json::array();
  for (const Field& field : description.fields()) {
    static const char* types[] = {"boolean", "integer", "number", "string",
                                  "string",  "integer", "number"};
    json scalar = {{"type", types[field.value.index()]}};
    if (!field.allowed.empty()) scalar["enum"] = field.allowed;
    if (field.minimum)
      scalar[field.minimum_is_open ? "exclusiveMinimum" : "minimum"] = *field.minimum;
    if (field.maximum)
      scalar[field.maximum_is_open ? "exclusiveMaximum" : "maximum"] = *field.maximum;
    json entry = field.value.index() < 4 ? scalar : json{{"type", "array"}, {"items", scalar}};
    entry["description"] = field.meaning();
    std::visit([&](auto* value) { entry["default"] = *value; }, field.value);
    if (field.is_required) required.push_back(field.name), entry.erase("default");
    properties[field.name] = entry;
  }
  for (const auto& [name, inner] : description.sections())
    properties[name] = to_json_schema(*inner);
  json out = {{"type", "object"}, {"additionalProperties", false}, {"properties", properties}};
  if (!description.doc().empty()) out["description"] = description.doc();
  if (!required.empty()) out["required"] = required;
  return out;
}

}  // namespace ocoee::config
