// SPDX-License-Identifier: Apache-2.0
// smoke CORPUS [COUNT]: a fuzz target without libFuzzer: every file of a folder, and COUNT spoiled
// copies of them. The changes come from a fixed stream, so a failure repeats.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/random.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

std::vector<std::string> read_folder(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    files.push_back(entry.path());
  std::sort(files.begin(), files.end());
  std::vector<std::string> seeds;
  for (const auto& file : files) {
    std::ifstream stream(file, std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>());
  }
  return seeds;
}

// One change: a byte, a bit, a cut, a repeated stretch, or a stretch of another seed.
void spoil(std::string& input, const std::vector<std::string>& seeds, ocoee::RandomStream& random) {
  if (input.empty()) {
    input = std::string(1 + random.below(8), static_cast<char>(random.below(256)));
    return;
  }
  const size_t at = random.below(input.size());
  const size_t length = 1 + random.below(16);
  switch (random.below(6)) {
    case 0:
      input[at] = static_cast<char>(random.below(256));
      break;
    case 1:
      input[at] = static_cast<char>(input[at] ^ (1 << random.below(8)));
      break;
    case 2:
      input.erase(at, length);
      break;
    case 3:
      input.resize(at);
      break;
    case 4:
      input.insert(at, input.substr(random.below(input.size()), length));
      break;
    default: {
      const std::string& other = seeds[random.below(seeds.size())];
      if (!other.empty()) input.insert(at, other.substr(random.below(other.size()), length));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s CORPUS [COUNT]\n", argv[0]);
    return 2;
  }
  const std::vector<std::string> seeds = read_folder(argv[1]);
  const uint64_t count = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 10000;
  if (seeds.empty()) {
    std::fprintf(stderr, "%s holds no file\n", argv[1]);
    return 2;
  }
  const auto feed = [](const std::string& input) {
    LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
  };
  feed("");
  for (const std::string& seed : seeds) feed(seed);
  for (uint64_t i = 0; i < count; ++i) {
    ocoee::RandomStream random(7, ocoee::Purpose::plugin_first, 0, i);
    std::string input = seeds[random.below(seeds.size())];
    for (uint64_t changes = 1 + random.below(5); changes > 0; --changes)
      spoil(input, seeds, random);
    feed(input);
  }
  std::printf("%zu files and %llu spoiled copies\n", seeds.size(),
              static_cast<unsigned long long>(count));
  return 0;
}
