// SPDX-License-Identifier: Apache-2.0
// The fuzz targets of this room on mutations of good inputs. The long form is libFuzzer's.
#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "core/random.h"
#include "run/manifest.h"

#define LLVMFuzzerTestOneInput fuzz_safetensors
#include "fuzz/safetensors_fuzz.cpp"
#undef LLVMFuzzerTestOneInput
#define LLVMFuzzerTestOneInput fuzz_manifest
#include "fuzz/manifest_fuzz.cpp"
#undef LLVMFuzzerTestOneInput

namespace ocoee::run {
namespace {

// Flips, replaces, repeats and cuts bytes; digits and brackets are likelier than noise.
std::string mutated(std::string text, uint64_t trial) {
  static constexpr std::string_view kLikely = "0123456789-[]{},:\"";
  RandomStream random(11, Purpose::plugin_first, 2, trial);
  for (uint64_t n = 1 + random.below(4); n > 0 && !text.empty(); --n) {
    const size_t at = random.below(text.size());
    switch (random.below(4)) {
      case 0:
        text[at] = static_cast<char>(random.below(256));
        break;
      case 1:
        text[at] = kLikely[random.below(kLikely.size())];
        break;
      case 2:
        text.insert(at, text.substr(random.below(text.size()), random.below(24)));
        break;
      default:
        text.erase(at, random.below(12));
    }
  }
  return text;
}

TEST(FuzzSmoke, Safetensors) {
  const std::string header =
      R"({"a":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"b":{"dtype":"U8","shape":[0,9],"data_offsets":[16,16]},"__metadata__":{"k":"v"}})";
  for (uint64_t trial = 0; trial < 20000; ++trial) {
    const std::string text = mutated(header, trial);
    const uint64_t length = text.size();
    std::string file(8, '\0');
    std::memcpy(file.data(), &length, 8);
    file += text + std::string(16, 'x');
    fuzz_safetensors(reinterpret_cast<const uint8_t*>(file.data()), file.size());
  }
}

TEST(FuzzSmoke, Manifest) {
  Manifest m;
  m.step = 3;
  m.values = {{"step", 3}};
  m.metric = 0.5;
  m.files = {{"rank-00000.safetensors", 100, 1}};
  m.arrays = {{"w",
               {4, 3},
               DType::f32,
               {{{{0, 0}, {2, 3}}, "rank-00000.safetensors", "w@0_0"},
                {{{2, 0}, {2, 3}}, "rank-00000.safetensors", "w@2_0"}}}};
  const std::string text = nlohmann::json::parse(to_text(m)).dump();
  for (uint64_t trial = 0; trial < 20000; ++trial) {
    const std::string input = mutated(text, trial);
    fuzz_manifest(reinterpret_cast<const uint8_t*>(input.data()), input.size());
  }
}

}  // namespace
}  // namespace ocoee::run
