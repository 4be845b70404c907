// SPDX-License-Identifier: Apache-2.0
// Everything that `ocoee` can do, and one task more.
#include "cli/program.h"
#include "pi_task.h"

int main(int argc, char** argv) {
  return ocoee::cli::run_program(argc, argv, {pi_task()});
}
