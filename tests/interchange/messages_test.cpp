// SPDX-License-Identifier: Apache-2.0
// What the verbs say to mistakes: each case's words, exit code and message stand in
// golden/messages.txt. With OCOEE_WRITE_GOLDENS=1 in the environment that file is written anew.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>

#include "cli/model_import.h"
#include "cli/program.h"
#include "core/file.h"
#include "core/random.h"
#include "core/text.h"
#include "run/checkpoint.h"
#include "tasks/registry.h"

namespace ocoee::cli {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

void write(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

// A folder of models and runs, some of them broken.
class Workshop {
 public:
  explicit Workshop(fs::path folder) : folder_(std::move(folder)) {
    fs::remove_all(folder_);
    fs::create_directories(folder_ / "empty");
    write(folder_ / "one.fasta", ">one\nACGTACGTTTGACCATGCAATGCCGATTTACGGA\n>two\nGGCATT\n");
    write(folder_ / "blanks.tsv", "one 3 G A\n");
    write(folder_ / "wrong.tsv", "one\t3\tA\tC\ntwos\t1\tG\tA\ntwo\t9\tG\tA\n");
    write(folder_ / "nothing.tsv", "# no line\n");
    write(folder_ / "text.fasta", "this is no FASTA\n");
    make_models();
    make_runs();
  }
  ~Workshop() { fs::remove_all(folder_); }
  const fs::path& folder() const { return folder_; }

 private:
  void make_model(const std::string& name, int64_t vocabulary) {
    models::GptConfig config;
    config.layers = 1, config.width = 8, config.heads = 2, config.context = 8;
    tasks::HostTensors weights;
    const plan::ModelSpec spec = models::build_gpt(config, vocabulary);
    RandomStream random(1, Purpose::sampling, 0, 0);
    for (const plan::ParameterSpec* p : spec.all_parameters()) {
      tasks::HostTensor& t = weights[p->name];
      t.shape = p->shape;
      for (int64_t i = 0; i < p->elements(); ++i)
        t.values.push_back(static_cast<float>(random.uniform() - 0.5));
    }
    tasks::write_hugging_face(folder_ / name, config, vocabulary, {"codon", 0}, weights);
  }
  // A model like "codon" whose config.json says something else.
  void make_changed(const std::string& name, const std::string& key, const json& value) {
    fs::copy(folder_ / "codon", folder_ / name);
    json config = json::parse(read_file(folder_ / "codon/config.json"));
    config[key] = value;
    write(folder_ / name / "config.json", config.dump());
  }
  void make_models() {
    make_model("codon", 69);
    make_model("odd", 70);
    fs::remove(folder_ / "odd/key_map.json");
    make_changed("bert", "model_type", "bert");
    make_changed("erf_gelu", "activation_function", "gelu");
    make_changed("no_width", "n_embd", nullptr);
    make_changed("other_width", "n_embd", 16);
    make_changed("more_layers", "n_layer", 2);
    fs::copy(folder_ / "codon", folder_ / "no_weights");
    fs::remove(folder_ / "no_weights/model.safetensors");
    fs::copy(folder_ / "codon", folder_ / "cut_off");
    fs::resize_file(folder_ / "cut_off/model.safetensors", 4000);
    fs::copy(folder_ / "codon", folder_ / "no_json");
    write(folder_ / "no_json/config.json", "{\n");
  }
  void copy_run(const std::string& name, const std::string& from, const std::string& to) {
    fs::copy(folder_ / "run", folder_ / name, fs::copy_options::recursive);
    const std::string recipe = read_file(folder_ / "run/recipe.toml");
    ASSERT_NE(recipe.find(from), std::string::npos);
    write(folder_ / name / "recipe.toml", replaced(recipe, from, to));
  }
  void make_runs() {
    ImportOptions options;
    options.from = folder_ / "codon", options.to = folder_ / "run";
    options.files = {(folder_ / "one.fasta").string()};
    import_model(tasks::builtin_tasks(), options);
    copy_run("mixed_run", "style = \"gpt2\"", "style = \"gpt2\"\npositions = \"rope\"");
    copy_run("wide_run", "width = 8", "width = 16");
    copy_run("wrong_run", "width = 8", "widht = 8");
    copy_run("unsaved_run", "width", "width");
    fs::remove_all(folder_ / "unsaved_run/checkpoints/step-0");
    copy_run("corrupt_run", "width", "width");
    for (const auto& file : fs::directory_iterator(folder_ / "corrupt_run/checkpoints/step-0")) {
      if (file.path().extension() != ".safetensors") continue;
      std::fstream shard(file.path(), std::ios::in | std::ios::out | std::ios::binary);
      shard.seekp(static_cast<std::streamoff>(file.file_size()) - 5);
      shard.put('\x55');
    }
    fs::create_directories(folder_ / "gan_run");
    fs::create_directories(folder_ / "mine.partial/notes");
    write(folder_ / "gan_run/recipe.toml", "version = 1\n[task]\nname = \"toy_gan\"\n");
  }

  fs::path folder_;
};

const std::vector<std::string> kCases{
    // what every verb of a run says
    "score one.fasta",
    "score --run run",
    "score --run no_such_run one.fasta",
    "score --run empty one.fasta",
    "score --run gan_run one.fasta",
    "score --run wrong_run one.fasta",
    "score --run unsaved_run one.fasta",
    "score --run corrupt_run one.fasta",
    "score --run corrupt_run --step 0 one.fasta",
    "score --run run --step 7 one.fasta",
    "score --run run --step -3 one.fasta",
    "score --run wide_run one.fasta",
    "score --run run --device gpu one.fasta",
    // score
    "score --run run missing.fasta",
    "score --run run text.fasta",
    "score --run run one.fasta --substitutions missing.tsv",
    "score --run run one.fasta --substitutions blanks.tsv",
    "score --run run one.fasta --substitutions nothing.tsv",
    "score --run run one.fasta --substitutions wrong.tsv",
    "score --run run one.fasta --substitution one:3",
    "score --run run one.fasta --substitution one:3G>G",
    "score --run run one.fasta --substitution one:3G>A --substitution one:900G>A",
    // sample
    "sample --run run --prompt ATGA",
    "sample --run run --prompt ATN",
    "sample --run run --prompt ATGATG --length 3",
    "sample --run run --temperature nan",
    "sample --run run --temperature -1",
    "sample --run run --top-k -1",
    "sample --run run --count 0",
    "sample --run run --length 0",
    // export
    "export --run run",
    "export --run run --to codon",
    "export --run run --to one.fasta/model",
    "export --run mixed_run --to exported",
    "export --run wide_run --to exported",
    // import
    "import codon --to imported",
    "import codon --to run --data one.fasta",
    "import empty --to imported --data one.fasta",
    "import no_weights --to imported --data one.fasta",
    "import no_json --to imported --data one.fasta",
    "import cut_off --to imported --data one.fasta",
    "import bert --to imported --data one.fasta",
    "import erf_gelu --to imported --data one.fasta",
    "import no_width --to imported --data one.fasta",
    "import other_width --to imported --data one.fasta",
    "import more_layers --to imported --data one.fasta",
    "import odd --to imported --data one.fasta",
    "import codon --to imported --data missing.fasta",
    "import codon --to imported --data one.fasta --tokens nucleotide",
    "import codon --to imported --data one.fasta --tokens kmer --k 40",
    "import codon --to imported --data one.fasta --tokens words",
    "import codon --to imported --data one.fasta --k 3",
    "import codon --to one.fasta/imported --data one.fasta",
    // checkpoint reshard
    "checkpoint reshard run",
    "checkpoint reshard empty --to resharded",
    "checkpoint reshard run --to empty",
    "checkpoint reshard run --to step-7",
    "checkpoint reshard run --to mine",
    "checkpoint reshard run --to resharded --files 0",
    "checkpoint reshard corrupt_run --to resharded",
};

std::string answer_to(const std::string& words, const fs::path& folder) {
  std::vector<std::string> all = split("ocoee " + words, ' ');
  std::vector<char*> pointers;
  for (std::string& word : all) pointers.push_back(word.data());
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  const int code = run_program(static_cast<int>(pointers.size()), pointers.data(), {});
  std::string said = testing::internal::GetCapturedStdout();
  said += testing::internal::GetCapturedStderr();
  said = std::regex_replace(said, std::regex("[WI] [0-9:]{8} "), "");  // lines of the log
  while (!said.empty() && said.back() == '\n') said.pop_back();
  return fmt::format(
      "$ ocoee {}\n(exit code {})\n{}\n", words, code,
      replaced(replaced(said, folder.string() + "/", ""), folder.string(), "FOLDER"));
}

TEST(Messages, EachMistakeHasItsMessage) {
  const fs::path folder =
      fs::canonical(testing::TempDir()) / ("ocoee_model_verbs_" + std::to_string(::getpid()));
  const Workshop workshop(folder);
  const fs::path before = fs::current_path();
  ::setenv("OCOEE_CACHE", (folder / "cache").c_str(), 1);
  fs::current_path(folder);
  std::vector<std::string> answers;
  for (const std::string& words : kCases) answers.push_back(answer_to(words, folder));
  fs::current_path(before);

  // Nothing is left half-written.
  for (const char* name : {"imported", "exported", "resharded", "resharded.partial"})
    EXPECT_FALSE(fs::exists(folder / name)) << name;
  const fs::path golden = fs::path(OCOEE_SOURCE_DIR) / "tests/interchange/golden/messages.txt";
  if (std::getenv("OCOEE_WRITE_GOLDENS")) {
    fs::create_directories(golden.parent_path());
    write(golden, join(answers, "\n"));
  }
  const std::string all = "\n" + read_file(golden);
  size_t known = 0;
  for (size_t at = 0; (at = all.find("\n$ ocoee ", at)) != std::string::npos; ++at) ++known;
  EXPECT_EQ(known, answers.size());
  for (const std::string& answer : answers) {
    EXPECT_EQ(answer.find("(exit code 0)"), std::string::npos) << answer;
    EXPECT_NE((all + "\n").find("\n" + answer + "\n"), std::string::npos) << answer;
  }
}

}  // namespace
}  // namespace ocoee::cli
