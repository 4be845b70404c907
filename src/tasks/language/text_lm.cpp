// SPDX-License-Identifier: Apache-2.0
#include "tasks/language/text_lm.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "data/tokenizer.h"
#include "tasks/builders.h"
#include "tasks/registry.h"

namespace ocoee::tasks {

void TextLmConfig::describe_task(config::Description& task) {
  task.field("files", files, "texts, read as bytes; .gz is unpacked").required().names_files();
  task.field("held_out", held_out, "last fraction of the bytes, scored and never trained on")
      .above(0)
      .at_most(0.9);
  task.field("vocabulary", padded_vocabulary,
             "rows of the embedding and head; 0 = the tokenizer's own")
      .at_least(0)
      .at_most(1e8);
}

void TextLmConfig::check_task(config::Problems& problems) const {
  check_files(problems, "task.files", files);
  const int64_t own = data::make_tokenizer("byte")->vocabulary();
  if (padded_vocabulary > 0 && padded_vocabulary < own)
    problems.add("task.vocabulary",
                 fmt::format("{} is less than the {} byte tokens", padded_vocabulary, own),
                 "use 0 or more than that");
}

int64_t TextLmConfig::vocabulary() const {
  return std::max(padded_vocabulary, data::make_tokenizer("byte")->vocabulary());
}

LanguageData TextLmConfig::read_data(const std::filesystem::path& cache,
                                     data::WindowOptions options) const {
  const std::vector corpora{data::Corpus::from_text(files, cache)};
  data::require_different(corpora);
  LanguageData out = split_data("byte", corpora, held_out);
  options.both_strands = false;
  add_windows(out, out.split.training, data::make_tokenizer("byte"), options);
  return out;
}

namespace {

// One line again and again, to be learned by heart.
run::DebugRecipe debug_text_lm(const std::filesystem::path& folder) {
  std::string text;
  for (int i = 0; i < 80; ++i) text += "to be or not to be, ";
  write_file_atomically(folder / "verse.txt", text);
  return {
      fmt::format("version = 1\n"
                  "[task]\nname = \"text_lm\"\nfiles = [\"{}\"]\n"
                  "[model]\nstyle = \"llama\"\nlayers = 1\nwidth = 32\nheads = 2\ncontext = 32\n{}",
                  (folder / "verse.txt").string(), debug_language_training(80)),
      "loss", 0.5};
}

}  // namespace

run::TaskType text_lm_task() {
  return {"text_lm",
          "a byte-level language model of any files",
          [] { return std::make_unique<TextLmConfig>(); },
          builder_of("text_lm"),
          debug_text_lm,
          language_axes()};
}

}  // namespace ocoee::tasks
