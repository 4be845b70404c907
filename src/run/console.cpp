// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "core/progress.h"
#include "core/text.h"
#include "core/trace.h"
#include "run/listeners.h"

namespace ocoee::run {
namespace {

using nlohmann::json;

std::string words(std::string name) {
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}

std::string text_of(const json& fields) {
  for (const char* key : {"text", "message"}) {
    if (fields.contains(key) && fields[key].is_string()) return fields[key];
  }
  return "";
}

class Console final : public ConsoleListener {
 public:
  void expect(const ConsoleOptions& options) override {
    name_ = options.position_name;
    progress_.emplace(Progress::Options{.first = options.first,
                                        .total = options.total,
                                        .wall_seconds = options.wall_seconds,
                                        .terminal = Progress::is_terminal(stdout)},
                      trace::now_seconds());
  }

  void at(int64_t position, int64_t total) override {
    progress_->expect(total);
    progress_->tick(position, trace::now_seconds());
  }

  void on(const Event& event) override {
    if (event.kind == "step") {
      progress_->update(event.step, step_text(event), trace::now_seconds());
    } else if (event.kind == "plan") {
      for (const json& line : event.fields.value("lines", json::array()))
        progress_->say(line.get<std::string>());
    } else if (event.kind == "evaluation") {
      progress_->say(
          fmt::format("{} {:>7}  evaluation{}", name_, event.step, numbers(event.fields)));
    } else if (event.kind == "checkpoint_saved") {
      const double seconds = event.fields.value("seconds", 0.0);
      progress_->say(fmt::format("{} {:>7}  checkpoint saved in {}", name_, event.step,
                                 format_seconds(seconds)));
    } else if (event.kind == "checkpoint_loaded") {
      progress_->say(fmt::format("going on from the checkpoint of {} {}", name_, event.step));
    } else if (const std::string text = text_of(event.fields); !text.empty()) {
      progress_->say((event.kind == "warning" ? "warning: " : "") + text);
    }
    if (event.kind == "run_finished" || event.kind == "run_stopped") progress_->finish();
  }

 private:
  static std::string numbers(const json& fields) {
    std::string text;
    for (const auto& [name, value] : fields.items()) {
      if (value.is_number_float())
        text += fmt::format("  {} {:.4f}", words(name), value.get<double>());
    }
    return text;
  }
  std::string step_text(const Event& event) const {
    const json& f = event.fields;
    std::string text = fmt::format("{} {:>7}", name_, event.step);
    for (const auto& [name, value] : f.items()) {
      if (name.starts_with("loss") && !name.starts_with("loss_scale") && value.is_number())
        text += fmt::format("  {} {:.4f}", name, value.get<double>());
    }
    for (const json& name : f.value("shown", json::array())) {  // what the task wants seen
      if (!name.is_string() || !f.contains(name.get<std::string>())) continue;
      const json& value = f[name.get<std::string>()];
      if (value.is_number())
        text += fmt::format("  {} {:.4g}", words(name.get<std::string>()), value.get<double>());
    }
    for (const char* unit : {"tokens", "samples", "trials"}) {
      const std::string key = std::string(unit) + "_per_second";
      if (!f.contains(key) || !f[key].is_number()) continue;
      text += fmt::format("  {} {}/s", format_count(f[key].get<double>()), unit);
      break;
    }
    if (f.contains("mfu") && f["mfu"].is_number())
      text += fmt::format("  MFU {:.1f} %", 100 * f["mfu"].get<double>());
    return text;
  }

  std::optional<Progress> progress_ =
      std::make_optional<Progress>(Progress::Options{}, trace::now_seconds());
  std::string name_ = "step";
};

}  // namespace

std::unique_ptr<ConsoleListener> make_console() {
  return std::make_unique<Console>();
}

}  // namespace ocoee::run
