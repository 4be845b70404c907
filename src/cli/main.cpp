// SPDX-License-Identifier: Apache-2.0
// `ocoee`: help, checks and everything else that needs no tensor, without LibTorch. Where training
// begins it becomes `ocoee-engine`, which lies beside it.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "cli/engine.h"
#include "cli/program.h"
#include "core/error.h"
#include "core/text.h"

namespace {

char** arguments = nullptr;

// What the loader says when it is asked, as ldd does, to resolve the libraries of `program` and to
// start nothing; both of its outputs.
std::string loader_report(const std::filesystem::path& program) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return "";
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::dup2(ends[1], STDERR_FILENO);
    ::setenv("LD_TRACE_LOADED_OBJECTS", "1", 1);
    ::unsetenv("LD_DEBUG");
    ::execl(program.c_str(), program.c_str(), "--version", nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  std::string said;
  char part[4096];
  for (ssize_t got = 1; child > 0 && got > 0;) {
    got = ::read(ends[0], part, sizeof part);
    if (got > 0) said.append(part, static_cast<size_t>(got));
    if (got < 0 && errno == EINTR) got = 1;
  }
  ::close(ends[0]);
  while (child > 0 && ::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  return said;
}

// Once it is started, a program whose libraries are gone can no longer say so in its own words.
std::string missing_libraries(const std::filesystem::path& program) {
  std::vector<std::string> missing;
  for (const std::string& line : ocoee::split(loader_report(program), '\n')) {
    const size_t arrow = line.find(" => not found");
    if (arrow != std::string::npos)
      missing.emplace_back(ocoee::trim(line.substr(0, arrow)));
    else if (line.find(" not found (required by ") != std::string::npos)  // a symbol's version
      missing.emplace_back(ocoee::trim(line));
  }
  return ocoee::join(missing, ", ");
}

void become_engine() {
  const auto engine =
      std::filesystem::read_symlink("/proc/self/exe").parent_path() / "ocoee-engine";
  if (const std::string missing = missing_libraries(engine); !missing.empty())
    ocoee::fail(ocoee::ErrorKind::file,
                "{}: cannot start, for these libraries are gone: {}\n    fix: ./dev setup brings "
                "LibTorch and the system's libraries back; after a move, ./dev build",
                engine.string(), missing);
  ::execv(engine.c_str(), arguments);
  ocoee::fail(ocoee::ErrorKind::file,
              "{}: cannot start the part of the program that holds LibTorch: {}\n    fix: keep it "
              "beside ocoee; ./dev build makes both",
              engine.string(), std::strerror(errno));
}

}  // namespace

int main(int argc, char** argv) {
  arguments = argv;
  ocoee::cli::set_engine(become_engine);
  return ocoee::cli::run_program(argc, argv, {});
}
