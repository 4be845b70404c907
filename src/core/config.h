// SPDX-License-Identifier: Apache-2.0
// Config by description. A config struct is plain data with defaults, and one function
//
//   void describe(config::Description& d) {
//     d.field("global", global, "samples per optimizer step over all ranks").at_least(1);
//     d.field("schedule", schedule, "how the learning rate moves").choices({"constant", "cosine"});
//   }
//
// lists each value's name, doc and range once. Reading a recipe, `ocoee help`, the reference pages,
// the JSON Schema and the resolved recipe of a run directory all come from it. Violations are
// collected, never thrown one by one.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace ocoee::config {

struct Source {      // where a value was written
  std::string file;  // recipe path, or "command line"
  int line = 0;      // 0: unknown
  int column = 0;
  std::string text() const;  // "recipe.toml:3:7"
};

struct Problem {
  std::string key;      // "batch.global"
  std::string message;  // what is wrong, and what was expected
  std::string fix;      // how to mend it; may be empty
  Source source;
};

// All violations of one recipe. Cross-field checks add to it by dotted key; the line is looked up
// from the recipe. The key "" is the recipe as a whole.
class Problems {
 public:
  void add(std::string key, std::string message, std::string fix = "");
  void add_at(Source source, std::string key, std::string message, std::string fix = "");
  void remember(const std::string& key, const Source& source) { sources_[key] = source; }
  // From now on, a key that has a problem gets no further one.
  void keep_first_of_a_key_from_here() { first_only_ = problems_.size(); }
  bool empty() const { return problems_.empty(); }
  const std::vector<Problem>& all() const { return problems_; }
  std::string text() const;   // one block a problem: file:line: key: message, then the fix
  void throw_if_any() const;  // Error(config) with text()

 private:
  Source source_of(std::string key) const;

  std::vector<Problem> problems_;
  std::map<std::string, Source> sources_;
  std::optional<size_t> first_only_;  // problems before this one keep others off their keys
};

using Value = std::variant<bool*, int64_t*, double*, std::string*, std::vector<std::string>*,
                           std::vector<int64_t>*, std::vector<double>*>;

class Field {
 public:
  Field& at_least(double minimum);  // each element, for lists
  Field& at_most(double maximum);
  Field& above(double minimum);  // strictly
  Field& below(double maximum);
  Field& choices(std::vector<std::string> names);
  Field& required();              // must be written in the recipe
  Field& unit(std::string unit);  // shown in help: "tokens", "seconds"
  Field& may_change_on_resume();  // layout, steps, intervals: a continued run may differ here
  Field& names_files();           // a run goes on only while what these files hold is the same
  // Elsewhere it has no effect: "schedule = wsd". `holds` is asked once all values are read. Said
  // twice, both must hold.
  Field& acts_where(std::string condition, std::function<bool()> holds);
  std::string meaning() const;  // doc, and where it acts

  std::string name, doc, unit_name;
  Value value;
  std::optional<double> minimum, maximum;
  bool minimum_is_open = false, maximum_is_open = false;
  std::vector<std::string> allowed;
  bool is_required = false;
  bool may_change = false, is_files = false;
  std::string condition;  // empty: it always acts
  std::function<bool()> acts;
  std::optional<Source> written;  // where the recipe, or the command line, says its value
  std::string default_text;       // as TOML, taken when described
};

class Description {
 public:
  template <class T>
  Field& field(std::string name, T& value, std::string doc) {
    return add_field(std::move(name), Value(&value), std::move(doc));
  }

  // A nested table. The same name returns the same section, so a task may add to one.
  Description& section(const std::string& name, const std::string& doc);
  template <class Struct>
  Description& section(const std::string& name, Struct& value, const std::string& doc) {
    Description& inner = section(name, doc);
    value.describe(inner);
    return inner;
  }

  const std::string& doc() const { return doc_; }
  std::deque<Field>& fields() { return fields_; }
  const std::deque<Field>& fields() const { return fields_; }
  const std::vector<std::pair<std::string, std::unique_ptr<Description>>>& sections() const {
    return sections_;
  }

 private:
  Field& add_field(std::string name, Value value, std::string doc);

  std::string doc_;
  std::deque<Field> fields_;
  std::vector<std::pair<std::string, std::unique_ptr<Description>>> sections_;
};

// A parsed TOML recipe with overrides, before anyone says what its keys mean.
class Document {
 public:
  static Document from_file(const std::string& path);  // throws Error(config) on bad TOML
  static Document from_text(const std::string& text, const std::string& name);
  ~Document();
  Document(Document&&) noexcept;
  Document& operator=(Document&&) noexcept;

  void override_value(
      const std::string& assignment);  // "section.key=value"; the value is TOML, or a bare word
  std::optional<std::string> string_at(const std::string& dotted_key) const;
  bool contains(const std::string& dotted_key) const;
  const std::string& name() const;

  // Fills the described values; unknown keys, wrong types and values out of range go to `problems`.
  // `passed_over`: sections that the description lacks and that are no problem.
  void read(Description& description, Problems& problems,
            const std::vector<std::string>& passed_over = {}) const;
  Source source_of(const std::string& dotted_key) const;  // of its section where the key is missing

 private:
  struct Impl;
  explicit Document(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

std::string limit_text(double limit);  // of a range; whole numbers in full

std::string to_toml(
    const Description& description);  // the values as they stand now: the resolved recipe
// The same without keys that have no effect beside the others.
std::string to_toml_of_what_acts(const Description& description);
nlohmann::json to_json(const Description& description);
// One line for each key that was written and has no effect beside the others. Those that stand at
// their default are left out: nothing is missed, and a resolved recipe holds them all.
std::vector<std::string> keys_without_effect(const Description& description);
std::string help_text(const Description& description, const std::string& path);  // for a terminal
std::string to_markdown(const Description& description, const std::string& path);
nlohmann::json to_json_schema(const Description& description);

}  // namespace ocoee::config
