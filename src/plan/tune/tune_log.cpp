// SPDX-License-Identifier: Apache-2.0
#include "plan/tune/tune_log.h"

#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>

#include "core/error.h"
#include "core/file.h"
#include "core/text.h"

namespace ocoee::plan {
namespace {

using nlohmann::json;

json header_of(const KnobSpace& space, const json& about) {
  json header = {{"kind", "tune"}, {"version", 1}, {"about", about}, {"knobs", json::array()}};
  for (const Knob& knob : space.knobs())
    header["knobs"].push_back({{"key", knob.key}, {"values", knob.values}});
  return header;
}

[[noreturn]] void fail_line(const std::filesystem::path& path, size_t line,
                            const std::string& what) {
  fail(ErrorKind::data, "{}:{}: {}\n    fix: move the file aside, or use another --out",
       path.string(), line, what);
}

void check_same(const std::filesystem::path& path, const json& there, const json& here) {
  if (there == here) return;
  for (const char* part : {"version", "about", "knobs"}) {
    const json before = there.value(part, json());
    const json& now = here.at(part);
    if (before == now) continue;
    for (const auto& change : json::diff(before, now)) {
      const json::json_pointer at(change.at("path").get<std::string>());
      const auto text = [&](const json& in) {
        return in.contains(at) ? in.at(at).dump() : "nothing";
      };
      fail(
          ErrorKind::config,
          "{}: an earlier search stands there, of something else: {}{} was {}, and is {}\n    fix: "
          "use another --out, or ask for the same",
          path.string(), part, at.to_string(), text(before), text(now));
    }
  }
}

Trial trial_of(const json& line, const KnobSpace& space) {
  Trial trial;
  trial.point = line.at("point").get<Point>();
  if (trial.point.size() != space.size()) throw json::other_error::create(501, "a point", nullptr);
  for (size_t k = 0; k < space.size(); ++k) {
    if (trial.point[k] < 0 || trial.point[k] >= static_cast<int>(space.knobs()[k].values.size()))
      throw json::other_error::create(501, "a point outside", nullptr);
  }
  const std::string outcome = line.at("outcome").get<std::string>();
  trial.outcome = outcome == "ok" ? TrialOutcome::ok : TrialOutcome::infeasible;
  if (trial.outcome == TrialOutcome::ok) trial.value = line.at("value").get<double>();
  trial.seconds = line.value("seconds", 0.0);
  trial.note = line.value("note", "");
  trial.memory.share = line.value("memory", 0.0);
  trial.memory.ran_out = line.value("out_of_memory", false);
  return trial;
}

}  // namespace

TuneLog::TuneLog(const std::filesystem::path& path, const KnobSpace& space, const json& about)
    : path_(path) {
  const json header = header_of(space, about);
  std::error_code ignored;
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), ignored);
  std::string kept;
  if (std::filesystem::exists(path, ignored)) {
    const std::vector<std::string> lines = split(read_file(path), '\n');
    for (size_t i = 0; i < lines.size(); ++i) {
      if (lines[i].empty()) continue;
      const json line = json::parse(lines[i], nullptr, /*allow_exceptions=*/false);
      if (line.is_discarded() && i + 1 == lines.size()) break;  // cut short by a kill
      if (!line.is_object()) fail_line(path, i + 1, "no line of a search");
      if (i == 0) {
        check_same(path, line, header);
      } else {
        try {
          earlier_.push_back(trial_of(line, space));
        } catch (const json::exception&) {
          fail_line(path, i + 1, "no trial of these knobs");
        }
        earlier_.back().id = static_cast<int64_t>(earlier_.size()) - 1;
      }
      kept += lines[i] + "\n";
    }
  }
  if (kept.empty()) kept = header.dump() + "\n";
  write_file_atomically(path, kept);
  file_ = std::fopen(path.c_str(), "ae");
  if (!file_) fail_errno(path, "write");
}

TuneLog::~TuneLog() {
  if (file_) std::fclose(file_);
}

void TuneLog::write(const json& line) {
  const std::string text = line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  if (std::fwrite(text.data(), 1, text.size(), file_) != text.size() || std::fflush(file_) != 0 ||
      ::fsync(::fileno(file_)) != 0)
    fail_errno(path_, "write");
}

void TuneLog::finished(const Trial& trial, const KnobSpace& space) {
  json line = {{"point", trial.point},
               {"outcome", name_of(trial.outcome)},
               {"seconds", trial.seconds},
               {"set", space.text(trial.point)}};
  if (trial.outcome == TrialOutcome::ok) line["value"] = trial.value;
  if (trial.memory.share > 0) line["memory"] = trial.memory.share;
  if (trial.memory.ran_out) line["out_of_memory"] = true;
  if (!trial.note.empty()) line["note"] = trial.note;
  write(line);
}

}  // namespace ocoee::plan
