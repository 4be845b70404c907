// SPDX-License-Identifier: Apache-2.0
// Writes a realistic run directory and its report: report_sample DIR [STEPS [figures]].
#include <fmt/format.h>

#include <cstdlib>
#include <string>

#include "report/report.h"
#include "report/synthetic_run.h"

int main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "usage: report_sample DIR [STEPS [figures]]\n");
    return 2;
  }
  ocoee::report::testing_support::SyntheticRun run;
  if (argc > 2) run.steps = std::atoll(argv[2]);
  run.evaluate_every = std::max<int64_t>(1, run.steps / 10);
  run.resumed_at = run.evaluate_every * 6;
  run.with_figures = argc > 3;
  ocoee::report::testing_support::write_synthetic_run(argv[1], run);
  fmt::print("{}\n", ocoee::report::write_report(argv[1]).string());
  return 0;
}
