// SPDX-License-Identifier: Apache-2.0
// The verbs on a run that the program trained: what they say agrees with what training said, and
// with each other.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "core/file.h"
#include "core/random.h"
#include "core/text.h"

namespace ocoee::cli {
namespace {

namespace fs = std::filesystem;

class Trained : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = fs::path(testing::TempDir()) / fmt::format("ocoee_trained_verbs_{}", ::getpid());
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    // Words of a small language, so that there is something to learn.
    const char* const words[] = {"ATGGCA", "TTTACG", "GGC", "CATCAT"};
    RandomStream random(1, Purpose::sampling, 0, 0);
    while (genome_.size() < 6000) genome_ += words[static_cast<size_t>(random.uniform() * 4)];
    genome_.resize(6000);
    write_fasta("genome.fasta", {{"g", genome_}});
    std::ofstream(folder_ / "recipe.toml") << R"(version = 1
[run]
name = "trained"
dir = "run"
device = "cpu"
[task]
name = "genome_lm"
fasta = ["genome.fasta"]
tokens = "codon"
markov_order = -1
[model]
layers = 1
width = 16
heads = 2
context = 20
[batch]
global = 4
micro = 4
[optimizer]
learning_rate = 1e-2
[train]
steps = 20
evaluate_every = 10
checkpoint_every = 10
)";
    const std::string said = ocoee("run recipe.toml 2>&1");
    ASSERT_TRUE(fs::exists(folder_ / "run/checkpoints/step-20")) << said;
  }
  static void TearDownTestSuite() { fs::remove_all(folder_); }

  static void write_fasta(const std::string& name, const std::map<std::string, std::string>& all) {
    std::ofstream out(folder_ / name);
    for (const auto& [record, letters] : all) out << ">" << record << "\n" << letters << "\n";
  }
  static std::string ocoee(const std::string& words, const std::string& environment = "") {
    const std::string command = fmt::format("cd '{}' && OCOEE_CACHE=cache {} '{}/ocoee' {}",
                                            folder_.string(), environment, OCOEE_BINARY_DIR, words);
    std::FILE* pipe = ::popen(command.c_str(), "r");
    std::string out;
    char part[4096];
    while (const size_t got = std::fread(part, 1, sizeof part, pipe)) out.append(part, got);
    EXPECT_EQ(::pclose(pipe), 0) << command << "\n" << out;
    return out;
  }
  // Rows below the header, by columns.
  static std::vector<std::vector<std::string>> table(const std::string& text) {
    std::vector<std::vector<std::string>> rows;
    for (const std::string& line : split(text, '\n')) {
      if (!line.empty()) rows.push_back(split(line, '\t'));
    }
    rows.erase(rows.begin());
    return rows;
  }
  // ln p of a record, from its row of `score`.
  static double log_likelihood(const std::vector<std::string>& row) {
    return -std::stod(row.at(2)) * std::stod(row.at(1)) * std::log(2.0);
  }

  static inline fs::path folder_;
  static inline std::string genome_;
};

TEST_F(Trained, TheHeldOutPartScoresAsTheEvaluationSaid) {
  std::map<int64_t, double> evaluated;
  for (const std::string& line : split(read_file(folder_ / "run/metrics.jsonl"), '\n')) {
    const auto entry = nlohmann::json::parse(line, nullptr, false);
    if (entry.is_object() && entry.at("kind") == "evaluation")
      evaluated[entry.at("step")] = entry.at("bits_per_base");
  }
  ASSERT_EQ(evaluated.size(), 2u);
  EXPECT_GT(std::abs(evaluated.at(10) - evaluated.at(20)), 1e-3);  // the steps are told apart below
  write_fasta("held_out.fasta", {{"h", genome_.substr(5400)}});
  const auto last = table(ocoee("score --run run held_out.fasta"));
  ASSERT_EQ(last.size(), 1u);
  EXPECT_EQ(last[0][0], "h");
  EXPECT_EQ(last[0][1], "600");
  EXPECT_NEAR(std::stod(last[0][2]), evaluated.at(20), 2e-6);
  const auto before = table(ocoee("score --run run/ --step 10 held_out.fasta"));
  EXPECT_NEAR(std::stod(before[0][2]), evaluated.at(10), 2e-6);
  const auto best = table(ocoee("score --run run --step best held_out.fasta"));
  EXPECT_NEAR(std::stod(best[0][2]), std::min(evaluated.at(10), evaluated.at(20)), 2e-6);
}

TEST_F(Trained, ARatioIsTheDifferenceOfTwoScores) {
  std::map<std::string, std::string> records{{"ref", genome_.substr(0, 60)}};  // one window
  std::string substitutions;
  const std::map<char, char> other{{'A', 'C'}, {'C', 'G'}, {'G', 'T'}, {'T', 'A'}};
  std::vector<int> positions{1, 2, 30, 60};
  for (const int position : positions) {
    std::string changed = records.at("ref");
    char& letter = changed[static_cast<size_t>(position - 1)];
    const char alternative = other.at(letter);
    substitutions += fmt::format(" --substitution 'ref:{}{}>{}'", position, letter, alternative);
    letter = alternative;
    records[fmt::format("v{}", position)] = changed;
  }
  write_fasta("variants.fasta", records);
  std::map<std::string, double> logs;
  for (const auto& row : table(ocoee("score --run run variants.fasta")))
    logs[row.at(0)] = log_likelihood(row);
  const auto ratios = table(ocoee("score --run run variants.fasta" + substitutions));
  ASSERT_EQ(ratios.size(), positions.size());
  for (size_t i = 0; i < positions.size(); ++i) {
    const double expected = logs.at(fmt::format("v{}", positions[i])) - logs.at("ref");
    EXPECT_NEAR(std::stod(ratios[i].at(4)), expected, 2e-4) << positions[i];
    EXPECT_GT(std::abs(expected), 1e-2);
  }
}

TEST_F(Trained, SamplesRepeatAndTheLikeliestContinuationScoresBest) {
  const std::string words = "sample --run run --length 90 --prompt atg --count 2 --seed 5 ";
  const std::string drawn = ocoee(words);
  EXPECT_EQ(drawn, ocoee(words + "--temperature 1"));
  EXPECT_NE(table(drawn), table(ocoee("sample --run run --length 90 --prompt atg --count 2")));
  EXPECT_TRUE(drawn.starts_with(">sample_1 seed=5 temperature=1 top_k=0\nATG")) << drawn;
  std::string best = ocoee(words + "--temperature 0");
  best.replace(0, best.find(' '), ">likeliest");
  best.resize(best.find('>', 1));  // the second is the same
  std::ofstream(folder_ / "drawn.fasta") << drawn << best;
  double likeliest = 0, sampled = 0;
  for (const auto& row : table(ocoee("score --run run drawn.fasta"))) {
    EXPECT_EQ(row.at(1), "90");
    (row.at(0) == "likeliest" ? likeliest : sampled) = std::stod(row.at(2));
  }
  EXPECT_LT(likeliest, sampled);
}

TEST_F(Trained, AReshardedCheckpointScoresTheSame) {
  write_fasta("some.fasta", {{"s", genome_.substr(100, 300)}});
  const std::string before = ocoee("score --run run some.fasta");
  EXPECT_NE(
      ocoee("checkpoint reshard run --to other/checkpoints/step-20 --files 3").find("3 files"),
      std::string::npos);
  fs::copy(folder_ / "run/recipe.toml", folder_ / "other/recipe.toml");
  EXPECT_EQ(ocoee("score --run other some.fasta"), before);
}

TEST_F(Trained, ExportedImportedAndTrainedOn) {
  ocoee("export --run run --to hugging_face");
  ocoee("import hugging_face --to imported/ --data genome.fasta");
  write_fasta("more.fasta", {{"s", genome_.substr(1000, 900)}});
  EXPECT_EQ(ocoee("score --run imported more.fasta"), ocoee("score --run run more.fasta"));
  // From these weights, not from random ones.
  const std::string first_steps =
      " train.steps=2 optimizer.learning_rate=1e-6 batch.global=4 task.markov_order=-1 "
      "optimizer.warmup_steps=0 train.evaluate_every=1 2>&1";
  ocoee("run imported/recipe.toml" + first_steps);
  write_fasta("held_out.fasta", {{"h", genome_.substr(5400)}});
  const auto before = table(ocoee("score --run run held_out.fasta"));
  const auto after = table(ocoee("score --run imported held_out.fasta"));
  EXPECT_NEAR(std::stod(before[0][2]), std::stod(after[0][2]), 1e-3);
  EXPECT_NE(before[0][2], after[0][2]);
}

TEST_F(Trained, AnAnswerThatCannotBeWrittenIsAnError) {
  write_fasta("some.fasta", {{"s", genome_.substr(100, 300)}});
  EXPECT_EQ(
      ocoee("score --run run some.fasta 2>&1 >/dev/full; test $? = 4"),
      "ocoee: file error: standard output: cannot write the answer: No space left on device\n");
}

TEST_F(Trained, UnderALauncherItSaysSo) {
  const std::string two_ranks = "OMPI_COMM_WORLD_SIZE=2 OMPI_COMM_WORLD_RANK=0";
  for (const char* words : {"sample --run run", "score --run run genome.fasta"})
    EXPECT_NE(ocoee(std::string(words) + " 2>&1; test $? = 2", two_ranks)
                  .find("is one process, but 2 were launched"),
              std::string::npos);
}

}  // namespace
}  // namespace ocoee::cli
