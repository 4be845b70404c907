// SPDX-License-Identifier: Apache-2.0
// ocoee checkpoint inspect|verify FOLDER: what a checkpoint holds, and whether it is whole.
#include <cstdio>
#include <filesystem>

#include "cli/verbs.h"
#include "core/error.h"
#include "run/checkpoint.h"

namespace ocoee::cli {
namespace {

// A checkpoint's own folder, or the newest one of a run directory.
std::filesystem::path resolve(const std::filesystem::path& path) {
  if (std::filesystem::exists(path / "manifest.json")) return path;
  const auto folder = std::filesystem::exists(path / "checkpoints") ? path / "checkpoints" : path;
  const auto steps = run::checkpoint_steps(folder);
  if (steps.empty())
    fail(ErrorKind::data,
         "{}: no checkpoint there\n    fix: name a run directory or a folder checkpoints/step-N",
         path.string());
  return run::checkpoint_path(folder, steps.back());
}

}  // namespace

void add_checkpoint(CLI::App& program, Action& chosen) {
  CLI::App* verb = program.add_subcommand("checkpoint", "look into a checkpoint, or verify it");
  verb->require_subcommand(1);
  for (const bool verifies : {false, true}) {
    auto path = std::make_shared<std::string>();
    CLI::App* inner = verb->add_subcommand(
        verifies ? "verify" : "inspect",
        verifies ? "check every byte against its checksum" : "arrays, shapes, types, step");
    inner
        ->add_option("path", *path,
                     "a run directory (its newest checkpoint) or a checkpoint's folder")
        ->required();
    inner->callback([&chosen, path, verifies] {
      chosen = [path, verifies] {
        const auto checkpoint = resolve(*path);
        if (verifies) {
          run::verify_checkpoint(checkpoint);
          std::printf("%s: whole\n", checkpoint.string().c_str());
        } else {
          std::printf("%s", run::inspect_text(checkpoint).c_str());
        }
        return 0;
      };
    });
  }
}

}  // namespace ocoee::cli
