// SPDX-License-Identifier: Apache-2.0
#include "run/listeners.h"

#include <gtest/gtest.h>

#include "core/file.h"
#include "core/text.h"
#include "run/scratch.h"

namespace ocoee::run {
namespace {

using nlohmann::json;
using testing_support::Scratch;

std::vector<json> lines_of(const std::filesystem::path& path) {
  std::vector<json> out;
  for (const std::string& line : split(read_file(path), '\n')) {
    if (!line.empty()) out.push_back(json::parse(line));
  }
  return out;
}

TEST(Console, TheLengthMayBecomeAnotherOnTheWay) {
  testing::internal::CaptureStdout();
  {
    const auto console = make_console();
    console->expect({0, 1000, 0, "step"});
    console->on({"step", 1, {{"loss", 1.0}}});
    console->at(39, 40);
    console->on({"step", 40, {{"loss", 0.5}}});
  }
  const std::string said = testing::internal::GetCapturedStdout();
  EXPECT_NE(said.find("done in"), std::string::npos) << said;
}

TEST(MetricsFile, ResumeCutsOffWhatFollowed) {
  const Scratch scratch;
  const auto path = scratch / "metrics.jsonl";
  {
    const auto file = make_metrics_file(path, -1);
    for (int64_t step = 1; step <= 9; ++step) file->on({"step", step, {{"loss", step * 0.5}}});
    file->on({"summary", 9, {{"a", 1}}});
    file->flush();
  }
  // killed in the middle of a line
  write_file_atomically(path, read_file(path) + "{\"kind\":\"step\",\"step\":1");
  {
    const auto file = make_metrics_file(path, 6);
    file->on({"checkpoint_loaded", 6, {}});
    for (int64_t step = 7; step <= 8; ++step) file->on({"step", step, {{"loss", 1.0}}});
  }
  const std::vector<json> lines = lines_of(path);
  ASSERT_EQ(lines.size(), 9u);
  for (size_t i = 0; i < 6; ++i) EXPECT_EQ(lines[i]["step"], i + 1);
  EXPECT_EQ(lines[6]["kind"], "checkpoint_loaded");
  EXPECT_EQ(lines[7], (json{{"kind", "step"}, {"step", 7}, {"loss", 1.0}}));
  make_metrics_file(path, -1);
  EXPECT_TRUE(lines_of(path).empty());
}

// tests/run/golden/check_tensorboard.py reads these bytes with TensorBoard itself.
TEST(TensorBoard, EventsAreTheGoldenBytes) {
  const Event step{"step", 300, {{"loss", 1.5}, {"name", "text is left out"}, {"samples", 4800}}};
  const Event evaluation{"evaluation", 300, {{"bits_per_base", 1.875}}};
  const std::string bytes = tensorboard_record(tensorboard_version_event(1.7e9)) +
                            tensorboard_record(tensorboard_scalars_event(1.7e9 + 1, step)) +
                            tensorboard_record(tensorboard_scalars_event(1.7e9 + 2, evaluation)) +
                            tensorboard_record(tensorboard_restart_event(1.7e9 + 3, 300)) +
                            tensorboard_record(tensorboard_scalars_event(1.7e9 + 4, step));
  const std::filesystem::path golden =
      OCOEE_SOURCE_DIR "/tests/run/golden/events.out.tfevents.1700000000.golden";
  if (std::getenv("OCOEE_WRITE_GOLDEN")) write_file_atomically(golden, bytes);
  EXPECT_TRUE(bytes == read_file(golden));
  EXPECT_EQ(tensorboard_scalars_event(0, {"step", 1, {{"text", "only"}}}), "");
}

TEST(TensorBoard, ListenerWritesAFileOfRecords) {
  const Scratch scratch;
  make_tensorboard(scratch / "tensorboard")->on({"step", 1, {{"loss", 1.0}}});
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(scratch / "tensorboard")) {
    ++files;
    const std::string bytes = read_file(entry.path());
    EXPECT_TRUE(entry.path().filename().string().starts_with("events.out.tfevents."));
    EXPECT_NE(bytes.find("brain.Event:2"), std::string::npos);
    EXPECT_NE(bytes.find("train/loss"), std::string::npos);
  }
  EXPECT_EQ(files, 1);
}

}  // namespace
}  // namespace ocoee::run
