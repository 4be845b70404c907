// SPDX-License-Identifier: Apache-2.0
// golden/{gpt2,llama}: models that transformers saved, and the logits it computed (made by
// tests/peers/interchange.sh --goldens).
#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>

#include "cli/model.h"
#include "cli/model_import.h"
#include "cli/model_run.h"
#include "core/file.h"
#include "run/checkpoint.h"
#include "run/safetensors.h"
#include "tasks/registry.h"

namespace ocoee::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class Golden : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    folder_ = fs::path(testing::TempDir()) / ("ocoee_golden_" + std::to_string(::getpid()));
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    std::ofstream fasta(folder_ / "some.fasta");
    fasta << ">a\n";
    for (int i = 0; i < 400; ++i) fasta << "ACGT"[(i * i + i / 5) % 4];
    fasta << "\n";
    fasta.close();
    options_.from = golden();
    options_.to = folder_ / "run";
    options_.files = {(folder_ / "some.fasta").string()};
    import_model(tasks_, options_);
  }
  void TearDown() override { fs::remove_all(folder_); }
  fs::path golden() const {
    return fs::path(OCOEE_SOURCE_DIR) / "tests/interchange/golden" / GetParam();
  }

  Tasks tasks_ = tasks::builtin_tasks();
  fs::path folder_;
  ImportOptions options_;
};

TEST_P(Golden, LogitsAreThoseOfTransformers) {
  const TrainedRun run = open_run(tasks_, options_.to, -1);
  const auto model = load_language_model(*run.config, run.checkpoint, "cpu");
  const run::SafetensorsFile expected(golden() / "logits.safetensors");
  const auto& entry = expected.entry("tokens");
  ASSERT_EQ(entry.dtype, DType::i64);
  std::vector<int64_t> tokens((entry.end - entry.begin) / sizeof(int64_t));
  std::memcpy(tokens.data(), expected.data(entry), tokens.size() * sizeof(int64_t));
  const auto& logits_entry = expected.entry("logits");
  const std::vector<float> logits = model->logits(tokens, entry.shape[0], false);
  ASSERT_EQ(logits.size() * sizeof(float), logits_entry.end - logits_entry.begin);
  std::vector<float> theirs(logits.size());
  std::memcpy(theirs.data(), expected.data(logits_entry), theirs.size() * sizeof(float));
  float largest = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    ASSERT_NEAR(logits[i], theirs[i], 1e-4) << i;
    largest = std::max(largest, std::abs(theirs[i]));
  }
  EXPECT_GT(largest, 0.5f);  // logits that say something
}

TEST_P(Golden, ExportGivesTheTensorsBackBitByBit) {
  const TrainedRun run = open_run(tasks_, options_.to, -1);
  tasks::write_hugging_face(folder_ / "back", run.config->model, run.config->vocabulary(),
                            run.token_names, read_parameters(*run.config, run.checkpoint));
  const run::SafetensorsFile before(golden() / "model.safetensors"),
      after(folder_ / "back/model.safetensors");
  ASSERT_EQ(before.header().tensors.size(), after.header().tensors.size());
  for (const auto& entry : before.header().tensors) {
    const auto& same = after.entry(entry.name);
    EXPECT_EQ(entry.shape, same.shape);
    ASSERT_EQ(entry.end - entry.begin, same.end - same.begin);
    EXPECT_EQ(std::memcmp(before.data(entry), after.data(same), entry.end - entry.begin), 0)
        << entry.name;
  }
}

TEST_P(Golden, AModelInManyFilesIsTheSameModel) {
  const TrainedRun run = open_run(tasks_, options_.to, -1);
  tasks::ExportOptions options;
  options.file_bytes = 1;  // a file for each tensor
  tasks::write_hugging_face(
      folder_ / "parts", run.config->model, run.config->vocabulary(), run.token_names,
      [&](const std::vector<std::string>& names) {
        return read_parameters(*run.config, run.checkpoint, names);
      },
      options);
  EXPECT_FALSE(fs::exists(folder_ / "parts/model.safetensors"));
  options_.from = folder_ / "parts", options_.to = folder_ / "again";
  import_model(tasks_, options_);
  const TrainedRun again = open_run(tasks_, options_.to, -1);
  const tasks::HostTensors before = read_parameters(*run.config, run.checkpoint),
                           after = read_parameters(*again.config, again.checkpoint);
  ASSERT_EQ(before.size(), after.size());
  for (const auto& [name, tensor] : before) EXPECT_EQ(tensor.values, after.at(name).values) << name;
}

// What transformers reads of config.json is what it wrote; ids of special tokens and dropout apart.
TEST_P(Golden, ExportSaysTheSameOfTheModel) {
  const TrainedRun run = open_run(tasks_, options_.to, -1);
  const json ours = tasks::hugging_face_config(run.config->model, run.config->vocabulary());
  const json theirs = json::parse(read_file(golden() / "config.json"));
  int same = 0;
  for (const auto& [key, value] : theirs.items()) {
    if (key.ends_with("_token_id") || !ours.contains(key)) continue;
    if (value.is_null()) continue;  // a default of theirs: ours is written out
    EXPECT_EQ(ours.at(key), value) << key;
    ++same;
  }
  EXPECT_GE(same, 12);
}

// Two ways to the same number: logits, and the likelihoods that scores are made of.
TEST_P(Golden, LikelihoodsAreSoftmaxOfLogits) {
  const TrainedRun run = open_run(tasks_, options_.to, -1);
  const auto model = load_language_model(*run.config, run.checkpoint, "cpu");
  const int64_t rows = 3, length = 17, words = model->vocabulary();
  std::vector<int64_t> tokens;
  for (int64_t i = 0; i < rows * (length + 1); ++i) tokens.push_back((i * i + 7 * i) % words);
  const std::vector<double> logs = model->log_likelihoods(tokens, rows);
  ASSERT_EQ(logs.size(), static_cast<size_t>(rows * length));
  for (int64_t r = 0; r < rows; ++r) {
    const auto row = tokens.begin() + r * (length + 1);
    const std::vector<float> all = model->logits({row, row + length}, 1, false);
    const std::vector<float> last = model->logits({row, row + length}, 1, true);
    for (int64_t i = 0; i < length; ++i) {
      const float* at = all.data() + i * words;
      double sum = 0;
      for (int64_t w = 0; w < words; ++w) sum += std::exp(double{at[w]});
      EXPECT_NEAR(logs[static_cast<size_t>(r * length + i)], double{at[row[i + 1]]} - std::log(sum),
                  1e-5);
    }
    for (int64_t w = 0; w < words; ++w)
      EXPECT_NEAR(last[static_cast<size_t>(w)], all[static_cast<size_t>((length - 1) * words + w)],
                  1e-5);
  }
}

// The checkpoint holds what training needs, not only weights.
TEST_P(Golden, TheCheckpointIsWholeAndTheRecipeReads) {
  const auto steps = run::checkpoint_steps(options_.to / "checkpoints");
  ASSERT_EQ(steps, std::vector<int64_t>{0});
  const run::Manifest manifest =
      run::read_manifest(run::checkpoint_path(options_.to / "checkpoints", 0));
  bool moments = false;
  for (const auto& array : manifest.arrays)
    moments |= array.name.find("first_moment") != std::string::npos;
  EXPECT_TRUE(moments);
  EXPECT_EQ(manifest.values.at("step").get<int64_t>(), 0);
  EXPECT_NO_THROW(read_recipe(tasks_, (options_.to / "recipe.toml").string(), {}, 1));
  EXPECT_THROW(import_model(tasks_, options_), std::exception);  // never over a run that is there
}

INSTANTIATE_TEST_SUITE_P(Families, Golden, testing::Values("gpt2", "llama"),
                         [](const auto& family) { return std::string(family.param); });

}  // namespace
}  // namespace ocoee::cli
