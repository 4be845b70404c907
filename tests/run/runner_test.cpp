// SPDX-License-Identifier: Apache-2.0
// How a run stops, and what it leaves behind.
#include <signal.h>
#include <sys/resource.h>

#include <ctime>

#include "run/counting_fixture.h"

namespace ocoee::run::testing_support {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class RunnerTest : public Counting {
 protected:
  static constexpr const char* kLong = "task.steps=100000";
  static constexpr const char* kSlow = "task.milliseconds=3";
  json read_json(const std::string& name) const { return json::parse(read_file(folder() / name)); }
  int64_t newest() const { return checkpoint_steps(checkpoints()).back(); }
};

TEST_F(RunnerTest, LeavesTheFilesOfARunDirectory) {
  const Ended ended = run(2, "a", {"task.steps=12"});
  ASSERT_EQ(ended.code, 0) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("counting to 12 on 2 ranks"));
  EXPECT_THAT(ended.output, HasSubstr("step      12"));
  const json summary = read_json("summary.json");
  EXPECT_EQ(summary["status"], "finished");
  EXPECT_EQ(summary["steps"], 12);
  EXPECT_EQ(summary["ranks"], 2);
  EXPECT_EQ(summary["final"]["steps"], 12);
  EXPECT_EQ(summary["traffic"][0]["axis"], "data");
  for (const json& entry : summary["traffic"])  // both ranks make the calls
    EXPECT_EQ(entry["calls"].get<int64_t>() % 2, 0) << entry;
  EXPECT_EQ(summary["traffic"][0]["kind"], "all_reduce");  // of two ranks: once round
  EXPECT_EQ(summary["traffic"][0]["wire_bytes"], summary["traffic"][0]["bytes"]);
  EXPECT_EQ(read_json("plan.json")["parameters"], 185);
  const json environment = read_json("environment.json");
  for (const char* key :
       {"ocoee", "host", "cpu", "cores", "host_memory", "launcher", "command", "started"})
    EXPECT_TRUE(environment.contains(key)) << key;
  EXPECT_THAT(read_file(folder() / "recipe.toml"),
              HasSubstr("[task]\nname = \"counting\"\nsteps = 12"));
  const json trace = read_json("trace.json");
  std::map<int64_t, int> spans;
  for (const json& event : trace["traceEvents"]) {
    if (event["ph"] == "X") ++spans[event["pid"].get<int64_t>()];
    EXPECT_TRUE(event["ph"] == "M" ||
                (event["dur"].get<double>() >= 0 && event["tid"].is_number_integer()));
  }
  EXPECT_EQ(spans.size(), 2u);
}

TEST_F(RunnerTest, SignalsWriteACheckpointAndEndWith75) {
  int64_t before = -1;
  for (const int number : {SIGTERM, SIGUSR1, SIGINT}) {
    Process process(command(1, "a", {kLong, kSlow, "task.every=0"}), scratch_ / "a.out");
    ASSERT_TRUE(wait_for_checkpoint(std::max<int64_t>(0, before), process)) << process.output();
    while (before >= 0 && process.running() &&
           process.output().find("going on from") == std::string::npos)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    process.signal(number);
    EXPECT_EQ(process.wait(), 75) << process.output();
    EXPECT_THAT(process.output(), HasSubstr("stopped by a signal; a checkpoint is written"));
    EXPECT_GT(newest(), before);
    EXPECT_EQ(losses().rbegin()->first, newest());
    EXPECT_EQ(read_json("summary.json")["status"], "interrupted");
    before = newest();
  }
}

TEST_F(RunnerTest, ASignalDuringTheStartEndsWith75) {
  for (const int number : {SIGTERM, SIGUSR1}) {
    Process process(command(1, "a", {"task.start_milliseconds=500"}), scratch_ / "a.out");
    while (process.running() && process.output().find("counting to") == std::string::npos)
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::this_thread::sleep_for(std::chrono::milliseconds(100));  // into the task's start
    process.signal(number);
    EXPECT_EQ(process.wait(), 75) << process.output();
    EXPECT_THAT(process.output(), HasSubstr("stopped by a signal; a checkpoint is written"));
    EXPECT_EQ(newest(), 0);
  }
  EXPECT_EQ(run(1, "a", {}).code, 0);
  EXPECT_EQ(losses().size(), 20u);
}

TEST_F(RunnerTest, TheStepOfAStopIsLogged) {
  Process process(command(1, "a", {kLong, kSlow, "task.log_every=1000000"}), scratch_ / "a.out");
  ASSERT_TRUE(wait_for_checkpoint(5, process)) << process.output();
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait(), 75) << process.output();
  ASSERT_EQ(losses().size(), 1u);
  EXPECT_EQ(losses().begin()->first, newest());
  EXPECT_EQ(read_json("summary.json")["last_step"]["samples"], newest());
}

TEST_F(RunnerTest, AnEndBeforeWhereTheRunIsIsRefused) {
  Process process(command(1, "a", {kLong, kSlow}), scratch_ / "a.out");
  ASSERT_TRUE(wait_for_checkpoint(5, process)) << process.output();
  process.signal(SIGTERM);
  ASSERT_EQ(process.wait(), 75) << process.output();
  const auto record = [&] {
    std::string all;
    for (const char* name : {"recipe.toml", "plan.json", "metrics.jsonl", "summary.json"})
      all += read_file(folder() / name);
    return all;
  };
  const std::string before = record();
  const Ended shorter = run(1, "a", {"task.steps=3"});
  EXPECT_EQ(shorter.code, exit_code(ErrorKind::config));
  EXPECT_THAT(shorter.output,
              HasSubstr(fmt::format("{}: this run is at step {} already, and the recipe now ends "
                                    "at 3\n    fix: let it end at {} or later, or start over with "
                                    "--fresh",
                                    folder().string(), newest(), newest())));
  EXPECT_EQ(record(), before);
  EXPECT_EQ(run(1, "a", {"task.steps=3", "--fresh"}).code, 0);
}

TEST_F(RunnerTest, TheFirstCheckpointCanBeLeftOut) {
  const auto steps_of = [&](const std::string& name, const std::string& first) {
    const Ended ended =
        run(1, name, {"task.steps=12", "task.every=0", "run.save_at_start=" + first});
    EXPECT_EQ(ended.code, 0) << ended.output;
    return checkpoint_steps(checkpoints(name));
  };
  EXPECT_EQ(steps_of("a", "true"), (std::vector<int64_t>{0, 12}));
  EXPECT_EQ(steps_of("b", "false"), (std::vector<int64_t>{12}));
}

TEST_F(RunnerTest, ACheckpointIsWrittenWhenTheLastOneIsOld) {
  const auto steps_of = [&](const std::string& name, const Arguments& extra) {
    Arguments all{"task.steps=12", "task.every=0", "run.keep_checkpoints=99"};
    all.insert(all.end(), extra.begin(), extra.end());
    const Ended ended = run(2, name, all);
    EXPECT_EQ(ended.code, 0) << ended.output;
    return checkpoint_steps(checkpoints(name));
  };
  EXPECT_EQ(steps_of("a", {}), (std::vector<int64_t>{0, 12})) << "it ends before the first is old";
  EXPECT_EQ(steps_of("b", {"run.checkpoint_interval=0"}), (std::vector<int64_t>{0, 12}));
  const std::vector<int64_t> often = steps_of("c", {"run.checkpoint_interval=1e-9"});
  EXPECT_THAT(often, testing::IsSupersetOf({0, 1, 12})) << "others come while one is written";
  for (const int64_t step : often)
    EXPECT_NO_THROW(verify_checkpoint(checkpoint_path(checkpoints("c"), step)));
}

TEST_F(RunnerTest, ASignalToOneRankStopsAll) {
  Process process(command(2, "a", {kLong, kSlow}), scratch_ / "a.out");
  ASSERT_TRUE(wait_for_checkpoint(5, process)) << process.output();
  ::kill(std::atoi(read_file(folder().string() + ".pid-1").c_str()), SIGUSR1);
  EXPECT_EQ(process.wait(), 75) << process.output();
  EXPECT_NO_THROW(verify_checkpoint(checkpoint_path(checkpoints(), newest())));
}

TEST_F(RunnerTest, ALaterSecondSignalEndsAtOnce) {
  Process process(command(1, "a", {"task.steps=2", "task.milliseconds=60000"}), scratch_ / "a.out");
  ASSERT_TRUE(wait_for_checkpoint(0, process));
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  process.signal(SIGTERM);
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  process.signal(SIGTERM);  // the same request, delivered twice
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  ASSERT_TRUE(process.running());
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait(), -SIGTERM);
}

TEST_F(RunnerTest, WallTimeEndsWithACheckpoint) {
  const Ended own = run(1, "a", {kLong, kSlow, "task.every=0", "run.wall_time=1.0"});
  EXPECT_EQ(own.code, 75) << own.output;
  EXPECT_THAT(own.output, HasSubstr("the wall time is nearly over; a checkpoint is written"));
  const int64_t before = newest();
  EXPECT_GT(before, 0);
  const std::string end = std::to_string(std::time(nullptr) + 3);
  const Ended slurm = run(1, "a", {kLong, kSlow, "task.every=0"}, {{"SLURM_JOB_END_TIME", end}});
  EXPECT_EQ(slurm.code, 75) << slurm.output;
  EXPECT_THAT(slurm.output, HasSubstr("wall time left"));
  EXPECT_GT(newest(), before);
  EXPECT_EQ(static_cast<int64_t>(losses().size()), newest());
}

TEST_F(RunnerTest, OneRunADirectory) {
  Process process(command(1, "a", {kLong, kSlow}), scratch_ / "first.out");
  ASSERT_TRUE(wait_for_checkpoint(0, process));
  const Ended second = run(1, "a", {kLong, kSlow});
  EXPECT_EQ(second.code, exit_code(ErrorKind::file));
  EXPECT_THAT(second.output,
              HasSubstr(fmt::format("{}: another run is writing there (process {} on ",
                                    folder().string(), process.pid())));
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait(), 75);
}

TEST_F(RunnerTest, AFinishedRunKeepsItsRecordUntilItGoesOn) {
  ASSERT_EQ(run(1, "a", {"task.steps=6"}).code, 0);
  const std::string recipe = read_file(folder() / "recipe.toml"),
                    plan = read_file(folder() / "plan.json"),
                    metrics = read_file(folder() / "metrics.jsonl");
  const Ended shorter = run(1, "a", {"task.steps=3"});
  EXPECT_EQ(shorter.code, 0);
  EXPECT_THAT(shorter.output, HasSubstr("this run is finished"));
  EXPECT_EQ(read_file(folder() / "recipe.toml"), recipe);
  EXPECT_EQ(read_file(folder() / "plan.json"), plan);
  EXPECT_EQ(read_file(folder() / "metrics.jsonl"), metrics);
  EXPECT_EQ(run(1, "a", {"task.steps=8"}).code, 0);
  EXPECT_THAT(read_file(folder() / "recipe.toml"), HasSubstr("steps = 8"));
  EXPECT_EQ(read_json("plan.json")["steps"], 8);
}

TEST_F(RunnerTest, AFileInPlaceOfTheDirectoryIsNamed) {
  write_file_atomically(folder("c"), "not a folder");
  const Ended other = run(1, "c", {"task.steps=2"});
  EXPECT_EQ(other.code, exit_code(ErrorKind::file));
  EXPECT_EQ(other.output, "counting_run: file error: " + (folder("c") / "checkpoints").string() +
                              ": cannot create: Not a directory\n    fix: move the file away that "
                              "stands where a folder is needed, or set run.dir to another place\n");
}

// No file may grow past 200 kB: what a full disk does to a shard, and to nothing else.
TEST_F(RunnerTest, AFullDiskLeavesTheCheckpointBefore) {
  Process process(command(1, "a", {kLong, kSlow, "task.rows=20000", "task.every=3"}),
                  scratch_ / "a.out");
  ASSERT_TRUE(wait_for_checkpoint(6, process)) << process.output();
  const rlimit limit{200000, 200000};
  ASSERT_EQ(::prlimit(process.pid(), RLIMIT_FSIZE, &limit, nullptr), 0);
  EXPECT_EQ(process.wait(), exit_code(ErrorKind::file)) << process.output();
  EXPECT_THAT(process.output(), HasSubstr("could not be written"));
  EXPECT_THAT(process.output(), HasSubstr("rank-00000.safetensors: cannot write: File too large"));
  EXPECT_THAT(process.output(),
              HasSubstr(fmt::format("the checkpoint of step {} is whole", newest())));
  EXPECT_NO_THROW(verify_checkpoint(checkpoint_path(checkpoints(), newest())));
  for (const auto& entry : std::filesystem::directory_iterator(checkpoints()))
    EXPECT_FALSE(entry.path().string().ends_with(".partial")) << entry.path();
  EXPECT_EQ(read_json("summary.json")["status"], "failed");
  // With space again it goes on.
  EXPECT_EQ(run(1, "a", {"task.steps=60", "task.rows=20000", "task.every=3"}).code, 0);
  EXPECT_EQ(losses().size(), 60u);
}

TEST_F(RunnerTest, AFullDiskOfOneRankStopsAllWithItsMessage) {
  Process process(command(2, "a", {kLong, kSlow, "task.rows=40000", "task.every=3"}),
                  scratch_ / "a.out");
  ASSERT_TRUE(wait_for_checkpoint(6, process)) << process.output();
  const rlimit limit{200000, 200000};
  const pid_t other = std::atoi(read_file(folder().string() + ".pid-1").c_str());
  ASSERT_EQ(::prlimit(other, RLIMIT_FSIZE, &limit, nullptr), 0);
  EXPECT_EQ(process.wait(), exit_code(ErrorKind::file)) << process.output();
  const std::string said = "rank-00001.safetensors: cannot write: File too large";
  EXPECT_THAT(process.output(), HasSubstr(said));
  EXPECT_EQ(process.output().find(said), process.output().rfind(said)) << "one rank speaks for all";
  EXPECT_NO_THROW(verify_checkpoint(checkpoint_path(checkpoints(), newest())));
  EXPECT_EQ(run(2, "a", {"task.steps=40", "task.rows=40000", "task.every=3"}).code, 0);
  EXPECT_EQ(losses().size(), 40u);
}

TEST_F(RunnerTest, AFailureOfOneRankEndsAll) {
  const Ended ended = run(2, "a", {"task.steps=20", "task.fail_at=12"});
  EXPECT_EQ(ended.code, exit_code(ErrorKind::numerics)) << ended.output;
  EXPECT_THAT(ended.output, HasSubstr("step 12: asked to fail"));
  EXPECT_TRUE(std::filesystem::exists(folder() / "flight-rank-1.json"));
  EXPECT_EQ(run(1, "a", {"task.steps=20"}).code, 0);
  EXPECT_EQ(losses().size(), 20u);
  EXPECT_FALSE(std::filesystem::exists(folder() / "flight-rank-1.json"));
  EXPECT_TRUE(std::filesystem::exists(folder() / "flight-records-before/flight-rank-1.json"));
}

TEST_F(RunnerTest, AFailingTaskIsReportedAndItsLastCheckpointStays) {
  const Ended ended = run(1, "a", {"task.steps=20", "task.fail_at=12"});
  EXPECT_EQ(ended.code, exit_code(ErrorKind::numerics));
  EXPECT_THAT(ended.output, HasSubstr("step 12: asked to fail"));
  // The one of step 10 may still have been under way.
  EXPECT_TRUE(newest() == 5 || newest() == 10) << newest();
  EXPECT_EQ(read_json("summary.json")["error"], "step 12: asked to fail");
  EXPECT_THAT(ended.output, HasSubstr("report " + (folder() / "report.html").string()));
  EXPECT_EQ(read_json("report.html")["status"], "failed");
  EXPECT_EQ(run(1, "a", {"task.steps=20"}).code, 0);
  EXPECT_EQ(losses().size(), 20u);
}

TEST_F(RunnerTest, AFailingStartKeepsWhatTheFinishedRunFound) {
  ASSERT_EQ(run(1, "a", {"task.steps=12"}).code, 0);
  const json finished = read_json("summary.json");
  EXPECT_NE(run(1, "a", {"task.steps=20", "task.fail_at=14"}).code, 0);
  const json failed = read_json("summary.json");
  EXPECT_EQ(failed["status"], "failed");
  for (const auto& [key, value] : finished.items()) EXPECT_TRUE(failed.contains(key)) << key;
  EXPECT_EQ(failed["final"], finished["final"]);
  EXPECT_EQ(run(1, "a", {"task.steps=20"}).code, 0);
  EXPECT_FALSE(read_json("summary.json").contains("error"));
}

}  // namespace
}  // namespace ocoee::run::testing_support
