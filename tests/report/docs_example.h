// SPDX-License-Identifier: Apache-2.0
// The example of docs/how-to/report.md; a test compares the two.
#pragma once

#include "report/bar_chart.h"
#include "report/page.h"
#include "report/report.h"

using namespace ocoee::report;

std::string balance(const SectionContext& context) {
  BarChart chart;
  chart.title = "Busy time by rank";
  for (const TraceTrack& track : context.run.trace) {
    double busy = 0;
    for (const TraceSpan& span : track.spans) busy += span.end - span.begin;
    if (track.thread == "compute") chart.rows.push_back({track.process, {{"busy", busy}}});
  }
  return chart.rows.empty() ? "" : figure(chart.title, bar_chart(chart));
}

void write(const std::filesystem::path& run) {
  write_report(run, {{"balance", "Balance", {"genome_lm", "gan_*"}, balance}});
}
