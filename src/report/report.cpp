// SPDX-License-Identifier: Apache-2.0
#include "report/report.h"

#include <fmt/format.h>

#include "core/file.h"
#include "report/markup.h"
#include "report/page.h"

namespace ocoee::report {
namespace {

std::string render(const RunDirectory& run, const std::vector<Section>& extra, double detail) {
  const SectionContext context{run, detail};
  const std::string name = string_at(run.summary, "name", run.folder.filename().string());
  Page page(name + " - Ocoee report");
  page.set_header(header_markup(context));
  const std::string task = string_at(run.summary, "task");
  const auto add = [&](const Section& section) {
    if (section_is_for(section, task)) page.add(section.id, section.title, section.render(context));
  };
  for (const Section& section : standard_sections()) {
    if (section.id == "events")
      for (const Section& more : extra) add(more);
    add(section);
  }
  page.set_footer(
      "<footer>Made by Ocoee from the run directory alone. Curves keep every extreme value; hover "
      "over them "
      "for figures.</footer>\n");
  return page.str();
}

std::string render_within_limit(const RunDirectory& run, const std::vector<Section>& extra) {
  std::string page;
  for (const double detail : {1.0, 0.5, 0.2, 0.05}) {
    page = render(run, extra, detail);
    if (page.size() < kMostReportBytes) break;
  }
  return page;
}

}  // namespace

bool section_is_for(const Section& section, const std::string& task) {
  if (section.tasks.empty()) return true;
  for (const std::string& name : section.tasks) {
    const bool is_prefix = !name.empty() && name.back() == '*';
    if (is_prefix ? task.starts_with(name.substr(0, name.size() - 1)) : task == name) return true;
  }
  return false;
}

std::string render_report(const std::filesystem::path& run_directory,
                          const std::vector<Section>& extra) {
  return render_within_limit(read_run_directory(run_directory), extra);
}

std::filesystem::path write_report(const std::filesystem::path& run_directory,
                                   const std::vector<Section>& extra) {
  const std::string page = render_report(run_directory, extra);
  std::filesystem::path path = run_directory / "report.html";
  write_file_atomically(path, page);
  return path;
}

}  // namespace ocoee::report
