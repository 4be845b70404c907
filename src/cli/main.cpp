// SPDX-License-Identifier: Apache-2.0
// `ocoee`: help, checks and everything else that needs no tensor, without LibTorch. Where training
// begins it becomes `ocoee-engine`, which lies beside it.
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "cli/engine.h"
#include "cli/program.h"
#include "core/error.h"

namespace {

char** arguments = nullptr;

void become_engine() {
  const auto engine =
      std::filesystem::read_symlink("/proc/self/exe").parent_path() / "ocoee-engine";
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
