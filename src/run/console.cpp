// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

#include "core/text.h"
#include "core/trace.h"
#include "run/listeners.h"

namespace ocoee::run {
namespace {

class Console final : public Listener {
 public:
  Console(int64_t first, int64_t total, double wall_time)
      : first_(first), total_(total), wall_time_(wall_time), begin_(trace::now_seconds()), terminal_(::isatty(STDOUT_FILENO) != 0) {}

  void on(const Event& event) override {
    if (event.kind == "step") return step(event);
    clear_bar();
    if (event.kind == "plan") {
      for (const auto& line : event.fields.value("lines", nlohmann::json::array())) say(line.get<std::string>());
    } else if (event.kind == "evaluation") {
      std::string text;
      for (const auto& [name, value] : event.fields.items()) {
        if (value.is_number() && name != "letters_scored") text += fmt::format("  {} {:.4f}", words(name), value.get<double>());
      }
      say(fmt::format("step {:>7}  evaluation{}", event.step, text));
    } else if (event.kind == "checkpoint_saved") {
      say(fmt::format("step {:>7}  checkpoint saved", event.step));
    } else if (event.kind == "checkpoint_loaded") {
      say(fmt::format("going on from the checkpoint of step {}", event.step));
    } else if (event.fields.contains("text")) {
      say((event.kind == "warning" ? "warning: " : "") + event.fields["text"].get<std::string>());
    }
  }
  void flush() override { std::fflush(stdout); }

 private:
  void step(const Event& event) {
    const auto& f = event.fields;
    std::string text = fmt::format("step {:>7}", event.step);
    for (const auto& [name, value] : f.items()) {
      if (name.starts_with("loss") && !name.starts_with("loss_scale") && value.is_number()) text += fmt::format("  {} {:.4f}", name, value.get<double>());
    }
    if (f.contains("tokens_per_second")) text += fmt::format("  {} tokens/s", format_count(f["tokens_per_second"].get<double>()));
    else if (f.contains("samples_per_second")) text += fmt::format("  {} samples/s", format_count(f["samples_per_second"].get<double>()));
    if (f.contains("mfu") && f["mfu"].is_number()) text += fmt::format("  MFU {:.1f} %", 100 * f["mfu"].get<double>());
    const double elapsed = trace::now_seconds() - begin_;
    const int64_t done = event.step - first_;
    const double left = done > 0 ? elapsed / static_cast<double>(done) * static_cast<double>(total_ - event.step) : 0;
    text += event.step >= total_ ? fmt::format("  done in {}", format_seconds(elapsed)) : fmt::format("  {} left", format_seconds(left));
    if (wall_time_ > 0) text += fmt::format("  wall time left {}", format_seconds(std::max(0.0, wall_time_ - elapsed)));
    if (!terminal_) {
      if (event.step < next_line_ && event.step != total_) return;  // a batch log stays readable
      next_line_ = event.step + std::max<int64_t>(1, (total_ - first_) / 40);
      return say(text);
    }
    constexpr int kWidth = 24;
    const int filled = static_cast<int>(kWidth * static_cast<double>(event.step) / static_cast<double>(std::max<int64_t>(1, total_)));
    std::printf("\r\033[2K[%s%s] %s", std::string(static_cast<size_t>(filled), '=').c_str(), std::string(static_cast<size_t>(kWidth - filled), ' ').c_str(), text.c_str());
    bar_ = true;
    if (event.step >= total_) std::printf("\n"), bar_ = false;
    std::fflush(stdout);
  }

  static std::string words(std::string name) {
    for (char& c : name) {
      if (c == '_') c = ' ';
    }
    return name;
  }
  void clear_bar() {
    if (bar_) std::printf("\r\033[2K");
    bar_ = false;
  }
  void say(const std::string& text) {
    std::printf("%s\n", text.c_str());
    std::fflush(stdout);
  }

  int64_t first_, total_, next_line_ = 0;
  double wall_time_, begin_;
  bool terminal_, bar_ = false;
};

}  // namespace

std::unique_ptr<Listener> make_console(int64_t first, int64_t total, double wall_time) {
  return std::make_unique<Console>(first, total, wall_time);
}

}  // namespace ocoee::run
