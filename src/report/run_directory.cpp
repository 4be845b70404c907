// SPDX-License-Identifier: Apache-2.0
#include "report/run_directory.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "report/markup.h"

namespace ocoee::report {
namespace {

using nlohmann::json;
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr size_t kMostEvents = 20000;

// NaN, Infinity and -Infinity outside of strings, as some writers put them, become null.
std::string without_odd_numbers(const std::string& text) {
  std::string out;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '"' && (i == 0 || text[i - 1] != '\\')) in_string = !in_string;
    bool replaced = false;
    for (const std::string_view word :
         {"-Infinity", "Infinity", "-NaN", "NaN", "-nan", "nan", "-inf", "inf"}) {
      if (!in_string && text.compare(i, word.size(), word) == 0) {
        out += "null";
        i += word.size() - 1;
        replaced = true;
        break;
      }
    }
    if (!replaced) out += text[i];
  }
  return out;
}

json parse_tolerant(const std::string& text) {
  json value = json::parse(text, nullptr, false);
  if (value.is_discarded()) value = json::parse(without_odd_numbers(text), nullptr, false);
  return value;
}

json read_object(const std::filesystem::path& path, std::vector<std::string>& remarks) {
  const std::string name = path.filename().string();
  if (!std::filesystem::exists(path)) {
    remarks.push_back(name + " is missing.");
    return json::object();
  }
  try {
    json value = parse_tolerant(read_file(path));
    if (value.is_object()) return value;
    remarks.push_back(name + " is cut short or is not a JSON object; it was left out.");
  } catch (const std::exception& error) {
    remarks.push_back(fmt::format("{} cannot be read: {}", name, error.what()));
  }
  return json::object();
}

int64_t whole(double value) {
  return std::abs(value) < 9e15 ? static_cast<int64_t>(value) : 0;
}

std::string event_text(const json& object) {
  for (const char* key : {"message", "text", "path", "reason"})
    if (object.contains(key) && object[key].is_string()) return object[key].get<std::string>();
  std::string text;
  for (const auto& [key, value] : object.items()) {
    if (key == "kind" || key == "step" || key == "fields") continue;
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", key,
                        value.dump(-1, ' ', false, json::error_handler_t::replace));
    if (text.size() > 300) break;
  }
  return text;
}

// After a resume the same steps are logged again: the later ones count.
void supersede(MetricTable& table, double step) {
  const std::vector<double>& steps = table.column("step");
  size_t keep = table.rows();
  while (keep > 0 && steps[keep - 1] >= step) --keep;
  if (keep < table.rows()) table.drop_rows_from(keep);
}

class MetricsReader {
 public:
  explicit MetricsReader(RunDirectory& run) : run_(run) {}

  void line(const std::string& text) {
    json object = parse_tolerant(text);
    if (object.is_discarded() || !object.is_object()) {
      ++bad_;
      return;
    }
    // a listener may nest the numbers under "fields"
    if (object.contains("fields") && object["fields"].is_object())
      object.update(json(object["fields"]));
    const std::string kind = string_at(object, "kind", "step");
    const double step = number_at(object, "step");
    if (kind == "step" || kind == "evaluation") {
      if (!std::isfinite(step)) {
        ++bad_;
        return;
      }
      row(kind == "step" ? run_.steps : run_.evaluations, object, step, kind == "step");
    } else if (run_.events.size() < kMostEvents) {
      run_.events.push_back({kind, whole(step), event_text(object)});
    }
  }
  void finish(bool ends_in_newline) {
    if (bad_ == 0) return;
    const bool only_the_tail = bad_ == 1 && !ends_in_newline;
    run_.remarks.push_back(
        only_the_tail
            ? "The last line of metrics.jsonl is cut short; it was left out."
            : fmt::format("{} lines of metrics.jsonl cannot be read; they were left out.", bad_));
  }

 private:
  void row(MetricTable& table, const json& object, double step, bool is_step) {
    supersede(table, step);
    table.begin_row();
    for (const auto& [key, value] : object.items()) {
      if (value.is_number()) {
        const double number = value.get<double>();
        table.set(key, std::isfinite(number) ? number : kNaN);
      }
    }
    if (is_step && object.contains("loss") && !std::isfinite(number_at(object, "loss"))) {
      if (run_.non_finite_losses++ == 0) run_.first_non_finite_step = whole(step);
    }
  }

  RunDirectory& run_;
  int64_t bad_ = 0;
};

void read_metrics(RunDirectory& run) {
  const std::filesystem::path path = run.folder / "metrics.jsonl";
  if (!std::filesystem::exists(path)) {
    run.remarks.push_back("metrics.jsonl is missing: no step was logged.");
    return;
  }
  try {
    const MappedFile file(path);
    const std::string_view text = file.text();
    MetricsReader reader(run);
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      const std::string_view line = trim(text.substr(at, end - at));
      if (!line.empty()) reader.line(std::string(line));
      at = end + 1;
    }
    reader.finish(!text.empty() && text.back() == '\n');
  } catch (const std::exception& error) {
    run.remarks.push_back(fmt::format("metrics.jsonl cannot be read: {}", error.what()));
  }
}

}  // namespace

void MetricTable::begin_row() {
  ++rows_;
  for (auto& [name, values] : columns_) values.push_back(kNaN);
}

void MetricTable::set(const std::string& name, double value) {
  OCOEE_CHECK(rows_ > 0, "a value without a row");
  auto [found, is_new] = columns_.try_emplace(name);
  if (is_new) found->second.assign(rows_, kNaN);
  found->second.back() = value;
}

void MetricTable::drop_rows_from(size_t first) {
  rows_ = std::min(rows_, first);
  for (auto& [name, values] : columns_) values.resize(rows_);
}

bool MetricTable::has(const std::string& name) const {
  return std::isfinite(last(name));
}

const std::vector<double>& MetricTable::column(const std::string& name) const {
  const auto found = columns_.find(name);
  if (found != columns_.end()) return found->second;
  missing_.assign(rows_, kNaN);
  return missing_;
}

std::vector<std::string> MetricTable::names() const {
  std::vector<std::string> names;
  for (const auto& [name, values] : columns_) names.push_back(name);
  return names;
}

double MetricTable::last(const std::string& name) const {
  const auto found = columns_.find(name);
  if (found == columns_.end()) return kNaN;
  for (auto value = found->second.rbegin(); value != found->second.rend(); ++value)
    if (std::isfinite(*value)) return *value;
  return kNaN;
}

double MetricTable::largest(const std::string& name) const {
  double largest = kNaN;
  for (const double value : column(name))
    if (std::isfinite(value) && !(largest >= value)) largest = value;
  return largest;
}

double number_at(const json& object, const std::string& key) {
  const json& value = child(object, key);
  return value.is_number() ? value.get<double>() : kNaN;
}

std::string string_at(const json& object, const std::string& key, const std::string& otherwise) {
  const json& value = child(object, key);
  return value.is_string() ? value.get<std::string>() : otherwise;
}

const json& child(const json& object, const std::string& key) {
  static const json nothing;
  if (!object.is_object()) return nothing;
  const auto found = object.find(key);
  return found == object.end() ? nothing : *found;
}

RunDirectory read_run_directory(const std::filesystem::path& folder) {
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored)) {
    fail(ErrorKind::data,
         "{}: no such run directory. Expected a folder that `ocoee run` wrote, such as runs/NAME.",
         folder.string());
  }
  RunDirectory run;
  run.folder = folder;
  try {
    run.recipe = read_file(folder / "recipe.toml");
  } catch (const Error&) {
    run.remarks.push_back("recipe.toml is missing or cannot be read.");
  }
  run.summary = read_object(folder / "summary.json", run.remarks);
  run.plan = read_object(folder / "plan.json", run.remarks);
  run.environment = read_object(folder / "environment.json", run.remarks);
  read_metrics(run);
  if (std::filesystem::exists(folder / "trace.json"))
    run.trace = read_trace(folder / "trace.json", run.remarks);
  return run;
}

double resumed_step(const RunDirectory& run) {
  const double step = number_at(child(run.summary, "resumed"), "step");
  return step > 0 && std::isfinite(step) ? step : 0;
}

double resumed_seconds(const RunDirectory& run) {
  const double seconds = number_at(child(run.summary, "resumed"), "seconds");
  return seconds > 0 && std::isfinite(seconds) ? seconds : 0;
}

double peak_bytes(const RunDirectory& run) {
  const std::vector<double>&step = run.steps.column("step"),
        &bytes = run.steps.column("peak_bytes");
  const double after = resumed_step(run);
  double most = number_at(child(run.summary, "final"), "peak_bytes");
  for (size_t i = 0; i < bytes.size(); ++i)
    if (!(step[i] <= after) && !(bytes[i] <= most) && std::isfinite(bytes[i])) most = bytes[i];
  return most;
}

}  // namespace ocoee::report
