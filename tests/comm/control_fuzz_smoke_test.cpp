// SPDX-License-Identifier: Apache-2.0
// The fuzz target over some thousand spoiled conversations; libFuzzer goes on from there.
#include <gtest/gtest.h>

#include "comm/control_message.h"
#include "core/random.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace ocoee::comm {
namespace {

TEST(ControlFuzz, SpoiledConversations) {
  OperationReport o;
  o.group = o.stream = 7;
  o.sequence = 1;
  o.under_way = o.blocked = true;
  o.age = 1e9F;
  std::string conversation;
  for (const ControlMessage& message : std::initializer_list<ControlMessage>{
           GroupReport{7, "data", {0, 1, 2}}, StateReport{{o}}, StateReport{{o}}, Goodbye{},
           FailureReport{3, "why"}}) {
    conversation += control_frame(message);
  }
  RandomStream random(2, Purpose::noise, 0, 0);
  for (int trial = 0; trial < 5000; ++trial) {
    std::string spoiled = conversation;
    for (uint64_t k = random.below(6); k-- > 0;)
      spoiled[random.below(spoiled.size())] = static_cast<char>(random.next32());
    spoiled.resize(random.below(2) ? spoiled.size() : random.below(spoiled.size() + 1));
    ASSERT_EQ(
        LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(spoiled.data()), spoiled.size()),
        0);
    if (spoiled.size() > 4) {  // and as one payload
      ASSERT_EQ(LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(spoiled.data()) + 4,
                                       spoiled.size() - 4),
                0);
    }
  }
}

}  // namespace
}  // namespace ocoee::comm
