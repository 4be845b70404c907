// SPDX-License-Identifier: Apache-2.0
// A run that was stopped, killed or damaged goes on as if nothing had been.
#include <signal.h>

#include <cstdlib>
#include <fstream>

#include "core/random.h"
#include "core/trace.h"
#include "kernels/number.h"
#include "run/counting_fixture.h"
#include "support/peak_memory.h"

namespace ocoee::run::testing_support {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class Resume : public Counting {
 protected:
  // An uninterrupted run to compare with.
  void make_reference(const Arguments& extra) {
    ASSERT_EQ(run(1, "reference", extra).code, 0);
    expected_ = losses("reference");
    expected_arrays_ = arrays(last_checkpoint("reference"));
  }
  std::filesystem::path last_checkpoint(const std::string& name) const {
    return checkpoint_path(checkpoints(name), checkpoint_steps(checkpoints(name)).back());
  }
  void expect_as_reference(const std::string& name) const {
    EXPECT_EQ(losses(name), expected_);
    EXPECT_TRUE(arrays(last_checkpoint(name)) == expected_arrays_);
    EXPECT_NO_THROW(verify_checkpoint(last_checkpoint(name)));
  }
  static void flip_byte(const std::filesystem::path& path, int64_t from_end) {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekg(-from_end, std::ios::end);
    const char byte = static_cast<char>(file.get() ^ 1);
    file.seekp(-from_end, std::ios::end);
    file.put(byte);
  }
  std::map<int64_t, double> expected_;
  std::map<std::string, std::string> expected_arrays_;
};

TEST_F(Resume, SameRanks) {
  make_reference({"task.steps=20"});
  ASSERT_EQ(run(1, "a", {"task.steps=9"}).code, 0);
  const Ended more = run(1, "a", {"task.steps=20"});
  ASSERT_EQ(more.code, 0) << more.output;
  EXPECT_THAT(more.output, HasSubstr("going on from the checkpoint of step 9"));
  expect_as_reference("a");
}

TEST_F(Resume, OtherRanks) {
  make_reference({"task.steps=24", "task.every=4"});
  int64_t steps = 0;
  for (const int ranks : {1, 2, 4, 2, 1}) {
    steps += 5;
    const Ended part = run(
        ranks, "a", {fmt::format("task.steps={}", std::min<int64_t>(steps, 24)), "task.every=4"});
    ASSERT_EQ(part.code, 0) << part.output;
  }
  expect_as_reference("a");
}

TEST_F(Resume, TheClockGoesOn) {
  ASSERT_EQ(run(1, "a", {"task.steps=8", "task.milliseconds=150"}).code, 0);
  const auto summary_json = [&] {
    return nlohmann::json::parse(read_file(folder() / "summary.json"));
  };
  EXPECT_FALSE(summary_json().contains("resumed"));
  ASSERT_EQ(run(1, "a", {"task.steps=10"}).code, 0);
  const nlohmann::json summary = summary_json(), &resumed = summary.at("resumed");
  EXPECT_EQ(resumed.at("step"), 8);
  EXPECT_GE(resumed.at("seconds").get<double>(), 8 * 0.15);
  EXPECT_GT(summary.at("seconds"), resumed.at("seconds"));
  const auto seconds = logged("seconds");
  EXPECT_GT(seconds.at(9), seconds.at(8));
  EXPECT_GE(seconds.at(8), 8 * 0.15);
}

TEST_F(Resume, AFinishedRunIsNotRunAgain) {
  ASSERT_EQ(run(1, "a", {"task.steps=5"}).code, 0);
  const std::string summary = read_file(folder() / "summary.json");
  const Ended again = run(1, "a", {"task.steps=5"});
  EXPECT_EQ(again.code, 0);
  EXPECT_THAT(again.output, HasSubstr("this run is finished"));
  EXPECT_EQ(read_file(folder() / "summary.json"), summary);
  EXPECT_EQ(losses().size(), 5u);
}

// kill -9 of all ranks at random moments, saves among them. OCOEE_KILLS=20 for the long form.
void kill_ranks(const std::filesystem::path& folder, int ranks, Process& process) {
  for (int rank = 0; rank < ranks; ++rank) {
    const auto path = folder.string() + fmt::format(".pid-{}", rank);
    if (std::filesystem::exists(path)) ::kill(std::atoi(read_file(path).c_str()), SIGKILL);
  }
  process.signal(SIGKILL);
  process.wait();
}

TEST_F(Resume, KilledAtRandomMoments) {
  const char* text = std::getenv("OCOEE_KILLS");
  const int kills = text ? std::atoi(text) : 5;
  const int ranks =
      std::getenv("OCOEE_KILL_RANKS") ? std::atoi(std::getenv("OCOEE_KILL_RANKS")) : 1;
  // Large enough that a save takes a good part of the time between two.
  const Arguments recipe{"task.rows=100000", "task.every=1", "task.steps=40"};
  make_reference(recipe);
  int left_partial = 0, made_progress = 0;
  int64_t last = 0;
  for (int kill = 0; kill < kills; ++kill) {
    RandomStream random(static_cast<uint64_t>(::getpid()), Purpose::plugin_first, 1,
                        static_cast<uint64_t>(kill));
    Process process(command(ranks, "a", recipe), scratch_ / "a.out");
    const auto steps = checkpoint_steps(checkpoints());
    const int64_t from = steps.empty() ? -1 : steps.back();
    wait_for_checkpoint(from + static_cast<int64_t>(random.below(2)), process);
    std::this_thread::sleep_for(std::chrono::microseconds(random.below(30000)));
    kill_ranks(folder(), ranks, process);
    for (int rank = 0; rank < ranks; ++rank)
      std::filesystem::remove(folder().string() + fmt::format(".pid-{}", rank));
    for (const auto& entry : std::filesystem::directory_iterator(checkpoints()))
      left_partial += entry.path().string().ends_with(".partial");
    const auto now = checkpoint_steps(checkpoints());
    if (now.empty()) continue;  // killed before the first checkpoint was in place
    comm::World world = comm::World::alone();
    const auto loadable = latest_loadable(checkpoints(), *world.host());
    ASSERT_TRUE(loadable.has_value());
    EXPECT_EQ(*loadable, now.back()) << "a folder that was renamed into place is not whole";
    EXPECT_GE(*loadable, last);
    made_progress += *loadable > last;
    last = *loadable;
  }
  const Ended end = run(ranks, "a", recipe);
  ASSERT_EQ(end.code, 0) << end.output;
  expect_as_reference("a");
  std::printf("%d kills: %d left a half-written save behind, %d made progress before\n", kills,
              left_partial, made_progress);
}

TEST_F(Resume, ADamagedShardIsPassedOver) {
  make_reference({"task.steps=20"});
  ASSERT_EQ(run(1, "a", {"task.steps=15"}).code, 0);
  flip_byte(checkpoints() / "step-15" / "rank-00000.safetensors", 9);
  const Ended more = run(1, "a", {"task.steps=20"});
  ASSERT_EQ(more.code, 0) << more.output;
  EXPECT_THAT(more.output, HasSubstr("passing over a damaged checkpoint: " +
                                     (checkpoints() / "step-15/rank-00000.safetensors").string() +
                                     ": its checksum is wrong: damaged after it was written"));
  EXPECT_THAT(more.output, HasSubstr("going on from the checkpoint of step 10"));
  expect_as_reference("a");
}

TEST_F(Resume, ATruncatedManifestIsPassedOver) {
  make_reference({"task.steps=20"});
  ASSERT_EQ(run(1, "a", {"task.steps=15"}).code, 0);
  const auto manifest = checkpoints() / "step-15" / "manifest.json";
  std::filesystem::resize_file(manifest, std::filesystem::file_size(manifest) / 2);
  const Ended more = run(1, "a", {"task.steps=20"});
  ASSERT_EQ(more.code, 0) << more.output;
  EXPECT_THAT(more.output, HasSubstr("it is no JSON object, or is cut short"));
  expect_as_reference("a");
}

TEST_F(Resume, WhenAllAreDamagedTheRunIsRefused) {
  ASSERT_EQ(run(1, "a", {"task.steps=10", "run.keep_checkpoints=1"}).code, 0);
  for (const int64_t step : checkpoint_steps(checkpoints()))
    std::filesystem::resize_file(checkpoint_path(checkpoints(), step) / "rank-00000.safetensors",
                                 100);
  const Ended more = run(1, "a", {"task.steps=20"});
  EXPECT_EQ(more.code, exit_code(ErrorKind::data));
  EXPECT_THAT(more.output, HasSubstr("100 bytes, the manifest says"));
  EXPECT_THAT(more.output, HasSubstr("none of its 2 checkpoints can be loaded"));
  EXPECT_EQ(run(1, "a", {"task.steps=20", "--fresh"}).code, 0);
  EXPECT_EQ(losses().size(), 20u);
  EXPECT_TRUE(std::filesystem::exists(folder("a.old-1") / "metrics.jsonl"));
}

TEST_F(Resume, AnotherRecipeIsRefusedAndTheDifferenceShown) {
  ASSERT_EQ(run(1, "a", {"task.steps=5"}).code, 0);
  const Ended other = run(1, "a", {"task.steps=10", "task.rate=0.5", "task.rows=40", "run.seed=2"});
  EXPECT_EQ(other.code, exit_code(ErrorKind::config));
  EXPECT_EQ(other.output,
            "counting_run: recipe error: " + folder().string() +
                ": holds a run with another recipe, so this one cannot go on from it:\n"
                "    run.seed: 1 there, 2 now\n"
                "    task.rate: 0.25 there, 0.5 now\n"
                "    task.rows: 37 there, 40 now\n"
                "    fix: give this run another run.name, or start over with --fresh (the old one "
                "is moved aside)\n");
  EXPECT_EQ(losses().size(), 5u);
}

TEST_F(Resume, OtherDataUnderTheSamePathIsRefused) {
  const std::string first = (scratch_ / "first.fa").string(), data = (scratch_ / "b.fa").string();
  const std::string files = "task.files=[\"" + first + "\",\"" + data + "\"]";
  write_file_atomically(first, ">a\nACGT\n");
  write_file_atomically(data, ">b\nACGT\n");
  ASSERT_EQ(run(1, "a", {"task.steps=5", files}).code, 0);
  write_file_atomically(data, ">b\nACGA\n");
  const Ended other = run(1, "a", {"task.steps=10", files});
  EXPECT_EQ(other.code, exit_code(ErrorKind::config));
  EXPECT_THAT(other.output, HasSubstr(": holds a run on other data, so this one cannot go on from "
                                      "it:\n    content of " +
                                      data + ": "));
  EXPECT_THAT(other.output, HasSubstr("    fix: put the data back as it was, give this run"));
  EXPECT_THAT(other.output, Not(HasSubstr(first)));
  EXPECT_EQ(losses().size(), 5u);
  write_file_atomically(data, ">b\nACGT\n");
  EXPECT_EQ(run(1, "a", {"task.steps=10", files}).code, 0);
  // What cannot be read is told by whoever opens it.
  std::filesystem::remove(data);
  EXPECT_EQ(run(1, "a", {"task.steps=12", files}).code, 0);
}

TEST_F(Resume, NewestAndBestAreKept) {
  ASSERT_EQ(run(1, "a", {"task.steps=30", "task.every=2", "run.keep_checkpoints=3"}).code, 0);
  // The counting task is best at step 7; 6 and 8 are equally near, the earlier one stays.
  EXPECT_THAT(checkpoint_steps(checkpoints()), ElementsAre(6, 26, 28, 30));
  ASSERT_EQ(run(1, "a", {"task.steps=34", "task.every=2", "run.keep_checkpoints=1"}).code, 0);
  EXPECT_THAT(checkpoint_steps(checkpoints()), ElementsAre(6, 34));
  EXPECT_EQ(best_checkpoint(checkpoints()), 6);
  EXPECT_THAT(inspect_text(checkpoint_path(checkpoints(), 6)),
              HasSubstr("metric 1\nthe best of this run's checkpoints\n"));
  EXPECT_THAT(inspect_text(checkpoint_path(checkpoints(), 34)),
              HasSubstr("the best of this run's checkpoints is step 6\n"));
}

TEST_F(Resume, LoadingReadsOnlyWhatIsNeeded) {
  ASSERT_EQ(run(4, "a", {"task.steps=2", "task.rows=4000"}).code, 0);
  const auto checkpoint = checkpoint_path(checkpoints(), 2);
  comm::World world = comm::World::alone();
  const auto whole = arrays(checkpoint);
  // Rows 900 to 1,100 of 4,000 meet two shards; 5 floats a row.
  std::vector<float> rows(200 * 5);
  State state;
  state.arrays = {
      {"tall", {4000, 5}, DType::f32, {host_piece({{900, 0}, {200, 5}}, rows.data(), DType::f32)}}};
  LoadCounters counters;
  load_checkpoint(checkpoint, state, *world.host(), &counters);
  EXPECT_EQ(counters.bytes_read, 200 * 5 * 4);
  EXPECT_EQ(0, std::memcmp(rows.data(), whole.at("tall").data() + 900 * 5 * 4, rows.size() * 4));
}

// An array that converts takes what is stored in the other of float32 and bfloat16, to the nearest;
// no other array does, and from no other type.
TEST_F(Resume, AnArrayMayConvertBetweenFloat32AndBfloat16) {
  comm::World world = comm::World::alone();
  constexpr int64_t kRows = 301, kColumns = 7;
  std::vector<float> wide(kRows * kColumns);
  for (size_t i = 0; i < wide.size(); ++i) wide[i] = 1 / (1.7f + static_cast<float>(i));
  std::vector<kernels::BFloat16> narrow;
  for (const float x : wide) narrow.push_back(kernels::bfloat16_from(x));
  const auto state = [](DType dtype, void* data) {
    State s;
    s.arrays = {
        {"a", {kRows, kColumns}, dtype, {host_piece({{0, 0}, {kRows, kColumns}}, data, dtype)}}};
    s.arrays[0].converts = true;
    return s;
  };
  const auto save = [&](const char* name, const State& s) {
    CheckpointWriter writer(scratch_ / name, *world.host(), 1);
    writer.begin(1, s, 0);
    writer.finish();
    return checkpoint_path(scratch_ / name, 1);
  };
  const auto of_wide = save("wide", state(DType::f32, wide.data())),
             of_narrow = save("narrow", state(DType::bf16, narrow.data()));
  std::vector<kernels::BFloat16> narrowed(narrow.size());
  LoadCounters counters;
  load_checkpoint(of_wide, state(DType::bf16, narrowed.data()), *world.host(), &counters);
  EXPECT_EQ(0, std::memcmp(narrowed.data(), narrow.data(), 2 * narrow.size()));
  EXPECT_EQ(counters.bytes_needed, 4 * kRows * kColumns);
  EXPECT_EQ(counters.bytes_read, 4 * kRows * kColumns);
  std::vector<float> widened(wide.size());
  load_checkpoint(of_narrow, state(DType::f32, widened.data()), *world.host(), &counters);
  for (size_t i = 0; i < wide.size(); ++i) EXPECT_EQ(widened[i], kernels::widen(narrow[i]));
  EXPECT_EQ(counters.bytes_read, 2 * kRows * kColumns);

  State strict = state(DType::bf16, narrowed.data());
  strict.arrays[0].converts = false;
  EXPECT_THAT(message_of([&] { load_checkpoint(of_wide, strict, *world.host()); }),
              HasSubstr("'a' is F32 [301, 7] there and BF16 [301, 7] here"));
  const State half = state(DType::f16, narrowed.data());
  EXPECT_THAT(message_of([&] { load_checkpoint(of_wide, half, *world.host()); }),
              HasSubstr("'a' is F32 [301, 7] there and F16 [301, 7] here"));
}

TEST_F(Resume, ReshardedIsTheSame) {
  ASSERT_EQ(run(4, "a", {"task.steps=3"}).code, 0);
  const auto source = checkpoint_path(checkpoints(), 3);
  for (const int64_t shards : {1, 3, 7}) {
    const auto target = scratch_ / fmt::format("resharded-{}", shards);
    reshard_checkpoint(source, target, shards);
    verify_checkpoint(target);
    EXPECT_EQ(read_manifest(target).files.size(), static_cast<size_t>(shards));
    EXPECT_TRUE(arrays(target) == arrays(source));
    EXPECT_THAT(message_of([&] { reshard_checkpoint(source, target, 2); }),
                HasSubstr("already there"));
  }
  EXPECT_THAT(inspect_text(scratch_ / "resharded-3"), HasSubstr("step 3, 5 arrays in 3 files"));
  // A run goes on from it.
  std::filesystem::remove_all(source);
  std::filesystem::rename(scratch_ / "resharded-7", source);
  make_reference({"task.steps=8"});
  ASSERT_EQ(run(2, "a", {"task.steps=8"}).code, 0);
  expect_as_reference("a");
}

// A folder step-N of another step would be taken for the newest, and true ones pruned for it.
TEST_F(Resume, ACopyBearsTheStepThatItHolds) {
  make_reference({"task.steps=20"});
  ASSERT_EQ(run(1, "a", {"task.steps=10"}).code, 0);
  const auto source = checkpoint_path(checkpoints(), 10),
             other = checkpoint_path(checkpoints(), 17);
  EXPECT_EQ(message_of([&] { reshard_checkpoint(source, other, 1); }),
            other.string() + ": names step 17, but " + source.string() +
                " is of step 10\n    fix: --to " + source.string() +
                ", or a name other than step-N");
  EXPECT_FALSE(std::filesystem::exists(other));
  reshard_checkpoint(source, scratch_ / "step-10", 1);

  // Brought there by hand it is passed over, and counts for nothing when older ones are pruned.
  std::filesystem::rename(scratch_ / "step-10", other);
  const std::string wrong = other.string() + ": its name says step 17, its manifest step 10";
  EXPECT_EQ(message_of([&] { verify_checkpoint(other); }), wrong);
  const Ended more = run(1, "a", {"task.steps=13", "run.keep_checkpoints=1"});
  ASSERT_EQ(more.code, 0) << more.output;
  EXPECT_THAT(more.output, HasSubstr("passing over a damaged checkpoint: " + wrong));
  EXPECT_THAT(more.output, HasSubstr("going on from the checkpoint of step 10"));
  EXPECT_THAT(checkpoint_steps(checkpoints()), testing::Contains(13));
  ASSERT_EQ(run(1, "a", {"task.steps=20"}).code, 0);
  expect_as_reference("a");
}

TEST_F(Resume, ReshardingRemovesNothingOfOthers) {
  ASSERT_EQ(run(1, "a", {"task.steps=2"}).code, 0);
  const auto source = checkpoint_path(checkpoints(), 2), target = scratch_ / "one",
             partial = scratch_ / "one.partial";
  const std::string in_the_way =
      partial.string() +
      ": is in the way: the copy is written there before it gets its name\n    fix: name another "
      "--to, or move that away";
  for (const char* name : {"notes.txt", "rank-notes.txt", "rank-00000.safetensors/notes.txt"}) {
    std::filesystem::create_directories((partial / name).parent_path());
    write_file_atomically(partial / name, "mine");
    EXPECT_EQ(message_of([&] { reshard_checkpoint(source, target, 1); }), in_the_way);
    EXPECT_EQ(read_file(partial / name), "mine");
    std::filesystem::remove_all(partial);
  }
  write_file_atomically(partial, "a file of mine");
  EXPECT_EQ(message_of([&] { reshard_checkpoint(source, target, 1); }), in_the_way);
  EXPECT_EQ(read_file(partial), "a file of mine");
  std::filesystem::remove(partial);
  // The very checkpoint that is read.
  std::filesystem::rename(source, partial);
  EXPECT_EQ(message_of([&] { reshard_checkpoint(partial, target, 1); }), in_the_way);
  verify_checkpoint(partial);
  std::filesystem::rename(partial, source);
  // What a killed rewrite left.
  std::filesystem::create_directory(partial);
  write_file_atomically(partial / "rank-00007.safetensors", "half");
  write_file_atomically(partial / "manifest.json", "{");
  reshard_checkpoint(source, target, 1);
  EXPECT_FALSE(std::filesystem::exists(partial));
  EXPECT_TRUE(arrays(target) == arrays(source));
}

// Loading 320 MiB holds no more than the largest piece beside the state itself, and rewriting a few
// megabytes: as the kernel counts, not the loader.
TEST_F(Resume, MemoryStaysWithinAPieceOfTheShard) {
  constexpr int64_t kArrays = 20, kRows = 4096, kColumns = 1024, kMiB = int64_t{1} << 20;
  comm::World world = comm::World::alone();
  std::vector<std::vector<float>> memory(kArrays, std::vector<float>(kRows * kColumns));
  State state;
  for (int64_t a = 0; a < kArrays; ++a) {
    std::vector<float>& values = memory[static_cast<size_t>(a)];
    for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(a) + 1e-3f * i;
    state.arrays.push_back({fmt::format("array{}", a),
                            {kRows, kColumns},
                            DType::f32,
                            {host_piece({{0, 0}, {kRows, kColumns}}, values.data(), DType::f32)}});
  }
  const int64_t piece = kRows * kColumns * 4, shard = kArrays * piece;
  const auto folder = scratch_ / "large";
  {
    CheckpointWriter writer(folder, *world.host(), 1);
    writer.begin(1, state, 0);
    writer.finish();
  }
  const std::vector<std::vector<float>> saved = memory;
  for (auto& values : memory) std::fill(values.begin(), values.end(), 0.0f);
  {
    LoadCounters counters;
    const ocoee::testing_support::PeakMemory peak;
    load_checkpoint(checkpoint_path(folder, 1), state, *world.host(), &counters);
    EXPECT_LE(peak.rise(), piece + 4 * kMiB);
    EXPECT_LE(peak.rise(), shard / 10);
    EXPECT_LE(peak.rise(), counters.most_host_bytes + 4 * kMiB);
  }
  EXPECT_TRUE(memory == saved);
  {
    const ocoee::testing_support::PeakMemory peak;
    reshard_checkpoint(checkpoint_path(folder, 1), scratch_ / "one", 1);
    EXPECT_LE(peak.rise(), 32 * kMiB);
  }
  EXPECT_TRUE(arrays(scratch_ / "one") == arrays(checkpoint_path(folder, 1)));
}

// What a finished shard waits for is no time of the save.
TEST_F(Resume, ASaveTakesAsLongAsWritingAndNotAsWaiting) {
  comm::World world = comm::World::alone();
  std::vector<float> memory(1000);
  State state;
  state.arrays = {
      {"a", {1000}, DType::f32, {host_piece({{0}, {1000}}, memory.data(), DType::f32)}}};
  CheckpointWriter writer(scratch_ / "timed", *world.host(), 1);
  const double begin = trace::now_seconds();
  writer.begin(1, state, 0);
  while (!writer.shard_done()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  const double written = trace::now_seconds() - begin;
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const double back = trace::now_seconds();
  const CheckpointWriter::Saved saved = writer.finish();
  EXPECT_GT(saved.seconds, 0);
  EXPECT_LE(saved.seconds, written + trace::now_seconds() - back);
}

TEST_F(Resume, AnotherModelIsRefused) {
  ASSERT_EQ(run(1, "a", {"task.steps=2"}).code, 0);
  std::vector<float> memory(10);
  State state;
  state.arrays = {
      {"tall", {2, 5}, DType::f32, {host_piece({{0, 0}, {2, 5}}, memory.data(), DType::f32)}}};
  comm::World world = comm::World::alone();
  const auto checkpoint = checkpoint_path(checkpoints(), 2);
  EXPECT_EQ(message_of([&] { load_checkpoint(checkpoint, state, *world.host()); }),
            checkpoint.string() +
                ": 'tall' is F32 [37, 5] there and F32 [2, 5] here: it belongs to another model");
  state.arrays[0].name = "long";
  EXPECT_EQ(
      message_of([&] { load_checkpoint(checkpoint, state, *world.host()); }),
      checkpoint.string() +
          ": holds no array 'long': it belongs to another model, or an earlier version wrote it");
}

}  // namespace
}  // namespace ocoee::run::testing_support
