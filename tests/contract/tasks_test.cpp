// SPDX-License-Identifier: Apache-2.0
// The contract of every registered task, on the debug recipe that it declares.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <ostream>

#include "cli/recipe.h"
#include "comm/world.h"
#include "core/error.h"
#include "core/file.h"
#include "core/text.h"
#include "run/checkpoint.h"
#include "run/recipe_identity.h"
#include "run/runner.h"
#include "run/scratch.h"
#include "tasks/registry.h"

namespace ocoee {
namespace run {

// How googletest names a parameter; a task by its bytes says nothing.
void PrintTo(const TaskType& task, std::ostream* out) {
  *out << task.name;
}

}  // namespace run
namespace {

using testing::HasSubstr;

class TaskContract : public testing::TestWithParam<run::TaskType> {
 protected:
  void SetUp() override {
    ASSERT_TRUE(GetParam().debug_recipe) << GetParam().name << " declares no debug recipe";
    ASSERT_TRUE(GetParam().build) << GetParam().name << " has no builder";
    debug_ = GetParam().debug_recipe(scratch_.path());
    write_file_atomically(scratch_ / "recipe.toml", debug_.toml);
  }
  std::unique_ptr<cli::Recipe> read(const std::string& name) const {
    return cli::read_recipe(tasks_, (scratch_ / "recipe.toml").string(),
                            {"run.dir=\"" + (scratch_ / name).string() + "\"", "run.device=cpu",
                             "run.threads=1", "run.log_every=1", "run.keep_checkpoints=99"},
                            1);
  }
  void run(const std::string& name) const {
    const auto recipe = read(name);
    run::RunRequest request;
    request.type = recipe->type;
    request.config = recipe->task.get();
    request.run = recipe->run;
    request.recipe_toml = config::to_toml(recipe->description);
    request.stable_recipe = run::stable_recipe(recipe->description);
    comm::World world = comm::World::alone();
    ASSERT_EQ(run::run_task(world, request), run::Outcome::finished);
  }
  // Every number of every "step" and "evaluation" event that is no time.
  std::map<std::string, double> numbers(const std::string& name) const {
    std::map<std::string, double> out;
    for (const std::string& line : split(read_file(scratch_ / name / "metrics.jsonl"), '\n')) {
      const auto entry = nlohmann::json::parse(line, nullptr, false);
      if (!entry.is_object() || (entry["kind"] != "step" && entry["kind"] != "evaluation"))
        continue;
      for (const auto& [key, value] : entry.items()) {
        const bool is_time = key.find("second") != std::string::npos || key == "peak_bytes";
        if (!value.is_number() || is_time || key == "step") continue;
        out[fmt::format("{:06} {} {}", entry["step"].get<int64_t>(),
                        entry["kind"].get<std::string>(), key)] = value;
      }
    }
    return out;
  }
  std::filesystem::path checkpoints(const std::string& name) const {
    return scratch_ / name / "checkpoints";
  }

  std::vector<run::TaskType> tasks_ = tasks::builtin_tasks();
  run::testing_support::Scratch scratch_;
  run::DebugRecipe debug_;
};

// What a run directory holds as recipe.toml is a recipe: of the same run.
TEST_P(TaskContract, TheResolvedRecipeIsARecipe) {
  const std::string resolved = config::to_toml(read("first")->description);
  write_file_atomically(scratch_ / "resolved.toml", resolved);
  const auto again = cli::read_recipe(tasks_, (scratch_ / "resolved.toml").string(), {}, 1);
  EXPECT_EQ(config::to_toml(again->description), resolved);
}

TEST_P(TaskContract, LearnsIsDeterministicAndResumesBitEqual) {
  run("first");
  const auto first = numbers("first");
  const std::string suffix = fmt::format(" {} {}", debug_.event, debug_.metric);
  double begin = NAN, end = NAN;
  for (const auto& [key, value] : first) {
    if (!key.ends_with(suffix)) continue;
    if (std::isnan(begin)) begin = value;
    end = value;
  }
  EXPECT_GT(begin, 1.5 * debug_.at_most) << debug_.metric << " is as low before it has learned";
  EXPECT_LE(end, debug_.at_most) << debug_.metric << " was " << begin << " at first";

  run("second");
  EXPECT_EQ(numbers("second"), first) << "the same recipe gives other numbers";

  // The run as it was at a checkpoint half-way, gone on from there.
  const auto steps = run::checkpoint_steps(checkpoints("first"));
  ASSERT_GE(steps.size(), 3u) << "the debug recipe must save between its first and last step";
  const int64_t half = steps[steps.size() / 2];
  std::filesystem::copy(scratch_ / "first", scratch_ / "resumed",
                        std::filesystem::copy_options::recursive);
  for (const int64_t step : steps) {
    if (step > half)
      std::filesystem::remove_all(run::checkpoint_path(checkpoints("resumed"), step));
  }
  std::filesystem::remove(scratch_ / "resumed" / "summary.json");
  run("resumed");
  EXPECT_EQ(numbers("resumed"), first) << "resumed from step " << half;
  const auto last = [&](const std::string& name) {
    return read_file(run::checkpoint_path(checkpoints(name), steps.back()) /
                     "rank-00000.safetensors");
  };
  EXPECT_TRUE(last("resumed") == last("first")) << "the last checkpoints differ";
}

TEST_P(TaskContract, PlannerCountsWhatTheEngineHolds) {
  const auto recipe = read("counted");
  run("counted");
  const nlohmann::json preview = recipe->task->preview(recipe->run, 1);
  const auto steps = run::checkpoint_steps(checkpoints("counted"));
  int64_t parameters = 0, optimizer_bytes = 0, all = 0;
  for (const run::ManifestArray& array :
       run::read_manifest(run::checkpoint_path(checkpoints("counted"), steps.back())).arrays) {
    int64_t elements = 1;
    for (const int64_t extent : array.shape) elements *= extent;
    all += elements;
    if (array.name.starts_with("optimizer."))
      optimizer_bytes += elements * static_cast<int64_t>(size_of(array.dtype));
    else
      parameters += elements;
  }
  std::string lines;
  for (const auto& line : preview.at("lines")) lines += line.get<std::string>() + "\n";
  EXPECT_THAT(lines, HasSubstr("memory per rank, at most"));
  if (!preview.contains("parameters")) {  // a task that trains nothing
    if (preview.contains("state_elements")) {
      EXPECT_EQ(preview["state_elements"], all);
    }
    return;
  }
  EXPECT_EQ(preview.at("parameters"), parameters);
  EXPECT_EQ(preview.at("memory_bytes").at("optimizer"), optimizer_bytes);
  EXPECT_GT(preview.at("flops_per_step"), 0);
  for (const char* word : {"parameters", "FLOP", "samples"})
    EXPECT_THAT(lines, HasSubstr(word)) << "the preview does not state it";
}

// ---- the axes a task declares

std::string mpirun(int ranks) {
  return std::string(OCOEE_SOURCE_DIR) + "/tests/mpirun.sh " + std::to_string(ranks) + " ";
}

// Each declared axis on two ranks, each pair of them on four, by the program itself: the numbers of
// one rank. In the first steps only: later the debug recipe's high rate makes much of little.
TEST_P(TaskContract, DeclaredAxesGiveTheNumbersOfOneRank) {
  const auto recipe = read("declared");
  const auto& sections = recipe->description.sections();
  const bool trains = std::any_of(sections.begin(), sections.end(),
                                  [](const auto& section) { return section.first == "train"; });
  const auto train = [&](const std::string& name, int ranks, const std::string& layout) {
    const std::string command = fmt::format(
        "{}{}/ocoee run {} run.dir='\"{}\"' run.device=cpu run.threads=1 run.log_every=1 {} {} > "
        "{}.out 2>&1",
        ranks > 1 ? mpirun(ranks) : "", OCOEE_BINARY_DIR, (scratch_ / "recipe.toml").string(),
        (scratch_ / name).string(),
        trains ? "train.steps=8 train.checkpoint_every=0 train.evaluate_every=4" : "", layout,
        (scratch_ / name).string());
    ASSERT_EQ(std::system(command.c_str()), 0) << read_file((scratch_ / name).string() + ".out");
  };
  train("alone", 1, "");
  const auto alone = numbers("alone");
  std::vector<std::string> layouts;
  const auto& axes = GetParam().axes;
  for (size_t i = 0; i < axes.size(); ++i) {
    const std::string one = "layout." + axes[i] + "=2";
    layouts.push_back(one);
    for (size_t j = 0; j < i; ++j) layouts.push_back(one + " layout." + axes[j] + "=2");
  }
  layouts.push_back("");  // the data axis, which all have
  for (const std::string& layout : layouts) {
    const auto pairs = std::count(layout.begin(), layout.end(), '=');
    const std::string name = "layout-" + std::to_string(&layout - layouts.data());
    train(name, pairs == 2 ? 4 : 2, layout);
    const auto got = numbers(name);
    for (const auto& [key, value] : alone) {
      ASSERT_TRUE(got.contains(key)) << layout << ": " << key;
      EXPECT_NEAR(got.at(key), value, 2e-4 * std::abs(value)) << layout << ": " << key;
    }
  }
}

// What it does not declare it refuses.
TEST_P(TaskContract, OtherAxesAreRefused) {
  for (const std::string axis : {"tensor", "pipeline", "context"}) {
    const auto& axes = GetParam().axes;
    const bool declared = std::find(axes.begin(), axes.end(), axis) != axes.end();
    std::string text;
    try {
      cli::read_recipe(tasks_, (scratch_ / "recipe.toml").string(), {"layout." + axis + "=2"}, 2);
    } catch (const Error& error) {
      text = error.what();
    }
    // A task without a layout refuses the whole section.
    EXPECT_EQ(text.find("layout") == std::string::npos, declared) << axis << ": " << text;
  }
}

// Every key of every section gets a value that it cannot have, all in one recipe.
struct Spoiler {
  std::string toml;
  std::vector<std::string> keys;

  void add(const config::Description& d, const std::string& path, bool by_type) {
    if (!path.empty()) toml += "[" + path + "]\n";
    for (const config::Field& field : d.fields()) {
      const std::string key = path + "." + field.name;
      const std::string value = key == "task.name" ? ""
                                : by_type          ? wrong_type(field)
                                                   : out_of_range(field);
      if (value.empty()) continue;
      toml += field.name + " = " + value + "\n";
      keys.push_back(key);
    }
    if (!path.empty()) {
      toml += "no_such_key = 1\n";
      keys.push_back(path + ".no_such_key");
    }
    for (const auto& [name, inner] : d.sections())
      add(*inner, path.empty() ? name : path + "." + name, by_type);
  }
  static std::string wrong_type(const config::Field& field) {
    const bool is_text = std::holds_alternative<std::string*>(field.value);
    return is_text ? "3" : "\"text\"";
  }
  static std::string out_of_range(const config::Field& field) {
    if (!field.allowed.empty()) return "\"none of these\"";
    const bool whole = std::holds_alternative<int64_t*>(field.value);
    if (!whole && !std::holds_alternative<double*>(field.value)) return "";
    const auto text = [&](double value) {
      return whole ? fmt::format("{}", static_cast<int64_t>(value)) : fmt::format("{:.3f}", value);
    };
    if (field.minimum) return text(*field.minimum - (field.minimum_is_open ? 0 : 1));
    return field.maximum ? text(*field.maximum + 1) : "";
  }
};

TEST_P(TaskContract, EveryKeyRejectsWhatItCannotBe) {
  for (const bool by_type : {true, false}) {
    const cli::DescribedRecipe described(GetParam());
    Spoiler spoiler;
    spoiler.add(described.description, "", by_type);
    std::string toml = spoiler.toml;
    const size_t section = toml.find("[task]\n");
    ASSERT_NE(section, std::string::npos) << "there is no section [task]";
    toml.insert(section + 7, "name = \"" + GetParam().name + "\"\n");
    write_file_atomically(scratch_ / "bad.toml", "version = 1\n" + toml);
    try {
      cli::read_recipe(tasks_, (scratch_ / "bad.toml").string(), {}, 1);
      FAIL() << "was read:\n" << toml;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::config);
      const std::string text = error.what();
      for (const std::string& key : spoiler.keys)
        EXPECT_THAT(text, HasSubstr(": " + key + ": ")) << "not told";
    }
  }
  EXPECT_FALSE(std::filesystem::exists(scratch_ / "runs"));
}

INSTANTIATE_TEST_SUITE_P(Registry, TaskContract, testing::ValuesIn(tasks::builtin_tasks()),
                         [](const auto& task) { return task.param.name; });

}  // namespace
}  // namespace ocoee
