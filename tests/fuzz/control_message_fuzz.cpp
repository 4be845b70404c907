// SPDX-License-Identifier: Apache-2.0
// Control messages come over TCP from anyone: whatever the bytes, parsing and judging them must
// neither crash nor take memory that they do not pay for; and what is accepted means the same when
// it is written again.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "comm/control_message.h"
#include "comm/judge.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ocoee::comm;
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);

  if (const auto message = parse_control_message(bytes)) {
    if (control_frame(*message).substr(4).size() != bytes.size()) std::abort();
  }

  FrameReader reader;
  reader.append(bytes);
  Judge judge({"a", "b", "c"}, {}, 0);
  double now = 0;
  int rank = 0;
  while (const auto payload = reader.next()) {
    if (const auto message = parse_control_message(*payload)) judge.hear(rank, *message, now);
    rank = (rank + 1) % 3;
    now += 1;
  }
  judge.suspicious(now);
  judge.verdict(now);
  return 0;
}
