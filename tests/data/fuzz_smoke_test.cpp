// SPDX-License-Identifier: Apache-2.0
// A short run of the fuzz target inside the test suite: seeds, and random changes of them.
#include "fuzz/fasta_fuzz.cpp"

#include "core/random.h"
#include "data/support.h"

namespace ocoee::data {
namespace {

TEST(FastaFuzz, Smoke) {
  const std::string plain = ">one first\nACGTNRY\nacgu\r\n\n>two\rTTTT\r>\n>four x\nGG GG";
  const std::string seeds[] = {plain, testing::gzip(plain),
                               testing::gzip(plain) + testing::gzip(">x\nA\n"),
                               "\xEF\xBB\xBF>a\nAC\n", ""};
  for (uint64_t i = 0; i < 20000; ++i) {
    RandomStream random(1, Purpose::plugin_first, 0, i);
    std::string input = seeds[random.below(std::size(seeds))];
    for (uint64_t changes = random.below(4); changes > 0 && !input.empty(); --changes) {
      const size_t at = random.below(input.size());
      switch (random.below(4)) {
        case 0:
          input[at] = static_cast<char>(random.below(256));
          break;
        case 1:
          input.erase(at, random.below(8));
          break;
        case 2:
          input.insert(at, 1, ">\n\rAN \x1F\x8B"[random.below(8)]);
          break;
        default:
          input.resize(at);
          break;
      }
    }
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
  }
}

}  // namespace
}  // namespace ocoee::data
