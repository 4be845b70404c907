// SPDX-License-Identifier: Apache-2.0
// ocoee data inspect|prepare FILE...: what is in a FASTA, and its sequence store built ahead of a
// run.
#include <cstdio>

#include "cli/verbs.h"
#include "core/stop_signals.h"
#include "data/inspect.h"
#include "data/store.h"

namespace ocoee::cli {

void add_data(CLI::App& program, Action& chosen) {
  CLI::App* verb = program.add_subcommand("data", "look into input files, or prepare them");
  verb->require_subcommand(1);
  const auto add = [&](const char* name, const char* summary, bool prepares) {
    auto files = std::make_shared<std::vector<std::string>>();
    CLI::App* inner = verb->add_subcommand(name, summary);
    inner->add_option("files", *files, "FASTA files, plain or gzipped")->required();
    inner->callback([&chosen, files, prepares] {
      chosen = [files, prepares] {
        const StopSignals signals;  // a store that is half built is removed
        for (const std::string& file : *files) {
          const auto summary_of_file =
              prepares ? data::prepare(file, data::default_cache_folder()) : data::inspect(file);
          std::printf("%s\n", data::text_of(summary_of_file).c_str());
        }
        return 0;
      };
    });
  };
  add("inspect", "records, lengths, composition", false);
  add("prepare", "the same, and build the store that training maps", true);
}

}  // namespace ocoee::cli
