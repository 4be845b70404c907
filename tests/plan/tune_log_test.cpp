// SPDX-License-Identifier: Apache-2.0
#include "plan/tune/tune_log.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "core/error.h"
#include "plan/landscape.h"

namespace ocoee::plan {
namespace {

struct LogFolder {
  std::filesystem::path path;
  LogFolder() {
    path = std::filesystem::temp_directory_path() / fmt::format("ocoee-tune-{}", ::getpid());
    std::filesystem::remove_all(path);
  }
  ~LogFolder() { std::filesystem::remove_all(path); }
};

TEST(TuneLog, AKilledSearchGoesOnAsIfNothingHadHappened) {
  const LogFolder folder;
  const Landscape land;
  const nlohmann::json about = {{"recipe", "r.toml"}, {"seed", 1}};
  const auto run = [&](const std::filesystem::path& path, int64_t until) {
    TuneLog log(path, land.space, about);
    Tuner tuner(land.space, {});
    for (const Trial& trial : log.earlier()) tuner.restore(trial);
    while (tuner.finished() < until) {
      const Point point = *tuner.suggest();
      const int64_t id = tuner.start(point);
      const bool fits = land.fits(point);
      tuner.finish(id, fits ? TrialOutcome::ok : TrialOutcome::infeasible,
                   fits ? land.value(point) : 0, 1, fits ? "" : "out of memory",
                   {fits ? 0.3 + 0.01 * point[0] : 0, !fits});
      log.finished(tuner.trials().back(), land.space);
    }
    return tuner.trials();
  };
  const auto whole = run(folder.path / "whole.jsonl", 24);
  run(folder.path / "parts.jsonl", 11);
  {
    std::ofstream cut(folder.path / "parts.jsonl", std::ios::app);
    cut << "{\"point\":[1,2";  // the kill came in the middle of a line
  }
  const auto parts = run(folder.path / "parts.jsonl", 24);
  ASSERT_EQ(parts.size(), whole.size());
  std::set<uint64_t> tried;
  for (size_t i = 0; i < whole.size(); ++i) {
    EXPECT_TRUE(tried.insert(land.space.number(parts[i].point)).second);
    EXPECT_EQ(parts[i].outcome, whole[i].outcome);
  }
  EXPECT_EQ(parts[10].point, whole[10].point);
  for (size_t i = 0; i < 11; ++i) {
    EXPECT_EQ(parts[i].memory.share, whole[i].memory.share);
    EXPECT_EQ(parts[i].memory.ran_out, whole[i].memory.ran_out);
  }
}

TEST(TuneLog, AnotherSearchIsRefusedWithTheDifference) {
  const LogFolder folder;
  const Landscape land;
  { TuneLog first(folder.path / "t.jsonl", land.space, {{"seed", 1}}); }
  try {
    TuneLog second(folder.path / "t.jsonl", land.space, {{"seed", 2}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::config);
    EXPECT_NE(std::string(error.what()).find("about/seed was 1, and is 2"), std::string::npos)
        << error.what();
  }
  std::ofstream(folder.path / "bad.jsonl") << "hello\n{}\n";
  EXPECT_THROW(TuneLog(folder.path / "bad.jsonl", land.space, {}), Error);
}

}  // namespace
}  // namespace ocoee::plan
