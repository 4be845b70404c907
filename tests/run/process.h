// SPDX-License-Identifier: Apache-2.0
// A child process whose output goes to a file.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/file.h"

namespace ocoee::run::testing_support {

class Process {
 public:
  // `in_child` runs between fork and exec: system calls only.
  Process(const std::vector<std::string>& arguments, const std::filesystem::path& output,
          const std::map<std::string, std::string>& environment = {},
          const std::function<void()>& in_child = nullptr)
      : output_(output) {
    std::vector<char*> argv;
    for (const std::string& argument : arguments)
      argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    const int out = ::open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::dup2(out, STDOUT_FILENO);
      ::dup2(out, STDERR_FILENO);
      for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
      if (in_child) in_child();
      ::execvp(argv[0], argv.data());
      ::_exit(127);
    }
    ::close(out);
  }
  ~Process() {
    if (running()) {
      ::kill(pid_, SIGKILL);
      wait();
    }
  }
  Process(const Process&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int number) const { ::kill(pid_, number); }
  bool running() {
    if (ended_) return false;
    if (::waitpid(pid_, &status_, WNOHANG) == 0) return true;
    ended_ = true;
    return false;
  }
  // The exit code, or minus the signal that ended it.
  int wait() {
    if (!ended_) ::waitpid(pid_, &status_, 0);
    ended_ = true;
    return WIFEXITED(status_) ? WEXITSTATUS(status_) : -WTERMSIG(status_);
  }
  std::string output() const { return read_file(output_); }

 private:
  std::filesystem::path output_;
  pid_t pid_ = -1;
  int status_ = 0;
  bool ended_ = false;
};

}  // namespace ocoee::run::testing_support
