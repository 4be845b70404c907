// SPDX-License-Identifier: Apache-2.0
// What happens in a run is an event; console, JSONL, TensorBoard, trace and report listen.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/trace.h"

namespace ocoee::run {

struct Event {
  // "run_started", "plan", "step", "evaluation", "checkpoint_saved", "checkpoint_loaded",
  // "warning", "note", "run_stopped", "run_finished"
  std::string kind;
  int64_t step = 0;
  nlohmann::json fields =
      nlohmann::json::object();  // of "step": loss, learning_rate, gradient_norm, seconds, ...
};

class Listener {
 public:
  virtual ~Listener() = default;
  virtual void on(const Event& event) = 0;
  virtual void flush() {}
};

class Events {  // rank 0 has listeners; elsewhere emit() does nothing
 public:
  void add(std::unique_ptr<Listener> listener) {
    for (const Event& event : kept_) listener->on(event);
    listeners_.push_back(std::move(listener));
  }
  // From keep() to forget(), events are kept for listeners that are added later.
  void keep() { keeps_ = true; }
  void forget() { keeps_ = false, kept_.clear(); }
  void emit(const Event& event) {
    if (keeps_) kept_.push_back(event);
    for (auto& listener : listeners_) listener->on(event);
  }
  void flush() {
    for (auto& listener : listeners_) listener->flush();
  }
  // Since the run began, with the parts of it that a resumed run goes on from.
  double seconds() const { return earlier_seconds_ + trace::now_seconds(); }
  void resumed_after(double seconds) { earlier_seconds_ = seconds; }

 private:
  double earlier_seconds_ = 0;
  bool keeps_ = false;
  std::vector<Event> kept_;
  std::vector<std::unique_ptr<Listener>> listeners_;
};

}  // namespace ocoee::run
