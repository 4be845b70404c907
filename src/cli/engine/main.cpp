// SPDX-License-Identifier: Apache-2.0
// The whole program with LibTorch in it. `ocoee` itself holds no LibTorch, so that it answers at
// once, and becomes this program where training begins.
#include "cli/program.h"

int main(int argc, char** argv) {
  return ocoee::cli::run_program(argc, argv, {});
}
