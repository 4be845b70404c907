// SPDX-License-Identifier: Apache-2.0
#include "comm/control_message.h"

#include <gtest/gtest.h>

#include "core/random.h"

namespace ocoee::comm {
namespace {

std::vector<ControlMessage> examples() {
  OperationReport o;
  o.id = 0x0123456789abcdefULL;
  o.group = 1;
  o.stream = 2;
  o.sequence = 3;
  o.rolling = ~uint64_t{0};
  o.kind = Kind::reduce_scatter;
  o.op = Reduce::max;
  o.dtype = DType::bf16;
  o.count = int64_t{1} << 40;
  o.peer = -1;
  o.age = 1.5F;
  o.under_way = o.blocked = true;
  o.site = "src/parallel/engine.cpp:135";
  return {Hello{42, 3},
          GroupReport{7, "data", {0, 2, 4}},
          StateReport{{o, OperationReport{}}},
          StateReport{},
          FailureReport{3, "why"},
          Goodbye{},
          Farewell{},
          Alive{},
          Ask{},
          Abort{5, "rank 2 died"}};
}

std::string payload_of(const ControlMessage& message) {
  return control_frame(message).substr(4);
}

TEST(ControlMessage, GoesRoundTrip) {
  for (const ControlMessage& message : examples()) {
    const auto back = parse_control_message(payload_of(message));
    ASSERT_TRUE(back.has_value()) << message.index();
    EXPECT_EQ(*back, message) << message.index();
  }
}

TEST(ControlMessage, CutShortOrTooLongIsRefused) {
  for (const ControlMessage& message : examples()) {
    const std::string payload = payload_of(message);
    for (size_t n = 0; n < payload.size(); ++n) {
      ASSERT_FALSE(parse_control_message(payload.substr(0, n)).has_value())
          << message.index() << " cut to " << n;
    }
    ASSERT_FALSE(parse_control_message(payload + "x").has_value());
  }
}

TEST(ControlMessage, AFalseLengthAsksForNoMemory) {
  std::string payload = payload_of(StateReport{});
  for (size_t i = 1; i < 5; ++i) payload[i] = '\xff';  // four billion operations
  EXPECT_FALSE(parse_control_message(payload).has_value());
  std::string group = payload_of(GroupReport{1, "", {}});
  group[group.size() - 1] = '\x7f';
  EXPECT_FALSE(parse_control_message(group).has_value());
}

TEST(ControlMessage, UnknownTypesAndEnumsAreRefused) {
  EXPECT_FALSE(parse_control_message("").has_value());
  EXPECT_FALSE(parse_control_message(std::string(1, '\x63')).has_value());
  OperationReport o;
  const std::string good = payload_of(StateReport{{o}});
  std::string bad = good;
  bad[1 + 4 + 5 * 8] = 100;  // the kind
  EXPECT_TRUE(parse_control_message(good).has_value());
  EXPECT_FALSE(parse_control_message(bad).has_value());
}

TEST(ControlMessage, SpoiledBytesNeverCrash) {
  RandomStream random(1, Purpose::noise, 0, 0);
  for (const ControlMessage& message : examples()) {
    const std::string payload = payload_of(message);
    for (int trial = 0; trial < 2000; ++trial) {
      std::string spoiled = payload;
      for (int k = 0; k < 3; ++k)
        spoiled[random.below(spoiled.size())] = static_cast<char>(random.next32());
      if (const auto parsed = parse_control_message(spoiled)) {
        EXPECT_EQ(payload_of(*parsed).size(),
                  spoiled.size());  // what is taken says as much as it was
      }
    }
  }
}

TEST(FrameReader, PutsPiecesTogether) {
  std::string stream;
  for (const ControlMessage& message : examples()) stream += control_frame(message);
  for (const size_t piece : {1u, 3u, 7u, 1000u}) {
    FrameReader reader;
    size_t seen = 0;
    for (size_t at = 0; at < stream.size(); at += piece) {
      reader.append(std::string_view(stream).substr(at, piece));
      while (const auto payload = reader.next()) {
        ASSERT_EQ(parse_control_message(*payload), examples()[seen]);
        ++seen;
      }
    }
    EXPECT_EQ(seen, examples().size());
    EXPECT_FALSE(reader.broken());
  }
}

TEST(FrameReader, StopsAtALengthThatNoMessageHas) {
  for (const std::string& bad :
       {std::string(4, '\0'), std::string(4, '\xff'), std::string("GET / HTTP/1.1\r\n")}) {
    FrameReader reader;
    reader.append(bad);
    EXPECT_FALSE(reader.next().has_value());
    EXPECT_TRUE(reader.broken());
  }
}

}  // namespace
}  // namespace ocoee::comm
