// SPDX-License-Identifier: Apache-2.0
// An export holds a tensor at a time, as the kernel counts.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <map>

#include "run/safetensors.h"
#include "support/peak_memory.h"
#include "tasks/language/interchange_files.h"

namespace ocoee::tasks {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kMiB = int64_t{1} << 20;

TEST(Export, HoldsATensorAtATime) {
  models::GptConfig config;
  config.layers = 12, config.width = 512, config.heads = 8, config.context = 64;
  std::map<std::string, std::vector<int64_t>> shapes;
  int64_t bytes = 0, largest = 0;
  const plan::ModelSpec model = models::build_gpt(config, 97);
  for (const plan::ParameterSpec* p : model.all_parameters()) {
    shapes[p->name] = p->shape;
    bytes += 4 * p->elements();
    largest = std::max(largest, 4 * p->elements());
  }
  ASSERT_GT(bytes, 140 * kMiB);
  int64_t asked = 0;
  const auto read = [&](const std::vector<std::string>& names) {
    HostTensors out;
    for (const std::string& name : names) {
      HostTensor& t = out[name];
      t.shape = shapes.at(name);
      int64_t elements = 1;
      for (const int64_t extent : t.shape) elements *= extent;
      t.values.assign(static_cast<size_t>(elements), 1.0f);
      asked += 4 * elements;
    }
    return out;
  };
  const fs::path folder =
      fs::temp_directory_path() / ("ocoee-export-" + std::to_string(::getpid()));
  fs::remove_all(folder);
  const testing_support::PeakMemory peak;
  write_hugging_face(folder, config, 97, {"byte", 0}, read);
  // Queries, keys and values are one tensor there, which is made of three and then transposed.
  EXPECT_LE(peak.rise(), 4 * largest + 8 * kMiB);
  EXPECT_EQ(asked, bytes);
  const auto header = run::read_safetensors_header(folder / "model.safetensors");
  EXPECT_EQ(header.tensors.size(), 2u + 12 * 12 + 2);
  fs::remove_all(folder);
}

}  // namespace
}  // namespace ocoee::tasks
