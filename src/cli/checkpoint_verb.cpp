// SPDX-License-Identifier: Apache-2.0
// ocoee checkpoint inspect|verify|reshard: what a checkpoint holds, whether it is whole, and the
// same in another number of files.
#include <cstdio>
#include <filesystem>

#include "cli/verbs.h"
#include "core/error.h"
#include "core/file.h"
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

void add_reshard(CLI::App& verb, Action& chosen) {
  struct Options {
    std::string from, to;
    int64_t files = 1;
  };
  auto o = std::make_shared<Options>();
  CLI::App* inner = verb.add_subcommand(
      "reshard", "write the same checkpoint as another number of files; loading never needs it");
  inner
      ->add_option("path", o->from,
                   "a run directory (its newest checkpoint) or a checkpoint's folder")
      ->required();
  inner->add_option("--to", o->to, "a folder that is not there yet")->required();
  inner->add_option("--files", o->files, "1: any safetensors reader opens the whole")
      ->check(CLI::Range(1, 99999))
      ->capture_default_str();
  inner->callback([&chosen, o] {
    chosen = [o] {
      const auto from = resolve(o->from);
      run::reshard_checkpoint(from, without_end_slash(o->to), o->files);
      const auto written = run::read_manifest(o->to).files.size();
      std::printf("%s: %zu file%s, from %s\n", o->to.c_str(), written, written == 1 ? "" : "s",
                  from.string().c_str());
      return 0;
    };
  });
}

}  // namespace

void add_checkpoint(CLI::App& program, Action& chosen) {
  CLI::App* verb = program.add_subcommand(
      "checkpoint", "look into a checkpoint, verify it, or write it as another number of files");
  verb->require_subcommand(1);
  add_reshard(*verb, chosen);
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
