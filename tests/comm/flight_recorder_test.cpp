// SPDX-License-Identifier: Apache-2.0
#include "comm/flight_recorder.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <thread>

#include "comm/flight_reporter.h"
#include "comm/watchdog.h"

namespace ocoee::comm {
namespace {

FlightEntry entry(const FlightGroup* group, uint64_t sequence) {
  FlightEntry e;
  e.group = group;
  e.stream = group->key;
  e.sequence = sequence;
  e.kind = Kind::all_gather;
  e.dtype = DType::f32;
  e.count = 8;
  e.file = "/somewhere/src/nn/layer.cpp";
  e.line = 12;
  return e;
}

TEST(FlightRecorder, TellsEqualCommunicatorsApart) {
  const FlightGroup* first = flight_register("tensor", {0, 1});
  const FlightGroup* second = flight_register("tensor", {0, 1});
  const FlightGroup* third = flight_register("tensor", {2, 3});
  EXPECT_NE(first->key, second->key);
  EXPECT_NE(first->key, third->key);
}

TEST(FlightRecorder, KeepsTheStateOfEachOperation) {
  const FlightGroup* group = flight_register("data", {0, 1});
  const FlightEntryId id = flight_started(entry(group, 1));
  EXPECT_EQ(flight_entries().back().finished, 0);
  flight_waiting(id);
  EXPECT_TRUE(flight_entries().back().blocked);
  flight_finished(id);
  const FlightEntry last = flight_entries().back();
  EXPECT_FALSE(last.blocked);
  EXPECT_GE(last.finished, last.started);
  EXPECT_EQ(flight_site(last), "src/nn/layer.cpp:12");
  const auto json = nlohmann::json::parse(flight_record()).back();
  EXPECT_EQ(json["kind"], "all_gather");
  EXPECT_EQ(json["bytes"], 32);
  EXPECT_EQ(json["state"], "finished");
  EXPECT_EQ(json["site"], "src/nn/layer.cpp:12");
}

TEST(FlightRecorder, ForgetsTheOldestButKnowsTheNewestOfEachStream) {
  const FlightGroup *rare = flight_register("instance", {0, 1}),
                    *busy = flight_register("data", {0, 1});
  const FlightEntryId before = flight_started(entry(rare, 1));
  for (uint64_t i = 1; i <= 3000; ++i) flight_finished(flight_started(entry(busy, i)));
  EXPECT_EQ(flight_entries().size(), 1024u);
  const std::vector<FlightEntry> latest = flight_latest(before - 1);
  ASSERT_EQ(latest.size(), 2u);
  EXPECT_EQ(latest[0].group, rare);
  EXPECT_EQ(latest[1].sequence, 3000u);
  flight_finished(before);  // long forgotten: nothing happens
}

TEST(FlightReporter, SendsWhatIsNewAndWhatIsUnderWay) {
  FlightReporter reporter(0, 512);  // at most one call of each stream
  reporter.next();
  const FlightGroup* group = flight_register("pipeline", {0, 1});
  const FlightEntryId open = flight_started(entry(group, 1));
  for (uint64_t i = 2; i <= 5; ++i) flight_finished(flight_started(entry(group, i)));
  std::vector<ControlMessage> messages = reporter.next();
  ASSERT_EQ(messages.size(), 2u);
  EXPECT_EQ(std::get<GroupReport>(messages[0]).name, "pipeline");
  const auto& state = std::get<StateReport>(messages[1]).operations;
  ASSERT_EQ(state.size(), 2u);
  EXPECT_EQ(state[0].sequence, 1u);
  EXPECT_TRUE(state[0].under_way);
  EXPECT_EQ(state[1].sequence, 5u);
  messages = reporter.next();
  ASSERT_EQ(messages.size(), 1u);
  ASSERT_EQ(std::get<StateReport>(messages[0]).operations.size(), 1u);  // still under way
  flight_finished(open);
  EXPECT_TRUE(std::get<StateReport>(reporter.next().back()).operations.empty());
}

TEST(FlightRecorder, ServesTwoThreads) {
  const FlightGroup* group = flight_register("data", {0, 1});
  std::thread watcher([] {
    FlightReporter reporter(0, 2);
    for (int i = 0; i < 200; ++i) reporter.next();
  });
  for (uint64_t i = 1; i <= 2000; ++i) {
    const FlightEntryId id = flight_started(entry(group, i));
    flight_waiting(id);
    flight_finished(id);
  }
  watcher.join();
  EXPECT_EQ(flight_entries().back().sequence, 2000u);
}

}  // namespace
}  // namespace ocoee::comm
