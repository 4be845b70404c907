// SPDX-License-Identifier: Apache-2.0
#include "plan/refusal.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.h"
#include "core/text.h"

namespace ocoee::plan {
namespace {

// What can be set beside the devices: its option, the ranks or samples that it asks for, and where
// they stand in a configuration.
struct Axis {
  const char* name;
  std::optional<int64_t> SearchRequest::*pin;
  int64_t Configuration::*ranks;
};
constexpr Axis kAxes[] = {
    {"tensor", &SearchRequest::tensor, &Configuration::tensor},
    {"context", &SearchRequest::context, &Configuration::context},
    {"pipeline", &SearchRequest::pipeline, &Configuration::pipeline},
    {"micro", &SearchRequest::micro, &Configuration::micro},
};

bool can_be(Predictor& predictor, SearchRequest request) {
  // A system's first level and mode can always be.
  if (!request.shard) request.shard = predictor.system().shards.front();
  if (!request.recompute) request.recompute = predictor.system().recomputes.front();
  bool found = false;
  each_configuration(predictor, request, [&](const Configuration&) { return found = true; });
  return found;
}

// The first configuration that fits, where one does.
std::optional<Configuration> fitting(Predictor& predictor, const SearchRequest& request) {
  std::optional<Configuration> found;
  each_configuration(predictor, request, [&](const Configuration& c) {
    if (!found && predictor.predict(c).fits) found = c;
    return found.has_value();
  });
  return found;
}

SearchRequest without_pins(const SearchRequest& request) {
  SearchRequest out;
  out.devices = request.devices;
  out.tensor_across_nodes = request.tensor_across_nodes;
  return out;
}

bool has_pins(const SearchRequest& r) {
  return r.tensor || r.context || r.pipeline || r.micro || r.shard || r.recompute;
}

int64_t most_devices(const Machine& machine) {
  return std::max(machine.network.devices, machine.node.devices);
}

// The value nearest to `wrong` that works; of two equally near, the smaller. 0: none up to `most`.
template <class Works>
int64_t nearest_value(int64_t wrong, int64_t most, const Works& works) {
  for (int64_t away = 1; away < std::max(wrong, most); ++away) {
    if (wrong - away >= 1 && wrong - away <= most && works(wrong - away)) return wrong - away;
    if (wrong + away <= most && works(wrong + away)) return wrong + away;
  }
  return 0;
}

[[noreturn]] void say(Predictor& predictor, const SearchRequest& request, const std::string& reason,
                      const std::string& fix) {
  const Workload& w = predictor.workload();
  fail(ErrorKind::config, "{} has no layout on {} device{} with a batch of {}: {}\n    fix: {}",
       w.name, request.devices, request.devices == 1 ? "" : "s", w.global_batch, reason, fix);
}

void check_machine(Predictor& predictor, const SearchRequest& request) {
  const Machine& machine = predictor.machine();
  if (request.devices <= most_devices(machine)) return;
  Configuration plain;
  plain.data = request.devices;
  say(predictor, request, predictor.problem(plain),
      machine.network.devices == 0
          ? fmt::format("--devices of at most {}, or a profile with a [network]",
                        machine.node.devices)
          : fmt::format("--devices of at most {}", machine.network.devices));
}

// Of ranks or samples that cannot be, whatever the other axes are.
std::string reason_of(Predictor& predictor, const SearchRequest& request, const Axis& axis) {
  const int64_t value = *(request.*axis.pin);
  const int64_t batch = predictor.workload().global_batch;
  if (axis.ranks == &Configuration::micro && batch % value != 0)
    return fmt::format("{} does not divide a batch of {}", value, batch);
  Configuration alone;
  alone.*axis.ranks = value;
  if (std::string problem = predictor.problem(alone); !problem.empty()) return problem;
  if (axis.ranks != &Configuration::micro && request.devices % value != 0)
    return fmt::format("{} does not divide {} devices", value, request.devices);
  return "the data ranks that are left do not divide the batch";
}

template <class Word>
void check_word(Predictor& predictor, const SearchRequest& request, const char* option,
                const std::optional<Word>& pin, const std::vector<Word>& known) {
  if (!pin || std::find(known.begin(), known.end(), *pin) != known.end()) return;
  std::vector<std::string> names;
  for (const Word word : known) names.emplace_back(name_of(word));
  say(predictor, request,
      fmt::format("--{} {}: {} knows {}", option, name_of(*pin), predictor.system().name,
                  join(names, ", ")),
      fmt::format("--{} {}", option, names.back()));
}

int64_t nearest_pin(Predictor& predictor, const SearchRequest& request, const Axis& axis,
                    int64_t wrong) {
  const bool samples = axis.ranks == &Configuration::micro;
  const int64_t most = samples ? predictor.workload().global_batch : request.devices;
  return nearest_value(wrong, most, [&](int64_t value) {
    SearchRequest with = request;
    with.*axis.pin = value;
    return can_be(predictor, with);
  });
}

std::string fix_of(const Axis& axis, int64_t value) {
  return fmt::format("--{} {} is the nearest that works", axis.name, value);
}

void check_each_axis(Predictor& predictor, const SearchRequest& request) {
  for (const Axis& axis : kAxes) {
    if (!(request.*axis.pin)) continue;
    const int64_t wrong = *(request.*axis.pin);
    SearchRequest alone = without_pins(request);
    alone.*axis.pin = wrong;
    if (can_be(predictor, alone)) continue;
    int64_t value = nearest_pin(predictor, request, axis, wrong);
    if (value == 0) value = nearest_pin(predictor, without_pins(request), axis, wrong);
    if (value == 0) continue;  // it is not this axis
    say(predictor, request,
        fmt::format("--{} {}: {}", axis.name, wrong, reason_of(predictor, request, axis)),
        fix_of(axis, value));
  }
}

// Axes that can be by themselves, but not together: the last without which the others can.
void check_axes_together(Predictor& predictor, const SearchRequest& request) {
  for (size_t i = std::size(kAxes); i-- > 0;) {
    const Axis& axis = kAxes[i];
    if (!(request.*axis.pin)) continue;
    SearchRequest others = request;
    (others.*axis.pin).reset();
    if (!can_be(predictor, others)) continue;
    Configuration c;
    std::vector<std::string> set;
    for (const Axis& one : kAxes) {
      if (!(request.*one.pin)) continue;
      c.*one.ranks = *(request.*one.pin);
      if (one.ranks != axis.ranks) set.push_back(fmt::format("--{} {}", one.name, c.*one.ranks));
    }
    const int64_t ranks = c.devices();
    std::string reason;
    if (request.devices % ranks != 0) {
      reason = fmt::format("{} ranks do not divide {} devices", ranks, request.devices);
    } else {
      c.data = request.devices / ranks;
      reason = predictor.problem(c);
    }
    if (reason.empty()) reason = "the data ranks that are left do not divide the batch";
    say(predictor, request,
        fmt::format("--{} {} beside {}: {}", axis.name, c.*axis.ranks, join(set, " "), reason),
        fix_of(axis, nearest_pin(predictor, request, axis, c.*axis.ranks)));
  }
}

void check_shard(Predictor& predictor, const SearchRequest& request) {
  if (!request.shard || *request.shard == Shard::none) return;
  SearchRequest whole = request;
  whole.shard = Shard::none;
  if (!can_be(predictor, whole)) return;
  say(predictor, request,
      fmt::format("--shard {}: {}", name_of(*request.shard),
                  predictor.workload().shard ? "no data or context ranks are left to split over"
                                             : "this task keeps whole states"),
      "--shard none");
}

void check_recompute(Predictor& predictor, const SearchRequest& request) {
  SearchRequest without = request;
  without.recompute.reset();
  if (!request.recompute || !can_be(predictor, without)) return;
  say(predictor, request,
      fmt::format("--recompute {}: it drops nothing of this model", name_of(*request.recompute)),
      fmt::format("--recompute {}", name_of(predictor.system().recomputes.front())));
}

[[noreturn]] void refuse_devices(Predictor& predictor, const SearchRequest& request) {
  const auto nearest_in = [&](const SearchRequest& among) {
    return nearest_value(request.devices, most_devices(predictor.machine()), [&](int64_t value) {
      SearchRequest with = among;
      with.devices = value;
      return can_be(predictor, with);
    });
  };
  int64_t value = nearest_in(request);
  if (value == 0) value = nearest_in(without_pins(request));
  Configuration plain;
  plain.data = request.devices;
  say(predictor, request, predictor.problem(plain),
      value > 0 ? fmt::format("--devices {} is the nearest that works, or another --batch", value)
                : "another --batch");
}

}  // namespace

void refuse_layouts(Predictor& predictor, const SearchRequest& request) {
  check_machine(predictor, request);
  const System& system = predictor.system();
  check_word(predictor, request, "shard", request.shard, system.shards);
  check_word(predictor, request, "recompute", request.recompute, system.recomputes);
  check_each_axis(predictor, request);
  check_shard(predictor, request);
  check_recompute(predictor, request);
  check_axes_together(predictor, request);
  refuse_devices(predictor, request);
}

void refuse_memory(Predictor& predictor, const SearchRequest& request, const Proposal& leanest) {
  const Machine& machine = predictor.machine();
  std::string fix;
  if (has_pins(request)) {
    if (const auto free = fitting(predictor, without_pins(request)))
      fix = fmt::format("set fewer axes: on as many devices this fits: {}", words(*free));
  }
  SearchRequest more = request;
  while (fix.empty() && (more.devices *= 2) <= most_devices(machine)) {
    if (const auto fits = fitting(predictor, more))
      fix = fmt::format("--devices {}: there this fits: {}", more.devices, words(*fits));
  }
  if (fix.empty())
    fix = fmt::format(
        "a machine with more memory or more devices than the {} of {}, or a shorter sequence",
        most_devices(machine), machine.name);
  fail(ErrorKind::memory,
       "{} does not fit on {} x {}: the leanest layout ({}) needs {} of {} a device\n    fix: {}",
       predictor.workload().name, request.devices, machine.device.name,
       words(leanest.configuration), format_bytes(leanest.prediction.total_bytes),
       format_bytes(predictor.usable_bytes()), fix);
}

}  // namespace ocoee::plan
