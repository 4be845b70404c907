// SPDX-License-Identifier: Apache-2.0
// The only file that knows toml++: parses a recipe, applies overrides, fills described values.
#define TOML_EXCEPTIONS 1
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "core/config.h"
#include "core/error.h"
#include "core/file.h"
#include "core/shell_word.h"
#include "core/text.h"
#include "core/toml_scan.h"

namespace ocoee::config {
namespace {

std::string child_key(const std::string& path, const std::string& name) {
  return path.empty() ? name : path + "." + name;
}

std::vector<std::string> names_of(const Description& d) {
  std::vector<std::string> names;
  for (const Field& field : d.fields()) names.push_back(field.name);
  for (const auto& section : d.sections()) names.push_back(section.first);
  return names;
}

void add_keys(const Description& d, const std::string& path,
              std::vector<std::pair<std::string, std::string>>& name_and_key) {
  for (const Field& field : d.fields())
    name_and_key.emplace_back(field.name, child_key(path, field.name));
  for (const auto& [name, inner] : d.sections())
    add_keys(*inner, child_key(path, name), name_and_key);
}

// The keys of any section that are called `name`, or what is nearest to it; "" where none is near.
std::string keys_called(const std::string& name, const Description& recipe) {
  std::vector<std::pair<std::string, std::string>> all;
  add_keys(recipe, "", all);
  std::vector<std::string> names, keys;
  for (const auto& entry : all) names.push_back(entry.first);
  const std::string near = nearest(name, names);
  for (const auto& [known, key] : all) {
    if (!near.empty() && known == near) keys.push_back("'" + key + "'");
  }
  return join(keys, " or ");
}

std::string describe_node(const toml::node& node) {
  switch (node.type()) {
    case toml::node_type::string:
      return "the text \"" + **node.as_string() + "\"";
    case toml::node_type::integer:
      return "the whole number " + std::to_string(**node.as_integer());
    case toml::node_type::floating_point:
      return fmt::format("the number {:#}", **node.as_floating_point());
    case toml::node_type::boolean:
      return **node.as_boolean() ? "true" : "false";
    case toml::node_type::array:
      return "a list";
    case toml::node_type::table:
      return "a section";
    default:
      return "a date or time";
  }
}

// How a number such as 1e3, which TOML takes for a fraction, is written where a whole one is meant.
std::string as_whole(const toml::node& node) {
  const double value = node.is_floating_point() ? **node.as_floating_point() : 0.5;
  return std::abs(value) < 1e15 && value == std::floor(value)
             ? fmt::format("write {}", static_cast<int64_t>(value))
             : "";
}

std::string single_line(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c == '\n') c = ' ';
  }
  return out;
}

// toml++ 3.3 has undefined behaviour where it asks whether some characters outside of ASCII are
// spaces. It does not ask in sound TOML; so a twin, of characters that are none of these, goes
// first.
toml::table parse_toml(std::string_view text, std::string_view name) {
  if (!is_ascii(text)) {
    [[maybe_unused]] const toml::table twin = toml::parse(far_twin(text), name);
    if (misplaced_character(text) != std::string_view::npos) return {};
  }
  return toml::parse(text, name);
}

toml::table parse(std::string_view text, const std::string& name) {
  std::string why;
  toml::source_position where{};
  const size_t misplaced = misplaced_character(text);
  try {
    toml::table table = parse_toml(text, name);
    if (misplaced == std::string_view::npos) return table;
  } catch (const toml::parse_error& error) {
    where = error.source().begin;
    why = single_line(error.description()) +
          "\n    fix: text values need quotes, sections are [name], and each key is written once";
  }
  const bool is_text = why.find("utf-8") == std::string::npos;
  if (misplaced != std::string_view::npos && is_text) {
    const std::string_view before = text.substr(0, misplaced);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    where = {static_cast<toml::source_index>(line),
             static_cast<toml::source_index>(misplaced - (before.rfind('\n') + 1) + 1)};
    why =
        "a character outside of ASCII, which only quotes and comments may hold\n    fix: put the "
        "text in quotes; a space may be a no-break space, pasted from somewhere";
  }
  fail(ErrorKind::config, "{}:{}:{}: not valid TOML: {}", name, where.line, where.column, why);
}

}  // namespace

struct Document::Impl {
  std::string name;
  toml::table table;
  std::map<const toml::node*, std::string> from_command_line;  // and how the value was written

  Source source_of(const toml::node& node) const {
    if (from_command_line.contains(&node)) return {"command line", 0, 0};
    return {name, static_cast<int>(node.source().begin.line),
            static_cast<int>(node.source().begin.column)};
  }

  // Where a key stands; one that is missing, where its section begins.
  Source source_of(const std::string& dotted_key) const;
  // `recipe`: all that is described, of which `d` is the section `path`.
  void read(const toml::table& from, Description& d, const std::string& path,
            const Description& recipe, Problems& problems,
            const std::vector<std::string>& passed_over = {}) const;
  void assign(const toml::node& node, const Field& field, const std::string& key,
              Problems& problems) const;
};

Document::Document(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Document::~Document() = default;
Document::Document(Document&&) noexcept = default;
Document& Document::operator=(Document&&) noexcept = default;
const std::string& Document::name() const {
  return impl_->name;
}

Document Document::from_file(const std::string& path) {
  std::string text;
  try {
    text = read_file(path);
  } catch (const Error& error) {
    fail(ErrorKind::config,
         "{}\n    fix: give the path of a recipe; `ocoee list recipes` shows those that come with "
         "Ocoee",
         split_fix(error.what()).what);
  }
  return from_text(text, path);
}

Document Document::from_text(const std::string& text, const std::string& name) {
  auto impl = std::make_unique<Impl>();
  impl->name = name;
  impl->table = parse(text, name);
  return Document(std::move(impl));
}

void Document::override_value(const std::string& assignment) {
  if (!is_utf8(assignment))
    fail(ErrorKind::config,
         "command line: {}: not UTF-8, which all texts of a recipe are\n    fix: rename the file, "
         "or "
         "write the value in UTF-8",
         shell_word(assignment));
  const size_t equals = assignment.find('=');
  if (equals == std::string::npos || equals == 0)
    fail(ErrorKind::config, "command line: '{}' is not section.key=value", assignment);
  const std::string key(trim(std::string_view(assignment).substr(0, equals)));
  const std::string text(trim(std::string_view(assignment).substr(equals + 1)));

  toml::table parsed;
  try {
    parsed = parse_toml("v = " + text, "command line");
  } catch (const toml::parse_error&) {
  }
  if (!parsed.contains("v")) parsed.insert_or_assign("v", text);  // a bare word is a text
  toml::table* table = &impl_->table;
  const std::vector<std::string> parts = split(key, '.');
  for (size_t i = 0; i + 1 < parts.size(); ++i) {
    if (!table->contains(parts[i])) {
      const auto [made, inserted] = table->insert(parts[i], toml::table{});
      impl_->from_command_line[&made->second] = "";
    }
    toml::table* inner = (*table)[parts[i]].as_table();
    if (!inner)
      fail(ErrorKind::config, "command line: {}: '{}' is a value, not a section", key, parts[i]);
    table = inner;
  }
  if (const toml::node* old = table->get(parts.back())) impl_->from_command_line.erase(old);
  auto [where, inserted] = table->insert_or_assign(parts.back(), *parsed.get("v"));
  impl_->from_command_line[&where->second] = text;
}

std::optional<std::string> Document::string_at(const std::string& key) const {
  return impl_->table.at_path(key).value<std::string>();
}

bool Document::contains(const std::string& key) const {
  return static_cast<bool>(impl_->table.at_path(key));
}

Source Document::Impl::source_of(const std::string& dotted_key) const {
  for (std::string key = dotted_key; !key.empty();) {
    if (const toml::node* node = table.at_path(key).node()) {
      Source source = source_of(*node);
      if (source.line > 0 || from_command_line.contains(node)) return source;
    }
    const size_t dot = key.rfind('.');
    key = dot == std::string::npos ? "" : key.substr(0, dot);
  }
  return {name, 0, 0};
}

Source Document::source_of(const std::string& dotted_key) const {
  return impl_->source_of(dotted_key);
}

void Document::read(Description& description, Problems& problems,
                    const std::vector<std::string>& passed_over) const {
  problems.remember("", {impl_->name, 0, 0});
  const toml::node* version = impl_->table.get("version");
  if (!version) {
    problems.add_at({impl_->name, 1, 1}, "version", "missing",
                    "write `version = 1` as the first line");
  } else if (!version->is_integer() || **version->as_integer() != 1) {
    problems.add_at(
        impl_->source_of(*version), "version",
        fmt::format("this program reads version 1, the file has {}", describe_node(*version)),
        version->is_integer() ? "a newer file needs a newer Ocoee" : "write `version = 1`");
  }
  impl_->read(impl_->table, description, "", description, problems, passed_over);
}

void Document::Impl::read(const toml::table& from, Description& d, const std::string& path,
                          const Description& recipe, Problems& problems,
                          const std::vector<std::string>& passed_over) const {
  std::vector<std::string> names = names_of(d);
  names.insert(names.end(), passed_over.begin(), passed_over.end());
  for (const auto& [raw_key, node] : from) {
    const std::string child(raw_key.str());
    if (path.empty() && child == "version") continue;
    const std::string key = child_key(path, child);
    problems.remember(key, source_of(node));

    Field* field = nullptr;
    for (Field& candidate : d.fields()) {
      if (candidate.name == child) field = &candidate;
    }
    Description* section = nullptr;
    for (const auto& [section_name, inner] : d.sections()) {
      if (section_name == child) section = inner.get();
    }
    if (field) {
      field->written = source_of(node);
      assign(node, *field, key, problems);
    } else if (section) {
      if (const toml::table* inner = node.as_table()) {
        read(*inner, *section, key, recipe, problems);
      } else {
        problems.add_at(source_of(node), key, "expected a section, found " + describe_node(node),
                        fmt::format("write [{}] above its keys", key));
      }
    } else if (std::count(passed_over.begin(), passed_over.end(), child) == 0) {
      const std::string near = nearest(child, names);
      const std::string kind = node.is_table() ? "section" : "key";
      const std::string keys = !near.empty()     ? "'" + child_key(path, near) + "'"
                               : node.is_table() ? ""
                                                 : keys_called(child, recipe);
      problems.add_at(source_of(node), key, "unknown " + kind,
                      !keys.empty()  ? fmt::format("did you mean {}?", keys)
                      : path.empty() ? fmt::format("the sections are {}", join(names, ", "))
                                     : fmt::format("`ocoee help {}` lists the keys", path));
    }
  }
  for (const Field& field : d.fields()) {
    if (field.is_required && !from.contains(field.name)) {
      const std::string key = child_key(path, field.name);
      problems.add_at(source_of(key), key, fmt::format("missing: {}", field.doc),
                      fmt::format("set `{}` in section [{}]", field.name, path));
    }
  }
  static const toml::table nothing;
  for (const auto& [section_name, inner] : d.sections()) {
    if (!from.contains(section_name))
      read(nothing, *inner, child_key(path, section_name), recipe, problems);
  }
}

void Document::Impl::assign(const toml::node& node, const Field& field, const std::string& key,
                            Problems& problems) const {
  const auto wrong_type = [&](const char* expected, const toml::node& found,
                              const std::string& fix = "") {
    problems.add_at(source_of(node), key,
                    fmt::format("expected {}, found {}", expected, describe_node(found)), fix);
  };
  const auto in_range = [&](double value) {
    const bool low = field.minimum && (field.minimum_is_open ? !(value > *field.minimum)
                                                             : !(value >= *field.minimum));
    const bool high = field.maximum && (field.maximum_is_open ? !(value < *field.maximum)
                                                              : !(value <= *field.maximum));
    if (!low && !high && std::isfinite(value)) return true;
    if (!std::isfinite(value) && !(high && field.maximum) && !field.minimum) {
      problems.add_at(source_of(node), key,
                      fmt::format("{} is no finite number", limit_text(value)));
      return false;
    }
    const char* side = high ? (field.maximum_is_open ? "below" : "at most")
                            : (field.minimum_is_open ? "above" : "at least");
    problems.add_at(source_of(node), key,
                    fmt::format("{} is out of range: expected {} {}", limit_text(value), side,
                                limit_text(high ? *field.maximum : field.minimum.value_or(0))));
    return false;
  };
  const auto allowed = [&](const std::string& value) {
    if (field.allowed.empty()) return true;
    for (const std::string& candidate : field.allowed) {
      if (candidate == value) return true;
    }
    // Of short words any is near: "gpu" does not mean "cpu".
    const std::string near = value.size() > 3 ? nearest(value, field.allowed) : "";
    problems.add_at(
        source_of(node), key,
        fmt::format("unknown value \"{}\": expected one of {}", value, join(field.allowed, ", ")),
        near.empty() ? "" : fmt::format("did you mean \"{}\"?", near));
    return false;
  };

  const auto read_one = [&](const toml::node& from, auto& value) -> bool {
    using T = std::decay_t<decltype(value)>;
    if constexpr (std::is_same_v<T, bool>) {
      if (!from.is_boolean()) return wrong_type("true or false", from), false;
      value = **from.as_boolean();
    } else if constexpr (std::is_same_v<T, int64_t>) {
      if (!from.is_integer()) return wrong_type("a whole number", from, as_whole(from)), false;
      if (!in_range(static_cast<double>(**from.as_integer()))) return false;
      value = **from.as_integer();
    } else if constexpr (std::is_same_v<T, double>) {
      const auto number =
          from.is_integer() || from.is_floating_point() ? from.value<double>() : std::nullopt;
      if (!number) return wrong_type("a number", from), false;
      if (!in_range(*number)) return false;
      value = *number;
    } else {
      // On a command line quotes are the shell's: run.name=42 is a text.
      const auto written = from_command_line.find(&from);
      if (!from.is_string() && written != from_command_line.end() && from.is_value()) {
        if (!allowed(written->second)) return false;
        value = written->second;
        return true;
      }
      if (!from.is_string()) return wrong_type("a text in quotes", from), false;
      if (!allowed(**from.as_string())) return false;
      value = **from.as_string();
    }
    return true;
  };

  const auto as_list = [&](const toml::node& one) -> std::string {
    if (!one.is_string() || (**one.as_string()).starts_with('[')) return "";
    const std::string list = "[\"" + **one.as_string() + "\"]";
    return from_command_line.contains(&one) ? "write " + shell_word(key + "=" + list)
                                            : "write " + list;
  };

  std::visit(
      [&]<class T>(T* target) {
        if constexpr (std::is_same_v<T, bool> || std::is_same_v<T, int64_t> ||
                      std::is_same_v<T, double> || std::is_same_v<T, std::string>) {
          read_one(node, *target);
        } else {
          const toml::array* array = node.as_array();
          if (!array) return wrong_type("a list in [ ]", node, as_list(node));
          T list;
          for (const toml::node& item : *array) {
            typename T::value_type value{};
            if (!read_one(item, value)) return;
            list.push_back(value);
          }
          *target = std::move(list);
        }
      },
      field.value);
}

}  // namespace ocoee::config
