// SPDX-License-Identifier: Apache-2.0
#include "run/launcher.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <mutex>
#include <thread>

#include "core/error.h"
#include "core/text.h"

extern char** environ;

namespace ocoee::run {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

bool tells_a_rank(std::string_view name) {
  for (const char* prefix : {"OMPI_COMM_", "OMPI_MCA_", "OMPI_", "PMIX_", "PMI_", "PRTE_", "PALS_",
                             "HYDRA_", "HYDI_", "MPI_LOCAL", "MV2_COMM_", "SLURM_", "GROUP_RANK",
                             "ROLE_RANK", "LOCAL_RANK", "TORCHELASTIC_"}) {
    if (name.starts_with(prefix)) return true;
  }
  for (const char* whole :
       {"RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}) {
    if (name == whole) return true;
  }
  return false;
}

bool is_program(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored) && ::access(path.c_str(), X_OK) == 0;
}

void write_inputs(const ChildJob& job) {
  std::error_code code;
  std::filesystem::create_directories(job.folder, code);
  if (code)
    fail(ErrorKind::file, "{}: cannot make the folder: {}", job.folder.string(), code.message());
  for (const auto& [name, contents] : job.files) {
    std::ofstream stream(job.folder / name, std::ios::binary | std::ios::trunc);
    stream << contents;
    stream.close();
    if (!stream)
      fail(ErrorKind::file, "{}: cannot write: {}", (job.folder / name).string(),
           std::strerror(errno));
  }
}

// Words that execve wants, kept alive beside the pointers to them.
struct Pointers {
  explicit Pointers(std::vector<std::string> all) : texts(std::move(all)) {
    for (std::string& text : texts) pointers.push_back(text.data());
    pointers.push_back(nullptr);
  }
  std::vector<std::string> texts;
  std::vector<char*> pointers;
};

// What happens between fork and exec: system calls only, since other threads may hold locks.
[[noreturn]] void become(const char* program, const Pointers& arguments, const Pointers& variables,
                         const char* folder, pid_t parent) {
  ::setpgid(0, 0);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != parent) ::_exit(127);  // the parent died before prctl
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (const int number : {SIGINT, SIGTERM, SIGUSR1, SIGPIPE}) ::signal(number, SIG_DFL);
  const int in = ::open("/dev/null", O_RDONLY);
  if (::chdir(folder) != 0) ::_exit(127);
  const int out = ::open("stdout", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  const int error = ::open("stderr", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (in < 0 || out < 0 || error < 0) ::_exit(127);
  ::dup2(in, 0);
  ::dup2(out, 1);
  ::dup2(error, 2);
  if (::close_range(3, ~0U, 0) != 0) {  // sockets and locks of the parent
    for (int fd = 3; fd < 1024; ++fd) ::close(fd);
  }
  ::execve(program, arguments.pointers.data(), variables.pointers.data());
  ::_exit(127);
}

// Waits until the child has ended, or kills its group.
ChildEnd watch(pid_t child, const ChildJob& job) {
  const Clock::time_point begin = Clock::now();
  Clock::time_point alive = begin;
  std::uintmax_t size = 0;
  int status = 0;
  ChildEnd end;
  std::chrono::milliseconds pause(1);
  for (;;) {
    const pid_t got = ::waitpid(child, &status, WNOHANG);
    if (got == child) break;
    if (got < 0 && errno != EINTR) fail(ErrorKind::internal, "waitpid: {}", std::strerror(errno));
    if (!job.grows.empty()) {
      std::error_code missing;
      const std::uintmax_t now = std::filesystem::file_size(job.folder / job.grows, missing);
      if (!missing && now != size) {
        size = now;
        alive = Clock::now();
        if (job.grown) job.grown();
      }
    }
    if (seconds_since(alive) > job.timeout) {
      ::kill(-child, SIGKILL);
      ::waitpid(child, &status, 0);
      end.how = ChildEnd::How::hung;
      end.seconds = seconds_since(begin);
      return end;
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(2 * pause, std::chrono::milliseconds(20));
  }
  ::kill(-child, SIGKILL);  // what it may have started and left
  end.seconds = seconds_since(begin);
  end.how = WIFEXITED(status) ? ChildEnd::How::exited : ChildEnd::How::killed;
  end.code = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
  return end;
}

}  // namespace

std::string ChildEnd::text() const {
  switch (how) {
    case How::exited:
      return fmt::format("ended with code {}", code);
    case How::killed:
      return fmt::format("was killed by signal {} ({})", code, ::strsignal(code));
    case How::hung:
      break;
  }
  return fmt::format("hung: it was killed after {}", format_seconds(seconds));
}

std::map<std::string, std::string> environment_without_launcher() {
  std::map<std::string, std::string> out;
  for (char** variable = environ; *variable; ++variable) {
    const std::string_view text(*variable);
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos || tells_a_rank(text.substr(0, equals))) continue;
    out[std::string(text.substr(0, equals))] = text.substr(equals + 1);
  }
  return out;
}

std::filesystem::path find_program(const std::string& program) {
  if (program.find('/') != std::string::npos)
    return is_program(program) ? std::filesystem::absolute(program) : std::filesystem::path();
  const char* path = std::getenv("PATH");
  for (const std::string& folder : split(path ? path : "/usr/bin:/bin", ':')) {
    const std::filesystem::path candidate =
        std::filesystem::path(folder.empty() ? "." : folder) / program;
    if (is_program(candidate)) return std::filesystem::absolute(candidate);
  }
  return {};
}

ChildEnd run_child(const ChildJob& job) {
  OCOEE_CHECK(!job.command.empty(), "a child without a command");
  const std::filesystem::path program = find_program(job.command[0]);
  if (program.empty()) {
    fail(ErrorKind::config, "{}: there is no such program{}", job.command[0],
         job.command[0].find('/') == std::string::npos ? " in PATH" : "");
  }
  write_inputs(job);
  std::map<std::string, std::string> environment = environment_without_launcher();
  for (const auto& [name, value] : job.environment) environment[name] = value;
  std::vector<std::string> variables;
  for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
  const Pointers argument_words(job.command), variable_words(std::move(variables));
  const std::string folder = job.folder.string(), path = program.string();

  const pid_t parent = ::getpid(), child = ::fork();
  if (child < 0)
    fail(ErrorKind::memory, "{}: cannot start: {}", job.command[0], std::strerror(errno));
  if (child == 0) become(path.c_str(), argument_words, variable_words, folder.c_str(), parent);
  return watch(child, job);
}

void run_side_by_side(size_t count, int workers, const std::function<void(size_t)>& work) {
  std::atomic<size_t> next{0};
  std::exception_ptr first;
  std::mutex guard;
  const auto take = [&] {
    for (size_t i = next++; i < count; i = next++) {
      try {
        work(i);
      } catch (...) {
        const std::lock_guard lock(guard);
        if (!first) first = std::current_exception();
        next = count;
      }
    }
  };
  std::vector<std::thread> threads;
  const size_t wanted = std::min(count, static_cast<size_t>(std::max(workers, 1)));
  for (size_t i = 1; i < wanted; ++i) threads.emplace_back(take);
  take();
  for (std::thread& thread : threads) thread.join();
  if (first) std::rethrow_exception(first);
}

}  // namespace ocoee::run
