// SPDX-License-Identifier: Apache-2.0
// fault_driver PROGRAM MODE COUNT [FIRST] [timed]: starts a job of four ranks COUNT times, makes
// another rank of it misbehave each time, FIRST (2) before the others, and checks that the message
// names that rank, once, and that the job ends. Prints the seconds from the fault to the moment at
// which a rank wrote the message (its standard error is a file here, see fault_program.cpp);
// `timed` fails where they are more than promised (by hand, on a quiet machine: tests never depend
// on time).
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <regex>
#include <string>
#include <thread>
#include <vector>

#include <fmt/format.h>

namespace {

constexpr int kRanks = 4;

double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Expectation {
  std::string message;  // regular expression; %v is the victim
  double promised = 10;
  int code = 0;  // of the job; 0: any but success
};

Expectation expectation_of(const std::string& mode) {
  const std::string named = "rank %v of 4 \\(host [^)]*\\) ";
  if (mode == "kill" || mode == "crash") return {named + "died: ", 1.0, 0};
  if (mode == "stop") return {named + "gives no sign of life", 10, 0};
  if (mode == "hang")
    return {named +
                "hangs: .*operation [0-9]+ on 'data', called at "
                "tests/comm/faults/fault_program.cpp:[0-9]+",
            7, 5};
  if (mode == "order")
    return {
        "rank %v is at another operation than ranks .*rank %v of 4 .*on 'loss', called at "
        "tests/comm/faults/",
        10, 5};
  if (mode == "leave") return {"rank %v ended, but ranks .* wait for it", 10, 5};
  if (mode == "throw") return {named + "failed: the held-out file is broken", 2, 3};
  if (mode == "unreported") return {named + "failed: an error that nobody reported", 2, 0};
  if (mode == "all_fail") return {"ranks 0, 1, 2, 3 failed: the same file is broken for all", 2, 3};
  return {
      "rank %v differs on 'data' in operation [0-9]+.*called at "
      "tests/comm/faults/fault_program.cpp:[0-9]+",
      10, 0};
}

struct Outcome {
  std::string output;
  double fault = 0, message = 0;  // when
  int status = 0;
  bool timed_out = false;
};

class Job {
 public:
  Job(const std::string& program, const std::string& mode, int victim)
      : mode_(mode), victim_(victim) {
    int ends[2];
    char path[] = "/tmp/fault_messages_XXXXXX";
    messages_ = ::mkostemp(path, O_CLOEXEC | O_APPEND);
    if (messages_ < 0 || ::pipe2(ends, O_CLOEXEC) != 0) std::exit(70);
    path_ = path;
    child_ = ::fork();
    if (child_ == 0) {
      ::dup2(ends[1], 1);
      ::dup2(ends[1], 2);
      ::setenv("FAULT_MESSAGES", path, 1);
      const std::string mpirun = OCOEE_SOURCE_DIR "/tests/mpirun.sh",
                        ranks = std::to_string(kRanks), who = std::to_string(victim);
      ::execl(mpirun.c_str(), mpirun.c_str(), ranks.c_str(), program.c_str(), mode.c_str(),
              who.c_str(), nullptr);
      ::_exit(127);
    }
    ::close(ends[1]);
    output_ = ends[0];
  }

  Outcome watch() {
    char bytes[4096];
    const double start = seconds();
    std::thread reader([&] {
      for (bool last = false; !last;) {
        last = over_;  // once more after the end
        for (ssize_t n; (n = ::read(messages_, lines_, sizeof lines_)) > 0;) {
          told_.append(lines_, static_cast<size_t>(n));
          if (outcome_.message == 0 && told_.find("\nocoee: ") != std::string::npos)
            outcome_.message = seconds();
        }
        if (!last) std::this_thread::sleep_for(std::chrono::milliseconds(2));
      }
    });
    std::thread guard([&] {  // a job that nothing ends
      for (int i = 0; i < 900 && !over_; ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
      if (!over_) {
        outcome_.timed_out = true;
        ::kill(child_, SIGTERM);
      }
    });
    for (ssize_t n; (n = ::read(output_, bytes, sizeof bytes)) > 0;)
      take({bytes, static_cast<size_t>(n)});
    ::waitpid(child_, &outcome_.status, 0);
    over_ = true;
    guard.join();
    reader.join();
    outcome_.output += told_;
    ::close(output_);
    ::close(messages_);
    ::unlink(path_.c_str());
    if (outcome_.fault == 0) outcome_.fault = start;
    return outcome_;
  }

 private:
  void take(const std::string& text) {
    const double now = seconds();
    outcome_.output += text;
    if (outcome_.fault > 0 || outcome_.output.find("now\n") == std::string::npos) return;
    if (mode_ == "kill" || mode_ == "stop") {
      std::smatch found;
      if (!std::regex_search(outcome_.output, found,
                             std::regex("process " + std::to_string(victim_) + " ([0-9]+)\n")))
        std::exit(70);
      std::this_thread::sleep_for(std::chrono::milliseconds(20 * victim_));
      outcome_.fault = seconds();
      ::kill(std::stoi(found[1]), mode_ == "kill" ? SIGKILL : SIGSTOP);
    } else {
      outcome_.fault = now;
    }
  }

  std::string mode_;
  int victim_;
  pid_t child_ = 0;
  int output_ = -1, messages_ = -1;
  std::string path_, told_ = "\n";
  char lines_[4096];
  Outcome outcome_;
  std::atomic<bool> over_{false};
};

std::string judge(const Outcome& outcome, const std::string& mode, int victim, bool timed) {
  if (outcome.timed_out) return "the job did not end";
  const int code =
      WIFEXITED(outcome.status) ? WEXITSTATUS(outcome.status) : 128 + WTERMSIG(outcome.status);
  size_t messages = 0;
  for (size_t at = 0; (at = outcome.output.find("\nocoee: ", at)) != std::string::npos; ++at)
    ++messages;
  if (mode == "clean")
    return messages > 0 ? "a clean end was reported"
           : code != 0  ? fmt::format("exit code {}", code)
                        : "";
  const Expectation expected = expectation_of(mode);
  const std::string pattern =
      std::regex_replace(expected.message, std::regex("%v"), std::to_string(victim));
  std::string line = outcome.output;
  std::replace(line.begin(), line.end(), '\n', ' ');  // ECMAScript's dot stops at line ends
  if (!std::regex_search(line, std::regex(pattern))) return "no such message: " + pattern;
  if (messages != 1) return fmt::format("{} messages", messages);
  if (expected.code != 0 ? code != expected.code : code == 0)
    return fmt::format("exit code {}", code);
  if (timed && outcome.message - outcome.fault > expected.promised) return "too late";
  return "";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 64;
  const std::string program = argv[1], mode = argv[2];
  const int count = std::atoi(argv[3]);
  const bool timed = std::string(argv[argc - 1]) == "timed";
  const int first = argc > 4 + timed ? std::atoi(argv[4]) : 2;
  int good = 0;
  std::vector<double> times;
  for (int i = 0; i < count; ++i) {
    const int victim = (i + first) % kRanks;
    const Outcome outcome = Job(program, mode, victim).watch();
    const std::string complaint = judge(outcome, mode, victim, timed);
    if (complaint.empty()) {
      ++good;
    } else {
      std::printf("%s, rank %d: %s\n%s\n", mode.c_str(), victim, complaint.c_str(),
                  outcome.output.c_str());
    }
    times.push_back(outcome.message - outcome.fault);
    if (i == 0 && complaint.empty()) std::printf("%s\n", outcome.output.c_str());
  }
  std::sort(times.begin(), times.end());
  if (mode == "clean") {
    std::printf("%s: %d of %d\n", mode.c_str(), good, count);
  } else {
    std::printf("%s: %d of %d; seconds to the message: median %.2f, longest %.2f\n", mode.c_str(),
                good, count, times[times.size() / 2], times.back());
  }
  return good == count ? 0 : 1;
}
