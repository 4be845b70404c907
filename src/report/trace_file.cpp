// SPDX-License-Identifier: Apache-2.0
// Chrome traces (the "Trace Event Format"), parsed event by event: hundreds of megabytes do not
// become a tree, and whatever stands before a cut is used.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <tuple>

#include "core/text.h"
#include "report/run_directory.h"

namespace ocoee::report {
namespace {

using nlohmann::json;
constexpr size_t kMostSpans = 2'000'000;

struct TraceEvent {
  std::string name, phase, thread_text;  // `thread_text`: a tid written as a string
  std::string args_name;
  double ts = NAN, dur = NAN;
  int64_t pid = 0, tid = 0, step = -1;
};

// Collects the fields of one event at a time; events are the objects of the outermost (or
// "traceEvents") array.
class Collector : public nlohmann::json_sax<json> {
 public:
  std::map<std::pair<int64_t, int64_t>, TraceTrack> tracks;
  bool is_cut = false;
  bool too_many = false;

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t v) override { return number(static_cast<double>(v)); }
  bool number_unsigned(number_unsigned_t v) override { return number(static_cast<double>(v)); }
  bool number_float(number_float_t v, const string_t&) override { return number(v); }
  bool binary(binary_t&) override { return true; }
  bool key(string_t& text) override {
    key_ = text;
    return true;
  }
  bool string(string_t& text) override {
    if (depth_ == event_depth_) {
      if (key_ == "name") event_.name = text;
      if (key_ == "ph") event_.phase = text;
      if (key_ == "tid") event_.thread_text = text;
    } else if (depth_ == event_depth_ + 1 && key_ == "name") {
      event_.args_name = text;
    }
    return true;
  }
  bool start_object(size_t) override {
    ++depth_;
    if (array_depth_ > 0 && depth_ == array_depth_ + 1) {
      event_ = {};
      event_depth_ = depth_;
    }
    return true;
  }
  bool end_object() override {
    if (depth_ == event_depth_) {
      finish_event();
      event_depth_ = -1;
    }
    --depth_;
    return !too_many;
  }
  bool start_array(size_t) override {
    ++depth_;
    if (array_depth_ == 0 && (depth_ == 1 || (depth_ == 2 && key_ == "traceEvents")))
      array_depth_ = depth_;
    return true;
  }
  bool end_array() override {
    if (depth_ == array_depth_) array_depth_ = -1;  // events are over
    --depth_;
    return true;
  }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override {
    is_cut = true;
    return false;
  }

 private:
  bool number(double value) {
    const auto whole = [&] { return std::abs(value) < 9e15 ? static_cast<int64_t>(value) : 0; };
    if (depth_ == event_depth_) {
      if (key_ == "ts") event_.ts = value;
      if (key_ == "dur") event_.dur = value;
      if (key_ == "pid") event_.pid = whole();
      if (key_ == "tid") event_.tid = whole();
    } else if (depth_ == event_depth_ + 1 && key_ == "step") {
      event_.step = whole();
    }
    return true;
  }

  TraceTrack& track() {
    if (!event_.thread_text.empty())
      event_.tid = static_cast<int64_t>(hash64(event_.thread_text) >> 16);
    auto [found, is_new] = tracks.try_emplace({event_.pid, event_.tid});
    TraceTrack& track = found->second;
    if (is_new) {
      track.pid = event_.pid;
      track.tid = event_.tid;
      track.is_named = !event_.thread_text.empty();
      if (track.is_named) track.thread = event_.thread_text;
    }
    return track;
  }

  void finish_event() {
    constexpr double kMicro = 1e-6;
    if (event_.phase == "M") {
      if (event_.name == "process_name") processes_[event_.pid] = event_.args_name;
      if (event_.name == "thread_name") track().thread = event_.args_name, track().is_named = true;
      return;
    }
    if (!std::isfinite(event_.ts)) return;
    if (event_.phase == "X" && std::isfinite(event_.dur) && event_.dur >= 0) {
      add(track(),
          {event_.name, event_.ts * kMicro, (event_.ts + event_.dur) * kMicro, event_.step});
    } else if (event_.phase == "B") {
      open_[{event_.pid, event_.tid}].push_back({event_.name, event_.ts * kMicro, 0, event_.step});
    } else if (event_.phase == "E") {
      auto& stack = open_[{event_.pid, event_.tid}];
      if (stack.empty()) return;
      stack.back().end = event_.ts * kMicro;
      add(track(), stack.back());
      stack.pop_back();
    }
  }

  void add(TraceTrack& track, TraceSpan span) {
    track.spans.push_back(std::move(span));
    too_many = ++spans_ >= kMostSpans;
  }

 public:
  std::map<int64_t, std::string> processes_;

 private:
  std::map<std::pair<int64_t, int64_t>, std::vector<TraceSpan>> open_;
  TraceEvent event_;
  std::string key_;
  int depth_ = 0, array_depth_ = 0, event_depth_ = -1;
  size_t spans_ = 0;
};

}  // namespace

std::vector<TraceTrack> read_trace(const std::filesystem::path& path,
                                   std::vector<std::string>& remarks) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    remarks.push_back("trace.json cannot be opened.");
    return {};
  }
  Collector collector;
  json::sax_parse(file, &collector);
  std::vector<TraceTrack> tracks;
  double start = 1e300;
  for (auto& [id, track] : collector.tracks) {
    if (track.spans.empty()) continue;
    std::stable_sort(track.spans.begin(), track.spans.end(),
                     [](const TraceSpan& a, const TraceSpan& b) { return a.begin < b.begin; });
    start = std::min(start, track.spans.front().begin);
    const auto name = collector.processes_.find(track.pid);
    track.process =
        name != collector.processes_.end() ? name->second : fmt::format("rank {}", track.pid);
    if (track.thread.empty()) track.thread = fmt::format("track {}", track.tid);
    tracks.push_back(std::move(track));
  }
  // ranks in order; in each the computing track first, then threads by number or by name
  const auto place = [](const TraceTrack& t) {
    return std::tuple(t.pid, t.thread != "compute", t.is_named ? t.thread : "", t.tid);
  };
  std::stable_sort(tracks.begin(), tracks.end(),
                   [&](const TraceTrack& a, const TraceTrack& b) { return place(a) < place(b); });
  for (TraceTrack& track : tracks)
    for (TraceSpan& span : track.spans) span.begin -= start, span.end -= start;
  if (collector.too_many) {
    remarks.push_back(
        fmt::format("trace.json holds more than {} spans; the first ones are used.", kMostSpans));
  } else if (collector.is_cut) {
    remarks.push_back(tracks.empty()
                          ? "trace.json cannot be read."
                          : "trace.json is cut short; what stands before the cut is used.");
  }
  return tracks;
}

}  // namespace ocoee::report
