// SPDX-License-Identifier: Apache-2.0
#include "core/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <ctime>
#include <string_view>

#include "core/text.h"

namespace ocoee {
namespace {

constexpr const char* kClearLine = "\r\033[2K";

size_t columns_of(std::FILE* out) {
  winsize size{};
  if (::ioctl(::fileno(out), TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

}  // namespace

double slurm_seconds_left() {
  const char* end = std::getenv("SLURM_JOB_END_TIME");
  if (!end || !*end) return -1;
  char* rest = nullptr;
  const double at = std::strtod(end, &rest);
  if (*rest != '\0' || at <= 0) return -1;
  return std::max(0.0, at - static_cast<double>(std::time(nullptr)));
}

bool Progress::is_terminal(std::FILE* out) {
  const char* term = std::getenv("TERM");
  // Open MPI's mpirun gives its ranks a terminal as standard output, wherever that goes to; their
  // standard error is a pipe.
  return ::isatty(::fileno(out)) != 0 && ::isatty(STDERR_FILENO) != 0 && term &&
         std::string_view(term) != "dumb";
}

Progress::Progress(const Options& options, double now)
    : options_(options),
      begin_(now),
      rate_first_(options.first),
      rate_begin_(now),
      said_(now),
      next_line_(options.first) {}

Progress::~Progress() {
  finish();
}

std::string Progress::time_for(int64_t done, double now) const {
  std::string line;
  const double elapsed = now - begin_;
  const int64_t made = done - rate_first_;
  if (done > options_.total) {  // of work whose length was an estimate
    line = fmt::format("{} so far, longer than expected", format_seconds(elapsed));
  } else if (done == options_.total) {
    line = fmt::format("done in {}", format_seconds(elapsed));
  } else if (made > 0) {
    const double each = (now - rate_begin_) / static_cast<double>(made);
    line =
        fmt::format("{} left", format_seconds(each * static_cast<double>(options_.total - done)));
  }
  if (options_.wall_seconds > 0 && done < options_.total)
    line += fmt::format("{}wall time left {}", line.empty() ? "" : "  ",
                        format_seconds(std::max(0.0, options_.wall_seconds - elapsed)));
  return line;
}

// The first quantum holds what is done once, so the rate counts from behind it.
void Progress::count(int64_t done, double now) {
  if (rate_first_ != options_.first || done <= options_.first) return;
  rate_first_ = done;
  rate_begin_ = now;
}

void Progress::tick(int64_t done, double now) {
  constexpr double kBetween = 0.1;  // a terminal shows no more
  count(done, now);
  if (options_.terminal && now - drawn_ >= kBetween) draw(done, now);
}

double Progress::seconds_between(double elapsed) {
  return std::clamp(elapsed / 40, 30.0, 300.0);
}

void Progress::update(int64_t done, const std::string& text, double now) {
  count(done, now);
  text_ = text;
  if (options_.terminal) return draw(done, now);
  if (done < next_line_ && done != options_.total && now - said_ < seconds_between(now - begin_))
    return;
  said_ = now;
  const int64_t lines = std::max<int64_t>(1, options_.lines);
  next_line_ = done + std::max<int64_t>(1, (options_.total - options_.first) / lines);
  const std::string time = time_for(done, now);
  say(text + (time.empty() ? "" : "  ") + time);
}

void Progress::draw(int64_t done, double now) {
  drawn_ = now;
  const std::string time = time_for(done, now);
  const double share =
      options_.total > 0 ? static_cast<double>(done) / static_cast<double>(options_.total) : 1;
  const int filled = static_cast<int>(options_.width * std::clamp(share, 0.0, 1.0));
  bar_ = fmt::format("[{:=>{}}{:>{}}] {}/{}  {}{}{}", "", filled, "", options_.width - filled, done,
                     options_.total, time, time.empty() ? "" : "  ", text_);
  // A longer line would wrap, and could not be cleared; so the time stands first.
  if (const size_t columns = columns_of(options_.out); bar_.size() >= columns)
    bar_.resize(columns - 1);
  std::fputs((kClearLine + bar_).c_str(), options_.out);
  std::fflush(options_.out);
}

void Progress::say(const std::string& line) {
  if (!bar_.empty()) std::fputs(kClearLine, options_.out);
  std::fputs((line + "\n" + bar_).c_str(), options_.out);
  std::fflush(options_.out);
}

void Progress::finish() {
  if (bar_.empty()) return;
  bar_.clear();
  std::fputs("\n", options_.out);
  std::fflush(options_.out);
}

}  // namespace ocoee
